// What a mouse, a pen or fingers do to the picture.

import { draw } from "./dom.js";
import { RING } from "./picture.js";

const SLACK = 4; // pixels that a click may move
const TWICE = 400; // milliseconds between the clicks of a double click
const GRID = 20;

export const snapped = (value, on) => (on ? Math.round(value / GRID) * GRID : Math.round(value * 10) / 10);

export class Gestures {
  // does: what comes of gestures: {move, moved, link, open, menu}.
  constructor(lab, picture, view, does) {
    Object.assign(this, { lab, picture, view, does, now: null, touches: new Map() });
    const { svg } = picture.layers;
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.moved(event));
    svg.addEventListener("pointerup", (event) => this.up(event));
    svg.addEventListener("pointercancel", (event) => this.cancel(event));
    svg.addEventListener("pointerleave", () => this.now || picture.heat(null));
    svg.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      const id = idOf(event, ".node") ?? idOf(event, ".link");
      if (id && !picture.selected.has(id)) picture.select([id]);
      does.menu(id ?? null, event.clientX, event.clientY, view.at(event));
    });
    svg.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const pinch = event.ctrlKey ? 0.01 : 0.0015;
        view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 20 : 1) * pinch), event);
      },
      { passive: false },
    );
  }

  down(event) {
    if (event.button > 1) return;
    const { picture, view } = this;
    this.touches.set(event.pointerId, event);
    if (this.touches.size === 2) return void (this.now = { kind: "pinch", apart: this.apart() });
    picture.layers.svg.setPointerCapture(event.pointerId);
    const port = event.target.closest?.(".port");
    const node = idOf(event, ".node");
    const link = idOf(event, ".link");
    const start = { x: event.clientX, y: event.clientY, place: view.at(event) };
    if (event.button === 1) this.now = { kind: "pan", start };
    else if (port) this.now = { kind: "link", start, end: endOf(port) };
    else if (node) this.now = { kind: "click", start, node, add: event.shiftKey || event.ctrlKey || event.metaKey };
    else if (link) picture.select([link]);
    else this.now = event.shiftKey ? { kind: "frame", start } : { kind: "pan", start, empty: true };
    if (node) picture.focus(node);
    else if (!port) picture.layers.svg.focus({ preventScroll: true });
  }

  moved(event) {
    const { now, view, picture } = this;
    if (this.touches.has(event.pointerId)) this.touches.set(event.pointerId, event);
    if (!now) return void picture.heat(this.near(view.at(event)));
    if (now.kind === "pinch") {
      const apart = this.apart();
      view.zoom(apart.length / now.apart.length, apart);
      view.pan(apart.clientX - now.apart.clientX, apart.clientY - now.apart.clientY);
      now.apart = apart;
      return;
    }
    const far = Math.hypot(event.clientX - now.start.x, event.clientY - now.start.y) > SLACK;
    if (!now.moving && !far) return;
    if (now.kind === "click") this.beginDrag(now);
    now.moving = true;
    const place = view.at(event);
    if (now.kind === "pan") {
      view.pan(event.clientX - (now.last ?? now.start).x, event.clientY - (now.last ?? now.start).y);
      now.last = { x: event.clientX, y: event.clientY };
    } else if (now.kind === "drag") this.drag(now, place);
    else if (now.kind === "link") this.drawLink(now, place);
    else if (now.kind === "frame") this.drawFrame(now, place);
  }

  beginDrag(now) {
    const { picture, lab } = this;
    if (!picture.selected.has(now.node)) picture.select([now.node]);
    const ids = [...picture.selected].filter((id) => lab.nodes.has(id));
    now.kind = "drag";
    now.from = new Map(ids.map((id) => [id, { x: lab.nodes.get(id).x, y: lab.nodes.get(id).y }]));
    picture.heat(null);
    picture.lift(ids);
    picture.layers.svg.classList.add("dragging");
  }

  drag(now, place) {
    const dx = place.x - now.start.place.x;
    const dy = place.y - now.start.place.y;
    const on = this.does.grid();
    const to = ([id, { x, y }]) => [id, { x: snapped(x + dx, on), y: snapped(y + dy, on) }];
    this.does.move(new Map([...now.from].map(to)));
  }

  drawLink(now, place) {
    const { picture, lab } = this;
    const from = lab.nodes.get(now.end.vm_id);
    const over = this.near(place);
    picture.heat(over && over !== now.end.vm_id ? over : now.end.vm_id);
    now.line ??= picture.layers.over.appendChild(draw("path", { class: "rubber" }));
    now.line.setAttribute("d", `M${from.x} ${from.y}L${place.x} ${place.y}`);
  }

  drawFrame(now, place) {
    now.frame ??= this.picture.layers.over.appendChild(draw("rect", { class: "frame" }));
    const { x, y } = now.start.place;
    const box = { x: Math.min(x, place.x), y: Math.min(y, place.y), width: Math.abs(x - place.x), height: Math.abs(y - place.y) };
    for (const [name, value] of Object.entries(box)) now.frame.setAttribute(name, value);
    const inside = [...this.lab.nodes.values()].filter(
      (node) => node.x >= box.x && node.x <= box.x + box.width && node.y >= box.y && node.y <= box.y + box.height,
    );
    this.picture.select(inside.map((node) => node.vm_id));
  }

  up(event) {
    const { now, picture } = this;
    this.touches.delete(event.pointerId);
    if (!now) return;
    if (now.kind === "click") {
      const others = now.add ? [...picture.selected] : [];
      picture.select(others.includes(now.node) ? others.filter((id) => id !== now.node) : [...others, now.node]);
      // A pointer that is captured sends its double click to the whole picture.
      const twice = this.clicked?.node === now.node && event.timeStamp - this.clicked.at < TWICE;
      this.clicked = twice ? null : { node: now.node, at: event.timeStamp };
      if (twice) this.does.open(now.node);
    } else if (now.kind === "pan" && now.empty && !now.moving) picture.select([]);
    else if (now.kind === "drag") this.does.moved(now.from);
    else if (now.kind === "link") this.endLink(now, event);
    this.end();
  }

  endLink(now, event) {
    const there = document.elementFromPoint(event.clientX, event.clientY);
    const port = there?.closest?.(".port");
    const node = port ? port.dataset.id : this.near(this.view.at(event));
    if (!node || node === now.end.vm_id) return;
    this.does.link(now.end, port ? endOf(port) : { vm_id: node });
  }

  cancel(event) {
    this.touches.delete(event.pointerId);
    if (this.now?.kind === "drag") this.does.move(this.now.from);
    this.end();
  }

  // Let go of what is under way, as Escape does.
  end() {
    this.picture.layers.over.replaceChildren();
    this.picture.layers.svg.classList.remove("dragging");
    if (this.now?.kind === "drag") this.picture.lift([]);
    this.now = this.touches.size === 1 ? { kind: "pan", start: position([...this.touches.values()][0]) } : null;
  }

  // The node whose ring of ports a place lies in.
  near(place) {
    let best = null;
    let least = RING + 20;
    for (const node of this.lab.nodes.values()) {
      const far = Math.hypot(node.x - place.x, node.y - place.y);
      if (far < least) [best, least] = [node.vm_id, far];
    }
    return best;
  }

  apart() {
    const [one, other] = [...this.touches.values()];
    return {
      length: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1,
      clientX: (one.clientX + other.clientX) / 2,
      clientY: (one.clientY + other.clientY) / 2,
    };
  }
}

const position = (event) => ({ x: event.clientX, y: event.clientY });
const idOf = (event, what) => event.target.closest?.(what)?.dataset.id ?? null;
const endOf = (port) => ({ vm_id: port.dataset.id, adapter: Number(port.dataset.adapter), port: Number(port.dataset.port) });
