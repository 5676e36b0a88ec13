// What consoles have in common: a WebSocket to a machine that comes back by itself.

import { api } from "./api.js";
import { make } from "./dom.js";
import { T } from "./text.js";

const SOONEST = 250; // milliseconds to the first new attempt
const LATEST = 3000;

// A kind of console defines `_attach`, which makes the connection and tells of it by `_opened` and `_closed`; show, hide,
// focus; and where they mean something setFontSize and find.
export class Viewer {
  // node: the machine, kept up to date by `follow`. further: the name of a further console of it. onnews: output came;
  // onstate: the state changed.
  constructor(node, style, { further = null, onnews, onstate }) {
    Object.assign(this, { node, further, onnews, onstate, state: "connecting", wait: SOONEST, socket: null });
    this.element = make("div", { class: style, role: "group", "aria-label": T.consoleOf(this.name) });
  }

  // What its tab is called.
  get name() {
    return this.further === null ? this.node.name : T.further(this.node.name, this.further);
  }

  _say(state) {
    if (state === this.state) return;
    this.state = state;
    this.onstate?.(state);
  }

  // The lab has news of the machine: what it is now, or nothing when it is gone.
  follow(node) {
    if (!node) return this._say("gone");
    this.node = node;
    this.element.setAttribute("aria-label", T.consoleOf(this.name));
    if (node.status !== "stopped") this.nudge();
    else if (!this.socket) this._say("stopped");
  }

  // The machine runs, or the server is back: connect if that can work now.
  nudge() {
    if (this.disposed || this.socket || !this.loaded) return;
    clearTimeout(this.timer);
    this.wait = SOONEST;
    this._connect();
  }

  _connect() {
    if (this.disposed || this.socket) return;
    if (this.node.status === "stopped") return this._say("stopped");
    this._say(this.state === "waiting" ? "waiting" : "connecting");
    this.socket = this._attach();
  }

  _opened() {
    this.wait = SOONEST;
    this._say("open");
  }

  // code: that of the WebSocket.
  _closed(code) {
    this.socket = null;
    if (this.disposed) return;
    if (this.node.status === "stopped" && code === 1000) return this._say("stopped");
    this._say(code === 1000 ? "connecting" : "waiting");
    this._again();
  }

  _again() {
    this.timer = setTimeout(() => this._look(), this.wait);
    this.wait = Math.min(this.wait * 2, LATEST);
  }

  // Whether it runs is not known for sure after a line broke: ask before connecting, so that a refusal is no riddle.
  async _look() {
    try {
      const vm = await api.vm(this.node);
      this.node.status = vm.status;
      this._connect();
    } catch (error) {
      if (error.status === 404) return this._say("gone");
      this._say("waiting");
      this._again();
    }
  }

  dispose() {
    this.disposed = true;
    clearTimeout(this.timer);
    this.socket?.close();
    this.element.remove();
  }

  setFontSize() {}

  find() {}
}
