// The legend: classes with switches, colours and the numbers in view; how they are drawn.
import { RAMP_CSS } from "./heat.js";
import { opacityOf, setOpacity, setStyle, styleOf } from "./state.js";

const NUMBER = new Intl.NumberFormat("en");
const $ = (id) => document.getElementById(id);
const SLATE = "#668888";

export const number = (n) => NUMBER.format(n);
export const hex = (colour) => `#${colour.map((v) => v.toString(16).padStart(2, "0")).join("")}`;

export function colourOf(results, state, kind) {
  return state.colours[kind] || (results?.colours[kind] ? hex(results.colours[kind]) : SLATE);
}

// Kinds that the legend has: class 0 only where something is of it.
export function kindsOf(results) {
  const named = results.classes.map((name, k) => ({ kind: k + 1, name }));
  const rest = results.counts[0]?.some(Boolean) || !named.length;
  return [...(rest ? [{ kind: 0, name: named.length ? "no class" : results.kind === "tiles" ? "tile" : "nucleus" }] : []), ...named];
}

export class Legend {
  constructor(state, changed) {
    Object.assign(this, { state, changed, results: null });
    for (const [id, write] of [["least", (v) => { state.least = v; }], ["opacity", (v) => setOpacity(this.results, v / 100)]])
      $(id).addEventListener("input", () => { write(Number($(id).value)); this.words(); changed(); });
    this.choice("style", [["heat", "Heat map"], ["outline", "Outline"], ["fill", "Fill"]], () => styleOf(this.results), (v) => setStyle(this.results, v));
    $("heat").addEventListener("change", () => { state.heat = Number($("heat").value); changed(); });
    $("ramp").style.background = RAMP_CSS;
    this.choice("by", [["class", "Class"], ["probability", "Probability"]], () => state.by, (v) => { state.by = v; this.rows(); });
    this.layers();
  }

