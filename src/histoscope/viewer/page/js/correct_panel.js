// The panel while nuclei are corrected: what one can do next, the classes, the last corrections.
import { element } from "./dom.js";
import { grouped } from "./journal.js";
import { number } from "./legend.js";

const TOOLS = [["choose", "Select", "V"], ["several", "Select several", "A"], ["draw", "Draw", "W"], ["region", "Confirm region", "R"]];
const CLICK_MS = 80; // from the end of a press to its click, at most
const SAID = { delete: "not a nucleus", confirm: "correct", draw: "drawn", reclassify: "" };

export const button = (text, run, more = {}) => {
  const made = element("button", { type: "button", textContent: text, ...more });
  made.addEventListener("click", run);
  return made;
};

// The classes with their numbers, as buttons.
export function classButtons(correct, run, pressed = null) {
  return correct.answers.map((name, k) => {
    const dot = element("i"), made = button("", () => run(k));
    dot.style.background = correct.colourOf(correct.journal.state.classes.indexOf(name) + 1);
    made.append(...(k < 9 ? [element("kbd", { textContent: String(k + 1) })] : []), dot, name);
    if (pressed !== null) made.setAttribute("aria-pressed", String(pressed === name));
    return made;
  });
}

export const isTouch = () => matchMedia("(pointer: coarse)").matches;
const withKey = (made, key) => { made.append(" ", element("kbd", { textContent: key })); return made; };

export class CorrectPanel {
  constructor(correct) {
    this.correct = correct;
    this.box = element("section", { id: "correct", hidden: true, ariaLabel: "Correct nuclei" });
    document.getElementById("sources").after(this.box);
    this.box.addEventListener("pointerdown", (event) => { this.isHeld = event.button === 0; });
    this.box.addEventListener("click", () => setTimeout(() => this.release()));
    for (const end of ["pointerup", "pointercancel", "contextmenu", "blur"]) window.addEventListener(end, () => setTimeout(() => this.release(), CLICK_MS));
  }

  // A button that is pressed stays until it is let go: a click on one that was made anew is lost.
  release() {
    const waits = this.isHeld && this.waits;
    this.isHeld = this.waits = false;
    if (waits) this.show();
  }

  show() {
    if (this.isHeld) { this.waits = true; return; }
    const { correct, box } = this, { journal } = correct;
    box.hidden = !correct.on || !journal?.state;
    if (box.hidden) return;
    const held = document.activeElement?.dataset?.held; // where the keyboard is
    box.replaceChildren(this.head(), this.words(), this.tools(), ...this.answers(), ...this.trouble(), ...this.conflicts(), ...this.last());
    box.querySelector(`[data-held="${held}"]`)?.focus({ preventScroll: true });
  }

  head() {
    const { journal } = this.correct, ask = () => {
      const name = prompt("Your name? It is saved with each correction.", journal.author);
      if (name !== null) journal.author = name.trim().slice(0, 100);
    };
    const who = button(`as ${journal.author}`, ask, { className: "quiet who", title: "Change the name saved with your corrections" });
    who.dataset.held = "who";
    const done = withKey(button("Done", () => this.correct.toggle(false), { className: "quiet" }), "E");
    done.dataset.held = "done";
    return element("h2", {}, "Correct nuclei ", who, done);
  }

  // What one can do next.
  words() {
    const { tool, chosen, shape, journal } = this.correct, isOne = chosen.length === 1, classes = journal.state.classes.length ? "Choose the class, or: " : "";
    const text = chosen.length ? `${number(chosen.length)} ${isOne ? "nucleus is" : "nuclei are"} selected. ${classes}${classes ? "correct" : "Correct"} as shown, or not ${isOne ? "a nucleus" : "nuclei"}?` : {
      choose: `Click a nucleus that is wrong; ${isTouch() ? "Select several" : "drag with Shift"} for more than one.`,
      several: "Drag a rectangle over the nuclei to select.",
      draw: "Draw around a nucleus that was missed; the outline closes itself.",
      region: `Drag ${shape === "box" ? "a rectangle over" : "around"} a region in which all nuclei are correct: training uses it as shown.`,
    }[tool];
    return element("p", { className: "next", textContent: text, ariaLive: "polite" });
  }

  tools() {
    const { correct } = this;
    const made = TOOLS.map(([tool, word, key]) => {
      const one = button(word, () => correct.use(tool), { title: `${word} (${key})` });
      one.setAttribute("aria-pressed", String(correct.tool === tool));
      one.dataset.held = one.dataset.tool = tool;
      return one;
    });
    const grid = button("Review uncertain nuclei", () => correct.review.open(), { title: "The least certain nuclei, one after another (G)", id: "review-button" });
    grid.dataset.held = "grid";
    const undo = button("Undo", () => correct.undo(), { title: "Undo the last correction (U, Ctrl+Z)", disabled: !correct.journal.canUndo });
    undo.dataset.held = "undo";
    return element("div", { className: "tools", role: "toolbar", ariaLabel: "Tools" }, ...made, grid, undo);
  }

