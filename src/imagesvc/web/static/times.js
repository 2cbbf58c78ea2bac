/** Show all times below an element in the reader's zone and language. */
export function localizeTimes(element) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of element.querySelectorAll("time[datetime]")) {
    const shown = new Date(time.dateTime);
    if (!Number.isNaN(shown.getTime())) time.textContent = format.format(shown);
  }
}