  choice(id, options, read, write) {
    for (const [value, word] of options) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: word });
      button.setAttribute("role", "radio");
      button.addEventListener("click", () => { write(value); this.words(); this.changed(); });
      button.dataset.value = value;
      $(id).append(button);
    }
    (this.choices ||= []).push({ id, read });
  }

  layers() {
    for (const [value, word] of [["picture", "Slide"], ["marks", "Nuclei"], ["tissue", "Tissue"], ["edits", "Corrected"]]) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: word });
      button.dataset.value = value;
      button.addEventListener("click", () => this.toggle(value));
      $("layers").append(button);
    }
  }

  toggle(layer) {
    const { hidden } = this.state;
    if (!hidden.delete(layer)) hidden.add(layer);
    this.words();
    this.changed();
  }

  show(results, hasTissue) {
    this.results = results;
    $("legend-box").hidden = !results;
    const [, marks, tissue] = $("layers").children;
    tissue.hidden = !hasTissue;
    if (!results) return;
    const sure = results.kind === "outcomes" ? "IoU" : "Probability";
    $("by").firstChild.textContent = results.kind === "outcomes" ? "Outcome" : "Class";
    this.edited(0);
    $("least-word").textContent = `Minimum ${sure === "IoU" ? sure : sure.toLowerCase()}`;
    $("by").lastChild.textContent = sure;
    marks.textContent = results.kind === "tiles" ? "Tiles" : "Nuclei";
    const hasHeat = results.kind === "tiles" && results.classes.length > 0, { state } = this;
    $("style").firstChild.hidden = !hasHeat;
    if (!hasHeat && styleOf(results) === "heat") setStyle(results, "outline");
    $("heat").replaceChildren(...results.classes.map((name, k) => new Option(name, k + 1)));
    if (state.heat > results.classes.length) state.heat = 1;
    $("heat").value = state.heat;
    this.rows();
    this.words();
  }

  // Corrections can be marked where there are some.
  edited(n) {
    $("layers").lastChild.hidden = !n;
    $("layers").lastChild.title = `Mark what was corrected or confirmed: ${number(n)}`;
  }

  rows() {
    const { state, results } = this, list = $("legend");
    list.replaceChildren();
    if (!results) return;
    for (const { kind, name } of kindsOf(results)) {
      const row = document.createElement("li");
      row.dataset.kind = kind;
      row.innerHTML = '<input type="color"><button type="button" role="switch"><span class="name"></span><span class="share"></span><span class="count">–</span></button>';
      const [colour, button] = row.children;
      colour.value = colourOf(results, state, kind);
      colour.title = `Colour of ${name}`;
      colour.setAttribute("aria-label", colour.title);
      colour.disabled = state.by === "probability";
      colour.addEventListener("input", () => { state.colours[kind] = colour.value; this.changed(); });
      button.querySelector(".name").textContent = name;
      button.title = `Show or hide ${name}${kind ? ` (${kind})` : ""}; double click: only ${name}`;
      button.addEventListener("click", () => this.flip(kind));
      button.addEventListener("dblclick", () => this.only(kind));
      list.append(row);
    }
    this.switches();
  }

  // What is shown, for a picture: {name, colour} of each class.
  key() {
    const { state, results } = this;
    if (!results || state.hidden.has("marks") || state.by === "probability" || !$("heat-box").hidden) return [];
    return kindsOf(results).filter(({ kind }) => !state.off.has(kind)).map(({ kind, name }) => ({ name, colour: colourOf(results, state, kind) }));
  }

  flip(kind) {
    const { off } = this.state;
    if (!off.delete(kind)) off.add(kind);
    this.switches();
    this.changed();
  }

  // This class alone, or all again.
  only(kind) {
    const { off } = this.state, others = kindsOf(this.results).map((one) => one.kind).filter((one) => one !== kind);
    const isAlone = !off.has(kind) && others.every((one) => off.has(one));
    off.clear();
    if (!isAlone) for (const one of others) off.add(one);
    this.switches();
    this.changed();
  }

  switches() {
    for (const row of $("legend").children) {
      const is = !this.state.off.has(Number(row.dataset.kind));
      row.classList.toggle("off", !is);
      row.querySelector("button").setAttribute("aria-checked", String(is));
    }
  }

  words() {
    const { state } = this;
    $("heat-box").hidden = this.results?.kind !== "tiles" || styleOf(this.results) !== "heat";
    $("least").value = state.least;
    $("least-value").textContent = (state.least / 20).toFixed(2);
    const percent = Math.round(opacityOf(this.results) * 100);
    $("opacity").value = percent;
    $("opacity-value").textContent = `${percent} %`;
    $("by").parentElement.hidden = !$("heat-box").hidden;
    $("colours").hidden = state.by !== "probability";
    for (const { id, read } of this.choices)
      for (const button of $(id).children) button.setAttribute("aria-checked", String(button.dataset.value === read()));
    for (const button of $("layers").children) button.setAttribute("aria-pressed", String(!state.hidden.has(button.dataset.value)));
  }

  counts(found) {
    if (!found || !this.results) return;
    const { state, results } = this;
    const seen = found.totals.reduce((sum, n, kind) => sum + (state.off.has(kind) ? 0 : n), 0);
    const more = found.whole ? "" : "…";
    const all = found.totals.reduce((sum, n) => sum + n, 0), [one, many] = results.kind === "tiles" ? ["tile", "tiles"] : ["nucleus", "nuclei"];
    $("in-view").textContent = `${number(all)}${more} ${all === 1 ? one : many} in view${seen < all ? `, ${number(seen)} shown` : ""}`;
    $("in-view").dataset.n = seen;
    $("in-view-of").textContent = `of ${number(results.n)}`;
    for (const row of $("legend").children) {
      const n = found.totals[Number(row.dataset.kind)] || 0;
      row.querySelector(".count").textContent = number(n) + more;
      row.querySelector(".share").textContent = all && results.classes.length && results.kind !== "outcomes" ? `${Math.round((100 * n) / all)} %` : "";
    }
  }
}
