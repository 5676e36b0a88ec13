// What one can do to a lab, each with its way back. What the server refuses is raised, with its sentence.

import { api } from "./api.js";
import { atMost } from "./dom.js";
import { arrange } from "./layout.js";
import { freeName } from "./kinds.js";
import { T } from "./text.js";
import { notice } from "./ui.js";

const AT_ONCE = 6; // requests that are under way together
const OWN = ["vm_id", "project_id", "status", "vm_directory"];

export class Actions {
  constructor(lab, kinds, history) {
    Object.assign(this, { lab, kinds, history });
  }

  // Make a machine; its id, under which its place is known before the server tells of it.
  async add(kind, place, given = {}) {
    const body = { name: freeName(kind, this.lab.nodes.values()), ...given };
    const vm = await api.createVM(this.lab.id, kind.kind, body);
    await this.place(new Map([[vm.vm_id, place]]));
    await this.lab.load();
    let kept = null;
    const undo = async () => (kept = await this._take([vm.vm_id]));
    this.history.add(T.did.add(vm.name), undo, () => this._bringBack(kept));
    return vm.vm_id;
  }

  // Delete machines with their links.
  async remove(ids) {
    const names = ids.map((id) => this.lab.nodes.get(id)?.name).join(", ");
    let kept = await this._take(ids);
    const redo = async () => (kept = await this._take(ids));
    this.history.add(T.did.remove(names), () => this._bringBack(kept), redo);
    return names;
  }

  // What is needed to make `ids` again; they are deleted.
  async _take(ids) {
    const nodes = ids.map((id) => this.lab.nodes.get(id)).filter(Boolean);
    const links = [...this.lab.links.values()].filter((link) => link.ends.length === 2 && link.ends.some((end) => ids.includes(end.vm_id)));
    const kept = { links, nodes: [] };
    await atMost(AT_ONCE, nodes, async (node) => kept.nodes.push({ node: { ...node }, vm: await api.vm(node) }));
    await atMost(AT_ONCE, links, (link) => api.unlink(this.lab.id, link.link_id)); // or the other ends would lead nowhere
    try {
      for (const node of nodes) node.leaving = true; // nobody is to ask for one that may be gone when the question arrives
      await atMost(AT_ONCE, nodes, (node) => api.deleteVM(node));
    } catch (error) {
      for (const node of nodes) node.leaving = false;
      throw error;
    }
    await this.lab.load();
    return kept;
  }

  async _bringBack({ nodes, links }) {
    for (const { node, vm } of nodes) {
      const wanted = this.kinds.get(node.kind).create.properties;
      const settings = Object.entries(vm).filter(([name, value]) => name in wanted && value !== null && !OWN.includes(name));
      await api.createVM(this.lab.id, node.kind, { ...Object.fromEntries(settings), vm_id: node.vm_id });
    }
    await api.place(this.lab.id, nodes.map(({ node: { vm_id, x, y, notes } }) => ({ vm_id, x, y, notes: notes ?? "" })));
    await atMost(AT_ONCE, links, (link) => this._link(link.ends.map(({ vm_id, adapter, port }) => ({ vm_id, adapter, port }))));
    await this.lab.load();
  }

  async link(one, other) {
    const made = await this._link([one, other]);
    const ends = made.ends.map(({ vm_id, adapter, port }) => ({ vm_id, adapter, port }));
    const undo = () => api.unlink(this.lab.id, made.link_id).then(() => this.lab.load());
    this.history.add(T.did.link, undo, () => this._link(ends).then(() => this.lab.load()));
    await this.lab.load();
    this._sayRestart(made.restart);
    return made;
  }

  _link(ends) {
    return api.link(this.lab.id, ends);
  }

  async unlink(ids) {
    const links = ids.map((id) => this.lab.links.get(id)).filter(Boolean);
    const restart = new Set();
    const cut = () =>
      atMost(AT_ONCE, links, async (link) => {
        for (const id of (await api.unlink(this.lab.id, link.link_id)).restart) restart.add(id);
      }).then(() => this.lab.load());
    await cut();
    const again = links.filter((link) => link.ends.length === 2).map((link) => link.ends.map(({ vm_id, adapter, port }) => ({ vm_id, adapter, port })));
    this.history.add(T.did.unlink, () => atMost(AT_ONCE, again, (ends) => this._link(ends)).then(() => this.lab.load()), cut);
    this._sayRestart([...restart]);
  }

  _sayRestart(ids) {
    const nodes = ids.map((id) => this.lab.nodes.get(id)).filter(Boolean);
    if (!nodes.length) return;
    const names = nodes.map((node) => node.name).join(", ");
    notice(T.takesEffect(names), { action: { name: T.restartNow, work: () => this.act("reload", nodes) } });
  }

  place(places) {
    return api.place(this.lab.id, [...places].map(([vm_id, { x, y }]) => ({ vm_id, x, y })));
  }

  // Nodes were moved here, from `before` to where they are now.
  moved(before, name = T.did.move) {
    const now = new Map([...before.keys()].map((id) => [id, this._placeOf(id)]).filter(([, place]) => place));
    this.history.add(name, () => this.lab.moveHere(before), () => this.lab.moveHere(now));
  }

  _placeOf(id) {
    const node = this.lab.nodes.get(id);
    return node && { x: node.x, y: node.y };
  }

  // Lay out the nodes of `ids`, or all.
  async layOut(ids = null) {
    const nodes = [...this.lab.nodes.values()];
    const before = new Map(nodes.filter((node) => !ids || ids.has(node.vm_id)).map((node) => [node.vm_id, { x: node.x, y: node.y }]));
    const places = arrange(nodes, [...this.lab.links.values()], ids);
    const sent = this.lab.moveHere(places);
    this.moved(before, T.did.layout);
    await sent;
  }

  // Change settings of a machine; `was` are their values before.
  async change(node, changes, was) {
    if (!Object.keys(changes).length) return;
    await api.updateVM(node, changes);
    const before = Object.fromEntries(Object.keys(changes).map((name) => [name, was[name] ?? null]));
    const set = (values) => api.updateVM(node, values).then(() => this.lab.load());
    this.history.add(T.did.change(was.name ?? node.name), () => set(before), () => set(changes));
    await this.lab.load();
  }

  async note(node, notes) {
    const before = node.notes;
    if (before === notes) return;
    const set = (text) => api.place(this.lab.id, [{ vm_id: node.vm_id, notes: text }]);
    await set(notes);
    node.notes = notes;
    this.history.add(T.did.change(node.name), () => set(before), () => set(notes));
  }

  // Start, stop, reload, suspend or resume machines, several at once; refusals are shown together, in the server's words.
  async act(action, nodes) {
    const refused = [];
    const able = nodes.filter((node) => this.kinds.get(node.kind)?.actions.includes(action));
    await atMost(AT_ONCE, able, async (node) => {
      this._busy(node, true);
      try {
        await api.act(node, action);
      } catch (error) {
        refused.push(error.message);
      } finally {
        this._busy(node, false);
      }
    });
    const sentences = [...new Set(refused)];
    if (sentences.length === 1) notice(sentences[0], { error: true });
    else if (sentences.length) notice(`${T.failures(refused.length, able.length)} ${sentences.slice(0, 3).join(" ")}`, { error: true });
    return refused;
  }

  _busy(node, busy) {
    node.busy = Math.max(0, (node.busy ?? 0) + (busy ? 1 : -1));
    this.lab._tell(new Set([node.vm_id]));
  }
}
