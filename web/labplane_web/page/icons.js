// Pictures of kinds and buttons: lines of our own, in a box of 24 by 24, that take the colour of the text.

import { draw } from "./dom.js";

const LINES = {
  "i-none": "",
  "i-plus": "M12 5v14M5 12h14",
  "i-minus": "M5 12h14",
  "i-close": "M6 6l12 12M18 6L6 18",
  "i-undo": "M9 5L4 10l5 5M4 10h9a5 5 0 0 1 0 10h-3",
  "i-redo": "M15 5l5 5-5 5M20 10h-9a5 5 0 0 0 0 10h3",
  "i-fit": "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  "i-layout": "M12 8V4M12 8L6 16M12 8l6 8M4 16h4v4H4zM16 16h4v4h-4zM10 3h4v4h-4z",
  "i-grid": "M4 9h16M4 15h16M9 4v16M15 4v16",
  "i-help": "M9 9a3 3 0 1 1 4 3c-.8.4-1 1-1 2M12 18h.01M12 2.5a9.5 9.5 0 1 0 0 19 9.5 9.5 0 0 0 0-19z",
  "i-theme": "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  "i-start": "M8 5l11 7-11 7z",
  "i-stop": "M7 7h10v10H7z",
  "i-suspend": "M9 6v12M15 6v12",
  "i-reload": "M19 12a7 7 0 1 1-2-5M19 3v5h-5",
  "i-console": "M4 5h16v14H4zM7 9l3 3-3 3M12 15h5",
  "i-edit": "M4 20l1-4L16 5l3 3L8 19z",
  "i-script": "M7 3h8l4 4v14H7zM10 11h6M10 15h6",
  "i-log": "M5 6h14M5 10h14M5 14h10M5 18h7",
  "i-gear": "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M5.6 18.4l2.1-2.1M16.3 7.7l2.1-2.1",
  "i-link": "M6 6a2 2 0 1 0 .01 0M18 18a2 2 0 1 0 .01 0M7.5 7.5l9 9",
  "i-trash": "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  "i-more": "M6 12h.01M12 12h.01M18 12h.01",
  "i-back": "M14 6l-6 6 6 6",
  "i-open": "M5 12h13M13 7l5 5-5 5",
  "i-export": "M12 4v11M8 11l4 4 4-4M5 20h14",
  "i-import": "M12 15V4M8 8l4-4 4 4M5 20h14",
  "i-copy": "M9 9h11v11H9zM15 9V4H4v11h5",
  "i-split": "M4 5h16v14H4zM12 5v14",
  "i-find": "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15.5 15.5L20 20",
  "i-larger": "M4 19L9 6l5 13M6 15h6M18 8v8M14.5 12h7",
  "i-smaller": "M4 19L9 6l5 13M6 15h6M15 12h6",
  "i-warning": "M12 4l9 16H3zM12 10v4M12 17h.01",
  "i-info": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5M12 8h.01",
  "i-panel": "M4 5h16v14H4zM15 5v14",
  "k-pc": "M4 5h16v11H4zM9 20h6M12 16v4",
  "k-switch": "M3 8h18v8H3zM6 12h.01M9 12h.01M12 12h.01M15 12h.01M18 12h.01M7 5l-2-2M7 5h8M17 19H9M17 19l2 2",
  "k-router": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 4v6M10 8l2 2 2-2M12 20v-6M10 16l2-2 2 2M4 12h5M15 12h5M6 10l-2 2 2 2M18 10l2 2-2 2",
  "k-server": "M5 4h14v7H5zM5 13h14v7H5zM8 7.5h.01M8 16.5h.01M12 7.5h4M12 16.5h4",
  "k-cloud": "M7 18a4 4 0 0 1 0-8 5.5 5.5 0 0 1 10.5-1A4.5 4.5 0 0 1 17 18z",
  "k-box": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
};

const KINDS = [
  [/switch|hub|bridge/, "k-switch"],
  [/router|linux|frr|ios|dynamips|iou|vyos/, "k-router"],
  [/vpcs|pc|host|echo/, "k-pc"],
  [/qemu|server|docker|vm/, "k-server"],
  [/nat|cloud|tap|net/, "k-cloud"],
];

// The symbols that `<use href="#name">` shows.
export function symbols() {
  const all = draw("svg", { class: "symbols", "aria-hidden": "true", width: 0, height: 0 });
  for (const [name, d] of Object.entries(LINES)) {
    all.append(draw("symbol", { id: name, viewBox: "0 0 24 24" }, draw("path", { d })));
  }
  return all;
}

// The lines of a picture, for where there are hundreds: `use` costs a tree of its own for each.
export const linesOf = (name) => LINES[name];

export function iconOf(kind) {
  return KINDS.find(([words]) => words.test(kind))?.[1] ?? "k-box";
}
