// Squares of results: fetched when they come into view, given up when they leave it, kept for a while.
import * as api from "./api.js";
import { patched } from "./patch.js";

const MOST_KEPT = 400;
const MOST_OUTLINES = 2500; // marks in the fullest square that are still drawn one by one
const NUCLEUS_UM = 7, LEAST_PX = 2.2; // smaller on the screen than this, an outline is a blot

// The layout is that of marks.py: a word, three numbers, then arrays, the widest first.
export function parse(buffer) {
  const word = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  const [n, rings, points] = new Uint32Array(buffer, 4, 3);
  let at = 16;
  const take = (type, count) => {
    const array = new type(buffer, at, count);
    at += array.byteLength;
    return array;
  };
  if (word === "HSO1") {
    return {
      is: "outlines", n,
      centre: take(Float32Array, 2 * n), row: take(Uint32Array, n), points: take(Int16Array, 2 * points),
      rings: take(Uint16Array, n), lengths: take(Uint16Array, rings),
      kind: take(Uint8Array, n), band: take(Uint8Array, n),
    };
  }
  if (word === "HSC1") {
    return {
      is: "density", n,
      count: take(Uint32Array, n), place: take(Uint16Array, n), kind: take(Uint8Array, n), band: take(Uint8Array, n),
    };
  }
  throw new Error(`this page cannot read ${word}; reload it`);
}

export class Squares {
  constructor(results, changed) {
    this.results = results;
    this.changed = changed;
    this.kept = new Map(); // key -> {data, canvas, version}, the one used last at the end
    this.asked = new Map(); // key -> AbortController
    this.failed = new Map();
    this.patch = null; // of corrections
  }

  // Zoom at which a square is at most as wide on the screen as it is in pixels, and how its marks are shown.
  level(scale) {
    const { busiest } = this.results;
    const zoom = Math.min(Math.max(Math.floor(Math.log2(1 / scale) + 1e-6), 0), busiest.length - 1);
    const seen = this.results.kind === "tiles" ? Infinity : (NUCLEUS_UM / (this.results.mpp || 0.5)) * scale;
    return { zoom, what: busiest[zoom] <= MOST_OUTLINES && seen >= LEAST_PX ? "outlines" : "density" };
  }

  side(zoom) {
    return this.results.square_px * 2 ** zoom;
  }

  // Squares that touch a rectangle of the slide, those in the middle first.
  within({ left, top, right, bottom }, zoom) {
    const side = this.side(zoom), [width, height] = this.results.size_px;
    const last = (size) => Math.max(Math.ceil(size / side) - 1, 0);
    const found = [];
    for (let row = Math.max(Math.floor(top / side), 0); row <= Math.min(Math.floor(bottom / side), last(height)); row++)
      for (let column = Math.max(Math.floor(left / side), 0); column <= Math.min(Math.floor(right / side), last(width)); column++)
        found.push({ zoom, column, row });
    const x = (left + right) / 2 / side - 0.5, y = (top + bottom) / 2 / side - 0.5;
    return found.sort((a, b) => Math.hypot(a.column - x, a.row - y) - Math.hypot(b.column - x, b.row - y));
  }

  get(what, { zoom, column, row }) {
    const key = `${what}/${zoom}/${column}/${row}`;
    const square = this.kept.get(key);
    if (square) {
      this.kept.delete(key);
      this.kept.set(key, square);
      this.correct(square);
    }
    return square;
  }

  // Bring a square up to date with the corrections; only if one is in it, it is painted anew.
  correct(square) {
    if (!this.patch || square.patched === this.patch.version) return;
    const data = patched(square.raw, square, this.side(square.zoom), this.results.bins, this.patch);
    if (data !== square.raw || square.data !== square.raw) square.version = -1;
    Object.assign(square, { data, patched: this.patch.version });
  }

  // Ask for what is wanted and not there; give up what is no longer wanted.
  want(what, squares) {
    const wanted = new Set(squares.map(({ zoom, column, row }) => `${what}/${zoom}/${column}/${row}`));
    for (const [key, control] of this.asked) if (!wanted.has(key)) { control.abort(); this.asked.delete(key); }
    for (const square of squares) {
      const key = `${what}/${square.zoom}/${square.column}/${square.row}`;
      if (!this.kept.has(key) && !this.asked.has(key) && !(this.failed.get(key) > Date.now())) this.fetch(what, square, key);
    }
  }

  async fetch(what, square, key) {
    const control = new AbortController();
    this.asked.set(key, control);
    try {
      const data = parse(await api.square(this.results, what, square.zoom, square.column, square.row, { signal: control.signal }));
      this.kept.set(key, { ...square, raw: data, data, canvas: null, version: -1, patched: 0 });
      for (const old of this.kept.keys()) if (this.kept.size > MOST_KEPT) this.kept.delete(old);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed.set(key, Date.now() + 5000);
    } finally {
      if (this.asked.get(key) === control) this.asked.delete(key);
    }
    this.changed();
  }

  stop() {
    for (const control of this.asked.values()) control.abort();
    this.asked.clear();
    this.kept.clear();
  }
}
