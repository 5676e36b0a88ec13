// The page of all labs: a card for each, and what can be done with a lab as a whole.

import { api } from "./api.js";
import { at, atMost, eachFrame, find, glyph, iconButton, make, spell } from "./dom.js";
import { listen } from "./events.js";
import { symbols } from "./icons.js";
import { T } from "./text.js";
import { useTheme } from "./theme.js";
import { smallPicture } from "./thumbnail.js";
import { ask, askText, dialog, menu, notice, tried } from "./ui.js";

const CALM = 150; // milliseconds from one look to the next, however much happens
const LAB_FILE = /\.(ya?ml|json)$/i;
const SEEN = ["vm.", "link.", "node.", "project."];

spell(T);
document.body.prepend(symbols());
useTheme();

const cards = new Map(); // project_id → {element, …}
const stale = new Set(); // labs whose picture may have changed
let busy = null;
let taking = 0; // archives that are being imported: each makes a lab that goes again if it is refused
let looking = null;
let again = false;

function look() {
  again = true;
  looking ??= lookWhileAsked().finally(() => (looking = null));
  return looking;
}

async function lookWhileAsked() {
  while (again) {
    again = false;
    try {
      show(await api.status());
    } catch {
      return; // the line above says that the server is gone
    }
    await new Promise((resolve) => setTimeout(resolve, CALM));
  }
}

function show(status) {
  const there = new Set(status.projects.map((lab) => lab.project_id));
  for (const [id, card] of cards) {
    if (!there.has(id)) {
      card.element.remove();
      cards.delete(id);
    }
  }
  const sorted = status.projects.toSorted((a, b) => (a.name ?? "").localeCompare(b.name ?? "", undefined, { numeric: true }));
  sorted.forEach((lab, index) => {
    const card = cards.get(lab.project_id) ?? newCard(lab);
    update(card, lab);
    const next = find("cards").children[index];
    if (next !== card.element) find("cards").insertBefore(card.element, next ?? null);
  });
  find("none").hidden = status.projects.length > 0;
  host(status);
  refresh();
  document.body.dataset.ready = "true";
}

function newCard(lab) {
  const link = make("a", { href: at(`labs/${lab.project_id}`) });
  const count = make("p", { class: "count" });
  const picture = smallPicture();
  const more = iconButton("i-more", "", (event) => showMenu(card.lab, event.currentTarget), { "aria-haspopup": "menu" });
  const words = make("div", { class: "words" }, make("h3", {}, link), count);
  const element = make("li", { class: "card", "data-id": lab.project_id }, picture.element, make("div", { class: "text" }, words, more));
  const card = { element, link, count, picture, more, lab };
  cards.set(lab.project_id, card);
  stale.add(lab.project_id);
  return card;
}

function update(card, lab) {
  const changed = JSON.stringify(card.lab.vms) !== JSON.stringify(lab.vms);
  card.lab = lab;
  const name = lab.name ?? T.unnamed;
  if (card.link.textContent !== name) {
    card.link.textContent = name;
    card.more.title = T.more(name);
    card.more.setAttribute("aria-label", T.more(name));
    card.picture.element.setAttribute("aria-label", T.pictureOf(name));
  }
  const up = lab.vms.filter((vm) => vm.status === "started").length;
  card.count.textContent = T.nodesUp(up, lab.vms.length);
  card.count.classList.toggle("some", up > 0);
  if (changed) stale.add(lab.project_id);
}

const refresh = eachFrame(() => {
  if (taking) return;
  const ids = [...stale].filter((id) => cards.has(id));
  stale.clear();
  atMost(4, ids, async (id) => {
    try {
      cards.get(id)?.picture.show(await api.topology(id));
    } catch {
      // it was closed meanwhile
    }
  });
});

function host({ version, load, plugins }) {
  const used = Math.round(100 - (100 * load.memory_available) / load.memory_total);
  const faulty = plugins.filter((plugin) => plugin.faults || plugin.state === "failed").length;
  const words = [T.version(version), T.host(load.average[0].toFixed(2), load.processors, busy), T.memory(used, (load.memory_total / 2 ** 30).toFixed(1))];
  const all = words.map((text) => make("span", {}, text));
  if (faulty) all.push(make("a", { href: "status" }, T.faults(faulty)));
  find("host").replaceChildren(...all);
}

// The menu of a card.
function showMenu(lab, button) {
  const id = lab.project_id;
  const name = lab.name ?? T.unnamed;
  const box = button.getBoundingClientRect();
  const items = [
    { name: T.open, icon: "i-open", work: () => location.assign(at(`labs/${id}`)) },
    { name: T.startAll, icon: "i-start", work: () => actAll(lab, "start", "stopped") },
    { name: T.stopAll, icon: "i-stop", work: () => actAll(lab, "stop", "started", "suspended") },
    null,
    { name: T.rename, icon: "i-edit", work: () => askText(T.renameTitle, T.name, lab.name ?? "", (text) => api.updateProject(id, { name: text }).then(look), { submit: T.rename }) },
    { name: T.duplicate, icon: "i-copy", work: () => duplicate(id, name) },
    { name: T.exportLab, icon: "i-export", work: () => download(id) },
    null,
    { name: T.closeLab, icon: "i-close", work: () => asked(T.closeAsk(name), T.closeHint, T.closeLab, () => api.closeProject(id)) },
    { name: T.deleteLab, icon: "i-trash", danger: true, work: () => asked(T.deleteAsk(name), T.deleteHint, T.deleteLab, () => api.deleteProject(id)) },
  ];
  menu(box.left, box.bottom + 4, items, T.more(name));
}

