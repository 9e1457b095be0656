// The page: puts list, panes, legend and address together.
import * as api from "./api.js";
import { keys, scaleBar, switchTheme, tell } from "./chrome.js";
import { Correct, KEYS } from "./correct.js";
import { isTouch } from "./correct_panel.js";
import { colourOf, kindsOf, Legend, number } from "./legend.js";
import { hideNucleus, showNucleus } from "./nucleus.js";
import { PLAIN } from "./paint.js";
import { Pane } from "./pane.js";
import { Predictions } from "./predict.js";
import { savePng } from "./save.js";
import { fillList, markChosen, recount } from "./shelf.js";
import { fromHash, setStyle, state, styleOf, toHash } from "./state.js";
import { Studies } from "./study.js";

const $ = (id) => document.getElementById(id);
const isNarrow = () => matchMedia("(max-width: 760px)").matches;
const known = new Map(); // id of results -> what the server says of them
const panes = [];
let library, item, legend, predictions;
const correct = new Correct({ panes, state, legend: () => legend, unpick: () => unpick(), name: () => item.name, changed: corrected });
const studies = new Studies(state, { open: (id, keeps) => show(id, keeps ? state.place : null), changed: () => isLeaving || history.replaceState(null, "", toHash()), all: () => choose(library.items.find((one) => !one.study)?.id), found: (id, results) => library.items.find((one) => one.id === id).results.push(results) });

function addPane(element, navigator) {
  const pane = new Pane(element, state, (kind) => colourIn(pane, kind), { navigator });
  const { viewer } = pane;
  viewer.addHandler("canvas-click", (event) => { if (event.quick) pick(pane, pane.at(event.position)); });
  viewer.addHandler("update-viewport", () => follow(pane));
  pane.overlay.settled = () => settled(pane);
  panes.push(pane);
  return pane;
}

// Nuclei without a class beside those of classes or outcomes are white: no class has this colour.
function colourIn(pane, kind) {
  const { results } = pane.overlay, isPlain = pane !== panes[0] && !results?.classes.length && panes[0].overlay.results?.classes.length;
  return isPlain ? PLAIN : colourOf(results, state, kind);
}

// The numbers of these results have changed by corrections.
function corrected(results, patch) {
  const source = item.results.find((one) => one.id === results.id);
  if (!source) return;
  source.n = results.n;
  recount(item);
  const n = patch.rows.size + patch.drawn.size;
  legend.edited(n + patch.regions.size);
  for (const option of document.querySelectorAll("#sources option")) if (option.value === results.id) option.textContent = optionOf(source);
  lead(panes[0].slide, results, n);
}

// The other pane shows the same place.
let leading = null;
function follow(pane) {
  const view = pane.view();
  if (view && pane === panes[0]) scaleBar(view, pane.slide.mpp);
  if (view) pane.element.classList.toggle("is-whole", pane.isWhole()); // the overview would show the same again
  const other = state.split && panes.find((one) => one !== pane);
  if (!other || !other.slide || (leading && leading !== pane)) return;
  leading = pane;
  const bounds = pane.viewer.viewport.getBounds(true);
  const there = other.viewer.viewport.getBounds(true);
  if (["x", "y", "width"].some((side) => Math.abs(bounds[side] - there[side]) > 1e-7)) other.viewer.viewport.fitBounds(bounds, true);
  leading = null;
}

function settled(pane) {
  if (pane !== panes[0] || !pane.slide) return;
  legend.counts(pane.overlay.countsInView());
  remember();
  document.body.dataset.settled = String(Number(document.body.dataset.settled || 0) + 1);
}

let isLeaving = false; // the page is loaded anew from an address that must stay as it is

function remember() {
  if (isLeaving || document.body.classList.contains("in-study")) return;
  state.place = panes[0].place();
  history.replaceState(null, "", toHash());
}

function restyled() {
  predictions.restyle();
  for (const pane of panes) {
    pane.picture(!state.hidden.has("picture"));
    pane.overlay.restyle();
  }
}

async function resultsOf(id) {
  if (!id) return null;
  if (!known.has(id)) {
    const found = item.results.find((one) => one.id === id);
    if (found?.n > 200000) tell(`Sorting ${number(found.n)} nuclei by position; this is done once …`, { stays: true });
    const answer = await api.results(id);
    tell("");
    known.set(id, { id, ...answer });
  }
  return known.get(id);
}

