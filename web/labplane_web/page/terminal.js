// A console that is a terminal, on the WebSocket of a machine. After a break it goes on at the byte where it was.

import { consolePath, socketAt } from "./api.js";
import { make } from "./dom.js";
import { Viewer } from "./viewer.js";

const SCROLLBACK = 5000; // lines
const FRAMES = 30;
// What stands before a replay, in an operating system command of our own: the screen parses one piece of output at a time
// and in one go, so that from this mark to the end of the piece nobody can have typed.
const REPLAY = 7770;
const MARK = new TextEncoder().encode(`\x1b]${REPLAY};\x07`);

let modules = null;

// xterm.js comes with the first console only.
function load() {
  const names = ["xterm", "addon-fit", "addon-search", "addon-webgl"];
  modules ??= Promise.all(names.map((name) => import(`./${name}.js`))).then((all) => {
    document.head.append(make("link", { rel: "stylesheet", href: new URL("xterm.css", import.meta.url).href }));
    return Object.assign({}, ...all);
  });
  return modules;
}

// A document whose style elements are sheets made by script, which a policy without inline styles allows.
const styled = new Proxy(document, {
  get(target, key) {
    if (key === "createElement") return (tag, ...more) => (tag === "style" ? sheet() : element(tag, ...more));
    const value = target[key];
    return typeof value === "function" ? value.bind(target) : value;
  },
  set: (target, key, value) => Reflect.set(target, key, value, target),
});

const element = (...what) => Document.prototype.createElement.apply(document, what);

function sheet() {
  const rules = new CSSStyleSheet();
  document.adoptedStyleSheets.push(rules);
  const stand = element("span");
  stand.hidden = true;
  Object.defineProperty(stand, "textContent", { set: (text) => rules.replaceSync(text) });
  stand.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== rules);
    Element.prototype.remove.call(stand);
  };
  return stand;
}

// xterm.js makes one style element with the document of the window, whatever it is given.
function openStyled(screen, element) {
  const { createElement } = styled;
  document.createElement = createElement;
  try {
    screen.open(element);
  } finally {
    delete document.createElement;
  }
}

// The colours of the page as they are now: a probe has what light-dark() comes to.
function colours() {
  const probe = document.body.appendChild(document.createElement("i"));
  const value = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const theme = { background: value("--screen"), foreground: value("--ink"), cursor: value("--ink"), selectionBackground: value("--chosen") };
  probe.remove();
  return theme;
}

export class Terminal extends Viewer {
  constructor(node, { fontSize, ...told }) {
    super(node, "terminal", told);
    Object.assign(this, { fontSize, run: null, offset: 0, sticks: true, frames: 0, replays: 0 });
    const scrolled = () => {
      this.frames = 0;
      requestAnimationFrame(() => (this.sticks = this.atEnd));
    };
    for (const event of ["wheel", "pointerup", "keydown", "touchmove"]) this.element.addEventListener(event, scrolled, { passive: true });
    this.ready = this._open();
  }

  async _open() {
    const { Terminal: Screen, FitAddon, SearchAddon, WebglAddon } = await load();
    if (this.disposed) return;
    this.screen = new Screen({
      documentOverride: styled,
      fontSize: this.fontSize,
      fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
      scrollback: SCROLLBACK,
      cursorBlink: false,
      theme: colours(),
      allowProposedApi: true,
      macOptionIsMeta: true,
      screenReaderMode: true,
    });
    this.fitter = new FitAddon();
    this.searcher = new SearchAddon();
    this.screen.loadAddon(this.fitter);
    this.screen.loadAddon(this.searcher);
    this.Webgl = WebglAddon;
    this.screen.onData((text) => this._type(text));
    this.screen.parser.registerOscHandler(REPLAY, () => {
      this.mute = this.replays > 0; // a machine that prints the mark by itself changes nothing
      return true;
    });
    this.screen.attachCustomKeyEventHandler((event) => this._key(event));
    this.onthemechange = () => (this.screen.options.theme = colours());
    addEventListener("themechange", this.onthemechange);
    this.loaded = true;
    this._connect();
  }

  // Show it, where its element is now; WebGL draws while it is seen, since browsers allow some sixteen contexts a page.
  async show() {
    await this.ready;
    if (this.disposed || !this.element.isConnected) return;
    if (!this.screen.element) openStyled(this.screen, this.element);
    if (!this.webgl) {
      try {
        this.webgl = new this.Webgl();
        this.webgl.onContextLoss(() => this._plain());
        this.screen.loadAddon(this.webgl);
      } catch {
        this.webgl = null; // no WebGL here: elements draw it
      }
    }
    this.fit();
    this.observer ??= new ResizeObserver(() => this.fit());
    this.observer.observe(this.element);
  }

