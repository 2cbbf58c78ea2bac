/** Requests to the routes below `/u`. The token travels in a header, so that no log contains it. */

const STALL_MS = 60_000;
const TUS = "1.0.0";

/** No answer came: the network or the service is away. */
export class Offline extends Error {}

/** The service refused the request. `slug` names the problem. */
export class Refusal extends Error {
  constructor(response) {
    super(`status ${response.status}`);
    const problem = response.json() ?? {};
    this.status = response.status;
    this.slug = (problem.type ?? "").split("/").pop();
    this.title = problem.title;
    const seconds = Number(response.header("Retry-After"));
    this.retryAfter = seconds > 0 ? seconds : null;
  }
}

export class Api {
  /** `base` is the path of all links, such as `/u`. */
  constructor(base, token) {
    this.base = `${base}/-`;
    this.token = token;
  }

  /** Which of these SHA-256 hashes were sent through the link already. */
  async check(hashes) {
    const body = JSON.stringify({ sha256: hashes });
    const headers = { "Content-Type": "application/json" };
    return new Set((await this.#request("POST", `${this.base}/check`, { body, headers })).json().have);
  }

  /** Send a file in one request. Returns `{status, url}`. */
  async put(file, { sha256, signal, onProgress }) {
    const query = sha256 ? `?sha256=${sha256}` : "";
    const path = `${this.base}/${encodeURIComponent(safeName(file.name))}${query}`;
    const headers = { "Content-Type": "application/octet-stream" };
    const response = await this.#request("PUT", path, { body: file, headers, signal, onProgress });
    return response.json().results[0];
  }

  /** Create a resumable upload. Returns its path. */
  async createResumable(file, { signal }) {
    const headers = { "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(safeName(file.name))}` };
    return (await this.#tus("POST", `${this.base}/tus`, { headers, signal })).header("Location");
  }

  /** How far a resumable upload is: `{offset, result}`; `result` only when it has ended. */
  async resumableState(path, { signal }) {
    return progressOf(await this.#tus("HEAD", path, { signal }));
  }

  /** Send the rest of a file. Returns as `resumableState`. */
  async append(path, file, offset, { signal, onProgress }) {
    const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
    const body = file.slice(offset);
    return progressOf(await this.#tus("PATCH", path, { body, headers, signal, onProgress }));
  }

  async endResumable(path) {
    await this.#tus("DELETE", path, {});
  }

  async receipt(path) {
    return (await this.#request("GET", path, {})).json();
  }

  async thumbnail(path) {
    return (await this.#request("GET", path, { type: "blob" })).body;
  }

  #tus(method, path, options) {
    return this.#request(method, path, { ...options, headers: { "Tus-Resumable": TUS, ...options.headers } });
  }

  /** Raises Refusal, Offline, and AbortError when `signal` is aborted. */
  #request(method, path, { body = null, headers = {}, signal, onProgress, type = "" }) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(method, path);
      request.responseType = type;
      request.setRequestHeader("Authorization", `Bearer ${this.token}`);
      request.setRequestHeader("Accept", "application/json");
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      let stall;
      const alive = () => {
        clearTimeout(stall);
        stall = setTimeout(() => request.abort(), STALL_MS);
      };
      request.upload.onprogress = (event) => {
        alive();
        onProgress?.(event.loaded);
      };
      request.onreadystatechange = alive;
      request.onload = () => {
        const response = new ApiResponse(request);
        response.status < 400 ? resolve(response) : reject(new Refusal(response));
      };
      request.onerror = () => reject(new Offline());
      request.onabort = () => reject(signal?.aborted ? new DOMException("aborted", "AbortError") : new Offline());
      request.onloadend = () => {
        clearTimeout(stall);
        signal?.removeEventListener("abort", abort);
      };
      const abort = () => request.abort();
      if (signal?.aborted) return reject(new DOMException("aborted", "AbortError"));
      signal?.addEventListener("abort", abort);
      alive();
      request.send(body);
    });
  }
}

class ApiResponse {
  constructor(request) {
    this.status = request.status;
    this.body = request.response;
    this.header = (name) => request.getResponseHeader(name);
  }

  /** The body; null when it is not JSON. */
  json() {
    try {
      return JSON.parse(this.body);
    } catch {
      return null;
    }
  }
}

function progressOf(response) {
  const status = response.header("Imagesvc-Status");
  const result = status ? { status, url: response.header("Imagesvc-Url") } : null;
  return { offset: Number(response.header("Upload-Offset")), result };
}

function safeName(name) {
  const shown = (name.toWellFormed?.() ?? name).slice(-200);
  return /^\.*$/.test(shown) ? "file" : shown;
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
