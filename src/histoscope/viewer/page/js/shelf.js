// The list of slides.
import * as api from "./api.js";
import { number } from "./legend.js";

const $ = (id) => document.getElementById(id);

export function fillList(library, choose) {
  const list = $("items");
  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) { target.src = target.dataset.src; watch.unobserve(target); }
  }, { root: $("list"), rootMargin: "200px" });
  let folder = "";
  for (const item of library.items.filter((one) => !one.study)) {
    if (item.folder !== folder) {
      folder = item.folder;
      list.append(Object.assign(document.createElement("li"), { className: "folder", textContent: folder }));
    }
    const row = document.createElement("li"), button = document.createElement("button");
    row.dataset.id = item.id;
    row.dataset.words = `${item.folder} ${item.name} ${item.results.map((one) => one.label).join(" ")}`.toLowerCase();
    const picture = document.createElement("img"), words = document.createElement("span"), note = document.createElement("small");
    Object.assign(picture, { alt: "", width: 56, height: 56 });
    picture.addEventListener("error", () => { picture.remove(); button.classList.add("no-picture"); });
    if (item.has_picture) { picture.dataset.src = api.thumbnail(item.id); watch.observe(picture); }
    words.append(item.name);
    note.textContent = told(item);
    note.className = "told";
    words.append(note);
    button.append(picture, words);
    button.addEventListener("click", () => choose(item.id));
    row.append(button);
    list.append(row);
  }
  $("find").oninput = () => {
    const wanted = $("find").value.trim().toLowerCase();
    for (const row of list.children) row.hidden = row.dataset.id ? !row.dataset.words.includes(wanted) : Boolean(wanted);
  };
  const out = library.left_out;
  $("left-out").textContent = out.length ? `Left out: ${out.slice(0, 5).map(({ path, why }) => `${path} ${why}`).join("; ")}${out.length > 5 ? "; …" : ""}` : "";
}

function told(item) {
  if (!item.results.length) return "no results";
  const counted = item.results.filter((one) => one.n !== null);
  if (counted.length === 1) return `${number(counted[0].n)} ${counted[0].kind}`;
  return item.results.map((one) => one.label).join(", ");
}

// The numbers of an item, after corrections.
export function recount(item) {
  const note = document.querySelector(`#items li[data-id="${item.id}"] .told`);
  if (note) note.textContent = told(item);
}

export function markChosen(id) {
  for (const row of $("items").children) {
    const is = row.dataset.id === id;
    row.classList.toggle("chosen", is);
    if (is) row.querySelector("button").setAttribute("aria-current", "true");
    else row.querySelector("button")?.removeAttribute("aria-current");
  }
}