async function show(id, place = null) {
  item = library.items.find((one) => one.id === id);
  if (!item) { tell("This slide is no longer here; choose another."); return; }
  state.slide = id;
  state.place = place;
  if (!isLeaving) history.replaceState(null, "", toHash());
  markChosen(id);
  hideNucleus();
  $("title").textContent = item.name;
  document.title = `${item.name} – Histoscope`;
  if (!item.results.some((one) => one.id === state.results[0])) state.results[0] = item.results.find((one) => !one.problem)?.id || "";
  if (isNarrow()) toggleList(false);
  sources();
  tell("Opening …", { stays: true });
  let slide = null, results = null, why = "";
  try { results = await resultsOf(state.results[0]); } catch (error) { why = error.message; }
  try { slide = await api.slide(id); } catch (error) {
    if (results?.size_px) slide = { id, size_px: results.size_px, mpp: results.mpp, stamp: "", layers: [{ size_px: results.size_px, tile_px: [256, 256], downsample: 1 }] };
    why = error.message;
  }
  if (item.id !== id) return; // another was chosen meanwhile
  tell(why, { stays: true });
  document.body.classList.toggle("no-slide", !slide);
  if (!slide) { lead(null, null); legend.show(null); about(null); return; }
  await panes[0].open({ ...slide, stain: state.split ? "" : state.stain }, place);
  predictions.moved();
  if (state.split) await openSecond(slide);
  await withResults(0, results, slide);
  const tissue = item.has_tissue ? await api.tissue(id).catch(() => null) : null;
  for (const pane of panes) { pane.overlay.tissue = tissue; pane.overlay.later(); }
  if (!edited()) lead(slide, results);
  about(slide);
  restyled();
  rightKey();
}

const edited = () => panes[0].overlay.patch && panes[0].overlay.patch.rows.size + panes[0].overlay.patch.drawn.size;

async function withResults(which, results, slide = panes[which].slide) {
  const whole = results && { ...results, size_px: results.size_px || slide.size_px, mpp: results.mpp || slide.mpp };
  panes[which].overlay.show(whole);
  if (which === 0) legend.show(whole, item.has_tissue);
  panes[which].overlay.later();
  correct.show(panes[which]);
}

async function openSecond(slide) {
  const pane = panes[1] || addPane($("pane-b"), false);
  await pane.open({ ...slide, stain: state.stain });
  pane.overlay.tissue = panes[0].overlay.tissue;
  const results = await resultsOf(state.results[1]).catch(() => null);
  await withResults(1, results, slide);
  follow(panes[0]);
}

async function split(is = !state.split) {
  const place = panes[0].slide && !panes[0].isWhole() && panes[0].place(); // before the pane gets narrower
  state.split = is;
  $("split-button").setAttribute("aria-pressed", String(is));
  $("pane-b").hidden = !is;
  document.body.classList.toggle("split", is);
  if (is && panes[0].slide) {
    state.results[1] = state.results[1] || item.results.find((one) => one.id !== state.results[0] && !one.problem)?.id || "";
    await openSecond(panes[0].slide);
  }
  sources();
  rightKey();
  if (panes[0].slide && state.stain) await panes[0].open({ ...panes[0].slide, stain: is ? "" : state.stain }, place);
  else if (panes[0].slide) await panes[0].show(place);
  again();
}

// Which results are shown, where there are several.
function sources() {
  if (!item) return; // nothing is chosen yet
  const box = $("sources");
  box.replaceChildren();
  const shown = state.split ? [0, 1] : [0];
  const isChoice = item.results.length > 1 || state.split || item.results.some((one) => one.problem);
  for (const which of isChoice ? shown : []) {
    const label = document.createElement("label"), select = document.createElement("select");
    label.append(state.split ? sideOf(which) : "Results", select);
    if (which) label.append(Object.assign(document.createElement("small"), { id: "right-key" }));
    select.append(new Option("none: the slide alone", ""));
    for (const one of item.results) {
      const option = new Option(optionOf(one), one.id);
      option.disabled = Boolean(one.problem);
      option.title = one.problem;
      select.append(option);
    }
    select.value = state.results[which];
    select.addEventListener("change", async () => {
      state.results[which] = select.value;
      hideNucleus();
      try {
        const results = await resultsOf(select.value);
        await withResults(which, results);
        restyled(); // colours of the right pane depend on what is left
        rightKey();
        if (which === 0) lead(panes[0].slide, results);
      } catch (error) { tell(error.message, { stays: true }); }
    });
    box.append(label);
  }
  if (!document.body.classList.contains("no-slide") && panes[0].slide?.stamp !== "") box.append(stains());
  for (const one of item.results.filter((each) => each.problem)) {
    box.append(Object.assign(document.createElement("p"), { className: "warning", textContent: one.problem }));
  }
}

