/** Shows the queue: a row for each file, and the progress of all. */

import { ENDED } from "./queue.js";
import { durationText, hintOf, sizeText, text } from "./text.js";

const SHOWN_TYPES = /^image\/(jpeg|png|webp|gif|avif|bmp)$/;
const STATUS_MS = 3000;
const RATE_WINDOW_MS = 8000;

export class View {
  #rows = new Map();
  #samples = [];
  #statusAt = 0;
  #statusTimer = null;
  #frame = 0;

  constructor(byId) {
    this.byId = byId;
  }

  /** The queue whose items are shown. */
  watch(queue) {
    this.queue = queue;
  }

  show(item) {
    if (item) this.#showItem(item);
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#showTotal();
    });
  }

  #showItem(item) {
    let row = this.#rows.get(item);
    if (!row) {
      row = this.#newRow(item);
      this.#rows.set(item, row);
    }
    const { state } = item;
    row.element.className = `file ${state}`;
    row.state.textContent = stateText(item);
    row.bar.value = item.sent / (item.file.size || 1);
    row.bar.hidden = !["waiting", "checking", "sending"].includes(state);
    row.cancel.hidden = ENDED.includes(state);
    row.again.hidden = state !== "failed" || !item.isRetryable;
    row.retake.hidden = !["defects", "unusable"].includes(state);
    row.hint.textContent = (item.defects ?? []).map(hintOf).filter(Boolean).join(" ");
    if (item.thumbnail && !row.hasPreview) this.#showThumbnail(item, row);
  }

  #newRow(item) {
    const element = this.byId("row").content.firstElementChild.cloneNode(true);
    const find = (name) => element.querySelector(name);
    const { name } = item.file;
    find(".name").textContent = name;
    const row = {
      element,
      state: find(".state"),
      bar: find("progress"),
      hint: find(".hint"),
      cancel: find(".cancel"),
      again: find(".again"),
      retake: find(".retake"),
      preview: find(".preview"),
      hasPreview: false,
    };
    row.bar.setAttribute("aria-label", text("progressLabel", { name }));
    row.cancel.setAttribute("aria-label", text("cancelLabel", { name }));
    row.again.setAttribute("aria-label", text("againLabel", { name }));
    row.retake.setAttribute("aria-label", text("retakeLabel", { name }));
    row.cancel.addEventListener("click", () => this.queue.cancel(item));
    row.again.addEventListener("click", () => this.queue.retry(item));
    row.retake.addEventListener("click", () => this.byId("input-camera").click());
    if (SHOWN_TYPES.test(item.file.type)) this.#showPreview(row, item.file, name);
    this.byId("files").append(element);
    return row;
  }

  #showPreview(row, file, name) {
    const image = new Image();
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = text("previewLabel", { name });
    image.onload = () => URL.revokeObjectURL(image.src);
    image.onerror = () => {
      URL.revokeObjectURL(image.src);
      image.remove();
      row.hasPreview = false;
    };
    image.src = URL.createObjectURL(file);
    row.preview.replaceChildren(image);
    row.hasPreview = true;
  }

  /** For formats that the browser cannot show, such as HEIC: the thumbnail of the service. */
  async #showThumbnail(item, row) {
    row.hasPreview = true;
    try {
      this.#showPreview(row, await this.queue.api.thumbnail(item.thumbnail), item.file.name);
    } catch {
      row.hasPreview = false;
    }
  }

  #showTotal() {
    const { items } = this.queue;
    const wanted = items.filter((item) => item.state !== "cancelled");
    const size = wanted.reduce((sum, item) => sum + item.file.size, 0);
    const sent = wanted.reduce((sum, item) => sum + (ENDED.includes(item.state) ? item.file.size : item.sent), 0);
    const done = wanted.filter((item) => ENDED.includes(item.state)).length;
    const failed = wanted.filter((item) => ["failed", "refused", "unusable"].includes(item.state)).length;
    const isRunning = done < wanted.length;
    this.byId("total").hidden = !items.length;
    this.byId("total-bar").value = size ? sent / size : 1;
    this.byId("total-rate").textContent = isRunning ? this.#rateText(sent, size) : "";
    this.byId("pause").hidden = !isRunning || this.queue.isPaused;
    this.byId("resume").hidden = !isRunning || !this.queue.isPaused;
    this.byId("retry").hidden = isRunning || Boolean(this.queue.refusal) || !items.some((item) => item.state === "failed" && item.isRetryable);
    this.byId("refusal").hidden = !this.queue.refusal;
    if (this.byId("refusal").textContent !== (this.queue.refusal ?? "")) {
      this.byId("refusal").textContent = this.queue.refusal ?? "";
    }
    this.#showStatus({ done, total: wanted.length, failed, isRunning });
  }

  /** Screen readers read this line out, so it changes only every few seconds. */
  #showStatus({ done, total, failed, isRunning }) {
    const key = isRunning ? "totalRunning" : failed ? "totalFailed" : "totalDone";
    const line = text(key, { done: failed && !isRunning ? total - failed : done, total, failed });
    const status = this.byId("total-text");
    if (status.textContent === line) return;
    if (isRunning && status.textContent && Date.now() - this.#statusAt < STATUS_MS) {
      this.#statusTimer ??= setTimeout(() => {
        this.#statusTimer = null;
        this.show(null);
      }, STATUS_MS);
      return;
    }
    this.#statusAt = Date.now();
    status.textContent = line;
  }

  #rateText(sent, size) {
    const now = performance.now();
    this.#samples.push({ now, sent });
    while (this.#samples.length > 2 && now - this.#samples[0].now > RATE_WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    const rate = ((sent - first.sent) * 1000) / (now - first.now);
    const values = { sent: sizeText(sent), size: sizeText(size) };
    if (this.queue.isPaused || !(rate > 0) || now - first.now < 500) return text("size", values);
    return text("rate", { ...values, rate: sizeText(rate), time: durationText((size - sent) / rate) });
  }
}

function stateText(item) {
  switch (item.state) {
    case "sending": {
      const percent = Math.floor((100 * item.sent) / item.file.size);
      return percent >= 100 ? text("finishing") : percent > 0 ? text("percent", { percent }) : text("sending");
    }
    case "failed":
      return text("failed", { reason: item.reason });
    case "unusable":
      return text("unusable", { reason: item.reason });
    case "waiting":
      return item.notice ?? text("waiting");
    default:
      return text(item.state);
  }
}
