// Elements, and where this server is: pages may lie below a path of a proxy, so nothing begins with a slash.

export const BASE = new URL("..", import.meta.url).href;
const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);
export const at = (path) => BASE + path;

// Children that are strings become text, never HTML: a name is whatever somebody typed.
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Give the elements of the page as it came their words: data-text names a text, data-name what is read out, data-tip a tip.
export function spell(texts) {
  for (const element of document.querySelectorAll("[data-text], [data-name], [data-tip]")) {
    const { text, name, tip } = element.dataset;
    if (text) element.append(texts[text]);
    if (name) element.setAttribute("aria-label", texts[name]);
    if (tip) element.title = texts[tip];
  }
}

// A button with a picture of icons.js, whose name is read out and shown as a tip.
export function iconButton(icon, name, onclick, attributes = {}) {
  return make("button", { type: "button", class: "icon", title: name, "aria-label": name, onclick, ...attributes }, glyph(icon));
}

export function glyph(name) {
  return draw("svg", { class: "glyph", "aria-hidden": "true", viewBox: "0 0 24 24" }, draw("use", { href: `#${name}` }));
}

// Calls at most once a frame, with what was asked last.
export function eachFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

export async function atMost(limit, items, work) {
  const rest = [...items];
  const worker = async () => {
    while (rest.length) await work(rest.shift());
  };
  await Promise.all(Array.from({ length: Math.min(limit, rest.length) }, worker));
}
