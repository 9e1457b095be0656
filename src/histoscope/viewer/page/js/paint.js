// Marks as pixels: outlines near, densities far out. Colours and switches are applied here, without the server.

export const POINT_PX = 0.25;
export const GONE = 255; // kind of a mark that is none any more
const NUCLEUS_UM2 = 45; // area of a usual nucleus, for how much of a place nuclei cover
const MOST_PX = 1024;
const SLOTS = [[0, 0], [1, 1], [1, 0], [0, 1]]; // so that halves lie across
export const PLAIN = "#ffffff"; // nuclei without a class beside such with one: no class is white
const EDGE_PX = 1.4; // of the line below a line, on each side
const RAMP = ["#3b1f70", "#3f4a8a", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];

export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

export function rampAt(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(at), RAMP.length - 2);
  const [a, b] = [rgb(RAMP[low]), rgb(RAMP[low + 1])];
  return `#${a.map((v, k) => Math.round(v + (b[k] - v) * (at - low)).toString(16).padStart(2, "0")).join("")}`;
}

// Colour of each kind and band, or nothing where it is not shown.
export function colouring(results, state, colourOf) {
  const byBand = Array.from({ length: results.bands }, (_, band) => rampAt((band + 0.5) / results.bands));
  return (kind, band) => {
    if (kind === GONE || state.off.has(kind) || band < state.least) return null;
    return state.by === "probability" ? byBand[band] : colourOf(kind);
  };
}

// Add the rings of a mark to a path.
function trace(context, data, k, ring, point, left, top, scale) {
  const x = (data.centre[2 * k] - left) * scale, y = (data.centre[2 * k + 1] - top) * scale, step = POINT_PX * scale;
  for (let r = 0; r < data.rings[k]; r++) {
    const length = data.lengths[ring + r];
    for (let p = 0; p < length; p++) {
      const px = x + data.points[2 * (point + p)] * step, py = y + data.points[2 * (point + p) + 1] * step;
      p ? context.lineTo(px, py) : context.moveTo(px, py);
    }
    context.closePath();
    point += length;
  }
}

// Call with each mark, its first ring and its first point.
export function each(data, call) {
  let ring = 0, point = 0;
  for (let k = 0; k < data.n; k++) {
    call(k, ring, point);
    for (let r = 0; r < data.rings[k]; r++) point += data.lengths[ring + r];
    ring += data.rings[k];
  }
}

// Light below dark colours, dark below light ones: a line is seen on chromatin and on glass.
export function edgeOf(colour) {
  const [r, g, b] = rgb(colour);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#00000070" : "#ffffffa0";
}

// Outlines of a square, one path for each colour; with an edge where there is room for it.
export function drawOutlines(context, data, { left, top, scale, line, style, colour, within, hasEdge }) {
  const paths = new Map();
  each(data, (k, ring, point) => {
    if (within && !within(data.centre[2 * k], data.centre[2 * k + 1])) return;
    const is = colour(data.kind[k], data.band[k]);
    if (is) paths.has(is) ? paths.get(is).push(k, ring, point) : paths.set(is, [k, ring, point]);
  });
  context.lineJoin = "round";
  for (const [is, marks] of paths) {
    context.beginPath();
    for (let k = 0; k < marks.length; k += 3) trace(context, data, marks[k], marks[k + 1], marks[k + 2], left, top, scale);
    if (style === "fill") {
      context.fillStyle = `${is}99`;
      context.fill("evenodd");
    }
    for (const [shade, width] of hasEdge || is === PLAIN ? [[edgeOf(is), line + EDGE_PX], [is, line]] : [[is, line]]) {
      context.strokeStyle = shade;
      context.lineWidth = width;
      context.stroke();
    }
  }
}

export function drawOne(context, data, k, { left, top, scale, line }) {
  each(data, (at, ring, point) => {
    if (at !== k) return;
    context.beginPath();
    trace(context, data, k, ring, point, left, top, scale);
    for (const [colour, width] of [["#000000b0", 7], ["#ffffff", 4.5], [line, 1.8]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  });
}

// A canvas of a square, with a margin for marks whose centre lies in it and that reach beyond.
export function paintOutlines(data, square, side, pixels, options) {
  const scale = Math.min(pixels, MOST_PX) / side, margin = Math.ceil(options.reach * scale + 4);
  const canvas = new OffscreenCanvas(Math.ceil(side * scale) + 2 * margin, Math.ceil(side * scale) + 2 * margin);
  const left = square.column * side - margin / scale, top = square.row * side - margin / scale;
  if (data.n) drawOutlines(canvas.getContext("2d"), data, { ...options, left, top, scale });
  return { canvas, left, top, scale };
}

// Four pixels for each place, shared out among the colours of its marks, as opaque as the marks cover it. Colours
// are not mixed: yellow and green would be a third class.
export function paintDensity(data, square, side, results, colour) {
  const { bins } = results, wide = 2 * bins, image = new ImageData(wide, wide), total = new Uint32Array(bins * bins);
  const byColour = new Map(), known = new Map();
  for (let k = 0; k < data.n; k++) {
    const key = data.kind[k] * 256 + data.band[k];
    if (!known.has(key)) known.set(key, colour(data.kind[k], data.band[k]));
    const is = known.get(key);
    if (!is) continue;
    if (!byColour.has(is)) byColour.set(is, new Uint32Array(bins * bins));
    byColour.get(is)[data.place[k]] += data.count[k];
    total[data.place[k]] += data.count[k];
  }
  const area = NUCLEUS_UM2 / (results.mpp || 0.5) ** 2 / (side / bins) ** 2;
  const shares = [...byColour].map(([is, counts]) => [rgb(is), counts]);
  for (let place = 0; place < total.length; place++) {
    const n = total[place];
    if (!n) continue;
    const alpha = 255 * Math.min(0.18 + 1.5 * n * area, 1), at = 2 * Math.floor(place / bins) * wide + 2 * (place % bins);
    let slot = 0, sum = 0;
    for (const [is, counts] of shares) {
      sum += counts[place];
      for (; slot < 4 && (slot + 0.5) * n < 4 * sum; slot++) {
        const pixel = 4 * (at + SLOTS[slot][0] + SLOTS[slot][1] * wide);
        image.data.set(is, pixel);
        image.data[pixel + 3] = alpha;
      }
    }
  }
  const canvas = new OffscreenCanvas(wide, wide);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return { canvas, left: square.column * side, top: square.row * side, scale: wide / side, isCrisp: true };
}
