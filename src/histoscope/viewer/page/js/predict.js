// Nuclei on demand: of a rectangle that is drawn on the slide, or of an image that is dropped on the page.
import * as api from "./api.js";
import { tell } from "./chrome.js";
import { element } from "./dom.js";
import { hex, number } from "./legend.js";
import { Overlay } from "./overlay.js";
import { PLAIN } from "./paint.js";

const $ = (id) => document.getElementById(id);
const OSD = window.OpenSeadragon;
const MOST = 5; // previews that are kept in sight
const LEAST_PX = 8; // of a rectangle on the screen; smaller ones are clicks
const EVENTS = ["update-viewport", "open", "resize", "animation"];

const colour = (results, kind) => (results.classes.length ? hex(results.colours[kind] || results.colours[0]) : PLAIN);

export class Predictions {
  // pane() and item() say what is shown, reload(id) looks at the folder anew and opens one, tap(point) is a click.
  constructor(state, { pane, item, reload, tap }) {
    Object.assign(this, { state, pane, item, reload, tap, previews: [], drawing: false, known: null, mpps: new Map() });
    $("predict-all").addEventListener("click", () => this.ask(null));
    $("predict-model").addEventListener("change", () => this.warm());
    $("predict-done").addEventListener("click", () => this.toggle(false));
    this.drops();
  }

  async toggle(is = !this.drawing) {
    if (is && !(await this.ready())) return;
    this.drawing = is;
    document.body.classList.toggle("predicting", is);
    $("predict-button").setAttribute("aria-pressed", String(is));
    $("predict-box").hidden = !is && !this.previews.length;
    $("predict-tools").hidden = !is;
    const pane = this.pane();
    pane.viewer.setMouseNavEnabled(!is);
    if (is) {
      this.listen(pane);
      document.body.classList.remove("panel-shut");
      $("panel").scrollTo(0, 0);
      this.warm();
    }
  }

  // The models there are; says what is missing.
  async ready() {
    if (!this.pane()?.slide?.stamp) { tell("Open a slide or an image first."); return false; }
    if (!this.known) {
      try { this.known = await api.json("api/models"); } catch (error) { tell(error.message, { stays: true }); return false; }
      const select = $("predict-model");
      for (const { name, about, licence } of this.known.models) select.append(Object.assign(new Option(name, name), { title: `${about} ${licence}` }));
      select.value = this.known.default;
    }
    if (this.known.problem) { tell(this.known.problem, { stays: true }); this.known = null; return false; }
    return true;
  }

  // Let the server load the model while the rectangle is drawn.
  warm() {
    const model = $("predict-model").value, { id } = this.pane().slide;
    if (this.warmed === model) return;
    this.warmed = model;
    const { about = "", licence = "" } = this.known.models.find(({ name }) => name === model) || {};
    $("predict-about").textContent = `${about}${licence ? ` Licence: ${licence}.` : ""}`;
    const asked = new URLSearchParams({ slide: id, width: 32, height: 32, mpp: 0.5, model, answer: "results" });
    fetch(`predict?${asked}`, { method: "POST" }).catch(() => {});
  }

  listen(pane) {
    if (this.listening) return;
    this.listening = true;
    const { element: box } = pane;
    let from = null, drawn = null;
    const at = (event) => { const { left, top } = box.getBoundingClientRect(); return { x: event.clientX - left, y: event.clientY - top }; };
    const place = (event) => {
      const to = at(event);
      return { left: Math.min(from.x, to.x), top: Math.min(from.y, to.y), width: Math.abs(from.x - to.x), height: Math.abs(from.y - to.y) };
    };
    box.addEventListener("pointerdown", (event) => {
      if (!this.drawing || event.button) return;
      from = at(event);
      drawn = element("div", { className: "rectangle" });
      box.append(drawn);
      box.setPointerCapture(event.pointerId);
      event.stopPropagation();
    }, true);
    box.addEventListener("pointermove", (event) => {
      if (from) for (const [side, value] of Object.entries(place(event))) drawn.style[side] = `${value}px`;
    });
    const end = (event) => {
      if (!from) return;
      const { left, top, width, height } = place(event), is = event.type === "pointerup" && Math.min(width, height) >= LEAST_PX;
      drawn.remove();
      from = drawn = null;
      if (!is) { if (event.type === "pointerup") this.tap(new OSD.Point(left, top)); return; }
      const corner = pane.at(new OSD.Point(left, top)), far = pane.at(new OSD.Point(left + width, top + height));
      this.ask({ x: corner.x, y: corner.y, width: far.x - corner.x, height: far.y - corner.y });
    };
    box.addEventListener("pointerup", end);
    box.addEventListener("pointercancel", end);
  }

