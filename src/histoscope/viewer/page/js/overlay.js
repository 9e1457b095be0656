// Marks over a slide: a canvas that follows OpenSeadragon's view. What a frame costs does not grow with the
// number of marks: squares are painted once, a few a frame, and then only moved.
import { Heat } from "./heat.js";
import { Squares } from "./squares.js";
import { colouring, drawOne, drawOutlines, each, GONE, paintDensity, paintOutlines, POINT_PX } from "./paint.js";
import { ringsOf } from "./patch.js";

const PAINT_MS = 9; // of a frame
const REST_MS = 140; // without a move
const MOST_COARSE = 3; // screen pixels, to which painted squares are enlarged while one moves
const DIRECT_FROM = 1.0; // screen pixels for one of level 0, from which few enough are in view to draw them anew

export class Overlay {
  constructor(pane, state, colourOf) {
    Object.assign(this, { pane, state, colourOf, results: null, squares: null, tissue: null, picked: null, version: 0, without: [] });
    this.canvas = document.createElement("canvas");
    this.canvas.className = "marks";
    pane.viewer.canvas.append(this.canvas); // above the slide, below the overview map
    this.frame = 0;
    this.settled = () => {};
    this.after = () => {}; // draws over the marks
  }

  show(results) {
    this.squares?.stop();
    this.results = results;
    this.picked = null;
    this.squares = results && new Squares(results, () => this.later());
    this.heat = results?.kind === "tiles" && results.classes.length ? new Heat(results, () => this.later()) : null;
    this.patch = null;
    this.restyle();
  }

  // Show marks as they are after corrections.
  correct(patch) {
    this.patch = this.squares.patch = patch;
    Object.assign(this.results, { counts: patch.counts, n: patch.n, classes: patch.classes, colours: patch.colours });
    this.later();
  }

  remove() {
    this.squares?.stop();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    clearTimeout(this.resting);
    this.canvas.remove();
  }

  restyle() {
    this.version++;
    this.later();
  }

