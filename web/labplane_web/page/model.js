// The lab as this page knows it: what the server says, kept up to date by its events.

import { api } from "./api.js";
import { arrange } from "./layout.js";

const APART = 40; // milliseconds between two messages to the server while something is dragged
const SILENCE = 60000; // milliseconds after which work that tells nothing more is over
const HOLD = 700; // milliseconds for which a node that was placed here does not listen to where others say that it is

// Events of a `Lab`: "nodes" with a set of ids that changed (null: all), "links", "gone" when the lab was closed.
export class Lab extends EventTarget {
  constructor(id) {
    super();
    this.id = id;
    this.name = "";
    this.nodes = new Map();
    this.links = new Map();
    this._loading = null;
    this._again = false;
  }

  // Look at everything; one look at a time, and one more when something happened meanwhile.
  load() {
    this._again = true;
    this._loading ??= this._loadWhileAsked().finally(() => (this._loading = null));
    return this._loading;
  }

  async _loadWhileAsked() {
    while (this._again) {
      this._again = false;
      try {
        const topology = await api.topology(this.id);
        this._take(topology);
      } catch (error) {
        if (error.status === 404) this.dispatchEvent(new Event("gone"));
        throw error;
      }
    }
  }

  _take(topology) {
    const now = performance.now();
    const before = this.nodes;
    this.nodes = new Map();
    for (const told of topology.nodes) {
      const node = before.get(told.vm_id) ?? { heldUntil: 0 };
      const place = node.heldUntil > now || told.x === null ? { x: node.x, y: node.y } : { x: told.x, y: told.y };
      Object.assign(node, told, place, { project_id: this.id });
      this.nodes.set(node.vm_id, node);
    }
    this.links = new Map(topology.links.map((link) => [link.link_id, link]));
    this._placeTheRest();
    this._tell(null);
  }

  // Who was never placed gets a place that every browser finds alike; it is not told to the server.
  _placeTheRest() {
    const rest = [...this.nodes.values()].filter((node) => node.x === undefined || node.x === null);
    if (rest.length) arrange([...this.nodes.values()], [...this.links.values()], new Set(rest.map((node) => node.vm_id)));
  }

  _tell(ids) {
    const event = new Event("change");
    event.ids = ids;
    this.dispatchEvent(event);
  }

  // Take in one event of the server; true when it concerned this lab.
  take({ action, event, project_id }) {
    if (project_id !== this.id) return false;
    if (this._loading) this._again = true; // what is on its way may be older than this
    if (action === "node.placed") this._placed(event);
    else if (action === "vm.progress") this._comesOn(event);
    else if (action === "vm.deleted" || action === "vm.created" || action.startsWith("link.")) this.load().catch(() => {});
    else if (action.startsWith("vm.") && event.vm_id) this._changed(event);
    return true;
  }

  _changed(vm) {
    const node = this.nodes.get(vm.vm_id);
    if (!node) return void this.load().catch(() => {});
    const again = node.name === vm.name && node.status === vm.status;
    Object.assign(node, { name: vm.name, status: vm.status, console: vm.console ?? node.console, progress: null });
    node.vm = vm;
    this._tell(new Set([vm.vm_id]));
    if (again) this.load().catch(() => {}); // a setting: the ports may be others
  }

  // Long work on a machine: how far it has come, until it is done, something else happens to it, or nothing more is told.
  _comesOn({ vm_id, share, message }) {
    const node = this.nodes.get(vm_id);
    if (!node) return;
    clearTimeout(node.silence);
    const show = (progress) => {
      node.progress = progress;
      this._tell(new Set([vm_id]));
    };
    show(share === 1 ? null : { share, message });
    node.silence = node.progress && setTimeout(() => show(null), SILENCE);
  }

  _placed({ vm_id, x, y, notes }) {
    const node = this.nodes.get(vm_id);
    if (!node) return;
    node.notes = notes ?? node.notes;
    if (node.heldUntil > performance.now()) {
      if (!node.told) setTimeout(() => this._catchUp(node), node.heldUntil - performance.now() + 20);
      node.told = { x, y };
      return;
    }
    if (x !== null && x !== undefined) Object.assign(node, { x, y });
    this._tell(new Set([vm_id]));
  }

  // What was told last while a node was held here is what all browsers have.
  _catchUp(node) {
    const left = node.heldUntil - performance.now();
    if (left > 0) return void setTimeout(() => this._catchUp(node), left + 20);
    const told = node.told;
    node.told = null;
    if (!told || told.x === null) return;
    Object.assign(node, told);
    this._tell(new Set([node.vm_id]));
  }

  // Move nodes here, at once; `_send` tells the server, as often as it answers. Who stays in the same cell of the grid is no
  // news.
  async moveHere(places) {
    const until = performance.now() + HOLD;
    const moved = new Map();
    for (const [id, { x, y }] of places) {
      const node = this.nodes.get(id);
      if (!node) continue;
      if (node.x !== x || node.y !== y) moved.set(id, { x, y });
      Object.assign(node, { x, y, heldUntil: until });
    }
    if (moved.size) {
      this._tell(new Set(moved.keys()));
      this._waiting = new Map([...(this._waiting ?? []), ...moved]);
      this._sending ??= this._send().finally(() => (this._sending = null));
    }
    await this._sending;
  }

  async _send() {
    while (this._waiting?.size) {
      const places = this._waiting;
      this._waiting = null;
      await api.place(this.id, [...places].filter(([id]) => this.nodes.has(id)).map(([vm_id, { x, y }]) => ({ vm_id, x, y })));
      await new Promise((resolve) => setTimeout(resolve, APART));
    }
  }

  linksOf(id) {
    return [...this.links.values()].filter((link) => link.ends.some((end) => end.vm_id === id));
  }

  get up() {
    return [...this.nodes.values()].filter((node) => node.status === "started").length;
  }
}
