/** The ways to choose files: buttons, drag and drop, and paste. */

const NAME_OF_PICTURE = /\.(jpe?g|png|webp|gif|tiff?|bmp|hei[cf]|avif)$/i;

/** Call `add(files)` whenever the person chooses files. */
export function listenForFiles({ byId, add }) {
  for (const [button, input] of [["choose", "input-files"], ["choose-folder", "input-folder"], ["take", "input-camera"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", () => {
      const files = [...byId(input).files];
      add(input === "input-folder" ? files.filter(isPicture) : files);
      byId(input).value = ""; // so that the same file can be chosen again
    });
  }
  byId("choose-folder").hidden = !("webkitdirectory" in byId("input-folder"));

  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) add(files);
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const dropped = [...event.dataTransfer.files];
    const folders = entries.filter((entry) => entry.isDirectory);
    const names = new Set(folders.map((folder) => folder.name));
    const inFolders = (await Promise.all(folders.map(filesBelow))).flat();
    add([...dropped.filter((file) => !names.has(file.name) || file.type), ...inFolders.filter(isPicture)]);
  });
}

function isPicture(file) {
  return file.type.startsWith("image/") || NAME_OF_PICTURE.test(file.name);
}

async function filesBelow(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    // a reader returns at most a hundred entries at a time, and none at the end
    const entries = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!entries.length) return found;
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await filesBelow(entry)));
      else found.push(...(await new Promise((resolve) => entry.file((file) => resolve([file]), () => resolve([])))));
    }
  }
}
