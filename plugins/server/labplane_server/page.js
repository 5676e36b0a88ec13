// Shows what /v1/status says, and asks again whenever /v1/events tells that something happened.
"use strict";

const HAPPENINGS = ["vm.created", "vm.started", "vm.stopped", "vm.suspended", "vm.deleted", "log.error", "log.warning"];
const RETRY = 3000; // milliseconds from a broken stream to the next attempt
const CALM = 200; // milliseconds from one look to the next, however much happens
const MESSAGES = 5;

const find = (id) => document.getElementById(id);

// What comes from the server becomes text, never HTML: a name is whatever somebody typed.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const shownBy = new WeakMap();

// Make the children of `parent` those that `build` makes of `items`. What shows the same as before stays the very same
// element, so that a selection or the focus in it survives.
function show(parent, items, build) {
  const wanted = items.map((item) => JSON.stringify(item));
  const still = new Set(wanted);
  const kept = new Map();
  for (const child of [...parent.children]) {
    if (still.has(shownBy.get(child))) kept.set(shownBy.get(child), child);
    else child.remove();
  }
  let next = parent.firstElementChild;
  items.forEach((item, index) => {
    const child = kept.get(wanted[index]) ?? build(item);
    shownBy.set(child, wanted[index]);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  });
}

// [2000, 2001, 2002, 2005] is "2000–2002, 2005".
function ranges(numbers) {
  const found = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (hours < 1) return `${minutes} min`;
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function buildFact([name, value, more]) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, more)));
}

function portsFact(name, ports) {
  const free = `${ports.free} of ${ports.first}–${ports.last} free`;
  return [name, `${ports.used.length} used`, ports.used.length ? `${ranges(ports.used)} · ${free}` : free];
}

let busy = null; // the processors' share of now, in percent, as the last ping had it

function facts(status) {
  const { average, processors, memory_total, memory_available } = status.load;
  const vms = status.projects.flatMap((project) => project.vms);
  const number = processors === 1 ? "1 processor" : `${processors} processors`;
  return [
    ["VMs running", `${vms.filter((vm) => vm.status === "started").length} of ${vms.length}`, `up ${duration(status.uptime_seconds)}`],
    ["Load", average.map((one) => one.toFixed(2)).join("  "), busy === null ? number : `${number}, ${Math.round(busy)} % busy`],
    ["Memory", `${Math.round(100 - (100 * memory_available) / memory_total)} % used`, `of ${(memory_total / 2 ** 30).toFixed(1)} GiB`],
    portsFact("Console ports", status.ports.console),
    portsFact("UDP ports", status.ports.udp),
  ];
}

function consoleCell(vm) {
  const cell = make("td", {});
  if (vm.console !== null) cell.append(`${vm.console}`);
  if (vm.console !== null && vm.status !== "stopped") {
    const address = `telnet://${vm.host}:${vm.console}`;
    cell.append(" ", make("a", { href: address }, address));
  }
  return cell;
}

function buildVM(vm) {
  const state = make("td", {}, make("span", { "data-state": vm.status }, vm.status));
  return make("tr", { id: vm.vm_id }, make("td", {}, vm.name), make("td", {}, vm.kind), state, consoleCell(vm));
}

function buildProject([id, name, empty]) {
  const title = name === null ? make("h3", {}, id) : make("h3", {}, name, " ", make("span", {}, id));
  if (empty) return make("article", {}, title, make("p", { class: "quiet" }, "No VMs yet."));
  const heads = ["Name", "Kind", "State", "Console"].map((head) => make("th", { scope: "col" }, head));
  return make("article", {}, title, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {})));
}

