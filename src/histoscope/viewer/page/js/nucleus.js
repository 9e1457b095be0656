// What is known of the nucleus that was clicked.
import * as api from "./api.js";
import { number } from "./legend.js";

const box = document.getElementById("nucleus");
const WORDS = {
  probability: ["Nucleus probability", ""], area_um2: ["Area", "µm²"], perimeter_um: ["Perimeter", "µm"],
  major_axis_um: ["Major axis", "µm"], minor_axis_um: ["Minor axis", "µm"], eccentricity: ["Eccentricity", ""],
  solidity: ["Solidity", ""], circularity: ["Circularity", ""], haematoxylin_od: ["Haematoxylin", "OD"],
  iou: ["IoU", ""], x_px: ["x", "px"], y_px: ["y", "px"], area_px: ["Area", "px"], id: ["Number", ""],
};

export async function showNucleus(results, colour, picked, close, isRight = false) {
  const asked = picked.drawn || picked.row;
  box.dataset.row = asked;
  box.hidden = false;
  box.classList.toggle("right", isRight);
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
  dot.style.background = colour;
  head.append(dot, picked.corrected || name || known.problem || "nucleus");
  Object.assign(shut, { className: "icon", title: "Close (Esc)", textContent: "×" });
  shut.addEventListener("click", close);
  head.append(shut);
  const list = document.createElement("dl"), facts = Object.entries(rest).filter(([key]) => !["problem", "class_id"].includes(key));
  const shares = facts.filter(([key]) => key.startsWith("p_")), others = facts.filter(([key]) => !key.startsWith("p_"));
  if (picked.said) line(list, "Corrected", picked.said);
  if (picked.said && name && picked.row !== undefined && !picked.drawn) line(list, "Model's class", name);
  for (const [key, value] of others) {
    const [word, unit] = WORDS[key] || [key.replaceAll("_", " "), ""];
    line(list, word, `${typeof value === "number" ? shown(value) : value}${unit ? ` ${unit}` : ""}`);
  }
  box.append(head, list);
  if (!shares.length) return;
  const model = document.createElement("dl");
  for (const [key, value] of shares) line(model, key.slice(2), typeof value === "number" ? value.toFixed(2) : value);
  box.append(Object.assign(document.createElement("h3"), { textContent: "Class probabilities (model)" }), model);
}

function line(list, word, text) {
  list.append(Object.assign(document.createElement("dt"), { textContent: word }), Object.assign(document.createElement("dd"), { textContent: text }));
}

export function hideNucleus() {
  box.hidden = true;
  box.dataset.row = "";
}

function shown(value) {
  if (Number.isInteger(value)) return number(value);
  return Math.abs(value) >= 1000 ? number(Math.round(value)) : Number(value.toPrecision(3)).toString();
}
