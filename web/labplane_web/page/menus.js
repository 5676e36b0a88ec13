// What can be done with a machine, a link, or the picture: the items of the menus, and the dialogs behind them.

import { api } from "./api.js";
import { make } from "./dom.js";
import { formOf } from "./form.js";
import { T } from "./text.js";
import { askText, dialog, menu, notice, tried } from "./ui.js";

export class Menus {
  constructor(lab, kinds, actions, does) {
    Object.assign(this, { lab, kinds, actions, does });
  }

  ofNodes(nodes, x, y) {
    const kindOf = (node) => this.kinds.get(node.kind);
    const some = (action, ...states) => nodes.some((node) => states.includes(node.status) && kindOf(node)?.actions.includes(action));
    const act = (action, icon, name, ...states) =>
      some(action, ...states) && { name, icon, work: () => this.actions.act(action, nodes.filter((node) => states.includes(node.status))) };
    const one = nodes.length === 1 ? nodes[0] : null;
    const kind = one && kindOf(one);
    const items = [
      act("start", "i-start", T.start, "stopped"),
      act("resume", "i-start", T.resume, "suspended"),
      act("stop", "i-stop", T.stop, "started", "suspended"),
      act("reload", "i-reload", T.reload, "started"),
      act("suspend", "i-suspend", T.suspend, "started"),
      null,
      nodes.some((node) => node.console !== null) && { name: T.console, icon: "i-console", work: () => this.does.console(nodes) },
      one && { name: T.rename, icon: "i-edit", work: () => this.rename(one) },
      one && { name: T.settings, icon: "i-gear", work: () => this.settings(one) },
      one && kind?.has("startup_script") && { name: T.script, icon: "i-script", work: () => this.script(one) },
      one && one.console !== null && { name: T.log, icon: "i-log", work: () => this.log(one) },
      one && { name: T.linkTo, icon: "i-link", work: () => this.linkDialog(one), disabled: this.lab.nodes.size < 2 },
      null,
      { name: T.deleteNode, icon: "i-trash", danger: true, work: () => this.does.remove(nodes.map((node) => node.vm_id)) },
    ];
    menu(x, y, items.filter((item) => item !== false), one?.name ?? T.manySelected(nodes.length));
  }

  ofLink(link, name, x, y) {
    menu(x, y, [{ name: T.unlink, icon: "i-trash", danger: true, work: () => this.does.remove([link.link_id]) }], name);
  }

  ofPicture(place, x, y) {
    const adds = [...this.kinds.values()].map((kind) => ({ name: T.paletteAdd(kind.name), icon: kind.icon, work: () => this.does.addAt(kind, place) }));
    const rest = [
      { name: T.startAll, icon: "i-start", work: this.does.startAll },
      { name: T.stopAll, icon: "i-stop", work: this.does.stopAll },
      { name: T.autoLayout, icon: "i-layout", work: this.does.layOut },
      { name: T.fit, icon: "i-fit", work: this.does.fit },
    ];
    menu(x, y, [...adds, null, ...rest], T.toolbar);
  }

  rename(node) {
    return askText(T.renameTitle, T.name, node.name, (name) => this.actions.change(node, name === node.name ? {} : { name }, { name: node.name }), { submit: T.rename });
  }

  async settings(node) {
    const kind = this.kinds.get(node.kind);
    const vm = await tried(() => api.vm(node));
    if (!vm) return;
    const form = formOf(kind.update, vm, { first: ["name"] });
    const work = (changes) => this.actions.change(node, changes, vm);
    await dialog({ title: T.settings.replace("…", ""), body: form.elements, submit: T.save, read: form.read, work });
  }

  async script(node) {
    const vm = await tried(() => api.vm(node));
    if (!vm) return;
    const editor = make("textarea", { id: "script", rows: 16, spellcheck: "false", class: "code", autofocus: true });
    editor.value = vm.startup_script ?? "";
    const body = [make("label", { for: "script", class: "away" }, T.scriptTitle(node.name)), editor, make("p", { class: "quiet" }, T.scriptHint)];
    const read = () => (editor.value === "" ? null : editor.value);
    const work = (text) => (text === vm.startup_script ? null : this.actions.change(node, { startup_script: text }, vm));
    await dialog({ title: T.scriptTitle(node.name), body, submit: T.save, wide: true, read, work });
  }

  async log(node) {
    const path = `project-files/${node.kind}/${node.vm_id}/${node.kind}.log`;
    let text;
    try {
      text = await api.file(this.lab.id, path);
    } catch (error) {
      if (error.status !== 404) return void notice(error.message, { error: true });
      text = "";
    }
    const plain = text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\r/g, "");
    const shown = make("pre", { class: "code log", tabindex: "0" }, plain || T.logMissing);
    const open = dialog({ title: T.logTitle(node.name), body: [shown], submit: null, wide: true });
    shown.scrollTop = shown.scrollHeight;
    await open;
  }

  // A link without a mouse: from which port, to which machine and port.
  async linkDialog(node, other = null) {
    const from = make("select", { id: "link-from" }, ...this._ports(node));
    const to = make("select", { id: "link-to" });
    const port = make("select", { id: "link-port" });
    const others = [...this.lab.nodes.values()].filter((one) => one !== node && one.ports.some((each) => each.link_id === null));
    for (const one of others) to.append(make("option", { value: one.vm_id, selected: one.vm_id === other }, one.name));
    const fill = () => {
      const there = this.lab.nodes.get(to.value);
      port.replaceChildren(...(there ? this._ports(there) : []));
    };
    to.onchange = fill;
    fill();
    const label = (id, text) => make("label", { for: id }, text);
    const body = [label("link-from", T.linkFrom), from, label("link-to", T.linkTarget), to, label("link-port", T.ports), port];
    const read = () => [end(node.vm_id, from.value), end(to.value, port.value)];
    await dialog({ title: T.linkTitle(node.name), body, submit: T.create, read, work: (ends) => this.actions.link(...ends) });
  }

  _ports(node) {
    const free = node.ports.filter((port) => port.link_id === null);
    const first = make("option", { value: "" }, free.length ? T.anyPort : T.noFreePort(node.name));
    return [first, ...free.map((port) => make("option", { value: `${port.adapter}/${port.port}` }, port.name))];
  }
}

function end(vm_id, place) {
  const [adapter, port] = place.split("/").map(Number);
  return place === "" ? { vm_id } : { vm_id, adapter, port };
}
