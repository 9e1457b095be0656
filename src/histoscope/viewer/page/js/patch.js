// What corrections change of the squares. They are few and the nuclei are many, so squares stay as the server has
// them, and only those that hold a corrected nucleus are made anew.
import { GONE, POINT_PX } from "./paint.js";

// State of the server with the edits that it has not answered yet.
export function merged(state, pending) {
  const rows = new Map(), drawn = new Map(), regions = new Map();
  const kindOf = (name, usual) => (state.classes.includes(name) ? state.classes.indexOf(name) + 1 : usual);
  const say = ({ row, x, y, was, band }, { edit, kind, class_name = "", author, time }) => rows.set(row, {
    row, x, y, was, band, edit, says: kind, class_name, author, time, shown: kind === "delete" ? GONE : kindOf(class_name, was),
  });
  for (const one of state.found) say(one, one);
  for (const one of state.covered) rows.set(one.row, { ...one, says: "covered", shown: GONE });
  for (const one of state.drawn) drawn.set(one.edit, { ...one, shown: one.class_id });
  for (const one of state.regions) regions.set(one.edit, one);
  for (const { edit, fact } of pending) {
    const said = { ...edit, edit: edit.id, author: state.author, time: "" };
    if (edit.kind === "undo") {
      for (const [row, one] of rows) if (one.edit === edit.undoes) rows.delete(row);
      drawn.delete(edit.undoes);
      regions.delete(edit.undoes);
    } else if (edit.kind === "draw") {
      const [x, y] = middle(edit.polygon_px);
      drawn.set(edit.id, { ...said, x, y, shown: kindOf(edit.class_name, 0) });
    } else if (edit.drawn) {
      const one = drawn.get(edit.drawn);
      if (edit.kind === "delete") drawn.delete(edit.drawn);
      else if (one && edit.kind === "reclassify") drawn.set(edit.drawn, { ...one, class_name: edit.class_name, shown: kindOf(edit.class_name, 0) });
    } else if (edit.row === undefined) regions.set(edit.id, said);
    else if (fact) say({ row: edit.row, ...fact }, said);
  }
  return { rows, drawn, regions };
}

let version = 0;

// The patch of some results: marks of other kinds, changes of numbers, drawn nuclei as a square has them.
export function patchOf(original, state, pending) {
  const found = merged(state, pending), deltas = [];
  for (const { x, y, was, band, shown } of found.rows.values()) {
    if (shown === was) continue;
    deltas.push({ x, y, kind: was, band, n: -1 });
    if (shown !== GONE) deltas.push({ x, y, kind: shown, band, n: 1 });
  }
  const drawn = block([...found.drawn.values()], original.bands - 1);
  for (let k = 0; k < drawn.n; k++) deltas.push({ x: drawn.centre[2 * k], y: drawn.centre[2 * k + 1], kind: drawn.kind[k], band: drawn.band[k], n: 1 });
  const most = Math.max(original.counts.length, state.classes.length + 1);
  const counts = Array.from({ length: most }, (_, kind) => [...(original.counts[kind] || Array(original.bands).fill(0))]);
  for (const { kind, band, n } of deltas) counts[kind][band] += n;
  const n = counts.flat().reduce((sum, value) => sum + value, 0);
  return { ...found, version: ++version, deltas, drawnMarks: drawn, counts, n, classes: state.classes, colours: state.colours };
}

export const middle = (points) => [0, 1].map((axis) => {
  const along = points.map((point) => point[axis]);
  return (Math.min(...along) + Math.max(...along)) / 2;
});

// Drawn nuclei in the layout of a square.
function block(nuclei, band) {
  const data = { is: "outlines", n: nuclei.length, centre: [], row: [], points: [], rings: [], lengths: [], kind: [], band: [], ids: [] };
  for (const { edit, x, y, polygon_px, shown } of nuclei) {
    data.centre.push(x, y);
    data.row.push(-1);
    data.ids.push(edit);
    for (const [px, py] of polygon_px) data.points.push((px - x) / POINT_PX, (py - y) / POINT_PX);
    data.rings.push(1);
    data.lengths.push(polygon_px.length);
    data.kind.push(shown);
    data.band.push(band);
  }
  return data;
}

// A square after corrections: itself, if none is in it.
export function patched(raw, square, side, bins, patch) {
  return raw.is === "outlines" ? patchedOutlines(raw, patch) : patchedDensity(raw, square, side, bins, patch);
}

function patchedOutlines(raw, { rows }) {
  let kind = null;
  if (rows.size) for (let k = 0; k < raw.n; k++) {
    const one = rows.get(raw.row[k]);
    if (!one || one.shown === raw.kind[k]) continue;
    kind ||= raw.kind.slice();
    kind[k] = one.shown;
  }
  return kind ? { ...raw, kind, was: raw.kind } : raw;
}

// Numbers of a square: the places are reckoned as marks.py does, in single precision.
function patchedDensity(raw, { column, row }, side, bins, { deltas }) {
  const left = column * side, top = row * side;
  const here = deltas.filter(({ x, y }) => x >= left && x < left + side && y >= top && y < top + side);
  if (!here.length) return raw;
  const at = new Map(), key = (place, kind, band) => (place * 256 + kind) * 256 + band;
  const count = [...raw.count], place = [...raw.place], kind = [...raw.kind], band = [...raw.band];
  for (let k = 0; k < raw.n; k++) at.set(key(place[k], kind[k], band[k]), k);
  const bin = (value, corner) => Math.min(Math.max(Math.floor(Math.fround(Math.fround(value) - corner) * (bins / side)), 0), bins - 1);
  for (const one of here) {
    const where = bin(one.y, top) * bins + bin(one.x, left), name = key(where, one.kind, one.band);
    if (!at.has(name)) {
      at.set(name, count.push(0) - 1);
      place.push(where);
      kind.push(one.kind);
      band.push(one.band);
    }
    const k = at.get(name);
    count[k] = Math.max(count[k] + one.n, 0);
  }
  return { ...raw, n: count.length, count, place, kind, band };
}

// Rings of a mark in pixels of level 0.
export function ringsOf(data, k, ring, point) {
  const rings = [];
  for (let r = 0; r < data.rings[k]; r++) {
    const points = [];
    for (let p = point; p < point + data.lengths[ring + r]; p++)
      points.push([data.centre[2 * k] + data.points[2 * p] * POINT_PX, data.centre[2 * k + 1] + data.points[2 * p + 1] * POINT_PX]);
    rings.push(points);
    point += data.lengths[ring + r];
  }
  return rings;
}
