/** Conveniences of the dashboard. Every page also works without them. */

import { localizeTimes } from "../times.js";

const byId = (id) => document.getElementById(id);

localizeTimes(document);
askBeforeSending();
showSelection();
drawHistogram();
refresh();
loadMore();

document.addEventListener("click", async (event) => {
  const { target } = event;
  if (target.dataset?.copy) {
    const input = byId(target.dataset.copy);
    input.select();
    try {
      await navigator.clipboard.writeText(input.value);
    } catch {
      document.execCommand("copy"); // plain http: there is no clipboard object
    }
    target.textContent = "Copied";
  }
  if (target.dataset?.print !== undefined) print();
  if (target.dataset?.back !== undefined && history.length > 1) {
    event.preventDefault();
    history.back();
  }
});

function askBeforeSending() {
  document.addEventListener("submit", (event) => {
    const { question } = event.target.dataset;
    if (question && !confirm(question)) event.preventDefault();
  });
}

function showSelection() {
  const form = byId("selection");
  if (!form) return;
  const boxes = () => [...form.querySelectorAll("input[name=image]")];
  const show = () => {
    const count = boxes().filter((box) => box.checked).length;
    byId("selected-count").textContent = count ? `${count} selected` : "";
  };
  form.addEventListener("change", ({ target }) => {
    if (target.id === "select-all") for (const box of boxes()) box.checked = target.checked;
    show();
  });
}

/** Replace the part of the page that shows counts or progress, while the page is visible. */
function refresh() {
  const part = byId("live");
  const seconds = Number(part?.dataset.refresh);
  if (!seconds) return;
  setTimeout(async () => {
    // never under the hands of somebody who uses it
    const isInUse = part.contains(document.activeElement) || document.querySelector("#items.extended");
    if (!document.hidden && !isInUse) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
        if (!next) return location.reload(); // the session has ended
        localizeTimes(next);
        part.replaceWith(next);
        drawHistogram();
      } catch {
        // the network is away: the next round tries again
      }
    }
    refresh();
  }, seconds * 1000);
}

/** Append the next page of a list when its end comes into view. */
function loadMore() {
  const items = byId("items");
  const observer = new IntersectionObserver(async (entries) => {
    const link = entries.find((entry) => entry.isIntersecting)?.target;
    if (!link) return;
    observer.unobserve(link);
    try {
      const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      localizeTimes(next);
      items.append(...(next.getElementById("items")?.children ?? []));
      items.classList.add("extended");
      const following = next.querySelector("a[rel=next]");
      if (following) {
        link.href = following.href;
        observer.observe(link);
      } else link.closest(".more").remove();
    } catch {
      // the link stays and can be followed
    }
  }, { rootMargin: "400px" });
  for (const link of document.querySelectorAll("a[rel=next]")) if (items) observer.observe(link);
}

/** The histogram of the shown picture, from its pixels in the browser. */
function drawHistogram() {
  const picture = byId("shown");
  const figure = byId("histogram");
  if (!picture || !figure || figure.querySelector("svg")) return;
  const draw = () => {
    const canvas = new OffscreenCanvas(256, 256);
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0, 256, 256);
    const { data } = context.getImageData(0, 0, 256, 256);
    const counts = new Array(64).fill(0);
    for (let at = 0; at < data.length; at += 4) {
      counts[(0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2]) >> 2] += 1;
    }
    const largest = Math.max(...counts);
    const points = counts.map((count, at) => `L${(at * 600) / 63} ${120 - (120 * count) / largest}`).join("");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 600 120");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", `M0 120${points}L600 120Z`);
    svg.append(path);
    figure.append(svg);
    figure.hidden = false;
  };
  picture.complete && picture.naturalWidth ? draw() : picture.addEventListener("load", draw, { once: true });
}