  later() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  draw() {
    const view = this.pane.view();
    if (!view) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2), { canvas } = this;
    const width = Math.round(view.width * ratio), height = Math.round(view.height * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.follow(view);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    if (this.tissue && !this.state.hidden.has("tissue")) this.drawTissue(context, view);
    let waits = false;
    if (this.squares && !this.state.hidden.has("marks")) {
      context.globalAlpha = this.heat && this.state.tiles === "heat" ? this.state.heatOpacity : this.state.opacity;
      context.save();
      for (const { x, y, width, height } of document.body.classList.contains("correcting") ? [] : this.without) { // where others stand in for these
        context.beginPath();
        context.rect(0, 0, view.width, view.height);
        context.rect((x - view.left) * view.scale, (y - view.top) * view.scale, width * view.scale, height * view.scale);
        context.clip("evenodd");
      }
      waits = this.drawMarks(context, view, ratio);
      context.restore();
      context.globalAlpha = 1;
      if (this.picked) drawOne(context, this.picked.data, this.picked.k, { left: view.left, top: view.top, scale: view.scale, line: this.colourOf(this.picked.kind) });
    }
    this.after(context, view);
    if (waits) this.later();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settled(), 250);
  }

  // While the view moves, lines have no edge: it takes most of the time of a frame.
  follow(view) {
    const now = performance.now(), seen = `${view.left} ${view.top} ${view.scale}`;
    if (seen !== this.seen) Object.assign(this, { seen, moved: this.seen ? now : 0 });
    this.isMoving = now - this.moved < REST_MS;
    clearTimeout(this.resting);
    if (this.isMoving) this.resting = setTimeout(() => this.later(), REST_MS);
  }

  // Draw what is there, paint a little of what is not; say whether some is left to paint.
  drawMarks(context, view, ratio) {
    const { zoom, what } = this.squares.level(view.scale), side = this.squares.side(zoom);
    const near = this.squares.within(wider(view, this.results.reach_px), zoom), colour = colouring(this.results, this.state, this.colourOf);
    this.squares.want(what, near);
    if (this.heat && this.state.tiles === "heat") { this.heat.draw(context, view, this.state); return false; }
    const line = 1.6, reach = this.results.reach_px, options = { line: line * ratio, style: this.results.kind === "tiles" ? this.state.tiles : this.state.style, colour, reach };
    const until = performance.now() + PAINT_MS;
    let waits = false;
    for (const at of near) {
      const square = this.squares.get(what, at);
      if (!square) {
        this.drawInstead(context, view, at);
        continue;
      }
      const isPainted = square.canvas && square.version === this.version, isCoarse = this.isMoving && view.scale < MOST_COARSE;
      if (what === "outlines" && view.scale >= DIRECT_FROM && !(isCoarse && isPainted)) {
        const edge = (x, y) => x > view.left - reach && x < view.right + reach && y > view.top - reach && y < view.bottom + reach;
        drawOutlines(context, square.data, { ...options, line: Math.min(line * Math.sqrt(view.scale), 3), left: view.left, top: view.top, scale: view.scale, within: edge, hasEdge: !this.isMoving });
        if (!isCoarse || performance.now() > until) continue;
        this.paintSquare(square, at, ratio, { ...options, what, side, colour }); // for the frames to come
        continue;
      }
      if (square.version !== this.version) {
        if (performance.now() > until) waits = true;
        else this.paintSquare(square, at, ratio, { ...options, what, side, colour });
      }
      if (square.canvas) place(context, view, square.canvas);
      else this.drawInstead(context, view, at);
    }
    if (what === "outlines" && this.patch?.drawnMarks.n)
      drawOutlines(context, this.patch.drawnMarks, { ...options, line: Math.min(line * Math.max(Math.sqrt(view.scale), 1), 3), left: view.left, top: view.top, scale: view.scale, hasEdge: view.scale >= DIRECT_FROM && !this.isMoving });
    return waits;
  }

  paintSquare(square, at, ratio, { what, side, colour, ...options }) {
    square.canvas = what === "outlines"
      ? paintOutlines(square.data, at, side, this.squares.results.square_px * ratio, { ...options, colour })
      : paintDensity(square.data, at, side, this.results, colour);
    square.version = this.version;
  }

  // What was painted of a wider or of narrower squares, until this one is there.
  drawInstead(context, view, { zoom, column, row }) {
    for (let up = 1; up <= 4; up++) {
      const wider = { zoom: zoom + up, column: column >> up, row: row >> up };
      for (const what of ["outlines", "density"]) {
        const square = this.squares.get(what, wider);
        if (square?.canvas && square.version === this.version) {
          const side = this.squares.side(zoom);
          context.save();
          context.beginPath();
          context.rect((column * side - view.left) * view.scale, (row * side - view.top) * view.scale, side * view.scale, side * view.scale);
          context.clip();
          place(context, view, square.canvas);
          context.restore();
          return;
        }
      }
    }
    if (zoom === 0) return;
    for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      const finer = { zoom: zoom - 1, column: 2 * column + dx, row: 2 * row + dy };
      const square = this.squares.get("outlines", finer) || this.squares.get("density", finer);
      if (square?.canvas && square.version === this.version) place(context, view, square.canvas);
    }
  }

  drawTissue(context, view) {
    for (const [kind, colour, dash] of [["tissue", "#14532d", []], ["ignored", "#6b7280", [6, 5]]]) {
      context.beginPath();
      for (const ring of this.tissue[kind]) {
        ring.forEach(([x, y], k) => context[k ? "lineTo" : "moveTo"]((x - view.left) * view.scale, (y - view.top) * view.scale));
        context.closePath();
      }
      for (const [style, width] of [["#ffffffb0", 4], [colour, 1.8]]) {
        context.setLineDash(dash);
        Object.assign(context, { strokeStyle: style, lineWidth: width });
        context.stroke();
      }
    }
    context.setLineDash([]);
  }

  // Number of marks in view by kind, from the lowest band on; whole says whether all of them are known.
  countsInView() {
    const view = this.pane.view(), { results, state } = this;
    if (!view || !results) return null;
    const [width, height] = results.size_px, totals = results.counts.map(() => 0);
    if (view.left <= 0 && view.top <= 0 && view.right >= width && view.bottom >= height) {
      results.counts.forEach((bands, kind) => bands.forEach((n, band) => { if (band >= state.least) totals[kind] += n; }));
      return { totals, whole: true };
    }
    const { zoom, what } = this.squares.level(view.scale), side = this.squares.side(zoom);
    let whole = true;
    const parts = what === "outlines" && this.patch ? [{ data: this.patch.drawnMarks }] : [];
    for (const at of this.squares.within(view, zoom)) {
      const square = this.squares.get(what, at);
      if (square) parts.push({ at, data: square.data });
      else whole = false;
    }
    for (const { at, data } of parts) {
      const bin = side / results.bins;
      for (let k = 0; k < data.n; k++) {
        if (data.band[k] < state.least || data.kind[k] === GONE) continue;
        const x = what === "outlines" ? data.centre[2 * k] : at.column * side + (data.place[k] % results.bins + 0.5) * bin;
        const y = what === "outlines" ? data.centre[2 * k + 1] : at.row * side + (Math.floor(data.place[k] / results.bins) + 0.5) * bin;
        if (x >= view.left && x < view.right && y >= view.top && y < view.bottom) totals[data.kind[k]] += what === "outlines" ? 1 : data.count[k];
      }
    }
    return { totals, whole };
  }

  // The mark at a place of the slide; "far" where they are not drawn one by one.
  hit(x, y) {
    const view = this.pane.view();
    if (!view || !this.squares || this.state.hidden.has("marks")) return null;
    const { zoom, what } = this.squares.level(view.scale);
    if (what !== "outlines") return "far";
    const reach = this.results.reach_px, colour = colouring(this.results, this.state, this.colourOf);
    const slack = 4 / view.scale;
    let best = null, nearest = Infinity;
    for (const data of this.near({ left: x - reach, right: x + reach, top: y - reach, bottom: y + reach }, zoom, what)) {
      each(data, (k, ring, point) => {
        const dx = x - data.centre[2 * k], dy = y - data.centre[2 * k + 1], distance = Math.hypot(dx, dy);
        if ((distance > 2 * reach && !data.ids) || distance > nearest || !colour(this.kindOf(data, k), data.band[k])) return;
        if (distance < slack || inside(data, k, ring, point, dx / POINT_PX, dy / POINT_PX)) {
          best = markOf(data, k, ring, point);
          nearest = distance;
        }
      });
    }
    return best;
  }

  // Kind of a mark; of one that was deleted what it was, where these can be chosen.
  kindOf(data, k) {
    const isDeleted = this.choosesDeleted && this.patch?.rows.get(data.row[k])?.says === "delete";
    return isDeleted ? data.was[k] : data.kind[k];
  }

  // The marks that are drawn and whose centre lies in a box; "far" where they are not drawn one by one.
  inBox(box) {
    const view = this.pane.view();
    if (!view || !this.squares || this.state.hidden.has("marks")) return [];
    const { zoom, what } = this.squares.level(view.scale), found = [];
    if (what !== "outlines") return "far";
    const colour = colouring(this.results, this.state, this.colourOf);
    for (const data of this.near(box, zoom, what))
      each(data, (k, ring, point) => {
        const x = data.centre[2 * k], y = data.centre[2 * k + 1];
        if (x >= box.left && x <= box.right && y >= box.top && y <= box.bottom && colour(data.kind[k], data.band[k])) found.push(markOf(data, k, ring, point));
      });
    return found;
  }

  near(box, zoom, what) {
    const squares = this.squares.within(box, zoom).map((at) => this.squares.get(what, at)?.data).filter(Boolean);
    return this.patch ? [this.patch.drawnMarks, ...squares] : squares;
  }
}

