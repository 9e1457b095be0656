// Correct nuclei: choose them and say what they are, draw what was missed, confirm a part that is right.
import * as api from "./api.js";
import { tell } from "./chrome.js";
import { Ink, stroke, trace } from "./draw.js";
import { Journal } from "./journal.js";
import { colourOf, number } from "./legend.js";
import { GONE } from "./paint.js";
import { CorrectPanel } from "./correct_panel.js";
import { Review } from "./review.js";

const UNSURE = "unsure"; // nuclei whose class a model was not sure enough of
const LOOK_AGAIN_MS = 10000;
const MOST_CHOSEN = 5000;
const ROUND_UM = 8; // of a nucleus that is put in the middle of the view by the keyboard

export const KEYS = [
  { keys: ["e"], shown: ["E"], does: "start or stop correcting" },
  ...[
    { shown: ["1", "2", "…"], does: "the selected nuclei have this class" },
    { shown: ["Y"], does: "they are correct as shown" },
    { shown: ["X", "Del"], does: "they are not nuclei" },
    { shown: ["U", "Ctrl Z"], does: "undo the last correction; Ctrl Shift Z: redo" },
    { shown: ["V"], does: "select a nucleus" },
    { shown: ["A"], does: "select several with a rectangle (or drag with Shift)" },
    { shown: ["W"], does: "draw a nucleus" },
    { shown: ["R"], does: "confirm a region; again: free-hand" },
    { shown: ["G"], does: "review uncertain nuclei, one after another" },
    { shown: ["Enter"], does: "select the nucleus in the middle; when drawing, put a round one there" },
  ].map((one) => ({ ...one, mode: "correcting" })),
];

