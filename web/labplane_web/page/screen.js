// A console that is a screen: a VNC viewer on the WebSocket of a machine.

import { consolePath, socketAt } from "./api.js";
import { Viewer } from "./viewer.js";

let client = null;

// noVNC comes with the first screen only.
const load = () => (client ??= import("./core.rfb.js").then((module) => module.default));

export class Screen extends Viewer {
  constructor(node, told) {
    super(node, "screen", told);
    this.element.tabIndex = -1;
    this.ready = load().then((RFB) => {
      this.RFB = RFB;
      this.loaded = true;
      this._connect();
    });
  }

  _attach() {
    const socket = new WebSocket(socketAt(consolePath(this.node, this.further)), ["binary"]);
    // Each connection has a canvas. The focus waits at the element for the next one, unless somebody goes elsewhere meanwhile.
    const focused = () => this.element.contains(document.activeElement);
    socket.addEventListener("close", (event) => {
      if (focused()) this.element.focus();
      this.rfb = null;
      this._closed(event.code);
    });
    this.rfb = new this.RFB(this.element, socket);
    this.rfb.scaleViewport = true;
    this.rfb.background = "transparent";
    this.rfb.addEventListener("connect", () => {
      this._opened();
      this.onnews?.();
      if (focused()) this.rfb.focus();
    });
    this.rfb.addEventListener("credentialsrequired", () => this._say("locked"));
    return socket;
  }

  async show() {
    await this.ready;
  }

  hide() {}

  focus() {
    if (this.state === "open") this.rfb.focus();
    else this.element.focus();
  }

  // The keys that a browser's own system takes for itself.
  sendCtrlAltDel() {
    this.rfb?.sendCtrlAltDel();
  }
}
