// What stands around the picture: scale bar, magnification, theme, messages, keys.

const $ = (id) => document.getElementById(id);
const STEPS = [1, 2, 5];

export function scaleBar(view, mpp) {
  const most = Math.min(140, view.width / 3);
  const unit = mpp ? view.scale / mpp : view.scale; // screen pixels for one um, or for one pixel
  const largest = most / unit, power = 10 ** Math.floor(Math.log10(largest));
  const length = STEPS.filter((step) => step * power <= largest).at(-1) * power;
  $("scale-bar").style.width = `${length * unit}px`;
  $("scale-text").textContent = mpp ? (length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(3))} µm`) : `${Number(length.toPrecision(3))} px`;
  const times = mpp ? (10 * view.scale) / mpp : 0; // 10x is 1 um on a pixel
  $("magnification").textContent = times ? `${times >= 10 ? Math.round(times) : Number(times.toPrecision(2))}×` : `${Math.round(view.scale * 100)} %`;
}

let timer = 0;
export function tell(text, { stays = false } = {}) {
  clearTimeout(timer);
  $("message").textContent = text;
  $("message").hidden = !text;
  $("message").title = stays ? "Click to close" : "";
  if (text && !stays) timer = setTimeout(() => { $("message").hidden = true; }, 4000);
}

$("message").addEventListener("click", () => tell(""));

export function switchTheme() {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme || (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("histoscope-theme", root.dataset.theme);
}

// Keys with what they do and their words; the help is made of the same table.
export function keys(table) {
  for (const { shown, does, mode } of table) {
    const list = $(mode === "correcting" ? "keys-correcting" : "keys");
    const term = document.createElement("dt"), text = document.createElement("dd");
    for (const key of shown) term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    text.textContent = does;
    list.append(term, text);
  }
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches?.("input[type=search], input[type=color], textarea, select")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if ($("help").open && event.key !== "?") return;
    if (target.matches?.("input[type=range]") && event.key.startsWith("Arrow")) return;
    const found = table.find(({ keys: names }) => names.includes(event.key) || names.includes(event.key.toLowerCase()));
    if (!found) return;
    event.preventDefault();
    found.run(event.key);
  });
}