export class Correct {
  // page: {panes, state, legend(), unpick(), name(), changed(results, patch): the corrected results, and what is corrected}
  constructor(page) {
    Object.assign(this, { page, on: false, tool: "choose", chosen: [], kind: "", shape: "box", journals: new Map() });
    this.panel = new CorrectPanel(this);
    this.review = new Review(this);
    document.addEventListener("keydown", (event) => this.key(event), { capture: true });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.look(); });
    window.addEventListener("online", () => this.journal?.send());
    setInterval(() => { if (this.on && !document.hidden) this.look(); }, LOOK_AGAIN_MS);
  }

  get pane() { return this.page.panes[0]; }

  get journal() { return this.pane?.overlay.results ? this.journals.get(this.pane.overlay.results.id) : null; }

  // A pane shows other results: take their corrections into account.
  show(pane) {
    if (!pane.ink) {
      pane.ink = new Ink(pane, (event) => this.shapeOf(pane, event), (shape, points) => this.drawn(shape, points));
      pane.overlay.after = (context, view) => this.paint(pane, context, view);
    }
    this.choose([]);
    const { results } = pane.overlay;
    const isSame = pane !== this.pane && results && this.journal?.results.id === results.id;
    if (isSame) { if (this.journal.patch) pane.overlay.correct(this.journal.patch); } // one journal for both panes
    else if (results?.kind === "nuclei") {
      const journal = new Journal(results, {
        tell: (text) => tell(text),
        changed: () => { if (pane.overlay.results === results) this.changed(pane, journal); },
      });
      Object.assign(journal, { undos: this.journals.get(results.id)?.undos || [] });
      this.journals.set(results.id, journal);
      journal.load().catch((error) => {
        if (error.status !== 404) tell(`Corrections cannot be shown: ${error.message}`, { stays: true });
        if (this.on && journal === this.journal) this.toggle(false);
      });
    }
    if (this.on && !this.journal) this.toggle(false);
    this.panel.show();
    if (pane === this.pane) this.offer();
  }

  // Whether there is something to correct.
  offer() {
    const button = document.getElementById("correct-button");
    button.classList.toggle("dim", !this.journal);
    button.title = this.journal ? "Correct nuclei (E)" : this.why();
  }

  why() {
    const kind = this.pane.overlay.results?.kind;
    if (kind === "outcomes") return "These outlines compare a model with the ground truth. Only results of histoscope predict can be corrected.";
    if (kind && kind !== "nuclei") return "Only nuclei that a model found can be corrected.";
    return "There are no nuclei here to correct yet. Find nuclei (P) shows a preview; histoscope predict makes results to keep.";
  }

  changed(pane, journal) {
    const before = pane.overlay.results.classes.length;
    for (const each of this.page.panes) if (each === pane || each.overlay.results?.id === pane.overlay.results.id) each.overlay.correct(journal.patch);
    if (pane === this.pane && before !== journal.patch.classes.length) this.page.legend().rows();
    if (pane === this.pane && !this.answers.includes(this.kind)) this.kind = this.answers[0] || "";
    this.chosen = this.chosen.filter(({ drawn }) => !drawn || journal.patch.drawn.has(drawn));
    if (pane !== this.pane) return;
    this.page.changed(pane.overlay.results, journal.patch);
    this.panel.show();
    this.review.show();
  }

  look() {
    for (const pane of this.page.panes) {
      const journal = pane.overlay.results && this.journals.get(pane.overlay.results.id);
      journal?.load().catch((error) => { journal.trouble = error.message; this.panel.show(); });
    }
  }

  toggle(is = !this.on) {
    const { journal } = this;
    if (is && !journal) {
      tell(this.why(), { stays: true });
      return;
    }
    if (is && !journal.state) { // not known yet, or it could not be read
      journal.load().then(() => journal === this.journal && this.toggle(true), (error) => tell(error.message));
      return;
    }
    this.on = is;
    document.body.classList.toggle("correcting", is);
    document.getElementById("correct-button").setAttribute("aria-pressed", String(is));
    this.use("choose");
    const { picked } = this.pane.overlay;
    this.choose(is && picked && !picked.preview ? [picked] : []);
    if (is) this.look();
    else this.review.close();
    this.panel.show();
    for (const pane of this.page.panes) { pane.overlay.choosesDeleted = is; pane.overlay.later(); }
  }

  use(tool) {
    this.tool = tool;
    if (tool !== "choose") this.choose([]);
    document.body.dataset.tool = this.on ? tool : "";
    this.panel.show();
  }

  shapeOf(pane, event) {
    if (!this.on || pane !== this.pane) return "";
    if (this.tool === "draw") return "free";
    if (this.tool === "region") return this.shape;
    return this.tool === "several" || event.shiftKey ? "box" : "";
  }

  // Somebody clicked: say whether it was taken.
  pick(pane, found) {
    if (!this.on || pane !== this.pane || this.tool !== "choose") return this.on && pane === this.pane;
    this.choose(found && found !== "far" ? [found] : []);
    return false;
  }

  choose(marks) {
    this.chosen = marks;
    this.panel.show();
    this.pane?.overlay.later();
  }

  drawn(shape, points) {
    if (this.tool === "draw") {
      if (shape === "tap") tell("Hold the button or the finger down and draw around the nucleus.");
      else this.add([{ kind: "draw", polygon_px: points, class_name: this.kind }], this.kind ? `Drawn as ${this.kind}.` : "Drawn.");
    } else if (this.tool === "region") {
      if (shape === "tap") tell("Drag over a region in which all nuclei are correct.");
      else this.add([{ kind: "confirm", polygon_px: points }], `Region confirmed, including your corrections.${this.unsureIn(points)}`);
    } else if (shape !== "tap") {
      const [[left, top], , [right, bottom]] = points;
      const found = this.pane.overlay.inBox({ left, top, right, bottom });
      if (found === "far") tell("Zoom in to select nuclei: at this zoom they are drawn as densities.");
      else if (found.length > MOST_CHOSEN) tell(`${number(found.length)} nuclei are too many at once: select ${number(MOST_CHOSEN)} at most.`);
      else { this.page.unpick(); this.choose(found); if (!found.length) tell("No nucleus has its centre in this rectangle."); }
    }
  }

  // Nuclei without a class in a region, of which no class is learned.
  unsureIn(ring) {
    const { classes } = this.journal.state, [xs, ys] = [0, 1].map((axis) => ring.map((point) => point[axis]));
    const found = this.pane.overlay.inBox({ left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) });
    const n = found === "far" ? 0 : found.filter((one) => classes[one.kind - 1] === UNSURE && isWithin(ring, one)).length;
    return n ? ` ${number(n)} ${n > 1 ? "nuclei in it are" : "nucleus in it is"} unsure and will not be used to train classes.` : "";
  }

  // Classes that can be given: to be unsure is none.
  get answers() { return (this.journal?.state?.classes || []).filter((name) => name !== UNSURE); }

  add(said, word) {
    const { journal } = this;
    if (!journal?.state) return;
    if (journal.state.read_only) { tell(journal.state.read_only, { stays: true }); return; }
    journal.add(said);
    if (word) tell(`${word} ${navigator.platform.startsWith("Mac") ? "⌘" : "Ctrl+"}Z undoes it.`);
  }

  // Say something of the chosen nuclei.
  say(kind, class_name = "") {
    if (!this.chosen.length) {
      tell(this.tool === "choose" ? "Click a nucleus first." : "Select nuclei first (V).");
      return;
    }
    const n = this.chosen.length, many = n > 1 ? `${number(n)} nuclei: ` : "";
    const said = this.chosen.map(({ row, drawn, was, band, x, y }) =>
      drawn ? { kind, drawn, ...(class_name && { class_name }) } : { kind, row, ...(class_name && { class_name }), fact: { was, band, x, y } });
    const words = { delete: "not a nucleus.", confirm: "correct.", reclassify: `now ${class_name}.` }, text = `${many}${words[kind]}`;
    this.add(said, text[0].toUpperCase() + text.slice(1));
    this.page.unpick();
    this.choose([]);
  }

  classKey(at) {
    const name = this.answers[at];
    if (!name) return;
    if (this.tool === "draw") { this.kind = name; this.panel.show(); } else this.say("reclassify", name);
  }

  undo(again = false) {
    const n = again ? this.journal?.redo() : this.journal?.undo();
    tell(n ? `${again ? "Redone" : "Undone"}${n > 1 ? `: ${number(n)} corrections` : ""}.` : `There is nothing to ${again ? "redo" : "undo"}.`);
  }

  key(event) {
    if (!this.on || document.getElementById("help").open) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, { target } = event;
    if (target.matches?.("input[type=search], input[type=color], textarea, select")) return;
    if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
      event.preventDefault();
      this.undo(key === "y" || event.shiftKey);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const run = this.review.isOpen ? this.review.keyOf(key, target) : this.keyOf(key, target);
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  }

  keyOf(key, target) {
    if (/^[1-9]$/.test(key)) return () => this.classKey(Number(key) - 1);
    if (key === "Enter" && target.closest?.("button, a, input")) return null;
    if (key === "Escape" && this.pane.ink.shape) return () => this.pane.ink.clear();
    if (key === "Escape") return this.chosen.length ? () => { this.page.unpick(); this.choose([]); } : this.tool !== "choose" ? () => this.use("choose") : () => this.toggle(false);
    return {
      Delete: () => this.say("delete"), Backspace: () => this.say("delete"), x: () => this.say("delete"), y: () => this.say("confirm"),
      u: () => this.undo(), v: () => this.use("choose"), w: () => this.use("draw"), a: () => this.use("several"),
      r: () => { if (this.tool === "region") this.shape = this.shape === "box" ? "free" : "box"; this.use("region"); },
      g: () => this.review.open(), Enter: () => this.middle(),
    }[key];
  }

  // The nucleus in the middle of the view; when drawing, a round one is put there.
  middle() {
    const { x, y } = this.pane.place(), mpp = this.pane.overlay.results.mpp || 0.5, r = ROUND_UM / 2 / mpp;
    if (this.tool === "draw") {
      const ring = Array.from({ length: 24 }, (_, k) => [x + r * Math.cos((k * Math.PI) / 12), y + r * Math.sin((k * Math.PI) / 12)]);
      this.drawn("free", ring);
      return;
    }
    const found = this.pane.overlay.inBox({ left: x - 4 * r, right: x + 4 * r, top: y - 4 * r, bottom: y + 4 * r });
    if (found === "far") { tell("Zoom in to select a single nucleus: at this zoom they are drawn as densities."); return; }
    const away = (one) => Math.hypot(one.x - x, one.y - y);
    this.choose(found.sort((a, b) => away(a) - away(b)).slice(0, 1));
    if (!found.length) tell("There is no nucleus near the middle; move with the arrow keys.");
  }

  go({ x, y }) {
    const { pane } = this, mpp = pane.overlay.results.mpp || 0.5;
    pane.go({ x, y, zoom: Math.max(pane.place().zoom, 4 * mpp) });
  }

  async export() {
    const rows = this.chosen.filter(({ drawn }) => !drawn).map(({ row }) => row), drawn = this.chosen.map((one) => one.drawn).filter(Boolean);
    try {
      const found = await api.geojson(this.pane.overlay.results.id, { rows, drawn });
      const blob = new Blob([JSON.stringify(found)], { type: "application/geo+json" });
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${this.page.name()}-selection.geojson` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } catch (error) { tell(error.message, { stays: true }); }
  }

  // What a nucleus is by corrections, for its card.
  dress(pane, found) {
    const { patch } = pane.overlay, one = found.drawn ? patch?.drawn.get(found.drawn) : patch?.rows.get(found.row);
    if (!one) return found;
    const said = `${{ confirm: "correct", delete: "not a nucleus", reclassify: one.class_name, draw: "drawn" }[found.drawn ? "draw" : one.says] || ""} by ${one.author}`;
    const known = found.drawn ? { class: one.class_name || "nucleus", x_px: one.x, y_px: one.y } : null;
    return { ...found, said, known, corrected: one.class_name };
  }

  // Over the marks: what was corrected, in shapes, not in colours; what is chosen; what is being drawn.
  paint(pane, context, view) {
    const patch = pane.overlay.patch;
    if (!patch) return;
    const mine = pane === this.pane, isNear = pane.overlay.squares.level(view.scale).what === "outlines";
    const { hidden } = this.page.state;
    if (this.on || !(hidden.has("edits") || hidden.has("marks"))) {
      for (const { polygon_px } of patch.regions.values()) {
        trace(context, view, polygon_px);
        if (this.on) { context.fillStyle = "#ffffff24"; context.fill(); }
        stroke(context, [8, 5], "#ffffff", 1.6);
      }
      if (isNear) this.paintSigns(context, view, patch);
    }
    if (!this.on) return;
    if (!mine) return;
    for (const { rings, kind } of this.chosen) for (const ring of rings) {
      trace(context, view, ring);
      stroke(context, [], "#ffffff", 4.5);
      Object.assign(context, { strokeStyle: kind === GONE ? "#111" : this.colourOf(kind), lineWidth: 1.8 });
      context.stroke();
    }
    pane.ink.draw(context, view);
  }

  paintSigns(context, view, patch) {
    const at = ({ x, y }) => [(x - view.left) * view.scale, (y - view.top) * view.scale];
    const isIn = ([x, y]) => x > -20 && y > -20 && x < view.width + 20 && y < view.height + 20;
    const contested = new Set(this.on ? this.journal.state.conflicts.map(({ row, drawn }) => drawn || row) : []);
    for (const one of [...patch.rows.values(), ...patch.drawn.values()]) {
      const [x, y] = at(one);
      const isHidden = !this.on && (one.shown === GONE || this.page.state.off.has(one.shown) || one.band < this.page.state.least);
      if (!isIn([x, y]) || one.says === "covered" || isHidden) continue;
      context.beginPath();
      if (one.shown === GONE) for (const [dx, dy] of [[1, 1], [1, -1]]) { context.moveTo(x - 4 * dx, y - 4 * dy); context.lineTo(x + 4 * dx, y + 4 * dy); }
      else context.arc(x, y, 3, 0, 7);
      stroke(context, [], "#ffffff", 1.8);
      if (contested.has(one.row ?? one.edit)) sign(context, x + 9, y - 9, "!");
    }
  }

  colourOf(kind) {
    return colourOf(this.pane.overlay.results, this.page.state, kind);
  }
}

// Whether a point lies in a ring.
function isWithin(ring, { x, y }) {
  let is = false;
  ring.forEach(([ax, ay], k) => {
    const [bx, by] = ring.at(k - 1);
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) is = !is;
  });
  return is;
}

function sign(context, x, y, text) {
  context.beginPath();
  context.arc(x, y, 8, 0, 7);
  Object.assign(context, { fillStyle: "#fff", font: "bold 13px sans-serif", textAlign: "center", textBaseline: "middle" });
  context.fill();
  stroke(context, [], "#fff", 0.5);
  context.fillStyle = "#111";
  context.fillText(text, x, y + 1);
}
