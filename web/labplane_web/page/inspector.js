// The panel at the side: what is selected, in words and numbers.

import { api } from "./api.js";
import { find, glyph, make } from "./dom.js";
import { labelOf } from "./form.js";
import { T } from "./text.js";

const LOOK_AGAIN = 2000; // milliseconds between two looks at counters
const HIDDEN = ["name", "vm_id", "project_id", "status", "console", "vm_directory", "counters"];

export class Inspector {
  // does: {note, console, settings, unlink, act, select}.
  constructor(lab, picture, kinds, does) {
    Object.assign(this, { lab, picture, kinds, does, shown: null, vms: new Map() });
    this.body = find("details-body");
    lab.addEventListener("change", () => this.show());
    setInterval(() => document.hidden || this._look(), LOOK_AGAIN);
  }

  selectionChanged() {
    this.show();
    this._look();
  }

  // Members of VM objects that no event tells, counters first of all.
  async _look() {
    const [id] = this.picture.selected;
    const link = this.lab.links.get(id);
    const ids = link ? link.ends.map((end) => end.vm_id) : this.picture.selected.size === 1 ? [id] : [];
    const nodes = ids.map((one) => this.lab.nodes.get(one)).filter((node) => node && !node.leaving);
    try {
      for (const node of nodes) this.vms.set(node.vm_id, await api.vm(node));
    } catch {
      return; // it went meanwhile, or the server did
    }
    if (nodes.length) this.show();
  }

  show() {
    const ids = [...this.picture.selected];
    const node = ids.length === 1 ? this.lab.nodes.get(ids[0]) : null;
    const link = ids.length === 1 ? this.lab.links.get(ids[0]) : null;
    const vms = (link?.ends ?? [{ vm_id: ids[0] }]).map((end) => this.vms.get(end.vm_id));
    const shown = JSON.stringify([ids, node && { ...node, x: 0, y: 0, heldUntil: 0, told: 0, silence: 0 }, link, vms, node && this._others(node)]);
    if (shown === this.shown) return;
    const editing = this.body.contains(document.activeElement) && document.activeElement.tagName === "TEXTAREA";
    if (editing && node && this.of === node.vm_id) return; // not under somebody's hands
    this.shown = shown;
    this.of = node?.vm_id ?? null;
    const focus = this.body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    if (node) this.body.replaceChildren(...this._node(node));
    else if (link) this.body.replaceChildren(...this._link(link));
    else this.body.replaceChildren(make("p", { class: "quiet" }, ids.length ? T.manySelected(ids.length) : T.nothingSelected));
    if (focus) this.body.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }

  _others(node) {
    return node.ports.map((port) => this._otherEnd(node, port));
  }

  _otherEnd(node, port) {
    const link = this.lab.links.get(port.link_id);
    if (!link) return null;
    const other = link.ends.find((end) => end.vm_id !== node.vm_id || end.port !== port.port || end.adapter !== port.adapter);
    return other ? T.end(this.lab.nodes.get(other.vm_id)?.name ?? "?", other.name) : T.leadsTo(link.leads_to);
  }

  _node(node) {
    const kind = this.kinds.get(node.kind);
    const vm = this.vms.get(node.vm_id) ?? {};
    const facts = [
      [T.kind, kind?.name ?? node.kind],
      [T.state, T.status[node.status]],
      node.console === null ? null : [T.address, String(node.console)],
      ...Object.entries(vm.consoles ?? {}).map(([name, port]) => [T.further(T.address, name), String(port)]),
      ...Object.entries(vm)
        .filter(([name, value]) => !HIDDEN.includes(name) && ["string", "number", "boolean"].includes(typeof value) && value !== "" && String(value).length < 200)
        .map(([name, value]) => [labelOf(name, kind?.create.properties[name] ?? {}), String(value)]),
    ].filter(Boolean);
    const notes = make("textarea", { rows: 3, id: "notes", maxlength: 10000, "data-key": "notes" });
    notes.value = node.notes ?? "";
    notes.onchange = () => this.does.note(node, notes.value);
    return [
      make("h3", {}, glyph(kind?.icon ?? "k-box"), node.name),
      make("div", { class: "row" }, ...this._buttons(node, kind)),
      ...(node.progress ? [make("label", { for: "progress" }, node.progress.message), make("progress", { id: "progress", value: node.progress.share })] : []),
      list(facts),
      make("h4", {}, T.ports),
      make("ul", { class: "ports" }, ...node.ports.map((port) => this._port(node, port, vm))),
      make("label", { for: "notes" }, T.notes),
      notes,
    ];
  }

  _buttons(node, kind) {
    const can = (action) => kind?.actions.includes(action);
    const button = (icon, name, work) => make("button", { type: "button", "data-key": name, onclick: work }, glyph(icon), name);
    return [
      node.status === "stopped" && button("i-start", T.start, () => this.does.act("start", [node])),
      node.status === "suspended" && can("resume") && button("i-start", T.resume, () => this.does.act("resume", [node])),
      node.status !== "stopped" && button("i-stop", T.stop, () => this.does.act("stop", [node])),
      node.console !== null && button("i-console", T.console, () => this.does.console([node])),
      button("i-gear", T.settings.replace("…", ""), () => this.does.settings(node)),
    ].filter(Boolean);
  }

  _port(node, port, vm) {
    const other = this._otherEnd(node, port);
    const counters = vm.counters?.[port.port];
    const row = make("li", {}, make("b", {}, port.name), other ? this._way(port, other) : make("span", { class: "quiet" }, T.free));
    if (counters && other) row.append(make("small", {}, counted(counters)));
    if (other) {
      const cut = make("button", { type: "button", class: "icon", title: T.unlink, "aria-label": `${T.unlink}: ${port.name}`, "data-key": `cut-${port.name}` }, glyph("i-close"));
      cut.onclick = () => this.does.unlink([port.link_id]);
      row.append(cut);
    }
    return row;
  }

  // Leads to the link of a port, which the keyboard reaches here.
  _way(port, other) {
    const attributes = { type: "button", class: "other", title: T.linkOf, "data-key": `link-${port.name}` };
    return make("button", { ...attributes, onclick: () => this.does.select([port.link_id]) }, other);
  }

  _link(link) {
    const ends = link.ends.map((end) => {
      const node = this.lab.nodes.get(end.vm_id);
      const counters = this.vms.get(end.vm_id)?.counters?.[end.port];
      const row = make("li", {}, make("b", {}, T.end(node?.name ?? "?", end.name)), make("span", { class: "quiet" }, T.status[node?.status] ?? ""));
      if (counters) row.append(make("small", {}, counted(counters)));
      return row;
    });
    if (link.leads_to !== null) ends.push(make("li", {}, make("span", {}, T.leadsTo(link.leads_to))));
    const cut = make("button", { type: "button", class: "danger", "data-key": "unlink" }, glyph("i-trash"), T.unlink);
    cut.onclick = () => this.does.unlink([link.link_id]);
    return [make("h3", {}, glyph("i-link"), T.linkOf), make("h4", {}, T.ends), make("ul", { class: "ports" }, ...ends), make("div", { class: "row" }, cut)];
  }
}

const list = (facts) => make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
const counted = (counters) =>
  [["frames_in", "bytes_in", "frames_out", "bytes_out"].every((name) => name in counters) && T.counted(counters)].find(Boolean) ||
  Object.entries(counters)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value.toLocaleString()}`)
    .join(" · ");
