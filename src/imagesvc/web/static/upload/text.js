/** Messages and numbers in the language of the page. */

const language = document.documentElement.lang || "en";
const UNITS = ["B", "kB", "MB", "GB", "TB"];
let messages = { texts: {}, problems: {}, defects: {} };

/** Read the messages that the page contains. */
export function readMessages() {
  messages = JSON.parse(document.getElementById("messages").textContent);
}

/** The message of a key, with `{name}` replaced by the value of that name. */
export function text(key, values = {}) {
  return messages.texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Why a file was not sent, for people: by the slug of the problem, else its title, else the status. */
export function reasonOf({ slug, title, status }) {
  return messages.problems[slug] ?? title ?? text("noReason", { status });
}

/** What to do about a defect of a picture; undefined for an unknown one. */
export function hintOf(defect) {
  return messages.defects[defect];
}

/** A number of bytes: 1500000 -> "1.5 MB". */
export function sizeText(bytes) {
  let unit = 0;
  while (bytes >= 1000 && unit < UNITS.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && bytes < 100 ? 1 : 0;
  return `${bytes.toLocaleString(language, { maximumFractionDigits: digits })} ${UNITS[unit]}`;
}

export function durationText(seconds) {
  if (seconds < 90) return text("seconds", { count: Math.max(1, Math.round(seconds)) });
  if (seconds < 5400) return text("minutes", { count: Math.round(seconds / 60) });
  return text("hours", { count: Math.round(seconds / 3600) });
}
