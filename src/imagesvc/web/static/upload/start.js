/** Starts the upload page. With the token in the fragment (`/u#token`), first fetches the page of the link. */

import { Api } from "./api.js";
import { listenForFiles } from "./files.js";
import { Memory } from "./memory.js";
import { ENDED, Queue } from "./queue.js";
import { localizeTimes } from "../times.js";
import { readMessages, text } from "./text.js";
import { View } from "./view.js";

const byId = (id) => document.getElementById(id);

const fragment = byId("fragment");
if (fragment) await openFragment(fragment);
else start(location.pathname.split("/").pop());

async function openFragment(place) {
  addEventListener("hashchange", () => location.reload());
  const token = location.hash.slice(1);
  const status = place.querySelector("[role=status]");
  if (!token) {
    status.textContent = place.dataset.wrong;
    return;
  }
  try {
    const headers = { Authorization: `Bearer ${token}`, Accept: "text/html" };
    const response = await fetch(`${place.dataset.base}/-`, { headers });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const main = page.querySelector("main");
    if (!main) throw new Error("no page");
    document.title = page.title;
    place.replaceWith(main);
  } catch {
    status.textContent = place.dataset.away;
    return;
  }
  start(token);
}

function start(token) {
  const place = byId("upload");
  localizeTimes(document.body);
  if (!place) return; // the page says why the link is closed
  readMessages();
  const { base, link, maxBytes, resumableFrom } = place.dataset;
  const memory = new Memory(link);
  const view = new View(byId);
  const queue = new Queue({
    api: new Api(base, token),
    memory,
    maxBytes: Number(maxBytes),
    resumableFrom: Number(resumableFrom),
    onChange: (item) => view.show(item),
  });
  view.watch(queue);

  const showUnfinished = () => {
    const added = new Set(queue.items.map((item) => `${item.file.name}/${item.file.size}`));
    const left = memory.unfinished().filter((entry) => !added.has(`${entry.name}/${entry.size}`));
    byId("unfinished").hidden = !left.length;
    byId("unfinished").querySelector("ul").replaceChildren(
      ...left.map((entry) => Object.assign(document.createElement("li"), { textContent: entry.name, dir: "auto" })),
    );
  };
  listenForFiles({
    byId,
    add: (files) => {
      byId("chooser-status").textContent = files.length ? "" : text("nothing");
      queue.add(files);
      showUnfinished();
    },
  });
  byId("pause").addEventListener("click", () => queue.pause());
  byId("resume").addEventListener("click", () => queue.resume());
  byId("retry").addEventListener("click", () => {
    for (const item of queue.items) if (item.state === "failed" && item.isRetryable) queue.retry(item);
  });
  byId("forget").addEventListener("click", () => {
    for (const entry of memory.unfinished()) {
      queue.api.endResumable(entry.path).catch(() => {});
      memory.forget({ name: entry.name, size: entry.size, lastModified: entry.modified });
    }
    showUnfinished();
  });
  addEventListener("beforeunload", (event) => {
    if (queue.items.some((item) => !ENDED.includes(item.state))) event.preventDefault();
  });
  byId("plain").hidden = true;
  byId("chooser").hidden = false;
  showUnfinished();
}