async function asked(title, text, submit, work) {
  if (await ask(title, text, submit)) await tried(work);
  look();
}

async function actAll(lab, action, ...states) {
  const refused = [];
  const vms = lab.vms.filter((vm) => states.includes(vm.status));
  await atMost(6, vms, (vm) => api.act({ ...vm, project_id: lab.project_id }, action).catch((error) => refused.push(error.message)));
  const sentences = [...new Set(refused)];
  if (sentences.length) notice(sentences.length > 1 ? `${T.failures(refused.length, vms.length)} ${sentences[0]}` : sentences[0], { error: true });
  look();
}

function download(id) {
  const link = make("a", { href: api.exportAddress(id), download: "" });
  document.body.append(link);
  link.click();
  link.remove();
}

// Export and import are all that it takes; what was made of a failed one is deleted again.
async function duplicate(id, name) {
  await tried(async () => {
    const archive = await api.exportProject(id);
    await take(archive, T.duplicateOf(name));
    notice(T.duplicated(T.duplicateOf(name)));
  });
  look();
}

async function take(archive, name = null) {
  taking += 1;
  try {
    const made = await api.createProject(name === null ? {} : { name });
    try {
      return await api.importProject(made.project_id, archive);
    } catch (error) {
      await api.deleteProject(made.project_id);
      throw error;
    }
  } finally {
    await look(); // what is asked for from now on is there
    taking -= 1;
    refresh();
  }
}

async function importFiles(files) {
  for (const file of files) {
    const busy = notice(T.importing(file.name));
    try {
      const made = await (LAB_FILE.test(file.name) ? api.createLab(file) : take(file));
      notice(T.imported(made.name ?? file.name));
    } catch (error) {
      busy.remove();
      await refused(file, error);
    }
    busy.remove();
    look();
  }
}

// A lab file is refused as a whole, with a sentence for each place in it that is wrong.
async function refused(file, error) {
  const lines = error.message.split("\n").map((line) => /^lab:(?:(\d+):\d+:)? (.*)$/.exec(line));
  if (lines.includes(null)) return void notice(error.message, { error: true });
  const items = lines.map(([, number, sentence]) => make("li", {}, number ? T.atLine(number, sentence) : sentence));
  const list = make("div", { role: "alert" }, make("ul", { class: "problems" }, ...items));
  await dialog({ title: T.badFile(file.name), body: [list], submit: null, wide: true });
}

function newLab() {
  return askText(T.newLabTitle, T.name, "", async (name) => {
    const { project_id } = await api.createProject({ name });
    location.assign(at(`labs/${project_id}`));
  }, { submit: T.create });
}

async function openClosed() {
  const closed = await tried(() => api.closedProjects());
  if (!closed) return undefined;
  const body = closed.map(({ project_id, name }, index) => {
    const id = `closed-${index}`;
    const choice = make("input", { type: "radio", name: "closed", id, value: project_id, checked: index === 0 });
    return make("div", { class: "check" }, choice, make("label", { for: id }, name ?? T.unnamed, " ", make("small", {}, project_id)));
  });
  if (!body.length) return dialog({ title: T.openClosed, body: [make("p", {}, T.noClosed)], submit: null });
  const list = make("fieldset", { "aria-label": T.labs }, ...body);
  const read = () => list.querySelector("input:checked").value;
  const work = async (project_id) => {
    await api.createProject({ project_id });
    location.assign(at(`labs/${project_id}`));
  };
  return dialog({ title: T.openClosed, body: [list], submit: T.open, read, work });
}

for (const [id, icon, name, work] of [
  ["new", "i-plus", T.newLab, newLab],
  ["import", "i-import", T.importLab, () => find("file").click()],
  ["open", "i-open", T.openClosed, openClosed],
]) {
  find(id).append(glyph(icon), name);
  find(id).onclick = work;
}
find("import").title = T.importHint;
const first = make("button", { type: "button", class: "primary", onclick: newLab }, glyph("i-plus"), T.newLab);
find("none").append(make("h3", {}, T.noLabs), make("p", {}, T.noLabsHint), first);
find("file").onchange = (event) => importFiles([...event.target.files]).then(() => (event.target.value = ""));
document.body.ondragover = (event) => event.preventDefault();
document.body.ondrop = (event) => {
  event.preventDefault();
  importFiles([...event.dataTransfer.files]);
};

listen({
  onstate(state) {
    find("connection").dataset.state = state;
    find("connection").textContent = T.states[state];
  },
  onlive: look,
  onevent({ action, event, project_id }) {
    if (action === "ping") busy = Math.round(event.cpu_usage_percent);
    if (action === "log.error") notice(event.message, { error: true });
    if (cards.has(project_id) && SEEN.some((word) => action.startsWith(word))) stale.add(project_id);
    look();
  },
});
look();
