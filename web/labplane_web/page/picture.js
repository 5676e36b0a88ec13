// The picture of a lab: an element for each node and link, changed where the lab has changed and left alone elsewhere.

import { draw, eachFrame } from "./dom.js";
import { iconOf, linesOf } from "./icons.js";
import { T } from "./text.js";

export const HALF = 28; // half the side of a node
export const RING = 46; // how far from the middle of a node its ports are shown
const WIDE_RING = 58; // for a node that has many
const NAMES_UP_TO = 80; // so many links have the names of their ports beside their ends
const BOW = 26; // how far links between the same two nodes keep apart
const BAR = 40; // the width of a bar that tells how far work has come
const STATES = { started: "M-3 -4.5l7 4.5-7 4.5z", stopped: "M-3.2 -3.2h6.4v6.4h-6.4z", suspended: "M-3.5 -4h2.4v8h-2.4zM1.1 -4h2.4v8h-2.4z" };

export class Picture {
  constructor(lab, layers, kinds) {
    Object.assign(this, { lab, layers, kinds, selected: new Set(), focused: null, hot: null });
    this.nodes = new Map(); // id → {g, name, state, shown}
    this.links = new Map(); // id → {g, ...}
    this._dirty = new Set();
    this._everything = true;
    this.later = eachFrame(() => this.render());
    lab.addEventListener("change", (event) => {
      if (event.ids === null) this._everything = true;
      else for (const id of event.ids) this._dirty.add(id);
      this.later();
    });
  }

  render() {
    if (this._everything) this._renderAll();
    else for (const id of this._dirty) this._renderNode(this.lab.nodes.get(id));
    const dirty = this._dirty;
    if (!this._everything) {
      for (const [id, drawn] of this.links) {
        if (drawn.link.ends.some((end) => dirty.has(end.vm_id))) this._renderLink(this.lab.links.get(id) ?? drawn.link);
      }
    }
    this._everything = false;
    this._dirty = new Set();
    this.renderPorts();
    this.onrender?.();
  }

  _renderAll() {
    const { nodes, links } = this.lab;
    for (const [id, drawn] of this.nodes) {
      if (!nodes.has(id)) {
        const focused = document.activeElement === drawn.g;
        drawn.g.remove();
        this.nodes.delete(id);
        this.selected.delete(id);
        if (this.focused === id) this.focused = null;
        if (focused) this.layers.svg.focus({ preventScroll: true });
      }
    }
    for (const [id, drawn] of this.links) {
      if (!links.has(id)) {
        drawn.g.remove();
        this.links.delete(id);
        this.selected.delete(id);
      }
    }
    this._parallel(links.values());
    for (const svg of [this.layers.svg, this.layers.lifted.parentNode]) svg.classList.toggle("names", links.size <= NAMES_UP_TO);
    for (const node of nodes.values()) this._renderNode(node);
    for (const link of links.values()) this._renderLink(link);
    if (this.focused === null && nodes.size) this.focusable(nodes.keys().next().value);
  }

  // How far each link bows, so that those between the same two nodes keep apart.
  _parallel(links) {
    const between = new Map();
    for (const link of links) {
      const key = link.ends.map((end) => end.vm_id).sort().join();
      between.set(key, [...(between.get(key) ?? []), link]);
    }
    for (const group of between.values()) group.forEach((link, index) => (link.bow = (index - (group.length - 1) / 2) * BOW));
  }

  _renderNode(node) {
    if (!node) return;
    const drawn = this.nodes.get(node.vm_id) ?? this._newNode(node);
    drawn.g.setAttribute("transform", `translate(${node.x} ${node.y})`);
    const linked = node.ports.filter((port) => port.link_id !== null).length;
    const shown = `${node.name}|${node.status}|${linked}|${node.ports.length}|${node.busy ?? ""}|${node.ready ?? ""}|${node.progress?.share}|${node.progress?.message}`;
    if (shown === drawn.shown) return;
    drawn.shown = shown;
    drawn.name.textContent = node.name.length > 18 ? `${node.name.slice(0, 17)}…` : node.name;
    drawn.g.dataset.status = node.status;
    drawn.g.classList.toggle("busy", Boolean(node.busy));
    drawn.state.setAttribute("d", STATES[node.status] ?? STATES.stopped);
    const kind = this.kinds.get(node.kind)?.name ?? node.kind;
    const said = T.node(node.name, kind, T.status[node.status], linked, node.ports.length);
    drawn.g.setAttribute("aria-label", node.progress ? `${said}, ${node.progress.message}` : said);
    this._renderProgress(drawn, node.progress);
  }

