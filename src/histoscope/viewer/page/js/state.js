// What is shown, and the address that holds it.

export const state = {
  slide: "",
  results: ["", ""], // of the two panes
  place: null, // {x, y, zoom}: centre in pixels of level 0, screen pixels for one of them
  off: new Set(), // classes that are switched off
  least: 0, // lowest band of probability
  opacity: 0.9,
  style: "outline",
  by: "class",
  tiles: "heat", // how tiles are drawn
  heat: 1, // class of the heat map
  heatOpacity: 0.6, // what lies below a heat map is to be seen
  hidden: new Set(), // of "picture", "marks", "tissue"
  colours: {}, // class -> colour that somebody chose
  split: false,
  stain: "", // normaliser of the slide; of the right one where there are two
  study: "",
  metric: "", // score of a study that is shown, where it is not the primary one
  number: null, // {model, level, condition, metric}: the number whose images are walked through
};
const NUMBER = ["model", "level", "condition", "metric"];

export function toHash() {
  const parts = new URLSearchParams();
  const add = (name, value, usual) => value !== usual && parts.set(name, value);
  add("study", state.study, "");
  if (state.study && state.number) for (const name of NUMBER) parts.set(name, state.number[name]);
  add("metric", state.study && !state.number ? state.metric : "", "");
  add("slide", state.slide, "");
  add("results", state.results[0], "");
  add("split", state.split ? state.results[1] || "none" : "", "");
  add("stain", state.stain, "");
  if (state.place && state.slide) {
    parts.set("x", state.place.x.toFixed(1));
    parts.set("y", state.place.y.toFixed(1));
    parts.set("zoom", Number(state.place.zoom.toPrecision(5)));
  }
  add("off", [...state.off].sort((a, b) => a - b).join("."), "");
  add("least", String(state.least), "0");
  add("opacity", String(state.opacity), "0.9");
  add("style", state.style, "outline");
  add("by", state.by, "class");
  add("tiles", state.tiles, "heat");
  add("heat", String(state.heat), "1");
  add("heatOpacity", String(state.heatOpacity), "0.6");
  add("hide", [...state.hidden].sort().join("."), "");
  add("colours", Object.entries(state.colours).map(([k, v]) => `${k}-${v.slice(1)}`).join("."), "");
  return `#${parts}`;
}

export function fromHash(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const list = (name) => (parts.get(name) || "").split(".").filter(Boolean);
  const number = (name, usual, low, high) => {
    const value = parts.has(name) ? Number(parts.get(name)) : NaN;
    return Number.isFinite(value) ? Math.min(Math.max(value, low), high) : usual;
  };
  const one = (name, known) => (known.includes(parts.get(name)) ? parts.get(name) : known[0]);
  state.study = parts.get("study") || "";
  state.number = NUMBER.every((name) => parts.get(name)) ? Object.fromEntries(NUMBER.map((name) => [name, parts.get(name)])) : null;
  state.metric = parts.get("metric") || "";
  state.slide = parts.get("slide") || "";
  state.stain = one("stain", ["", "reinhard", "macenko", "vahadane"]);
  state.split = parts.has("split");
  const second = parts.get("split") || "";
  state.results = [parts.get("results") || "", second === "none" ? "" : second];
  const zoom = number("zoom", 0, 0, 1e3);
  state.place = zoom > 0 ? { x: number("x", 0, -1e9, 1e9), y: number("y", 0, -1e9, 1e9), zoom } : null;
  state.off = new Set(list("off").map(Number).filter(Number.isInteger));
  state.least = Math.round(number("least", 0, 0, 19));
  state.opacity = number("opacity", 0.9, 0, 1);
  state.style = one("style", ["outline", "fill"]);
  state.tiles = one("tiles", ["heat", "outline", "fill"]);
  state.heat = Math.round(number("heat", 1, 1, 255));
  state.heatOpacity = number("heatOpacity", 0.6, 0, 1);
  state.by = one("by", ["class", "probability"]);
  state.hidden = new Set(list("hide"));
  state.colours = {};
  for (const pair of list("colours")) {
    const [name, colour] = pair.split("-");
    if (/^\d+$/.test(name) && /^[0-9a-f]{6}$/i.test(colour || "")) state.colours[name] = `#${colour}`;
  }
}

// How marks of results are drawn.
export const styleOf = (results) => (results?.kind === "tiles" ? state.tiles : state.style);
export function setStyle(results, style) {
  if (results?.kind === "tiles") state.tiles = style;
  else state.style = style;
}
const isHeat = (results) => results?.kind === "tiles" && state.tiles === "heat";
export const opacityOf = (results) => (isHeat(results) ? state.heatOpacity : state.opacity);
export function setOpacity(results, value) {
  if (isHeat(results)) state.heatOpacity = value;
  else state.opacity = value;
}
