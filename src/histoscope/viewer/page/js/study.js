// Studies: the numbers of a report, and the images behind each of them, the worst first.
import * as api from "./api.js";
import { tell } from "./chrome.js";
import { element } from "./dom.js";
import { number as counted } from "./legend.js";

const $ = (id) => document.getElementById(id);
const MINUS = "−", SIGNS = { helps: "▲", harms: "▼", "no difference shown": "=", "too few patients to say": "?" };
const THREE = (value) => (value === null ? "–" : value.toFixed(3).replace("-", MINUS));
const signed = (value) => `${value > 0 ? "+" : ""}${THREE(value)}`;

const MEANS = {
  aji: "AJI, aggregated Jaccard index: overlap of all nuclei with the ground truth, with missed and false-positive area counted against it. 0 to 1.",
  pq: "PQ, panoptic quality: F1 of matched nuclei (IoU above 0.5) times their mean IoU. 0 to 1.",
  dq: "DQ, detection quality: F1 of nuclei matched at an IoU above 0.5. 0 to 1.",
  sq: "SQ, segmentation quality: mean IoU of matched nuclei. 0.5 to 1.",
  f1_50: "F1: harmonic mean of precision and recall of nuclei matched at an IoU above 0.5. 0 to 1.",
  nll: "Negative log-likelihood of the true class: lower is better.",
  brier: "Brier score of the class probabilities: lower is better.",
  f1: "F1: harmonic mean of precision and recall. 0 to 1.",
  dice: "Dice: overlap of nuclear area with the ground truth; touching nuclei are not told apart. 0 to 1.",
  iou: "IoU, intersection over union: overlap of nuclear area with the ground truth. 0 to 1.",
  accuracy: "Accuracy: share of images whose class is right. 0 to 1.",
};

export class Studies {
  // open(slide) shows an image, all() those of no study, found(slide, results) adds results; changed() is called when the address is another.
  constructor(state, { open, changed, all, found }) {
    Object.assign(this, { state, open, changed, all, found, pages: new Map(), images: null });
    $("walk-back").addEventListener("click", () => this.visit(state.study));
    $("walk-leave").addEventListener("click", () => this.all());
  }

  fill(library) {
    const list = $("studies");
    list.replaceChildren(...library.studies.map(({ id, name }) => {
      const button = element("button", { type: "button" }, element("span", {}, name, element("small", { textContent: "results, and the images behind them" })));
      button.addEventListener("click", () => this.visit(id));
      const row = element("li", {}, button);
      row.dataset.id = id;
      return row;
    }));
    $("walk-leave").hidden = library.items.every((one) => one.study);
    $("studies-title").hidden = list.hidden = !library.studies.length;
  }

  async page(id) {
    if (!this.pages.has(id)) {
      tell("Reading the study …", { stays: true });
      this.pages.set(id, await api.json(`api/studies/${id}`));
      tell("");
    }
    return this.pages.get(id);
  }

  // Somebody asks for a study: Back returns to where they were.
  visit(id) {
    history.pushState(null, "", location.href);
    return this.show(id);
  }

  // The page of a study; nothing else is in sight.
  async show(id) {
    let page;
    if (this.state.study !== id) this.state.metric = "";
    try { page = await this.page(id); } catch (error) { tell(error.message, { stays: true }); return; }
    this.walk(null);
    Object.assign(this.state, { study: id, number: null, slide: "" });
    document.body.classList.add("in-study");
    $("title").textContent = page.name;
    document.title = `${page.name} – Histoscope`;
    for (const row of $("studies").children) row.classList.toggle("chosen", row.dataset.id === id);
    this.draw(page, page.metrics.some(({ name }) => name === this.state.metric) ? this.state.metric : page.metric);
  }

