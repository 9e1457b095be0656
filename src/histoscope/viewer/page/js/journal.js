// Corrections of one file of results: what the server knows, and what it has not been told yet. Each edit has an id
// of its own and stays in the browser until the server has answered, so that nothing is lost and nothing is there
// twice, whatever happens in between.
import * as api from "./api.js";
import { patchOf } from "./patch.js";

const PREFIX = "histoscope-edit", MOST = 200, AGAIN_S = [2, 5, 15, 60];
let counter = 0;

export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Edits by the nuclei that they are of, in the order in which they were made; in memory where nothing may be stored.
class Kept {
  constructor() {
    this.here = new Map();
    try { this.store = window.localStorage; this.store.getItem(PREFIX); } catch { this.store = null; }
  }

  put(digest, edit, fact) {
    const key = `${PREFIX} ${digest} ${String(Date.now()).padStart(15, "0")} ${String(counter++).padStart(6, "0")} ${edit.id}`;
    const text = JSON.stringify({ edit, fact });
    try { this.store.setItem(key, text); } catch { this.here.set(key, text); } // no store, or a full one
  }

  of(digest) {
    const found = new Map(this.here);
    if (this.store) for (let k = 0; k < this.store.length; k++) {
      const key = this.store.key(k);
      if (key.startsWith(`${PREFIX} `)) found.set(key, this.store.getItem(key));
    }
    return [...found].filter(([key]) => key.startsWith(`${PREFIX} ${digest} `)).sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([key, text]) => { try { return [{ key, ...JSON.parse(text) }]; } catch { return []; } });
  }

  drop(key) {
    this.here.delete(key);
    try { this.store?.removeItem(key); } catch { /* it is sent again, and is known */ }
  }
}

const kept = new Kept();

export class Journal {
  constructor(results, { changed, tell }) {
    Object.assign(this, { results, changed, tell, state: null, trouble: "", sending: false, tried: 0, undos: [], redos: [] });
    this.original = { counts: results.counts, bands: results.bands };
  }

  get pending() {
    return this.state ? kept.of(this.state.digest) : [];
  }

  async load() {
    const state = await api.edits(this.results.id);
    const is_new = state.stamp !== this.state?.stamp || state.digest !== this.state?.digest;
    this.state = state;
    if (is_new) this.update();
    this.send();
  }

  update() {
    this.patch = patchOf(this.original, this.state, this.pending);
    this.changed();
  }

  // Make edits: at once here, and on the server as soon as it answers. Each is {kind, ...}, with what the squares
  // have of its nucleus: {was, band, x, y}.
  add(said, { remember = "undos" } = {}) {
    const ids = [];
    for (const { fact, ...rest } of said) {
      const edit = { id: newId(), ...rest };
      kept.put(this.state.digest, edit, fact);
      ids.push(edit.id);
    }
    const undone = new Set(said.map(({ undoes }) => undoes));
    this.undos = this.undos.map((group) => group.filter((id) => !undone.has(id))).filter((group) => group.length);
    if (remember) this[remember].push(ids);
    if (remember === "undos") this.redos = [];
    this.update();
    this.tried = 0;
    this.send();
    return ids;
  }

  // Take back the last thing that was said here; after a reload, the last that this author said.
  undo() {
    const last = this.undos.pop() || this.state.last.filter((one) => one.author === this.state.author).slice(0, 1).map((one) => one.edit);
    if (last.length) this.add(last.map((undoes) => ({ kind: "undo", undoes })), { remember: "redos" });
    return last.length;
  }

  redo() {
    const last = this.redos.pop();
    if (last) this.undos.push(this.add(last.map((undoes) => ({ kind: "undo", undoes })), { remember: "" }));
    return last?.length || 0;
  }

  async send() {
    clearTimeout(this.timer);
    if (this.sending || !this.state || !this.pending.length) return;
    this.sending = true;
    try {
      while (this.pending.length) {
        const part = this.pending.slice(0, MOST);
        const { answers, state } = await api.addEdits(this.results.id, { digest: this.state.digest, edits: part.map(({ edit }) => edit) });
        for (const { key } of part) kept.drop(key);
        const refused = answers.filter(({ problem }) => problem);
        if (refused.length) this.tell(`${refused.length > 1 ? `${refused.length} corrections were refused. ` : ""}${refused[0].problem}`);
        Object.assign(this, { state, trouble: "", tried: 0 });
        this.update();
      }
    } catch (error) {
      this.trouble = error.message;
      if (error.status === 400 || error.status === 413) { // it will never be taken
        for (const { key } of this.pending.slice(0, 1)) kept.drop(key);
        this.tell(`A correction was refused: ${error.message}`);
      }
      this.timer = setTimeout(() => this.send(), 1000 * AGAIN_S[Math.min(this.tried++, AGAIN_S.length - 1)]);
      this.update();
    }
    this.sending = false;
  }
}