  _renderProgress(drawn, progress) {
    if (!progress) {
      drawn.bar?.remove();
      drawn.bar = null;
      return;
    }
    drawn.bar ??= drawn.g.appendChild(
      draw(
        "g",
        { class: "progress", transform: `translate(${-BAR / 2} ${-HALF + 5})` },
        draw("rect", { width: BAR, height: 5, rx: 2.5 }),
        draw("rect", { class: "done", height: 5, rx: 2.5 }),
      ),
    );
    drawn.bar.classList.toggle("unknown", progress.share === null);
    drawn.bar.lastElementChild.setAttribute("width", BAR * (progress.share ?? 0.3));
  }

  _newNode(node) {
    const name = draw("text", { class: "name", y: HALF + 17 });
    const state = draw("path", {});
    const g = draw(
      "g",
      { class: "node", tabindex: "-1", role: "button", "data-id": node.vm_id, "aria-pressed": "false" },
      draw("rect", { class: "body", x: -HALF, y: -HALF, width: 2 * HALF, height: 2 * HALF, rx: 14 }),
      draw("path", { class: "glyph", transform: "translate(-16 -16) scale(1.333)", d: linesOf(this.kinds.get(node.kind)?.icon ?? iconOf(node.kind)) }),
      draw("g", { class: "state", transform: `translate(${HALF - 4} ${HALF - 4})` }, draw("circle", { r: 9 }), state),
      name,
    );
    this.layers.nodes.append(g);
    const drawn = { g, name, state, shown: null };
    this.nodes.set(node.vm_id, drawn);
    return drawn;
  }

  _renderLink(link) {
    const ends = link.ends.map((end) => this.lab.nodes.get(end.vm_id));
    if (ends.some((node) => !node)) return;
    const drawn = this.links.get(link.link_id) ?? this._newLink(link);
    drawn.link = link;
    const { a, b, c } = curve(ends, link);
    const d = `M${a.x} ${a.y}Q${c.x} ${c.y} ${b.x} ${b.y}`;
    drawn.hit.setAttribute("d", d);
    drawn.line.setAttribute("d", d);
    drawn.g.dataset.up = ends.every((node) => node.status === "started");
    link.ends.forEach((end, index) => {
      const [from, to] = index === 0 ? [a, b] : [b, a];
      const place = along(from, c, to, Math.min(0.4, (RING + 16) / Math.hypot(a.x - b.x, a.y - b.y)));
      const text = drawn.names[index];
      text.setAttribute("x", place.x);
      text.setAttribute("y", place.y);
      if (text.textContent !== end.name) text.textContent = end.name;
    });
    if (link.ends.length === 1) {
      drawn.names[1].setAttribute("x", b.x);
      drawn.names[1].setAttribute("y", b.y + 4);
      drawn.names[1].textContent = link.leads_to ?? "";
    }
    const said = this.linkName(link);
    if (drawn.said !== said) drawn.g.setAttribute("aria-label", (drawn.said = said));
  }

  linkName(link) {
    const [one, other] = link.ends.map((end) => T.end(this.lab.nodes.get(end.vm_id)?.name ?? "?", end.name));
    return T.link(one, other ?? link.leads_to);
  }

  _newLink(link) {
    const hit = draw("path", { class: "hit" });
    const line = draw("path", { class: "line" });
    const names = [draw("text", { class: "end" }), draw("text", { class: link.ends.length === 1 ? "end away" : "end" })];
    const g = draw("g", { class: "link", "data-id": link.link_id, role: "img" }, hit, line, ...names);
    this.layers.links.append(g);
    const drawn = { g, hit, line, names, link };
    this.links.set(link.link_id, drawn);
    return drawn;
  }

  // The ports of the node that one points at, or that has the focus, around it.
  renderPorts() {
    const node = this.lab.nodes.get(this.hot);
    const { ports } = this.layers;
    if (!node || !node.ports.length) return void (ports.childElementCount && ports.replaceChildren());
    const places = portPlaces(node, this.lab);
    const radius = node.ports.length > 24 ? 3.5 : 6;
    const shown = `${node.vm_id}|${places.map((port) => `${port.x | 0},${port.y | 0},${port.link_id}`).join()}`;
    if (ports.dataset.shown === shown && ports.childElementCount) return;
    ports.dataset.shown = shown;
    const circles = places.map((port) => {
      const circle = draw("circle", { cx: port.x, cy: port.y, r: radius, class: port.link_id ? "port taken" : "port" });
      Object.assign(circle.dataset, { id: node.vm_id, adapter: port.adapter, port: port.port });
      circle.append(draw("title", {}, T.port(node.name, port.name, port.link_id === null)));
      return circle;
    });
    ports.replaceChildren(...circles);
  }

