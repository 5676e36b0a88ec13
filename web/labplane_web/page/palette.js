// The kinds of machines that can be added, and the form with which one is.

import { find, glyph, iconButton, make } from "./dom.js";
import { formOf } from "./form.js";
import { freeName } from "./kinds.js";
import { T } from "./text.js";
import { dialog, tried } from "./ui.js";

// add: an async function of a kind, a place and settings.
export class Palette {
  constructor(lab, kinds, view, add) {
    Object.assign(this, { lab, kinds, view, add });
    this.buttons = new Map();
    for (const kind of kinds.values()) find("palette-kinds").append(this._row(kind));
  }

  // here: the server's sentences about kinds of which something is missing, [{kind, message}].
  lacking(here) {
    for (const { kind, message } of here) {
      const button = this.buttons.get(kind);
      if (!message || !button) continue;
      button.classList.add("lacking");
      button.title = message;
      button.append(make("small", {}, T.lacking), make("span", { class: "away" }, message));
    }
  }

  _row(kind) {
    const button = make("button", { type: "button", class: "kind", title: T.paletteAdd(kind.name) }, glyph(kind.icon), make("span", {}, kind.name));
    if (kind.name.toLowerCase() !== kind.kind) button.append(make("small", {}, kind.kind));
    this.buttons.set(kind.kind, button);
    button.onclick = (event) => this._dropped || this.quick(kind, event);
    button.onpointerdown = (event) => event.button === 0 && this._drag(kind, button, event);
    const more = iconButton("i-gear", T.paletteMore(kind.name), () => this.withSettings(kind));
    return make("li", {}, button, more);
  }

  // A kind that lacks nothing is there with one click; another asks for what it must have.
  async quick(kind, _event, place = this.freePlace()) {
    const needed = (kind.create.required ?? []).filter((name) => name !== "name");
    if (needed.length) return this.withSettings(kind, place);
    return tried(() => this.add(kind, place, {}));
  }

  withSettings(kind, place = this.freePlace()) {
    const form = formOf(
      { ...kind.create, properties: { ...kind.create.properties, name: { ...kind.create.properties.name, default: freeName(kind, this.lab.nodes.values()) } } },
      null,
      { leaveOut: ["vm_id"], first: ["name", ...(kind.create.required ?? [])] },
    );
    return dialog({ title: T.addTitle(kind.name), body: form.elements, submit: T.create, read: form.read, work: (given) => this.add(kind, place, given) });
  }

  // The middle of what is seen, or the first place around it where nobody is.
  freePlace() {
    const { x, y } = this.view.center;
    const taken = [...this.lab.nodes.values()];
    for (let ring = 0; ; ring += 1) {
      for (let step = 0; step < Math.max(1, ring * 6); step += 1) {
        const angle = (2 * Math.PI * step) / Math.max(1, ring * 6);
        const place = { x: Math.round((x + ring * 140 * Math.cos(angle)) / 20) * 20, y: Math.round((y + ring * 140 * Math.sin(angle)) / 20) * 20 };
        if (taken.every((node) => Math.hypot(node.x - place.x, node.y - place.y) > 110)) return place;
      }
    }
  }

  _drag(kind, button, event) {
    this._dropped = false;
    let ghost = null;
    button.setPointerCapture(event.pointerId);
    button.onpointermove = (moved) => {
      if (!ghost && Math.hypot(moved.clientX - event.clientX, moved.clientY - event.clientY) < 6) return;
      ghost ??= document.body.appendChild(make("div", { class: "ghost", "aria-hidden": "true" }, glyph(kind.icon)));
      ghost.style.left = `${moved.clientX}px`;
      ghost.style.top = `${moved.clientY}px`;
    };
    const end = (ended) => {
      button.onpointermove = button.onpointerup = button.onpointercancel = null;
      if (!ghost) return;
      ghost.remove();
      this._dropped = true; // the click that follows is none
      setTimeout(() => (this._dropped = false));
      const there = document.elementFromPoint(ended.clientX, ended.clientY);
      if (ended.type === "pointerup" && there?.closest("#picture")) {
        const { x, y } = this.view.at(ended);
        this.quick(kind, ended, { x: Math.round(x / 20) * 20, y: Math.round(y / 20) * 20 });
      }
    };
    button.onpointerup = button.onpointercancel = end;
  }
}
