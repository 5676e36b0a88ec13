// The drawer below the picture: messages, and a tab for each console.

import { find, glyph, iconButton, make } from "./dom.js";
import { Screen } from "./screen.js";
import { Terminal } from "./terminal.js";
import { T } from "./text.js";

const MESSAGES = 200;
const SMALLEST = 9;
const LARGEST = 28;

const kept = (name, otherwise) => {
  try {
    return Number(localStorage.getItem(name) ?? otherwise);
  } catch {
    return otherwise;
  }
};
const keep = (name, value) => {
  try {
    localStorage.setItem(name, value);
  } catch {
    // it holds for this page, then
  }
};

const idOf = (node, further) => (further === null ? node.vm_id : `${node.vm_id}-${further}`);

export class Drawer {
  constructor(lab) {
    this.lab = lab;
    this.consoles = new Map(); // id → {terminal, tab, pane, title, close}
    this.split = false;
    this.fontSize = kept("console-font", 14);
    this.element = find("drawer");
    this.tabs = find("tabs");
    this.panes = find("panes");
    this.active = "messages";
    this.under = new Map(); // id of a machine → the message that tells how far work on it has come
    this._build();
    lab.addEventListener("change", () => this._follow());
  }

  _build() {
    this.tabs.append(this._tab("messages", T.messages));
    this.messages = make("ul", { class: "messages", "aria-live": "polite" }, make("li", { class: "quiet" }, T.noMessages));
    this.messagesPane = make("div", { class: "pane", role: "tabpanel", id: "pane-messages", "aria-labelledby": "tab-messages", tabindex: "0" }, this.messages);
    this.panes.append(this.messagesPane);
    this.search = make("input", { type: "search", placeholder: T.find, "aria-label": T.find });
    this.search.onkeydown = (event) => {
      if (event.key === "Enter") this._current()?.terminal.find(this.search.value, event.shiftKey);
      if (event.key === "Escape") this._current()?.terminal.focus();
    };
    this.splitter = iconButton("i-split", T.split, () => this.setSplit(!this.split), { "aria-pressed": "false" });
    const threeKeys = make("button", { type: "button", title: T.threeKeysOf, onclick: () => this._current().terminal.sendCtrlAltDel() }, T.threeKeys);
    const ofTerminals = [this.search, iconButton("i-smaller", T.smaller, () => this._font(-1)), iconButton("i-larger", T.bigger, () => this._font(1))];
    this.tools = { ofTerminals, ofScreens: [threeKeys] };
    find("drawer-tools").append(threeKeys, this.search, this.splitter, ...ofTerminals.slice(1));
    this.tabs.onkeydown = (event) => this._keys(event);
    this._resizable();
    this._show("messages");
  }

  _tab(id, name) {
    const attributes = { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `pane-${id}`, "aria-selected": "false", tabindex: "-1" };
    const button = make("button", attributes, make("span", { class: "tab-name" }, name));
    button.onclick = () => this._show(id, true);
    return button;
  }

  // Open the consoles of a machine, each as a tab; the first is shown. type: that of its console, "telnet", "vnc" or "none".
  // further: the names of those that it has besides. False when it has none.
  open(node, type, further) {
    const all = [...(type === "none" ? [] : [null]), ...further];
    for (const name of all) if (!this.consoles.has(idOf(node, name))) this._add(node, name, name === null && type === "vnc" ? Screen : Terminal);
    if (all.length) this._show(idOf(node, all[0]), true);
    return all.length > 0;
  }

  _add(node, further, Console) {
    const id = idOf(node, further);
    const tab = this._tab(id, "");
    // The keyboard closes with Delete: a tab has no buttons in it.
    const close = make("span", { class: "tab-close", "aria-hidden": "true" }, glyph("i-close"));
    close.onclick = (event) => {
      event.stopPropagation();
      this.close(id);
    };
    tab.append(close);
    tab.setAttribute("aria-keyshortcuts", "Delete");
    const state = make("p", { class: "console-state", role: "status" });
    const title = make("h3");
    const pane = make("div", { class: "pane console", role: "tabpanel", id: `pane-${id}`, "aria-labelledby": `tab-${id}`, hidden: true }, title, state);
    const terminal = new Console(node, {
      further,
      fontSize: this.fontSize,
      onnews: () => this._isShown(id) || tab.classList.add("news"),
      onstate: (now) => {
        pane.dataset.state = now;
        state.textContent = now === "open" ? "" : T.consoleStates[now];
      },
    });
    pane.dataset.state = "connecting";
    state.textContent = T.consoleStates.connecting;
    pane.append(terminal.element);
    pane.addEventListener("focusin", () => {
      if (!this.split || this.active === id) return;
      this._mark(id);
      this._showTools();
    });
    this.tabs.append(tab);
    this.panes.append(pane);
    this.consoles.set(id, { terminal, tab, pane, title, close });
    this._name(this.consoles.get(id));
  }

  _name({ terminal: { name }, tab, title, close }) {
    if (title.textContent === name) return;
    title.textContent = tab.firstElementChild.textContent = name;
    close.title = T.closeTab(name);
  }

