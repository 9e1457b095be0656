// A grid of the least sure nuclei: each is answered with one key.
import * as api from "./api.js";
import { tell } from "./chrome.js";
import { button, classButtons } from "./correct_panel.js";
import { element } from "./dom.js";
import { number } from "./legend.js";

const AT_ONCE = 48, SVG = "http://www.w3.org/2000/svg";

export class Review {
  constructor(correct) {
    Object.assign(this, { correct, nuclei: [], at: 0, isOpen: false, asked: [] });
    this.box = element("section", { id: "review", hidden: true, ariaLabel: "Uncertain nuclei" });
    document.querySelector("main").append(this.box);
  }

  async open() {
    this.isOpen = true;
    this.cover(true);
    this.correct.page.unpick();
    this.correct.choose([]);
    await this.more();
  }

  async more() {
    const { results } = this.correct.pane.overlay;
    this.box.replaceChildren(element("p", { className: "next", textContent: "Looking for the most uncertain nuclei …" }));
    try {
      const { nuclei, n_looked_at, n } = await api.leastSure(results.id, AT_ONCE);
      Object.assign(this, { nuclei, n_looked_at, n, at: 0, asked: [] });
    } catch (error) { tell(error.message, { stays: true }); this.close(); return; }
    this.build();
  }

  close() {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.cover(false);
    this.correct.panel.show();
    document.getElementById("review-button")?.focus({ preventScroll: true });
  }

  // What lies below is out of reach meanwhile.
  cover(is) {
    this.box.hidden = !is;
    for (const one of this.box.parentElement.children) if (one !== this.box) one.inert = is;
  }

  build() {
    this.cards = this.nuclei.map((one, k) => this.card(one, k));
    this.progress = element("p", { id: "review-progress", ariaLive: "polite" });
    const shut = button("Close", () => this.close(), { title: "Close (Esc)" });
    const head = element("header", {}, element("h2", { textContent: "Uncertain nuclei" }), this.progress, shut);
    const words = element("p", { className: "next", textContent: `What is in the outline? ${this.correct.journal.state.classes.length ? "Choose its class, or: correct" : "Correct"} as shown, or not a nucleus? ${AT_ONCE} at a time are shown from all over the slide: ${this.nuclei.some((one) => one.closest?.length) ? "those whose two most probable classes are closest" : "those of the lowest probability"}.` });
    this.grid = element("div", { className: "grid", role: "listbox", ariaLabel: "Nuclei" }, ...this.cards);
    const side = classButtons(this.correct, (k) => this.answer("reclassify", this.correct.answers[k]));
    const key = (word, name, run, more) => { const made = button(word, run, more); made.append(" ", element("kbd", { textContent: name })); return made; };
    const others = [key("Correct as shown", "Y", () => this.answer("confirm")), key("Not a nucleus", "X", () => this.answer("delete")), key("Undo", "U", () => this.undo()), key("Show on slide", "Enter", () => this.onSlide())];
    this.next = key("Next", "N", () => this.more(), { id: "review-next", className: "strong" });
    this.box.replaceChildren(head, words, this.grid, element("footer", {}, element("div", { className: "classes" }, ...side), element("div", { className: "answers" }, ...others, this.next)));
    this.show();
    this.focus(0);
  }

  card(one, k) {
    const { slide } = this.correct.pane, [left, top, side] = one.crop_px;
    const svg = document.createElementNS(SVG, "svg"), path = () => document.createElementNS(SVG, "path");
    svg.setAttribute("viewBox", `${left} ${top} ${side} ${side}`);
    svg.setAttribute("aria-hidden", "true");
    if (slide.stamp) {
      const image = document.createElementNS(SVG, "image");
      for (const [name, value] of Object.entries({ x: left, y: top, width: side, height: side, href: api.crop(slide, one.crop_px) })) image.setAttribute(name, value);
      svg.append(image);
    }
    const shape = one.rings.map((ring) => `M${ring.map(([x, y]) => `${x} ${y}`).join("L")}Z`).join("");
    for (const name of ["under", "line"]) {
      const drawn = path();
      drawn.setAttribute("d", shape);
      drawn.setAttribute("class", name);
      svg.append(drawn);
    }
    const card = element("button", { type: "button", className: "card" });
    card.setAttribute("role", "option");
    card.append(svg, element("span", { className: "what" }), element("span", { className: "sure" }));
    card.addEventListener("click", () => this.focus(k));
    card.addEventListener("dblclick", () => this.onSlide());
    return card;
  }