// Colours of the right pane that the legend does not have.
function rightKey() {
  names();
  const box = $("right-key"), results = panes[1]?.overlay.results;
  if (!box) return;
  const isPlain = results && !results.classes.length && colourIn(panes[1], 0) !== colourOf(results, state, 0);
  box.replaceChildren(...(isPlain ? [document.createElement("i"), `${number(results.n)} nuclei, white outlines`] : []));
}

// The slide, or the right one, as it is or through a normaliser.
function stains() {
  const select = document.createElement("select"), label = document.createElement("label");
  for (const [method, word] of [["", "original"], ["macenko", "normalised by Macenko"], ["reinhard", "normalised by Reinhard"], ["vahadane", "normalised by Vahadane"]]) select.append(new Option(word, method));
  select.value = state.stain;
  select.id = "stain";
  select.addEventListener("change", () => restain(select.value));
  label.append(state.split ? `${sideOf(1)}: stain` : "Stain", select);
  return label;
}

async function restain(method) {
  state.stain = method;
  if (method) tell("Normalising: the stains of the whole slide are estimated first …", { stays: true });
  const pane = state.split ? panes[1] : panes[0], place = panes[0].isWhole() ? null : panes[0].place();
  for (const end of ["tile-loaded", "tile-load-failed"]) pane.viewer.addOnceHandler(end, () => tell(end === "tile-loaded" ? "" : "This slide cannot be normalised."));
  if (state.split) await openSecond({ ...panes[0].slide, stain: "" });
  else await pane.open({ ...pane.slide, stain: method }, place);
  again();
  remember();
}

const sideOf = (which) => (isNarrow() ? ["Top", "Bottom"] : ["Left", "Right"])[which];
const optionOf = (one) => `${one.label}${one.n === null ? "" : ` (${number(one.n)})`}${one.problem ? " – cannot be shown" : ""}`;

// A slide was opened anew: what lies over it comes back.
function again() {
  predictions.moved();
  names();
  restyled();
}

// What each of two panes shows.
function names() {
  if (!item) return; // nothing is chosen yet
  for (const [which, pane] of panes.entries()) {
    const one = item.results.find(({ id }) => id === state.results[which]);
    pane.element.dataset.name = [one?.label || "slide", which && state.stain ? `${state.stain[0].toUpperCase()}${state.stain.slice(1)}` : ""].filter(Boolean).join(", ");
  }
}

// The first words: what one sees, and what one can do.
function lead(slide, results, nEdits = 0) {
  const box = $("lead"), source = item.results.find((one) => one.id === results?.id);
  box.replaceChildren();
  if (!slide) { box.textContent = "This slide cannot be shown; the others can."; return; }
  const what = results?.kind === "tiles" ? "tiles" : "nuclei";
  if (results?.kind === "outcomes" || (!results && studies.images)) box.append(...studies.lead(results));
  else if (results) {
    const named = kindsOf(results).filter(({ kind }) => kind);
    box.append(strong(`${number(results.n)} ${what}`), nEdits ? ` after ${number(nEdits)} correction${nEdits > 1 ? "s" : ""}` : "", named.length > 1 ? `, coloured by class, ` : ", ");
    box.append(slide.stamp ? `on ${item.name}` : `of ${item.name}, whose slide is not available`, source?.label && source.label !== "beside" ? ` (${source.label}). ` : ". ");
    box.append(`${howTo()} Click one of the ${what} for its measurements.${results.kind === "nuclei" ? " Fix mistakes with Correct." : ""}`);
  } else {
    box.append(strong(item.name), `, without results. ${howTo()} For a preview of its nuclei, choose Find nuclei (P) and draw a rectangle. For the whole slide: `, Object.assign(document.createElement("code"), { textContent: `histoscope predict nuclei ${item.name} out/` }));
  }
}

const howTo = () => (isTouch() ? "Pinch to zoom, drag to move." : "Scroll to zoom, drag to move.");
const strong = (text) => Object.assign(document.createElement("strong"), { textContent: text });

