// The description of the server's addresses, to read.
import { json } from "./api.js";
import { element } from "./dom.js";

const rowsOf = (pairs) => element("dl", {}, ...pairs.flatMap(([word, text]) => [element("dt", {}, word), element("dd", {}, text)]));
const kindOf = ({ type, anyOf, allOf, $ref, pattern, minimum, maximum, default: usual, enum: words } = {}) => {
  const name = words ? words.join(", ") : type || (anyOf || allOf || []).map(kindOf).join(" or ") || ($ref || "").split("/").at(-1);
  const range = minimum !== undefined && maximum !== undefined ? `, ${minimum} to ${maximum}` : "";
  return `${name}${range}${pattern ? `, ${pattern}` : ""}${usual === undefined || usual === null || usual === "" ? "" : `; default ${usual}`}`;
};

function operation(path, method, { description = "", summary = "", parameters = [], requestBody, responses }) {
  const sent = Object.keys(requestBody?.content || {}).join(", ");
  const facts = [
    ...parameters.map((one) => [`${one.name}${one.required ? "" : " (optional)"}`, `${one.in}: ${kindOf(one.schema)}${one.description ? `. ${one.description}` : ""}`]),
    ...(sent ? [["body", sent]] : []),
    ...Object.entries(responses).map(([status, one]) => [`answer ${status}`, [Object.keys(one.content || {}).join(", "), one.description].filter(Boolean).join(". ")]),
  ];
  return element("details", {}, element("summary", {}, element("b", {}, method.toUpperCase()), " ", element("code", {}, path), " ", description || summary), rowsOf(facts));
}

try {
  const { paths } = await json("openapi.json");
  document.getElementById("addresses").append(...Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, one]) => operation(path, method, one))));
} catch (error) {
  document.getElementById("addresses").textContent = error.message;
}
