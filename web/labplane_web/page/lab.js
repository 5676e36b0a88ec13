// The page of one lab: puts the parts together.

import { Actions } from "./actions.js";
import { api } from "./api.js";
import { find, iconButton, make, spell } from "./dom.js";
import { Drawer } from "./drawer.js";
import { listen } from "./events.js";
import { Gestures } from "./gestures.js";
import { History } from "./history.js";
import { symbols } from "./icons.js";
import { Inspector } from "./inspector.js";
import { useKeys } from "./keys.js";
import { kindsOf } from "./kinds.js";
import { Menus } from "./menus.js";
import { Lab } from "./model.js";
import { Palette } from "./palette.js";
import { Picture } from "./picture.js";
import { T } from "./text.js";
import { useTheme } from "./theme.js";
import { askText, dialog, notice, tried } from "./ui.js";
import { View } from "./view.js";

spell(T);
document.body.prepend(symbols());
useTheme();

const id = decodeURIComponent(location.pathname.replace(/\/$/, "").split("/").at(-1)).toLowerCase();
const lab = new Lab(id);
const layers = { svg: find("picture"), links: find("links"), nodes: find("nodes"), ports: find("ports"), over: find("over"), lifted: find("lifted").firstElementChild };
const MOST_CONSOLES = 20; // that one key opens
let grid = true;
let linking = null; // the node from which the keyboard links

async function start() {
  let kinds;
  try {
    const [document, project] = await Promise.all([api.document(), api.project(id), lab.load()]);
    kinds = kindsOf(document);
    nameIs(project.name);
  } catch (error) {
    return void failed(error);
  }
  const picture = new Picture(lab, layers, kinds);
  const view = new View(layers.svg, [find("world"), layers.lifted], find("grid-pattern"));
  const history = new History(() => {
    find("undo").disabled = history.done.length === 0;
    find("redo").disabled = history.undone.length === 0;
  });
  const actions = new Actions(lab, kinds, history);
  const drawer = new Drawer(lab);
  const nodes = (ids) => [...ids].map((one) => lab.nodes.get(one)).filter(Boolean);
  const all = () => [...lab.nodes.values()];

  const does = {
    grid: () => grid,
    move: (places) => lab.moveHere(places).catch((error) => notice(error.message, { error: true })),
    moved: (before) => actions.moved(before),
    link: (one, other) => tried(() => actions.link(one, other)),
    open: (one) => does.console(nodes([one])),
    menu(one, x, y, place) {
      if (lab.links.has(one)) menus.ofLink(lab.links.get(one), picture.linkName(lab.links.get(one)), x, y);
      else if (one) menus.ofNodes(nodes(picture.selected), x, y);
      else menus.ofPicture(place, x, y);
    },
    menuAt(node) {
      const { clientX, clientY } = view.pointOf(node ?? view.center);
      does.menu(node?.vm_id ?? null, clientX + 20, clientY + 10, view.center);
    },
    async console(several) {
      for (const node of several.filter((one) => one.console !== null).slice(0, MOST_CONSOLES)) {
        const { console_type = "telnet", consoles = {} } = (await tried(() => api.vm(node))) ?? {};
        if (!drawer.open(node, console_type, Object.keys(consoles))) notice(T.noConsole(node.name));
      }
    },
    act: (action, several) => actions.act(action, several),
    settings: (node) => menus.settings(node),
    rename: (node) => menus.rename(node),
    note: (node, text) => tried(() => actions.note(node, text)),
    unlink: (ids) => tried(() => actions.unlink(ids)),
    select: (ids) => picture.select(ids),
    async remove(ids) {
      const chosen = [...(ids ?? picture.selected)];
      const links = chosen.filter((one) => lab.links.has(one));
      const machines = chosen.filter((one) => lab.nodes.has(one));
      if (links.length) await tried(() => actions.unlink(links));
      if (!machines.length) return;
      const names = await tried(() => actions.remove(machines));
      if (names) notice(T.nodesDeleted(names), { action: { name: T.undo, work: does.undo } });
    },
    nudge(dx, dy) {
      const ids = picture.selected.size ? [...picture.selected] : [picture.focused];
      const before = new Map(nodes(ids).map((node) => [node.vm_id, { x: node.x, y: node.y }]));
      does.move(new Map([...before].map(([one, { x, y }]) => [one, { x: x + dx, y: y + dy }])));
      actions.moved(before);
    },
    linking: () => linking !== null,
    startLink(node) {
      linking = node;
      layers.svg.classList.add("linking");
      say(T.linking(node.name));
    },
    linkTo(one) {
      const from = linking;
      does.escape();
      if (from.vm_id !== one) does.link({ vm_id: from.vm_id }, { vm_id: one });
    },
    escape() {
      if (linking === null && !gestures.now) picture.select([]);
      linking = null;
      layers.svg.classList.remove("linking");
      if (gestures.now?.kind === "drag") lab.moveHere(gestures.now.from);
      gestures.end();
      say("");
    },
    add: () => find("palette-kinds").querySelector("button")?.focus(),
    addAt: (kind, place) => palette.quick(kind, null, place),
    undo: () => history.undo().then((step) => stepped(step, T.undone)),
    redo: () => history.redo().then((step) => stepped(step, T.redone)),
    fit: () => view.fit(all()),
    layOut: () => tried(() => actions.layOut(picture.selected.size > 1 ? picture.selected : null)).then(() => picture.selected.size > 1 || does.fit()),
    toggleGrid() {
      grid = !grid;
      find("grid").setAttribute("aria-pressed", grid);
      layers.svg.classList.toggle("gridded", grid);
    },
    startAll: () => actions.act("start", all().filter((node) => node.status === "stopped")),
    stopAll: () => actions.act("stop", all().filter((node) => node.status !== "stopped")),
    help: () => dialog({ title: T.keysTitle, body: [keyTable()], submit: null, wide: true }),
    otherPane() {
      const below = find("drawer").contains(document.activeElement);
      if (!below && drawer._current()) drawer._current().terminal.focus();
      else if (!below) find("tabs").querySelector('[aria-selected="true"]').focus();
      else (picture.nodes.get(picture.focused)?.g ?? layers.svg).focus();
    },
  };

  const menus = new Menus(lab, kinds, actions, does);
  const gestures = new Gestures(lab, picture, view, does);
  useKeys(lab, picture, view, does);
  const palette = new Palette(lab, kinds, view, async (kind, place, given) => {
    const one = await actions.add(kind, place, given);
    picture.render();
    picture.select([one]);
    return one;
  });
  api.kindsHere().then((here) => palette.lacking(here), () => {}); // a server without lab files has no such list
  const inspector = new Inspector(lab, picture, kinds, does);
  picture.onselect = () => inspector.selectionChanged();
  toolbar(does, view);

  picture.later();
  let fitted = false;
  picture.onrender = () => {
    const up = T.nodesUp(lab.up, lab.nodes.size);
    if (find("up").textContent !== up) find("up").textContent = up;
    find("empty").hidden = lab.nodes.size > 0;
    if (!fitted) {
      view.fit(all());
      performance.mark("picture"); // what bench/measure_web.py asks for
    }
    fitted ||= lab.nodes.size > 0;
    if (!document.body.dataset.ready) document.body.dataset.ready = "true";
  };
  lab.addEventListener("gone", () => failed({ status: 404, message: T.noSuchLab }));
  listen({
    onstate(state) {
      find("connection").dataset.state = state;
      find("connection").textContent = T.states[state];
      if (state === "live") drawer.nudge();
    },
    onlive: () => lab.load().catch((error) => error.status === 404 || notice(error.message, { error: true })),
    onevent: (told) => heard(told, drawer, picture),
  });
  find("title").onclick = () =>
    askText(T.renameTitle, T.name, lab.name, async (name) => nameIs((await api.updateProject(id, { name })).name), { submit: T.rename });
}