  hide() {
    this.observer?.disconnect();
    this._plain();
  }

  // What WebGL holds is let go now; a browser would keep it until it collects its garbage.
  _plain() {
    if (!this.webgl) return;
    const canvases = [...this.element.querySelectorAll("canvas")];
    this.webgl.dispose();
    this.webgl = null;
    for (const canvas of canvases) canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
  }

  get atEnd() {
    const buffer = this.screen?.buffer.active;
    return !buffer || buffer.viewportY >= buffer.baseY;
  }

  // As many lines and columns as there is room for.
  fit() {
    if (this.element.offsetParent === null) return;
    this.fitter.fit();
    this._stayDown();
  }

  // Who looked at the end goes on to do so. The screen takes over a new height some frames later than it was told, so look
  // again for some frames, unless somebody scrolls.
  _stayDown() {
    const under = this.frames > 0;
    this.frames = FRAMES;
    if (!under) this._stay();
  }

  _stay() {
    if (this.disposed || !this.sticks) this.frames = 0;
    if (this.frames <= 0) return;
    if (!this.atEnd) this.screen.scrollToBottom();
    if (!this.atEnd) this.screen.scrollLines(-1); // it goes by its old height, and takes over the new one when lines move
    this.frames -= 1;
    requestAnimationFrame(() => this._stay());
  }

  focus() {
    this.ready.then(() => this.screen?.focus());
  }

  setFontSize(size) {
    this.fontSize = size;
    if (!this.screen) return;
    this.screen.options.fontSize = size;
    this.fit();
  }

  find(text, back = false) {
    if (back) this.searcher.findPrevious(text);
    else this.searcher.findNext(text);
  }

  _attach() {
    const from = this.run === null ? "" : `${this.run}:${this.offset}`;
    const socket = new WebSocket(socketAt(`${consolePath(this.node, this.further)}?from=${from}`));
    socket.binaryType = "arraybuffer";
    this.fresh = true; // nothing has come over this connection
    socket.onmessage = ({ data }) => (typeof data === "string" ? this._told(JSON.parse(data)) : this._print(new Uint8Array(data)));
    socket.onopen = () => this._opened();
    socket.onclose = (event) => this._closed(event.code);
    return socket;
  }

  // The server says where the bytes that follow belong.
  _told({ run, offset }) {
    if (this.run !== null && run !== this.run) this.screen.write("\r\n");
    else if (this.run !== null && offset !== this.offset && this.fresh) this.screen.reset();
    Object.assign(this, { run, offset, fresh: false, replay: this.fresh && (this.offset !== offset || offset === 0) });
  }

  _print(bytes) {
    if (this.fresh) {
      if (this.printed) this.screen.reset(); // a server that does not number bytes sends all again
      Object.assign(this, { fresh: false, replay: true });
    }
    this.printed = true;
    this.offset += bytes.length;
    const written = () => this.seen && this._stayDown();
    if (this.replay) this._replay(bytes, written);
    else this.screen.write(bytes, written);
    this.replay = false;
    this.onnews?.();
  }

  // What a program asked its terminal long ago is not answered again, and keys pressed meanwhile are still sent.
  _replay(bytes, written) {
    const piece = new Uint8Array(MARK.length + bytes.length);
    piece.set(MARK);
    piece.set(bytes, MARK.length);
    this.replays += 1;
    this.screen.write(piece, () => {
      this.replays -= 1;
      this.mute = false;
      written();
    });
  }

  _type(text) {
    if (!this.mute && this.socket?.readyState === WebSocket.OPEN) this.socket.send(text);
  }

  _key(event) {
    if (event.key === "F6") return false; // the page's: it leads out of here
    if (event.type !== "keydown" || !event.ctrlKey || !event.shiftKey) return true;
    if (event.code === "KeyC" && this.screen.hasSelection()) {
      event.preventDefault();
      copy(this.screen.getSelection());
      return false;
    }
    return event.code !== "KeyV" && event.code !== "KeyC"; // the browser pastes
  }

  dispose() {
    super.dispose();
    this.observer?.disconnect();
    removeEventListener("themechange", this.onthemechange);
    this._plain();
    this.screen?.dispose();
  }
}

function copy(text) {
  if (navigator.clipboard) return void navigator.clipboard.writeText(text).catch(() => {});
  const area = make("textarea", { class: "away" }); // pages without TLS have no clipboard of their own
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