  // Pixel size of a slide that does not say it.
  mpp(slide) {
    if (slide.mpp) return slide.mpp;
    if (!this.mpps.has(slide.id)) {
      const said = window.prompt("Pixel size in µm? It is about 0.25 for a 40x scan and 0.5 for 20x.", "0.25");
      const value = Number((said || "").replace(",", "."));
      if (!(value > 0 && value < 100)) return null;
      this.mpps.set(slide.id, value);
    }
    return this.mpps.get(slide.id);
  }

  // Ask for the nuclei of a rectangle, or of the whole image.
  async ask(rectangle) {
    const pane = this.pane(), { slide } = pane, [across, down] = slide.size_px;
    const mpp = this.mpp(slide);
    if (!mpp) { tell("The model needs the pixel size to know how large nuclei are."); return; }
    const low = (value) => Math.max(Math.round(value), 0);
    const part = rectangle ? { x: low(rectangle.x), y: low(rectangle.y) } : { x: 0, y: 0 };
    const width = rectangle ? Math.min(Math.round(rectangle.x + rectangle.width), across) - part.x : across;
    const height = rectangle ? Math.min(Math.round(rectangle.y + rectangle.height), down) - part.y : down;
    if (width < 1 || height < 1) { tell("This rectangle lies outside the slide."); return; }
    const model = $("predict-model").value || this.known?.default;
    const preview = { slide: slide.id, part: { ...part, width, height }, control: new AbortController(), model };
    this.previews.push(preview);
    while (this.previews.length > MOST) this.remove(this.previews[0]);
    this.frame(preview);
    this.list();
    try {
      const asked = new URLSearchParams({ slide: slide.id, ...preview.part, model, mpp, answer: "results" });
      preview.found = await api.json(`predict?${asked}`, { method: "POST", signal: preview.control.signal });
      preview.results = { id: preview.found.id, ...(await api.results(preview.found.id)) };
    } catch (error) {
      this.remove(preview);
      if (error.name !== "AbortError") tell(error.message, { stays: true });
      return;
    }
    preview.box?.classList.add("done");
    if (preview.found.note) tell(`Careful: ${preview.found.note}.`, { stays: true });
    this.paint(preview);
    this.list();
  }

  frame(preview) {
    const { viewer, slide } = this.pane(), [size] = slide.size_px, { x, y, width, height } = preview.part;
    preview.box = element("div", { className: "preview-box" });
    viewer.addOverlay({ element: preview.box, location: new OSD.Rect(x / size, y / size, width / size, height / size) });
  }

  paint(preview) {
    const pane = this.pane();
    if (pane.slide.id !== preview.slide || !preview.results) return;
    const look = { off: new Set(), least: 0, opacity: 1, style: "outline", by: "class", colours: {}, hidden: this.state.hidden };
    const { results } = preview;
    preview.overlay = new Overlay(pane, look, (kind) => colour(results, kind));
    preview.overlay.canvas.classList.add("preview");
    preview.overlay.show({ ...results, size_px: pane.slide.size_px, mpp: preview.found.mpp });
    preview.later = () => preview.overlay.later();
    for (const event of EVENTS) pane.viewer.addHandler(event, preview.later);
    document.body.dataset.previews = String(this.previews.filter((one) => one.overlay).length);
  }

