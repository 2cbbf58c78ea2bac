/**
 * Sends files, three at a time. Files of the link's `resumable-from` size and larger go by tus, others in one request.
 *
 * States of an item: waiting -> checking -> waiting -> sending -> processing -> ready | defects | unusable, or duplicate,
 * failed, refused (the link takes no more), cancelled. `notice` says why an item waits.
 */

import { Offline, Refusal } from "./api.js";
import { reasonOf, text } from "./text.js";

const AT_ONCE = 3;
const MAX_HASHED_BYTES = 32 * 1024 * 1024;
const MAX_CHECKED_AHEAD = 20;
const MAX_REFUSALS = 8;
const MAX_WAIT_SECONDS = 30;
const LINK_PROBLEMS = ["link-expired", "link-revoked", "link-used-up", "bad-link-token"];
const RECEIPT_POLLS = 60;

export const ENDED = ["ready", "defects", "unusable", "duplicate", "failed", "refused", "cancelled", "processing"];

export class Queue {
  items = [];
  isPaused = false;
  /** The reason why the link takes no more; null as long as it does. */
  refusal = null;
  #sending = 0;
  #isChecking = false;

  /** `onChange(item)` is called when an item changes; with null when only the queue does. */
  constructor({ api, memory, maxBytes, resumableFrom, onChange }) {
    Object.assign(this, { api, memory, maxBytes, resumableFrom, onChange });
    addEventListener("online", () => this.items.forEach((item) => item.wake?.()));
  }

  add(files) {
    for (const file of files) {
      const item = { file, sent: 0, state: "waiting", notice: null, reason: null, isChecked: false };
      item.path = this.memory.pathOf(file);
      // with WebCrypto only, which browsers offer on https and localhost
      item.isChecked = !globalThis.crypto?.subtle || file.size > MAX_HASHED_BYTES || Boolean(item.path);
      this.items.push(item);
      if (this.refusal) this.#set(item, "refused");
      else if (file.size > this.maxBytes) this.#fail(item, { slug: "file-too-large" });
      else if (file.size === 0) this.#fail(item, { slug: "empty-file" });
      else this.onChange(item);
    }
    this.#run();
  }

  pause() {
    this.isPaused = true;
    for (const item of this.items) {
      item.abort?.abort();
      item.wake?.();
    }
    this.onChange(null);
  }

  resume() {
    this.isPaused = false;
    for (const item of this.items) {
      if (item.state === "waiting" && item.notice) this.#set(item, "waiting");
    }
    this.onChange(null);
    this.#run();
  }

  cancel(item) {
    this.#set(item, "cancelled");
    item.abort?.abort();
    item.wake?.();
    if (item.path) this.api.endResumable(item.path).catch(() => {}); // else it expires
    this.memory.forget(item.file);
    this.#run();
  }

  retry(item) {
    if (this.refusal) return;
    item.refusals = 0;
    this.#set(item, "waiting");
    this.#run();
  }

