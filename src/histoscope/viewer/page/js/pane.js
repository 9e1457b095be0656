// One picture: a slide in OpenSeadragon, with the marks over it.
import * as api from "./api.js";
import { Overlay } from "./overlay.js";

const OSD = window.OpenSeadragon;

// Layers of a slide as OpenSeadragon takes them: their sizes, tiles and factors are the slide's own.
function sourceOf(slide) {
  const [width, height] = slide.size_px, { layers } = slide;
  const source = new OSD.TileSource({
    width, height, tileSize: layers.at(-1).tile_px[0], tileOverlap: 0, minLevel: 0, maxLevel: layers.length - 1,
  });
  const tiles = (size, tile) => Math.ceil(size / tile);
  Object.assign(source, {
    getLevelScale: (level) => 1 / layers[level].downsample,
    getTileWidth: (level) => layers[level].tile_px[0],
    getTileHeight: (level) => layers[level].tile_px[1],
    getNumTiles: (level) => {
      const { size_px, tile_px } = layers[level];
      return new OSD.Point(tiles(size_px[0], tile_px[0]), tiles(size_px[1], tile_px[1]));
    },
    getTileBounds: (level, column, row, isSource) => {
      const { size_px, tile_px, downsample } = layers[level], by = downsample / width;
      const x = column * tile_px[0], y = row * tile_px[1];
      const w = Math.min(tile_px[0], size_px[0] - x), h = Math.min(tile_px[1], size_px[1] - y);
      return isSource ? new OSD.Rect(0, 0, w, h) : new OSD.Rect(x * by, y * by, w * by, h * by);
    },
    getTileUrl: (level, column, row) => api.tile(slide, level, column, row),
  });
  Object.assign(source, { downloadTileStart: download, downloadTileAbort: (job) => job.userData.stop.abort() });
  if (!slide.stamp) source.tileExists = () => false; // results alone
  return source;
}

// OpenSeadragon decodes tiles in the thread that draws, which is felt while one moves; a bitmap is decoded beside it.
async function download(job) {
  job.userData.stop = new AbortController();
  try {
    const answer = await fetch(job.src, { signal: job.userData.stop.signal });
    if (!answer.ok) throw new Error(`the server said ${answer.status}`);
    const bitmap = await createImageBitmap(await answer.blob());
    const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    job.finish(context, null, "context2d");
  } catch (error) {
    job.fail(error.message, null);
  }
}

export class Pane {
  constructor(element, state, colourOf, { navigator }) {
    this.element = element;
    this.slide = null;
    this.broken = 0;
    this.viewer = OSD({
      element, drawer: "canvas", showNavigationControl: false, showNavigator: navigator, navigatorPosition: "TOP_RIGHT",
      navigatorSizeRatio: 0.18, navigatorAutoFade: false, navigatorOpacity: 1, animationTime: 0.35, springStiffness: 8, blendTime: 0,
      minZoomImageRatio: 0.6, maxZoomPixelRatio: 12, visibilityRatio: 0.4, zoomPerScroll: 1.25, imageLoaderLimit: 8, maxImageCacheCount: 500,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, gestureSettingsTouch: { pinchRotate: false },
      gestureSettingsPen: { clickToZoom: false }, crossOriginPolicy: false,
    });
    this.viewer.innerTracker.keyHandler = null; // the page has keys of its own
    this.viewer.innerTracker.keyDownHandler = null;
    this.overlay = new Overlay(this, state, colourOf);
    for (const event of ["update-viewport", "open", "resize", "animation"]) this.viewer.addHandler(event, () => this.overlay.later());
    this.viewer.addHandler("tile-load-failed", () => { this.broken++; });
  }

  async open(slide, place) {
    this.slide = slide;
    this.broken = 0;
    const opened = new Promise((resolve, reject) => {
      this.viewer.addOnceHandler("open", resolve);
      this.viewer.addOnceHandler("open-failed", (event) => reject(new Error(event.message)));
    });
    this.viewer.open(sourceOf(slide));
    await opened;
    await this.show(place);
  }

  // A place, or the whole slide, once OpenSeadragon has seen the size that the pane has now.
  async show(place) {
    const { viewer, element } = this;
    for (let tries = 0; tries < 60 && viewer.viewport.getContainerSize().x !== element.clientWidth; tries++) {
      viewer.forceResize();
      viewer.forceRedraw();
      await new Promise((resolve) => setTimeout(resolve, 16));
    }
    if (place) this.go(place, true);
    else viewer.viewport.goHome(true);
  }

  // What is in view: edges in pixels of level 0, screen pixels for one of them, size of the pane.
  view() {
    const { viewer } = this;
    if (!this.slide || !viewer.world.getItemCount()) return null;
    const bounds = viewer.viewport.getBoundsNoRotate(true), [size] = this.slide.size_px;
    const width = this.element.clientWidth, height = this.element.clientHeight;
    const left = bounds.x * size, top = bounds.y * size, scale = width / (bounds.width * size);
    return { left, top, right: left + width / scale, bottom: top + height / scale, scale, width, height };
  }

  isWhole() {
    const { left, top, right, bottom } = this.view() || {}, [width, height] = this.slide.size_px;
    return left <= 0.5 && top <= 0.5 && right >= width - 0.5 && bottom >= height - 0.5;
  }

  place() {
    const { viewport } = this.viewer, [size] = this.slide.size_px, centre = viewport.getCenter(false);
    return { x: centre.x * size, y: centre.y * size, zoom: this.element.clientWidth * viewport.getZoom(false) / size };
  }

  go({ x, y, zoom }, now = false) {
    const { viewport } = this.viewer, [size] = this.slide.size_px;
    viewport.zoomTo((zoom * size) / this.element.clientWidth, null, now);
    viewport.panTo(new OSD.Point(x / size, y / size), now);
  }

  picture(shown) {
    this.viewer.world.getItemAt(0)?.setOpacity(shown ? 1 : 0);
  }

  at(position) {
    const point = this.viewer.viewport.pointFromPixel(position, true), [size] = this.slide.size_px;
    return { x: point.x * size, y: point.y * size };
  }
}