  unpaint(preview) {
    const { viewer } = this.pane();
    if (preview.box) viewer.removeOverlay(preview.box);
    if (!preview.overlay) return;
    for (const event of EVENTS) viewer.removeHandler(event, preview.later);
    preview.overlay.remove();
    preview.overlay = null;
  }

  remove(preview) {
    preview.control.abort();
    this.unpaint(preview);
    this.previews = this.previews.filter((one) => one !== preview);
    this.list();
  }

  // Another slide is shown: its own previews come back.
  moved() {
    for (const preview of this.previews) {
      this.unpaint(preview);
      if (preview.slide !== this.pane().slide?.id) continue;
      this.frame(preview);
      if (preview.results) { preview.box.classList.add("done"); this.paint(preview); }
    }
    this.list();
  }

  restyle() {
    for (const { overlay } of this.previews) overlay?.restyle();
  }

  hit(pane, x, y) {
    if (pane !== this.pane()) return null;
    for (const preview of this.previews) {
      const found = preview.overlay?.hit(x, y);
      if (found && found !== "far") return { results: preview.overlay.results, overlay: preview.overlay, found, colour: colour(preview.results, found.kind) };
    }
    return null;
  }

  list() {
    const here = this.previews.filter((one) => one.slide === this.pane().slide?.id);
    $("predict-box").hidden = !this.drawing && !here.length;
    const { overlay } = this.pane();
    overlay.without = here.filter((one) => one.results).map(({ part }) => part);
    overlay.later();
    $("previews").replaceChildren(...here.map((preview) => {
      const { found, results, part, model } = preview, shut = element("button", { type: "button", className: "icon", title: "Remove", textContent: "×" });
      shut.addEventListener("click", () => this.remove(preview));
      const um = this.pane().slide.mpp, sides = [part.width, part.height];
      const size = um ? `${sides.map((side) => number(Math.round(side * um))).join(" × ")} µm` : `${sides.map(number).join(" × ")} px`;
      const row = element("li", {}, element("p", {}, element("strong", { textContent: found ? `${number(found.n)} nuclei` : "Finding nuclei …" }), shut), element("small", { textContent: found ? `${size}, by ${model}, ${found.seconds.toFixed(1)} s` : `${size}, by ${model}` }));
      if (results && results.classes.length) row.append(element("p", { className: "kinds" }, ...Object.entries(found.counts).map(([name, n]) => {
        const dot = element("i");
        dot.style.background = colour(results, results.classes.indexOf(name) + 1);
        return element("span", {}, dot, `${name} ${number(n)}`);
      })));
      return row;
    }));
    if (!here.some((one) => one.results)) return;
    const command = element("code", { textContent: `histoscope predict ${here.at(-1).model} ${this.item().name} out/` });
    $("previews").append(element("li", {}, element("small", {}, "A preview: it is not saved and cannot be corrected. For results to keep: ", command)));
  }

  // An image that is dropped on the page is kept by the server while it runs, shown, and predicted.
  drops() {
    let depth = 0;
    const over = (by) => { depth = by ? Math.max(depth + by, 0) : 0; $("drop").hidden = !depth; };
    const has = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    addEventListener("dragenter", (event) => has(event) && over(1));
    addEventListener("dragleave", (event) => has(event) && over(-1));
    addEventListener("dragover", (event) => { if (has(event)) event.preventDefault(); });
    addEventListener("drop", (event) => {
      if (!has(event)) return;
      event.preventDefault();
      over(0);
      this.take(event.dataTransfer.files[0]);
    });
  }

  async take(file) {
    if (!file) return;
    tell(`Opening ${file.name} …`, { stays: true });
    let kept;
    try {
      kept = await api.json(`api/images?${new URLSearchParams({ name: file.name })}`, { method: "POST", body: file });
      await this.reload(kept.id);
    } catch (error) { tell(error.message, { stays: true }); return; }
    tell("");
    await this.toggle(true);
    if (this.drawing) await this.ask(null);
  }
}