  draw(page, metric) {
    const primary = page.numbers.filter((one) => one.metric === metric && one.condition === page.primary_condition && one.sentence);
    const choice = element("select", { ariaLabel: "Score" });
    for (const { name, label } of page.metrics) choice.append(new Option(name === page.metric ? `${label} (primary)` : label, name));
    choice.value = metric;
    choice.addEventListener("change", () => this.draw(page, choice.value));
    const { finished, planned } = page.runs, where = page.conditions.find((one) => one.name === page.primary_condition && primary.length);
    Object.assign(this.state, { metric: metric === page.metric ? "" : metric });
    this.changed();
    $("study").replaceChildren(element("div", { className: "sheet" },
      element("p", { className: "kicker" }, page.factor === "run" ? `Run ${page.name}` : `Study ${page.name}, ${finished === planned ? `${planned} runs` : `${finished} of ${planned} runs are finished`}`),
      element("h2", { textContent: page.question }),
      ...(page.data ? [element("p", { className: "data", textContent: `Data: ${page.data}` })] : []),
      ...(where ? [element("p", { className: "where" }, "Compared on ", element("b", { textContent: where.label }), ":")] : []),
      element("ul", { className: "said" }, ...primary.map((one) => element("li", { textContent: models(page, one) + one.sentence }))),
      element("label", { className: "metric" }, "Score ", choice),
      ...(MEANS[metric] ? [element("p", { className: "note", textContent: MEANS[metric] })] : []),
      element("p", { className: "note", textContent: "Means with 95 % intervals. Click a number for the images behind it, the worst first." }),
      ...page.models.map((model) => this.table(page, model, metric)),
      element("dl", { className: "conditions" }, ...page.conditions.flatMap((one) => [element("dt", { textContent: one.label }), element("dd", { textContent: one.about })])),
      ...page.problems.slice(0, 10).map(({ run, why }) => element("p", { className: "warning", textContent: `${run}: ${why}` })),
      ...(page.has_report ? [element("p", {}, element("a", { href: `api/studies/${page.id}/report`, target: "_blank", rel: "noopener", textContent: "Open the full report" }))] : []),
    ));
  }

  // The condition that answers the question comes first.
  table(page, model, metric) {
    const conditions = [...page.conditions].sort((a, b) => (b.name === page.primary_condition) - (a.name === page.primary_condition));
    const head = element("tr", {}, element("th", { textContent: page.models.length > 1 ? model.label : "" }), ...conditions.map((one) => element("th", { scope: "col", textContent: one.label })));
    const rows = page.levels.map((level) => {
      const cells = conditions.map((condition) => {
        const one = page.numbers.find((each) => each.model === model.name && each.level === level.name && each.condition === condition.name && each.metric === metric);
        return element("td", {}, ...(one && one.mean !== null ? this.cell(page, one) : ["–"]));
      });
      return element("tr", {}, element("th", { scope: "row" }, level.label, ...(level.is_baseline ? [element("small", { textContent: " baseline" })] : [])), ...cells);
    });
    return element("div", { className: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  cell(page, one) {
    const interval = one.low === null ? "" : `${THREE(one.low)} to ${THREE(one.high)}`;
    const button = element("button", { type: "button", className: "number", title: `${counted(one.n_images)} images, the worst first` }, element("b", { textContent: THREE(one.mean) }), element("small", { textContent: interval }));
    Object.assign(button.dataset, { level: one.level, model: one.model, condition: one.condition });
    button.addEventListener("click", () => this.leaf(page.id, { model: one.model, level: one.level, condition: one.condition, metric: one.metric }));
    if (one.difference === null) return [button];
    return [button, element("small", { className: "against", title: `${one.sentence}`, textContent: `${signed(one.difference)} ${SIGNS[one.verdict] || ""} ${one.verdict}` })];
  }

  leaf(id, number) {
    history.pushState(null, "", location.href);
    return this.begin(id, number);
  }

  // The images behind a number; the worst is opened, or that which the address names.
  async begin(id, number, slide = "") {
    let page, found;
    try {
      page = await this.page(id);
      found = await api.json(`api/studies/${id}/images?${new URLSearchParams(number)}`);
    } catch (error) { tell(error.message, { stays: true }); return false; }
    Object.assign(this.state, { study: id, number });
    this.changed();
    this.walk({ page, number, ...found });
    const at = found.images.findIndex((one) => slide && one.slide === slide), first = at >= 0 ? at : found.images.findIndex((one) => one.slide);
    if (first < 0) { tell("The list has the scores. To see the images, name their data folder as well: histoscope view FOLDER DATA.", { stays: true }); return true; }
    await this.go(first, at >= 0);
    return true;
  }

  walk(found) {
    this.images = found;
    $("walk").hidden = !found;
    $("all").hidden = Boolean(found);
    if (!found) return;
    const { page, number, images, metric_label: label } = found;
    const name = (list, one) => list.find((each) => each.name === one)?.label || one;
    $("walk-back").textContent = `‹ ${page.name}`;
    $("walk-title").textContent = `${label}, ${name(page.levels, number.level)}`;
    $("walk-about").textContent = `${name(page.models, number.model)}, ${name(page.conditions, number.condition)}: ${counted(images.length)} images, the worst first. J and K step through them.${page.conditions.find((one) => one.name === number.condition)?.is_restained ? " The networks saw them re-stained; they are shown unchanged." : ""}`;
    const most = Math.max(...images.map((one) => Math.abs(one.score)), 1e-9);
    const watch = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) { target.src = target.dataset.src; watch.unobserve(target); }
    }, { root: $("list"), rootMargin: "200px" });
    $("walk-items").replaceChildren(...images.map((one, k) => {
      const picture = element("img", { alt: "", width: 56, height: 56 });
      if (one.slide) { picture.dataset.src = api.thumbnail(one.slide); watch.observe(picture); }
      const bar = element("i", { className: "bar-of" });
      bar.style.width = `${(100 * Math.abs(one.score)) / most}%`;
      const button = element("button", { type: "button", disabled: !one.slide }, ...(one.slide ? [picture] : []), element("span", {}, one.name, element("small", { textContent: `${label} ${THREE(one.score)}${one.said ? `; ${one.said}` : ""}` }), bar));
      button.addEventListener("click", () => this.go(k));
      return element("li", {}, button);
    }));
  }