  #run() {
    this.#check();
    while (!this.isPaused && !this.refusal && this.#sending < AT_ONCE) {
      const item = this.items.find((found) => found.state === "waiting" && found.isChecked && !found.isBusy);
      if (!item) return;
      this.#sending += 1;
      item.isBusy = true;
      this.#send(item).finally(() => {
        this.#sending -= 1;
        item.isBusy = false;
        this.#run();
      });
    }
  }

  /** Hash the next small files, and ask in one request which of them are there already. */
  async #check() {
    if (this.#isChecking || this.refusal || this.isPaused) return;
    const waiting = this.items.filter((item) => item.state === "waiting");
    if (waiting.filter((item) => item.isChecked && !item.isBusy).length >= MAX_CHECKED_AHEAD) return;
    const next = waiting.filter((item) => !item.isChecked).slice(0, MAX_CHECKED_AHEAD);
    if (!next.length) return;
    this.#isChecking = true;
    for (const item of next) {
      this.#set(item, "checking");
      item.sha256 = await hashOf(item.file);
    }
    const known = await this.#known(next.map((item) => item.sha256).filter(Boolean));
    for (const item of next.filter((found) => found.state === "checking")) {
      item.isChecked = true;
      if (known.has(item.sha256)) this.#end(item, { status: "duplicate", url: null });
      else this.#set(item, this.refusal ? "refused" : "waiting");
    }
    this.#isChecking = false;
    this.#run();
  }

  /** Those of the hashes that were sent before; none when that is unknown: sending a file again only costs time. */
  async #known(hashes) {
    try {
      return hashes.length ? await this.api.check(hashes) : new Set();
    } catch (error) {
      if (error instanceof Refusal && LINK_PROBLEMS.includes(error.slug)) this.#refuse(error);
      return new Set();
    }
  }

  async #send(item) {
    for (let attempt = 0; item.state === "waiting" && !this.isPaused && !this.refusal; attempt += 1) {
      item.abort = new AbortController();
      this.#set(item, "sending");
      try {
        const isResumable = item.path || item.file.size >= this.resumableFrom;
        this.#end(item, await (isResumable ? this.#sendResumable(item) : this.#sendWhole(item)));
        return;
      } catch (error) {
        if (item.state === "cancelled") return;
        const seconds = this.#waitAfter(item, error, attempt);
        if (seconds === null) return;
        if (seconds > 0) await this.#wait(item, seconds);
      } finally {
        item.abort = null;
      }
    }
  }

  /** Seconds to wait before another attempt; null when there is none now. */
  #waitAfter(item, error, attempt) {
    if (error.name === "AbortError") {
      this.#set(item, "waiting", text("paused"));
      return null;
    }
    if (error instanceof Offline) {
      this.#set(item, "waiting", text("offline"));
      return Math.min(MAX_WAIT_SECONDS, 2 ** attempt);
    }
    if (!(error instanceof Refusal)) {
      item.isRetryable = true;
      this.#fail(item, { slug: "unreadable" });
      return null;
    }
    if (LINK_PROBLEMS.includes(error.slug)) {
      this.#refuse(error);
      this.#set(item, "refused");
      return null;
    }
    item.refusals = (item.refusals ?? 0) + 1;
    if (item.path && [404, 410].includes(error.status) && item.refusals < MAX_REFUSALS) {
      this.memory.forget(item.file); // the upload has expired or is lost: start again
      item.path = undefined;
      this.#set(item, "waiting");
      return 0;
    }
    const isTemporary = [408, 409, 423, 429].includes(error.status) || error.status >= 500;
    if (!isTemporary || item.refusals >= MAX_REFUSALS) {
      item.isRetryable = isTemporary;
      this.#fail(item, error);
      return null;
    }
    const seconds = Math.min(MAX_WAIT_SECONDS, error.retryAfter ?? 2 ** (item.refusals - 1));
    this.#set(item, "waiting", text("later", { seconds }));
    return seconds;
  }

  #wait(item, seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      item.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #sendWhole(item) {
    const onProgress = (sent) => this.#progress(item, Math.min(sent, item.file.size));
    return this.api.put(item.file, { sha256: item.sha256, signal: item.abort.signal, onProgress });
  }

  async #sendResumable(item) {
    const signal = item.abort.signal;
    let state = { offset: 0, result: null };
    if (item.path) {
      state = await this.api.resumableState(item.path, { signal });
    } else {
      item.path = await this.api.createResumable(item.file, { signal });
      this.memory.keep(item.file, item.path);
    }
    while (!state.result) {
      const { offset } = state;
      this.#progress(item, offset);
      const onProgress = (sent) => this.#progress(item, Math.min(offset + sent, item.file.size));
      state = await this.api.append(item.path, item.file, offset, { signal, onProgress });
    }
    this.memory.finish(item.file);
    return state.result;
  }

  #progress(item, sent) {
    item.sent = sent;
    this.onChange(item);
  }

  #end(item, { status, url }) {
    item.sent = item.file.size;
    item.receipt = url;
    this.#set(item, status === "duplicate" ? "duplicate" : "processing");
    if (url) this.#follow(item);
  }

  /** Ask for the receipt until the picture is processed: less and less often, and the less the more files wait. */
  async #follow(item) {
    item.isFollowed = true;
    for (let poll = 0; poll < RECEIPT_POLLS; poll += 1) {
      const others = this.items.filter((found) => found.isFollowed).length;
      await new Promise((resolve) => setTimeout(resolve, Math.min(10_000, 700 * 1.3 ** poll) * (1 + others / 10)));
      try {
        const receipt = await this.api.receipt(item.receipt);
        if (receipt.state === "pending") continue;
        item.thumbnail = receipt.thumbnail_url;
        item.defects = receipt.defects;
        if (receipt.state === "ready") {
          const isPoor = receipt.defects.length > 0;
          this.#set(item, item.state === "duplicate" ? "duplicate" : isPoor ? "defects" : "ready");
        } else {
          item.reason = reasonOf({ slug: receipt.problem?.type?.split("/").pop(), title: receipt.problem?.title });
          this.#set(item, "unusable");
        }
        break;
      } catch (error) {
        if (error instanceof Refusal && error.status < 500 && error.status !== 429) break;
      }
    }
    item.isFollowed = false;
  }

  #refuse(error) {
    this.refusal ??= reasonOf(error);
    for (const item of this.items) {
      if (item.state === "waiting" && !item.isBusy) this.#set(item, "refused");
    }
    this.onChange(null);
  }

  #fail(item, problem) {
    item.reason = reasonOf(problem);
    this.#set(item, "failed");
  }

  #set(item, state, notice = null) {
    item.state = state;
    item.notice = notice;
    this.onChange(item);
  }
}

/** SHA-256 in hexadecimal; null when the file cannot be read, which sending then reports. */
async function hashOf(file) {
  try {
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch {
    return null;
  }
}
