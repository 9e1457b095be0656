// Heat maps: the probability of one class at each tile, as a picture over the slide.
import * as api from "./api.js";
import { rampAt, rgb } from "./paint.js";

const NUMBERS = 16; // bytes of the word and of three numbers; four more follow
const kept = new Map(); // address -> what the server said

// The layout is that of heat.py.
function parse(buffer) {
  const [columns, rows] = new Uint32Array(buffer, 4, 2), [x, y, width, height] = new Float32Array(buffer, NUMBERS, 4);
  return { columns, rows, x, y, width, height, value: new Uint8Array(buffer, NUMBERS + 16) };
}

export class Heat {
  constructor(results, changed) {
    Object.assign(this, { results, changed, canvas: null, key: "", data: null });
  }

  // Draw the tiles of a class; those below the threshold are left out.
  draw(context, view, { heat, least }) {
    const address = `api/results/${this.results.id}/heat/${heat}?v=${this.results.stamp}`;
    const data = kept.get(address);
    if (!data) { this.fetch(address); return; }
    const key = `${address} ${least}`;
    if (this.key !== key) { this.paint(data, least); this.key = key; }
    if (!this.canvas) return;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.canvas, (data.x - view.left) * view.scale, (data.y - view.top) * view.scale, data.columns * data.width * view.scale, data.rows * data.height * view.scale);
  }

  async fetch(address) {
    if (kept.has(address)) return;
    kept.set(address, null);
    try { kept.set(address, parse(await api.bytes(address))); } catch (error) { console.warn(error); setTimeout(() => kept.delete(address), 5000); }
    this.changed();
  }

  paint({ columns, rows, value }, least) {
    if (!columns || !rows) { this.canvas = null; return; }
    const image = new ImageData(columns, rows);
    const colours = Array.from({ length: 255 }, (_, at) => rgb(rampAt(at / 254)));
    for (let k = 0; k < value.length; k++) {
      if (!value[k] || (value[k] - 1) / 254 < least / 20 - 0.002) continue;
      image.data.set(colours[value[k] - 1], 4 * k);
      image.data[4 * k + 3] = 255;
    }
    this.canvas = new OffscreenCanvas(columns, rows);
    this.canvas.getContext("2d").putImageData(image, 0, 0);
  }
}

export const RAMP_CSS = `linear-gradient(90deg, ${[0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1].map(rampAt).join(", ")})`;
