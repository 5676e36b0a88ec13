// A console that is a screen: a VNC viewer on the WebSocket of a machine.

import { socketAt, vmPath } from "./api.js";
import { Viewer } from "./viewer.js";

let client = null;

// noVNC comes with the first screen only.
const load = () => (client ??= import("./core.rfb.js").then((module) => module.default));

export class Screen extends Viewer {
  constructor(node, told) {
    super(node, "screen", told);
    this.ready = load().then((RFB) => {
      this.RFB = RFB;
      this.loaded = true;
      this._connect();
    });
  }

  _attach() {
    const socket = new WebSocket(socketAt(`${vmPath(this.node)}/console`), ["binary"]);
    socket.addEventListener("close", (event) => {
      this.rfb = null;
      this._closed(event.code);
    });
    this.rfb = new this.RFB(this.element, socket);
    this.rfb.scaleViewport = true;
    this.rfb.background = "transparent";
    this.rfb.addEventListener("connect", () => {
      this._opened();
      this.onnews?.();
      if (this.wanted) this.rfb?.focus();
    });
    this.rfb.addEventListener("credentialsrequired", () => this._say("locked"));
    return socket;
  }

  async show() {
    await this.ready;
  }

  hide() {}

  // The keys of a screen that is not connected yet go to it as soon as it is, unless somebody went elsewhere meanwhile.
  focus() {
    this.wanted = true;
    this.rfb?.focus();
    addEventListener("focusin", () => (this.wanted = false), { once: true });
  }

  // The keys that a browser's own system takes for itself.
  sendCtrlAltDel() {
    this.rfb?.sendCtrlAltDel();
  }
}
