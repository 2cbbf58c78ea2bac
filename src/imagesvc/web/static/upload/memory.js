/**
 * Remembers resumable uploads of a link across reloads, in the storage of this browser. Browsers do not keep the chosen
 * files: who chooses a file of the same name, size and time again goes on where it stopped.
 */

const KEPT_MS = 7 * 24 * 3600 * 1000;
const MAX_ENTRIES = 500;

export class Memory {
  constructor(link) {
    this.key = `imagesvc-uploads:${link}`;
  }

  /** The path of the resumable upload of this file; undefined when there is none. */
  pathOf(file) {
    return this.#read().find((entry) => isSame(entry, file))?.path;
  }

  keep(file, path) {
    const others = this.#read().filter((entry) => !isSame(entry, file));
    const entry = { name: file.name, size: file.size, modified: file.lastModified, path, at: Date.now() };
    this.#write([...others, entry].slice(-MAX_ENTRIES));
  }

  /** Keep a finished upload, so that choosing its file again sends nothing, but do not list it as unfinished. */
  finish(file) {
    this.#write(this.#read().map((entry) => (isSame(entry, file) ? { ...entry, isDone: true } : entry)));
  }

  forget(file) {
    this.#write(this.#read().filter((entry) => !isSame(entry, file)));
  }

  unfinished() {
    return this.#read().filter((entry) => !entry.isDone);
  }

  #read() {
    try {
      const entries = JSON.parse(localStorage.getItem(this.key)) ?? [];
      return entries.filter((entry) => entry.at > Date.now() - KEPT_MS);
    } catch {
      return []; // the storage is switched off or damaged: uploads then resume only while the page is open
    }
  }

  #write(entries) {
    try {
      entries.length ? localStorage.setItem(this.key, JSON.stringify(entries)) : localStorage.removeItem(this.key);
    } catch {
      // as above
    }
  }
}

function isSame(entry, file) {
  return entry.name === file.name && entry.size === file.size && entry.modified === file.lastModified;
}