function heard(told, drawer, picture) {
  const { action, event, project_id } = told;
  const before = lab.nodes.get(event?.vm_id)?.name;
  const ours = lab.take(told);
  if (!ours && project_id !== null) return;
  if (action !== "vm.progress") drawer.settle(event?.vm_id);
  const level = { "log.error": "error", "log.warning": "warning", "log.info": "info" }[action];
  if (level) {
    drawer.message(level, event.message, concerned(event.message, picture));
    if (level === "error") notice(event.message, { error: true });
  } else if (T.events[action]) drawer.message("info", T.events[action](event.name ?? before ?? ""), () => picture.select([event.vm_id]));
  else if (action === "vm.progress") drawer.message("info", T.progress(event), () => picture.select([event.vm_id]), event.vm_id);
}

// A sentence that names a machine leads to it.
function concerned(sentence, picture) {
  const node = [...lab.nodes.values()].find((one) => sentence.includes(one.vm_id));
  return node ? () => picture.select([node.vm_id]) : null;
}

function stepped(step, said) {
  if (!step) return;
  if (step.error) notice(step.error.message, { error: true });
  else say(said(step.name));
}

function nameIs(name) {
  lab.name = name ?? "";
  const shown = name ?? T.unnamed;
  find("title").textContent = shown;
  document.title = `${shown} · ${T.product}`;
  layers.svg.setAttribute("aria-label", T.picture(shown));
}

const say = (text) => (find("said").textContent = text);

function failed(error) {
  if (error.status === 0) setTimeout(() => location.reload(), 3000);
  document.body.dataset.ready = "false";
  find("empty").hidden = false;
  find("empty").replaceChildren(
    make("h2", {}, error.status === 404 || error.status === 400 ? T.noSuchLab : error.message),
    make("p", {}, error.message),
    make("p", {}, make("a", { href: ".." }, T.backToLabs)),
  );
}

function toolbar(does, view) {
  const button = (name, icon, text, work, more = {}) => iconButton(icon, text, work, { id: name, ...more });
  find("tools").append(
    button("undo", "i-undo", T.withKey(T.undo, "Ctrl+Z"), does.undo, { disabled: true }),
    button("redo", "i-redo", T.withKey(T.redo, "Ctrl+Y"), does.redo, { disabled: true }),
    button("layout", "i-layout", T.withKey(T.autoLayout, "A"), does.layOut),
    button("grid", "i-grid", T.withKey(T.grid, "G"), does.toggleGrid, { "aria-pressed": "true" }),
    button("help", "i-help", T.withKey(T.help, "?"), does.help),
  );
  find("zoom").append(
    button("zoom-in", "i-plus", T.withKey(T.zoomIn, "+"), () => view.zoom(1.25)),
    button("zoom-out", "i-minus", T.withKey(T.zoomOut, "−"), () => view.zoom(0.8)),
    button("fit", "i-fit", T.withKey(T.fit, "0"), does.fit),
  );
  find("start-all").onclick = does.startAll;
  find("stop-all").onclick = does.stopAll;
}

function keyTable() {
  const rows = T.keys.map(([keys, what]) => make("tr", {}, make("th", { scope: "row" }, keys), make("td", {}, what)));
  return make("table", { class: "keys" }, make("tbody", {}, ...rows));
}

start();
