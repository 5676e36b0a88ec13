// What both pages show beside their own: notices, questions, menus.

import { find, glyph, make } from "./dom.js";
import { T } from "./text.js";

const NOTICE_SECONDS = 8;

// Show a sentence; one of an error is read out at once and stays until it is dismissed.
export function notice(text, { error = false, action = null } = {}) {
  const close = make("button", { type: "button", class: "icon", "aria-label": T.dismiss, title: T.dismiss }, glyph("i-close"));
  const box = make("div", { class: "notice", "data-level": error ? "error" : "info", role: error ? "alert" : "status" });
  box.append(glyph(error ? "i-warning" : "i-info"), make("p", {}, text));
  if (action) {
    const button = make("button", { type: "button" }, action.name);
    button.onclick = () => {
      box.remove();
      action.work();
    };
    box.append(button);
  }
  close.onclick = () => box.remove();
  box.append(close);
  const all = find("notices");
  for (const old of all.children) if (old.querySelector("p").textContent === text) old.remove();
  all.append(box);
  while (all.children.length > 4) all.firstElementChild.remove();
  if (!error) setTimeout(() => box.remove(), NOTICE_SECONDS * 1000);
  return box;
}

// Run `work`; what the server refuses is shown in its own words. The result, or undefined.
export async function tried(work) {
  try {
    return await work();
  } catch (error) {
    notice(error.message, { error: true });
    return undefined;
  }
}

// A modal dialog. `submit` gets what `read` returns and may raise: then the dialog stays and says why.
export function dialog({ title, body = [], submit = T.ok, danger = false, wide = false, read = () => true, work = null }) {
  return new Promise((resolve) => {
    const problem = make("p", { class: "problem", role: "alert", hidden: true });
    const go = make("button", { type: "submit", class: danger ? "danger" : "primary" }, submit ?? T.close);
    const stop = make("button", { type: "button" }, T.cancel);
    const buttons = submit === null ? [make("button", { type: "submit" }, T.close)] : [stop, go];
    const heading = make("h2", { id: "dialog-title" }, title);
    const form = make("form", { method: "dialog" }, heading, ...body, problem, make("footer", {}, ...buttons));
    const box = make("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : null }, form);
    let answer = null;
    const before = document.activeElement;
    stop.onclick = () => box.close();
    box.addEventListener("close", () => {
      box.remove();
      before?.focus?.();
      resolve(answer);
    });
    form.onsubmit = async (event) => {
      event.preventDefault();
      problem.hidden = true;
      go.disabled = true;
      try {
        const value = submit === null ? true : read();
        answer = work && submit !== null ? await work(value) ?? value : value;
        box.close();
      } catch (error) {
        answer = null;
        problem.textContent = error.message;
        problem.hidden = false;
      } finally {
        go.disabled = false;
      }
    };
    document.body.append(box);
    box.showModal();
    const first = form.querySelector("[autofocus], input, textarea, select") ?? go;
    first.focus();
    first.select?.();
  });
}

export const ask = (title, text, submit) =>
  dialog({ title, body: [make("p", {}, text)], submit, danger: true }).then((answer) => answer === true);

// One line of text; null when it was left.
export function askText(title, label, value, work, { submit = T.ok, hint = null } = {}) {
  const input = make("input", { id: "ask-text", type: "text", maxlength: 255, required: true, autocomplete: "off" });
  input.value = value;
  const body = [make("label", { for: "ask-text" }, label), input, hint && make("p", { class: "quiet" }, hint)].filter(Boolean);
  return dialog({ title, body, submit, read: () => input.value.trim(), work });
}

let openMenu = null;

// items: [{name, icon, work, danger, disabled}] or null for a line between them.
export function menu(x, y, items, label) {
  openMenu?.();
  const before = document.activeElement;
  const list = make("div", { class: "menu", role: "menu", "aria-label": label, tabindex: "-1" });
  const close = (focus = true) => {
    list.remove();
    removeEventListener("pointerdown", outside, true);
    openMenu = null;
    if (focus) before?.focus?.();
  };
  const outside = (event) => list.contains(event.target) || close(false);
  for (const item of items) {
    if (item === null) {
      list.append(make("hr", { role: "separator" }));
      continue;
    }
    const attributes = { type: "button", role: "menuitem", tabindex: "-1", class: item.danger ? "danger" : null };
    const button = make("button", { ...attributes, disabled: item.disabled }, glyph(item.icon ?? "i-none"), item.name);
    button.onclick = () => {
      close();
      item.work();
    };
    list.append(button);
  }
  const choices = [...list.querySelectorAll("button:not([disabled])")];
  list.onkeydown = (event) => {
    const now = choices.indexOf(document.activeElement);
    const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: choices.length - 1 }[event.key];
    if (next !== undefined) choices.at(next % choices.length)?.focus();
    else if (event.key === "Escape" || event.key === "Tab") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  document.querySelector("main").append(list);
  const { width, height } = list.getBoundingClientRect();
  list.style.left = `${Math.max(4, Math.min(x, innerWidth - width - 4))}px`;
  list.style.top = `${Math.max(4, Math.min(y, innerHeight - height - 4))}px`;
  (choices[0] ?? list).focus();
  addEventListener("pointerdown", outside, true);
  openMenu = close;
}