  close(id) {
    const { terminal, tab, pane } = this.consoles.get(id);
    terminal.dispose();
    tab.remove();
    pane.remove();
    this.consoles.delete(id);
    if (this.active === id) this._show([...this.consoles.keys()].at(-1) ?? "messages", true);
    else this._arrange();
  }

  _show(id, focus = false) {
    this._mark(id);
    this._arrange();
    const one = this.consoles.get(id);
    if (focus) (one?.terminal ?? this.tabs.querySelector(`#tab-${id}`)).focus();
  }

  _mark(id) {
    this.active = id;
    for (const tab of this.tabs.querySelectorAll("[role=tab]")) {
      const on = tab.id === `tab-${id}`;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      if (on) {
        tab.classList.remove("news");
        tab.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
    }
  }

  _isShown(id) {
    return this.active !== "messages" && (this.split || this.active === id);
  }

  _arrange() {
    this.messagesPane.hidden = this.active !== "messages";
    for (const [id, { terminal, pane }] of this.consoles) {
      const shown = this._isShown(id);
      if (pane.hidden === !shown && shown === Boolean(terminal.seen)) continue;
      pane.hidden = !shown;
      terminal.seen = shown;
      if (shown) terminal.show();
      else terminal.hide();
    }
    this.panes.classList.toggle("split", this.split && this.active !== "messages" && this.consoles.size > 1);
    this._showTools();
  }

  _showTools() {
    const screen = this._current()?.terminal instanceof Screen;
    for (const tool of this.tools.ofTerminals) tool.hidden = this.consoles.size === 0 || screen;
    for (const tool of this.tools.ofScreens) tool.hidden = !screen;
    this.splitter.hidden = this.consoles.size === 0;
  }

  setSplit(split) {
    this.split = split;
    this.splitter.setAttribute("aria-pressed", split);
    if (split && this.active === "messages" && this.consoles.size) this._mark([...this.consoles.keys()][0]);
    this._arrange();
  }

  _font(step) {
    this.fontSize = Math.min(LARGEST, Math.max(SMALLEST, this.fontSize + step));
    keep("console-font", this.fontSize);
    for (const { terminal } of this.consoles.values()) terminal.setFontSize(this.fontSize);
  }

  _current() {
    return this.consoles.get(this.active);
  }

  _keys(event) {
    const all = [...this.tabs.querySelectorAll("[role=tab]")];
    const now = all.indexOf(document.activeElement);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next !== undefined) {
      const tab = all.at(next % all.length);
      this._show(tab.id.slice(4));
      tab.focus();
    } else if (event.key === "Delete" && this.consoles.has(all[now]?.id.slice(4))) this.close(all[now].id.slice(4));
    else return;
    event.preventDefault();
  }

  // The lab has changed: names of tabs, and machines that run again.
  _follow() {
    for (const one of this.consoles.values()) {
      one.terminal.follow(this.lab.nodes.get(one.terminal.node.vm_id));
      this._name(one);
    }
  }

  nudge() {
    for (const { terminal } of this.consoles.values()) terminal.nudge();
  }

  // A sentence of an event; level: "error", "warning" or "info". work: what a click on it does. under: the id of a machine
  // of which this sentence takes the place of the last such one, until `settle`.
  message(level, text, work = null, under = null) {
    const last = under && this.under.get(under);
    if (last) return void (last.lastElementChild.textContent = text);
    this.messages.querySelector(".quiet")?.remove();
    const time = make("time", {}, new Date().toLocaleTimeString());
    const said = work ? make("button", { type: "button", onclick: work }, text) : make("span", {}, text);
    const item = make("li", { "data-level": level }, time, said);
    this.messages.prepend(item);
    if (under) this.under.set(under, item);
    while (this.messages.children.length > MESSAGES) this.messages.lastElementChild.remove();
    if (level === "error" && this.active !== "messages") this.tabs.querySelector("#tab-messages").classList.add("news");
  }

  settle(id) {
    this.under.delete(id);
  }

  // The edge between picture and drawer is moved by the mouse or by arrow keys.
  _resizable() {
    const edge = find("edge");
    const set = (height) => {
      const all = document.querySelector(".lab").clientHeight;
      const now = Math.round(Math.min(all * 0.8, Math.max(36, height)));
      this.element.style.height = `${now}px`;
      edge.setAttribute("aria-valuenow", Math.round((100 * now) / all));
      keep("drawer", now);
    };
    set(kept("drawer", Math.min(220, innerHeight * 0.3)));
    edge.onpointerdown = (event) => {
      edge.setPointerCapture(event.pointerId);
      const from = event.clientY + this.element.clientHeight;
      edge.onpointermove = (moved) => set(from - moved.clientY);
      edge.onpointerup = () => (edge.onpointermove = null);
    };
    edge.onkeydown = (event) => {
      const step = { ArrowUp: 24, ArrowDown: -24 }[event.key];
      if (!step) return;
      event.preventDefault();
      set(this.element.clientHeight + step);
    };
  }
}