function about(slide) {
  const box = $("about");
  box.replaceChildren();
  if (!slide) return;
  const [width, height] = slide.size_px, size = slide.mpp && [width, height].map((side) => ((side * slide.mpp) / 1000).toFixed(1)).join(" × ");
  const facts = { Size: `${number(width)} × ${number(height)} px${size ? `, ${size} mm` : ""}`, Resolution: slide.mpp ? `${Number(slide.mpp.toPrecision(4))} µm/px` : "not stated", Format: slide.vendor || slide.reader };
  const list = document.createElement("dl");
  for (const [word, text] of Object.entries(facts)) if (text) {
    list.append(Object.assign(document.createElement("dt"), { textContent: word }), Object.assign(document.createElement("dd"), { textContent: text }));
  }
  box.append(Object.assign(document.createElement("h2"), { textContent: "Slide" }), list);
}

function pick(pane, { x, y }) {
  const preview = predictions.hit(pane, x, y);
  if (preview && !correct.on) { unpick(); showNucleus(preview.results, preview.colour, preview.found, unpick); return; }
  const found = pane.overlay.hit(x, y);
  for (const each of panes) { each.overlay.picked = null; each.overlay.later(); }
  if (correct.pick(pane, found)) return;
  if (found === "far") { tell("Zoom in to click a single nucleus: at this zoom they are drawn as densities."); hideNucleus(); return; }
  if (!found) { hideNucleus(); return; }
  pane.overlay.picked = found;
  showNucleus(pane.overlay.results, colourIn(pane, found.kind), correct.dress(pane, found), () => unpick(), pane !== panes[0]);
}

function unpick() {
  hideNucleus();
  for (const pane of panes) { pane.overlay.picked = null; pane.overlay.later(); }
}

function toggleList(is = $("list").hidden) {
  $("list").hidden = !is;
  $("list-button").setAttribute("aria-expanded", String(is));
  if (is && isNarrow()) $("find").focus();
}

function togglePanel(is) {
  const now = document.body.classList.toggle("panel-shut", is === undefined ? undefined : !is);
  $("panel-button").setAttribute("aria-expanded", String(!now));
}

async function copyLink() {
  remember();
  try {
    await navigator.clipboard.writeText(location.href);
    const isHere = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
    tell(isHere ? "Link copied. It opens this view on this machine; for others, start histoscope view with --host." : "Link copied: it opens this view.");
  } catch {
    tell("The address of this page is the link: copy it from the browser.");
  }
}

function step(by) {
  if (studies.step(by)) return;
  const listed = library.items.filter((one) => !one.study), at = listed.findIndex((one) => one.id === state.slide) + by;
  if (listed[at]) show(listed[at].id);
}

function move(dx, dy) {
  const { viewport } = panes[0].viewer, bounds = viewport.getBounds();
  viewport.panBy(new window.OpenSeadragon.Point(dx * bounds.width * 0.2, dy * bounds.height * 0.2));
  viewport.applyConstraints();
}

function zoom(by) {
  panes[0].viewer.viewport.zoomBy(by);
  panes[0].viewer.viewport.applyConstraints();
}

// The next way to draw marks.
function restyle() {
  const ways = ["heat", "outline", "fill"].filter((way) => way !== "heat" || !$("style").firstChild.hidden);
  setStyle(legend.results, ways[(ways.indexOf(styleOf(legend.results)) + 1) % ways.length]);
  legend.words();
  restyled();
}

// Two tools for the pointer, one at a time.
function correcting() {
  predictions.toggle(false);
  correct.toggle();
  if (correct.on) togglePanel(true); // what one can do stands there
}
function predicting() { if (correct.on) correct.toggle(false); predictions.toggle(); }

const wholeSlide = () => panes[0].viewer.viewport.goHome();