function buildPlugin(plugin) {
  const kinds = plugin.kinds.length ? ` · VMs of the kind ${plugin.kinds.join(", ")}` : "";
  const element = make(
    "li",
    {},
    make("span", {}, plugin.name),
    make("span", { "data-state": plugin.state }, plugin.state),
    make("small", {}, `${plugin.distribution} ${plugin.version}${kinds}`),
  );
  if (plugin.error !== null) element.append(make("small", { class: "fault" }, plugin.error));
  if (plugin.faults) {
    const times = plugin.faults === 1 ? "1 fault" : `${plugin.faults} faults, the latest`;
    element.append(make("small", { class: "fault" }, `${times}: ${plugin.last_fault}`));
  }
  return element;
}

function showStatus(status) {
  const everywhere = ["0.0.0.0", "::"].includes(status.console_host);
  const named = status.console_host.includes(":") ? `[${status.console_host}]` : status.console_host;
  const host = everywhere ? location.hostname : named;
  find("version").textContent = status.version;
  show(find("facts"), facts(status), buildFact);
  const heads = status.projects.map((project) => [project.project_id, project.name, project.vms.length === 0]);
  show(find("projects"), heads, buildProject);
  status.projects.forEach((project, index) => {
    const rows = find("projects").children[index].querySelector("tbody");
    if (rows) show(rows, project.vms.map((vm) => ({ ...vm, host })), buildVM);
  });
  find("no-projects").hidden = status.projects.length > 0;
  show(find("plugins"), status.plugins, buildPlugin);
  find("all").hidden = false;
}

function showMessage(text) {
  const list = find("messages").querySelector("ul");
  list.prepend(make("li", {}, text, make("small", {}, new Date().toLocaleTimeString())));
  while (list.children.length > MESSAGES) list.lastElementChild.remove();
  find("messages").hidden = false;
}

let listening = false;
let answered = false;
let since = null; // when the server was first found not to answer

function showConnection() {
  const state = !answered ? "disconnected" : listening ? "live" : "connecting";
  since = answered ? null : (since ?? new Date().toLocaleTimeString());
  const text = answered ? state : `${state} since ${since}`;
  find("connection").dataset.state = state;
  if (find("connection").textContent !== text) find("connection").textContent = text;
  find("all").classList.toggle("stale", !answered);
}

let looking = null; // the promise of what is under way
let again = false;

// Show what is now, once all that was asked for is over.
function look() {
  again = true;
  looking ??= lookWhileAsked().finally(() => (looking = null));
  return looking;
}

async function lookWhileAsked() {
  while (again) {
    again = false;
    try {
      // Who accepts HTML and may not enter gets the login form. Else it would be a challenge, which a browser takes up itself.
      const reply = await fetch("v1/status", { cache: "no-store", headers: { Accept: "application/json, text/html" } });
      if (reply.status === 401) location.reload();
      answered = reply.ok;
      if (reply.ok) showStatus(await reply.json());
    } catch {
      answered = false;
    }
    showConnection();
    await new Promise((resolve) => setTimeout(resolve, CALM));
  }
}

let source = null;
let retry = null;

async function connect() {
  hangUp();
  await look();
  hangUp(); // what another call may have begun meanwhile
  if (document.hidden) return;
  if (answered) listen();
  else retry = setTimeout(connect, RETRY);
}

function listen() {
  source = new EventSource("v1/events");
  source.onopen = () => {
    listening = true;
    look();
  };
  source.onerror = () => {
    hangUp();
    retry = setTimeout(connect, RETRY);
    look();
  };
  for (const action of HAPPENINGS) source.addEventListener(action, look);
  for (const action of ["log.error", "log.warning"]) {
    source.addEventListener(action, (told) => showMessage(JSON.parse(told.data).event.message));
  }
  source.addEventListener("ping", (told) => {
    busy = JSON.parse(told.data).event.cpu_usage_percent;
    look();
  });
}

function hangUp() {
  clearTimeout(retry);
  source?.close();
  listening = false;
}

// A browser keeps few connections to one server: a page that nobody looks at must not hold one.
document.addEventListener("visibilitychange", () => (document.hidden ? hangUp() : connect()));
if (!document.hidden) connect();
