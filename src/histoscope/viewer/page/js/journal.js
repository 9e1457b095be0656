// Corrections of one file of results: what the server knows, and what it has not been told yet. Each edit has an id
// of its own and stays in the browser until the server has answered, so that nothing is lost and nothing is there
// twice, whatever happens in between.
import * as api from "./api.js";
import { patchOf } from "./patch.js";

const PREFIX = "histoscope-edit", MOST = 500, AGAIN_S = [2, 5, 15, 60];
let counter = 0;

export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Edits in the browser's store, by the nuclei that they are of, in the order in which they were made.
class Kept {
  constructor() {
    try { this.store = window.localStorage; this.store.getItem(PREFIX); } catch { this.store = null; }
  }

  put(digest, edit, fact, author) {
    const key = `${PREFIX} ${digest} ${String(Date.now()).padStart(15, "0")} ${String(counter++).padStart(6, "0")} ${edit.id}`;
    const one = { edit, fact, author };
    try { this.store.setItem(key, JSON.stringify(one)); } catch { /* no store, or a full one: it is in memory */ }
    return { key, ...one };
  }

  of(digest) {
    const found = new Map();
    if (this.store) for (let k = 0; k < this.store.length; k++) {
      const key = this.store.key(k);
      if (key.startsWith(`${PREFIX} `)) found.set(key, this.store.getItem(key));
    }
    return [...found].filter(([key]) => key.startsWith(`${PREFIX} ${digest} `)).sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([key, text]) => { try { return [{ key, ...JSON.parse(text) }]; } catch { return []; } });
  }

  drop(key) {
    try { this.store?.removeItem(key); } catch { /* it is sent again, and is known */ }
  }
}

const kept = new Kept();

const NAME = "histoscope-author";

export class Journal {
  constructor(results, { changed, tell }) {
    Object.assign(this, { results, changed, tell, state: null, pending: [], trouble: "", sending: false, tried: 0, undos: [], redos: [] });
    this.original = { counts: results.counts, bands: results.bands };
  }

  // Who corrects: the server knows a name, and where several share it each browser may have its own.
  get author() {
    try { return localStorage.getItem(NAME) || this.state.author; } catch { return this.state.author; }
  }

  set author(name) {
    try { name ? localStorage.setItem(NAME, name) : localStorage.removeItem(NAME); } catch { this.tell("This browser does not store the name."); }
    this.changed();
  }

  async load() {
    const state = await api.edits(this.results.id);
    const isNew = state.stamp !== this.state?.stamp || state.digest !== this.state?.digest;
    this.state = state;
    const here = new Set(this.pending.map(({ key }) => key)), others = kept.of(state.digest).filter(({ key }) => !here.has(key));
    this.pending.push(...others);
    if (isNew || others.length) this.update();
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
      this.pending.push(kept.put(this.state.digest, edit, fact, this.author));
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

  get canUndo() { return this.undos.length > 0 || this.state.last.some((one) => one.author === this.author); }

  // Take back the last thing that was said here; after a reload, the last that this author said.
  undo() {
    const last = this.undos.pop() || grouped(this.state.last.filter((one) => one.author === this.author))[0]?.map((one) => one.edit) || [];
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
        const { author } = this.pending[0], end = this.pending.findIndex((one) => one.author !== author);
        const part = this.pending.slice(0, Math.min(MOST, end < 0 ? MOST : end));
        const { answers, state } = await api.addEdits(this.results.id, { digest: this.state.digest, author, edits: part.map(({ edit }) => edit) });
        this.drop(part.length);
        const refused = answers.filter(({ problem }) => problem);
        if (refused.length) this.tell(`${refused.length > 1 ? `${refused.length} corrections were refused. ` : ""}${refused[0].problem}`);
        Object.assign(this, { state, trouble: "", tried: 0 });
        this.update();
      }
    } catch (error) {
      this.trouble = error.message;
      if (error.status === 400 || error.status === 413) { // it will never be taken
        this.drop(1);
        this.tell(`A correction was refused: ${error.message}`);
      }
      this.timer = setTimeout(() => this.send(), 1000 * AGAIN_S[Math.min(this.tried++, AGAIN_S.length - 1)]);
      this.update();
    }
    this.sending = false;
  }

  drop(n) {
    for (const { key } of this.pending.splice(0, n)) kept.drop(key);
  }
}

// What one person said of several nuclei at once, together.
export function grouped(edits) {
  const found = [];
  for (const one of edits) {
    const [last] = found.at(-1) || [{}];
    const same = ["kind", "author", "class_name", "is_region"].every((key) => (last[key] || "") === (one[key] || ""));
    if (same && !one.is_region && one.kind !== "draw" && Math.abs(new Date(last.time || 0) - new Date(one.time || 0)) < 100) found.at(-1).push(one);
    else found.push([one]);
  }
  return found;
}