  // Show one of the images: what the model found, against the truth.
  async go(k, keepsPlace = false) {
    const one = this.images?.images[k];
    if (!one?.slide) return false;
    this.at = k;
    document.body.classList.remove("in-study");
    [...$("walk-items").children].forEach((row, at) => row.classList.toggle("chosen", at === k));
    $("walk-items").children[k].scrollIntoView({ block: "nearest" });
    await this.again(one);
    if (this.at !== k) return true; // another was chosen meanwhile
    const seed = one.seeds.find((each) => each.results);
    this.state.results = [seed?.results || one.truth || "", one.truth || ""];
    await this.open(one.slide, keepsPlace);
    return true;
  }

  // A run that kept no nuclei finds them again, by the weights that it kept.
  async again(one) {
    if (!one.model || !one.truth || one.seeds.some((each) => each.results)) return;
    tell("Finding the nuclei with the run's model …", { stays: true });
    try {
      const found = await api.json(`predict?${new URLSearchParams({ slide: one.slide, model: one.model, against: one.truth })}`, { method: "POST" });
      one.seeds[0].results = found.id;
      this.found(one.slide, found);
      tell("");
    } catch (error) { tell(error.message, { stays: true }); }
  }

  // The next image of the walk, if there is one under way.
  step(by) {
    if (!this.images) return false;
    const { images } = this.images;
    for (let k = this.at + by; images[k]; k += by) if (images[k].slide) { this.go(k); break; }
    return true;
  }

  leave() {
    this.walk(null);
    Object.assign(this.state, { study: "", number: null });
    document.body.classList.remove("in-study");
    for (const row of $("studies").children) row.classList.remove("chosen");
    this.changed();
  }

  // The first words on an image: its scores, and what the colours say.
  lead(results) {
    const one = this.images?.images[this.at];
    const words = [];
    if (one) {
      const { page, number, metric_label: label } = this.images, shown = results && one.seeds.find((each) => each.results === results.id);
      const back = element("button", { type: "button", className: "back", textContent: `‹ ${page.name}` });
      back.addEventListener("click", () => this.visit(page.id));
      words.push(back, element("strong", { textContent: `${label} ${THREE(shown ? shown.score : one.score)}` }), ` on ${one.name}`);
      if (one.seeds.length > 1) words.push(shown ? ` (seed ${shown.seed}; mean of ${one.seeds.length} seeds ${THREE(one.score)})` : ` (mean of ${one.seeds.length} seeds)`);
      words.push(`.${one.said ? ` True class ${one.said}.` : ""} `);
      if (page.factor === "normalizer" && number.level !== "none") words.push("The network saw this image normalised. ");
    }
    if (!results) return words;
    const [, found] = results.counts.map((bands) => bands.reduce((sum, n) => sum + n, 0));
    if (results.n_true) words.push(`Of ${counted(results.n_true)} true nuclei, ${counted(found)} (${Math.round((100 * found) / results.n_true)} %) were found. `);
    words.push("Outlines show what the model predicted, coloured by outcome, and the missed nuclei. Side by side (B) shows the ground truth.");
    return words;
  }
}

function models(page, one) {
  return page.models.length > 1 ? `${page.models.find((each) => each.name === one.model)?.label || one.model}: ` : "";
}