function markOf(data, k, ring, point) {
  const was = (data.was || data.kind)[k];
  return { data, k, row: data.row[k], drawn: data.ids?.[k] || "", kind: data.kind[k], was, band: data.band[k], x: data.centre[2 * k], y: data.centre[2 * k + 1], rings: ringsOf(data, k, ring, point) };
}

function wider({ left, top, right, bottom }, by) {
  return { left: left - by, top: top - by, right: right + by, bottom: bottom + by };
}

function place(context, view, { canvas, left, top, scale, isCrisp }) {
  const by = view.scale / scale;
  context.imageSmoothingEnabled = !isCrisp; // between two classes there is no third
  context.drawImage(canvas, (left - view.left) * view.scale, (top - view.top) * view.scale, canvas.width * by, canvas.height * by);
}

// Whether a point, from the centre, lies in the rings of a mark.
function inside(data, k, ring, point, x, y) {
  let is = false;
  for (let r = 0; r < data.rings[k]; r++) {
    const length = data.lengths[ring + r];
    for (let p = 0, q = length - 1; p < length; q = p++) {
      const ax = data.points[2 * (point + p)], ay = data.points[2 * (point + p) + 1];
      const bx = data.points[2 * (point + q)], by = data.points[2 * (point + q) + 1];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) is = !is;
    }
    point += length;
  }
  return is;
}
