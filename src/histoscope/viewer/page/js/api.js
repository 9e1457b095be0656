// What the server is asked.

export class Refused extends Error {}

async function answer(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer. Is histoscope view still running?");
  }
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    const why = typeof said.detail === "string" ? said.detail : `The server said ${response.status}.`;
    throw Object.assign(new Refused(why), { status: response.status });
  }
  return response;
}

export const json = async (address, options) => (await answer(address, options)).json();
export const bytes = async (address, options) => (await answer(address, options)).arrayBuffer();

export const library = () => json("api/library");
export const slide = (id) => json(`api/slides/${id}`);
export const results = (id) => json(`api/results/${id}`);
export const tissue = (id) => json(`api/slides/${id}/tissue`);
export const row = (id, number) => json(`api/results/${id}/rows/${number}`);
export const thumbnail = (id) => `api/slides/${id}/thumbnail`;
export const tile = (slide, layer, column, row) =>
  `api/slides/${slide.id}/tiles/${layer}/${column}/${row}?v=${slide.stamp}${slide.stain ? `&stain=${slide.stain}` : ""}`;
export const square = (results, what, zoom, column, row, options) =>
  bytes(`api/results/${results.id}/${what}/${zoom}/${column}/${row}?v=${results.stamp}`, options);

const sent = (body) => {
  const text = JSON.stringify(body);
  const keepalive = text.length < 60000; // it arrives even if the page is closed
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: text, keepalive, signal: AbortSignal.timeout(30000) };
};
export const edits = (id) => json(`api/results/${id}/edits`);
export const addEdits = (id, body) => json(`api/results/${id}/edits`, sent(body));
export const leastSure = (id, n) => json(`api/results/${id}/least-sure?n=${n}`);
export const geojson = (id, body) => json(`api/results/${id}/geojson`, sent(body));
export const crop = (slide, [left, top, side]) => `api/slides/${slide.id}/crops/${left}/${top}/${side}?v=${slide.stamp}`;