  heat(id) {
    if (this.hot === id) return;
    this.hot = id;
    this.renderPorts();
  }

  select(ids) {
    for (const id of this.selected) this._mark(id, false);
    this.selected = new Set(ids);
    for (const id of this.selected) this._mark(id, true);
    this.onselect?.();
  }

  _mark(id, on) {
    const drawn = this.nodes.get(id) ?? this.links.get(id);
    drawn?.g.classList.toggle("selected", on);
    if (this.nodes.has(id)) drawn.g.setAttribute("aria-pressed", on);
  }

  // Have nodes, with their links, in the layer of what is dragged; those that were there go back.
  lift(ids) {
    const { lifted, links, nodes } = this.layers;
    for (const g of [...lifted.children]) moveTo(g.classList.contains("link") ? links : nodes, g);
    const chosen = new Set(ids);
    for (const { g, link } of this.links.values()) if (link.ends.some((end) => chosen.has(end.vm_id))) moveTo(lifted, g);
    for (const id of chosen) if (this.nodes.has(id)) moveTo(lifted, this.nodes.get(id).g);
  }

  // One node alone is reached by Tab; arrow keys go on from there.
  focusable(id) {
    this.nodes.get(this.focused)?.g.setAttribute("tabindex", "-1");
    this.focused = id;
    this.nodes.get(id)?.g.setAttribute("tabindex", "0");
  }

  focus(id) {
    this.focusable(id);
    this.nodes.get(id)?.g.focus({ preventScroll: true });
  }
}

// The focus stays where it is, in browsers that cannot move elements too.
function moveTo(parent, element) {
  if (parent.moveBefore) return void parent.moveBefore(element, null);
  const focused = element === document.activeElement;
  parent.append(element);
  if (focused) element.focus({ preventScroll: true });
}

// The two ends of a link and the point towards which it bows.
function curve(nodes, link) {
  const a = nodes[0];
  const b = nodes[1] ?? { x: a.x + 90, y: a.y - 80 };
  const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const turned = link.ends.length === 2 && link.ends[0].vm_id > link.ends[1].vm_id ? -1 : 1;
  const bow = ((link.bow ?? 0) * 2 * turned) / length;
  return { a, b, c: { x: (a.x + b.x) / 2 - (b.y - a.y) * bow, y: (a.y + b.y) / 2 + (b.x - a.x) * bow } };
}

function along(from, c, to, share) {
  const one = (p, q, r) => (1 - share) ** 2 * p + 2 * share * (1 - share) * q + share ** 2 * r;
  return { x: one(from.x, c.x, to.x), y: one(from.y, c.y, to.y) };
}

// Where each port of a node is shown: towards the other end of its link, or in turn where there is room.
export function portPlaces(node, lab) {
  const count = node.ports.length;
  const slots = node.ports.map((_, index) => -Math.PI / 2 + (2 * Math.PI * index) / count);
  const taken = new Map();
  for (const port of node.ports) {
    const other = lab.links.get(port.link_id)?.ends.find((end) => end.vm_id !== node.vm_id);
    const there = other && lab.nodes.get(other.vm_id);
    if (!there) continue;
    const wanted = Math.atan2(there.y - node.y, there.x - node.x);
    const rest = slots.map((angle, index) => ({ index, far: turn(angle, wanted) })).filter(({ index }) => ![...taken.values()].includes(index));
    taken.set(port, rest.reduce((best, one) => (one.far < best.far ? one : best)).index);
  }
  const left = slots.map((_, index) => index).filter((index) => ![...taken.values()].includes(index));
  return node.ports.map((port) => {
    const angle = slots[taken.get(port) ?? left.shift()];
    const far = count > 12 ? WIDE_RING : RING;
    return { ...port, x: node.x + far * Math.cos(angle), y: node.y + far * Math.sin(angle) };
  });
}

const turn = (a, b) => Math.abs(Math.atan2(Math.sin(a - b), Math.cos(a - b)));