  answers() {
    const { correct } = this, { tool, chosen, kind, shape } = correct, found = [];
    if (tool === "region") {
      const choices = [["box", "Rectangle"], ["free", "Free-hand"]].map(([value, word]) => {
        const one = button(word, () => { correct.shape = value; correct.use("region"); });
        one.setAttribute("aria-pressed", String(shape === value));
        return one;
      });
      found.push(element("div", { className: "choice", role: "group", ariaLabel: "Shape" }, ...choices));
    }
    if (tool === "draw" || chosen.length)
      found.push(element("div", { className: "classes", role: "group", ariaLabel: tool === "draw" ? "Class of the drawn nucleus" : "Class" }, ...classButtons(correct, (k) => correct.classKey(k), tool === "draw" ? kind : null)));
    const row = element("div", { className: "answers" });
    if (chosen.length) row.append(withKey(button("Correct as shown", () => correct.say("confirm")), "Y"), withKey(button("Not a nucleus", () => correct.say("delete")), "Del"), button("Export GeoJSON", () => correct.export(), { title: "Save the selected nuclei with their corrections for QuPath" }));
    return row.children.length ? [...found, row] : found;
  }

  trouble() {
    const { state, trouble, pending } = this.correct.journal, found = [];
    const waits = pending.length;
    if (state.read_only) found.push(state.read_only);
    else if (waits && trouble) found.push(`${number(waits)} correction${waits > 1 ? "s are" : " is"} kept in this browser and will be sent later: ${trouble}`);
    else if (trouble) found.push(trouble);
    if (state.n_elsewhere) found.push(`${number(state.n_elsewhere)} corrections saved beside these results belong to other results and are not shown.`);
    return [...found, ...state.notes].map((textContent) => element("p", { className: "warning", textContent }));
  }

  conflicts() {
    const { conflicts } = this.correct.journal.state;
    if (!conflicts.length) return [];
    const rows = conflicts.map((one) => {
      const said = one.said.map(({ author, kind, class_name }) => `${author}: ${SAID[kind] && !class_name ? SAID[kind] : class_name}`).join("; ");
      return element("li", {}, element("span", { textContent: `${said} (counts)` }), button("Show", () => this.correct.go(one)));
    });
    return [element("h3", { textContent: `People differ about ${number(conflicts.length)} ${conflicts.length > 1 ? "nuclei" : "nucleus"}` }), element("ul", { id: "conflicts" }, ...rows)];
  }

  last() {
    const { correct } = this, { journal } = correct, { pending, state } = journal;
    const waiting = pending.filter(({ edit }) => edit.kind !== "undo").map(({ edit, fact }) => ({ ...edit, edit: edit.id, author: journal.author, time: "", is_region: edit.kind === "confirm" && edit.row === undefined && !edit.drawn, ...fact })).reverse();
    const undone = new Set(pending.map(({ edit }) => edit.undoes));
    const groups = grouped([...waiting, ...state.last].filter(({ edit }) => !undone.has(edit)));
    if (!groups.length) return [];
    const rows = groups.map((group) => {
      const [first] = group, word = first.is_region ? "region confirmed" : first.kind === "draw" ? `drawn${first.class_name ? `: ${first.class_name}` : ""}` : first.kind === "confirm" && first.class_name ? `correct: ${first.class_name}` : SAID[first.kind] || first.class_name;
      const was = first.kind === "reclassify" && group.length === 1 && state.classes[([...journal.patch.rows.values()].find(({ edit }) => edit === first.edit)?.was || 0) - 1];
      const who = `${was && was !== first.class_name ? `${was} → ` : ""}${group.length > 1 ? `${number(group.length)} nuclei: ` : ""}${word}`;
      const note = element("small", { textContent: `${first.author}, ${first.time ? ago(first.time) : "not sent yet"}` });
      const show = button(who, () => correct.go(first), { className: "quiet go", title: "Show it on the slide", disabled: first.x === undefined });
      const undo = button("Undo", () => journal.add(group.map(({ edit }) => ({ kind: "undo", undoes: edit })), { remember: "redos" }), { ariaLabel: `Undo: ${who}` });
      return element("li", {}, element("span", {}, show, note), undo);
    });
    return [element("h3", { textContent: "Last corrections" }), element("ol", { id: "last" }, ...rows)];
  }
}

function ago(time) {
  const minutes = Math.round((Date.now() - new Date(time)) / 60000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min ago`;
  return new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