  // Classes and answers as they are now.
  show() {
    if (!this.isOpen || !this.cards?.length) { if (this.isOpen && this.nuclei && this.grid && !this.nuclei.length) this.empty(); return; }
    const { patch } = this.correct.journal;
    let answered = 0;
    this.nuclei.forEach((one, k) => {
      const said = patch.rows.get(one.row), card = this.cards[k], kind = said && said.says !== "delete" ? said.shown : one.was;
      const name = kind ? this.correct.journal.state.classes[kind - 1] : this.correct.journal.state.classes.length ? "no class" : "nucleus";
      const words = !said ? name : { delete: "✕ not a nucleus", confirm: name === "unsure" ? "✓ nucleus, no class" : `✓ ${name}`, covered: "✕ redrawn" }[said.says] || `→ ${name}`;
      answered += said ? 1 : 0;
      card.classList.toggle("answered", Boolean(said));
      card.style.setProperty("--kind", kind === one.was && ["delete", "covered"].includes(said?.says) ? "var(--quiet)" : this.correct.colourOf(kind));
      card.querySelector(".what").textContent = words;
      card.querySelector(".sure").textContent = said ? "" : doubt(one);
    });
    const left = this.nuclei.length - answered;
    const sofar = this.n_looked_at ? `; ${number(this.n_looked_at)} answered before` : "";
    this.progress.textContent = left ? `${answered} of ${this.nuclei.length} answered, ${left} left${sofar}` : `All ${this.nuclei.length} are answered; N shows more.`;
    this.progress.dataset.left = left;
    this.progress.title = `${number(this.n_looked_at + answered)} of ${number(this.n)} nuclei of this slide are answered`;
    this.next.classList.toggle("strong", !left);
  }

  empty() {
    this.progress.textContent = "All nuclei of this slide are answered.";
  }

  focus(k) {
    this.at = Math.min(Math.max(k, 0), this.nuclei.length - 1);
    this.cards.forEach((card, n) => {
      card.tabIndex = n === this.at ? 0 : -1;
      card.setAttribute("aria-selected", String(n === this.at));
    });
    this.cards[this.at]?.focus();
  }

  answer(kind, class_name = "") {
    const one = this.nuclei[this.at];
    if (!one) return;
    const { row, was, band, x, y } = one, shown = class_name && was && this.correct.journal.state.classes[was - 1] === class_name;
    const said = shown ? { kind: "confirm" } : { kind, ...(class_name && { class_name }) }; // its own class: it is right
    this.correct.add([{ ...said, row, fact: { was, band, x, y } }]);
    this.asked.push(this.at);
    const rows = this.correct.journal.patch.rows, isOpen = (k) => !rows.has(this.nuclei[k].row);
    const order = [...this.nuclei.keys()].map((k) => (this.at + 1 + k) % this.nuclei.length);
    const next = order.find(isOpen);
    if (next === undefined) this.next.focus();
    else this.focus(next);
  }

  undo() {
    if (!this.asked.length) { tell("There is no answer to undo."); return; }
    this.correct.journal.undo();
    this.focus(this.asked.pop());
  }

  onSlide() {
    const one = this.nuclei[this.at];
    if (!one) return;
    this.close();
    this.correct.use("choose");
    this.correct.go(one);
  }

  keyOf(key, target) {
    if (/^[1-9]$/.test(key)) return () => { const name = this.correct.answers[Number(key) - 1]; if (name) this.answer("reclassify", name); };
    if ((key === "Enter" || key === " ") && target.closest?.("#review") && !target.closest(".card")) return null; // a button
    const across = this.grid ? getComputedStyle(this.grid).gridTemplateColumns.split(" ").length : 1;
    const run = {
      y: () => this.answer("confirm"), x: () => this.answer("delete"), Delete: () => this.answer("delete"), Backspace: () => this.answer("delete"),
      u: () => this.undo(), n: () => this.more(), Enter: () => this.onSlide(), Escape: () => this.close(), g: () => this.close(),
      ArrowLeft: () => this.focus(this.at - 1), ArrowRight: () => this.focus(this.at + 1), ArrowUp: () => this.focus(this.at - across), ArrowDown: () => this.focus(this.at + across),
    }[key];
    return run || (key.length === 1 && key !== "?" && key !== "e" && key !== "d" ? () => {} : null); // the slide is hidden
  }
}

// How uncertain the model is: its first two classes, or the probability that it is a nucleus.
function doubt({ closest, probability }) {
  if (closest?.length) return closest.map(([name, share]) => `${name} ${share.toFixed(2)}`).join(", ");
  return probability === null ? "" : `probability ${probability.toFixed(2)}`;
}
