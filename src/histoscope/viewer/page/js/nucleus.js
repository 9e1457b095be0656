// What is known of the nucleus that was clicked.
import * as api from "./api.js";
import { colourOf, number } from "./legend.js";

const box = document.getElementById("nucleus");
const WORDS = {
  probability: ["Probability", ""], area_um2: ["Area", "µm²"], perimeter_um: ["Perimeter", "µm"],
  major_axis_um: ["Major axis", "µm"], minor_axis_um: ["Minor axis", "µm"], eccentricity: ["Eccentricity", ""],
  solidity: ["Solidity", ""], circularity: ["Circularity", ""], haematoxylin_od: ["Haematoxylin", "OD"],
  x_px: ["x", "px"], y_px: ["y", "px"], area_px: ["Area", "px"], id: ["Number", ""],
};

export async function showNucleus(results, state, picked, close) {
  const asked = picked.drawn || picked.row;
  box.dataset.row = asked;
  box.hidden = false;
  let known;
  try {
    known = picked.known || (await api.row(results.id, asked));
  } catch (error) {
    known = { problem: error.message };
  }
  if (box.dataset.row !== String(asked)) return;
  const { class: name, ...rest } = known;
  box.replaceChildren();
  const head = document.createElement("h2"), dot = document.createElement("i"), shut = document.createElement("button");
  dot.style.background = colourOf(results, state, picked.kind);
  head.append(dot, picked.corrected || name || known.problem || "nucleus");
  Object.assign(shut, { className: "icon", title: "Close (Esc)", textContent: "×" });
  shut.addEventListener("click", close);
  head.append(shut);
  const list = document.createElement("dl");
  if (picked.said) rest.correction = picked.said;
  for (const [key, value] of Object.entries(rest)) {
    if (key === "problem" || key === "class_id") continue;
    const [word, unit] = WORDS[key] || [key.startsWith("p_") ? `p (${key.slice(2)})` : key.replaceAll("_", " "), ""];
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = word;
    text.textContent = `${typeof value === "number" ? shown(value) : value}${unit ? ` ${unit}` : ""}`;
    list.append(term, text);
  }
  box.append(head, list);
}

export function hideNucleus() {
  box.hidden = true;
  box.dataset.row = "";
}

function shown(value) {
  if (Number.isInteger(value)) return number(value);
  return Math.abs(value) >= 1000 ? number(Math.round(value)) : Number(value.toPrecision(3)).toString();
}