function setUp() {
  const on = (id, run) => $(id).addEventListener("click", () => run());
  on("list-button", () => toggleList());
  on("panel-button", () => togglePanel());
  on("panel-grip", () => togglePanel());
  on("split-button", () => split());
  on("link-button", copyLink);
  on("save-button", () => panes[0].slide && savePng(panes[0], { name: item.name, key: legend.key(), about: [item.name, item.results.find(({ id }) => id === state.results[0])?.label, !state.split && state.stain, $("magnification").textContent].filter(Boolean).join(", ") }).then((file) => tell(`${file} is in your downloads.`), (error) => tell(error.message)));
  on("correct-button", correcting);
  on("predict-button", predicting);
  on("theme-button", switchTheme);
  on("help-button", () => $("help").showModal());
  on("zoom-in", () => zoom(1.6));
  on("zoom-out", () => zoom(1 / 1.6));
  on("zoom-home", wholeSlide);
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  keys([
    { keys: ["+", "=", "-"], shown: ["+", "−"], does: "zoom in, out", run: (key) => zoom(key === "-" ? 1 / 1.6 : 1.6) },
    { keys: Object.keys(arrows), shown: ["←", "→", "↑", "↓"], does: "move", run: (key) => move(...arrows[key]) },
    { keys: ["0"], shown: ["0"], does: "the whole slide", run: wholeSlide },
    { keys: [..."123456789"], shown: ["1", "2", "…"], does: "switch a class on or off", run: (key) => legend.results && legend.flip(Number(key)) },
    { keys: ["b"], shown: ["B"], does: "two side by side", run: () => split() },
    { keys: ["o"], shown: ["O"], does: "outlines, filled, or as a heat map", run: restyle },
    { keys: ["n"], shown: ["N"], does: "nuclei on or off", run: () => legend.toggle("marks") },
    { keys: ["t"], shown: ["T"], does: "outline of the tissue", run: () => legend.toggle("tissue") },
    { keys: ["h"], shown: ["H"], does: "slide on or off", run: () => legend.toggle("picture") },
    { keys: ["j", "k"], shown: ["J", "K"], does: "next slide, previous slide", run: (key) => step(key.toLowerCase() === "j" ? 1 : -1) },
    { keys: ["l"], shown: ["L"], does: "list of slides", run: () => toggleList() },
    { keys: ["p"], shown: ["P"], does: "find nuclei in a rectangle", run: predicting },
    { keys: ["g"], shown: ["G"], does: "legend and settings", run: () => togglePanel() },
    { keys: ["c"], shown: ["C"], does: "copy a link to this view", run: copyLink },
    { keys: ["s"], shown: ["S"], does: "save this view as PNG", run: () => $("save-button").click() },
    { keys: ["d"], shown: ["D"], does: "light or dark", run: switchTheme },
    ...KEYS.map(({ keys = [], ...rest }) => ({ keys, ...rest, run: correcting })),
    { keys: ["?"], shown: ["?"], does: "this help", run: () => ($("help").open ? $("help").close() : $("help").showModal()) },
    { keys: ["Escape"], shown: ["Esc"], does: "close what is open", run: () => { if (isNarrow() && !$("list").hidden) toggleList(false); else { tell(""); unpick(); predictions.toggle(false); } } },
  ]);
}

// Look at the folder anew, and show one of its slides.
async function reload(id) {
  library = await api.library();
  $("items").replaceChildren();
  fillList(library, choose);
  toggleList(!isNarrow());
  studies.leave();
  await show(id);
}

function choose(id) {
  history.pushState(null, "", location.href); // Back returns to where one was
  studies.leave();
  show(id);
}

async function start() {
  if (!window.OpenSeadragon) { tell("OpenSeadragon is missing: run python build_page.py in the source folder, then reload.", { stays: true }); return; }
  if (isTouch()) $("all-keys").open = false;
  setUp();
  fromHash(location.hash);
  legend = new Legend(state, restyled);
  legend.words();
  addPane($("pane-a"), true);
  predictions = new Predictions(state, { pane: () => panes[0], item: () => item, reload, tap: (point) => pick(panes[0], panes[0].at(point)) });
  try { library = await api.library(); } catch (error) { tell(error.message, { stays: true }); return; }
  fillList(library, choose);
  studies.fill(library);
  toggleList(library.items.length + library.studies.length > 1 && !isNarrow());
  window.addEventListener("hashchange", () => { isLeaving = true; location.reload(); });
  if (state.split) await split(true);
  if (!state.slide && !state.study && library.studies.length) state.study = library.studies[0].id;
  if (state.study && state.number && (await studies.begin(state.study, state.number, state.slide))) return;
  if (state.study) { await studies.show(state.study); return; }
  const first = library.items.find((one) => one.id === state.slide) || library.items.find((one) => one.results.length && one.has_picture) || library.items[0];
  await show(first.id, state.place);
}

start();
