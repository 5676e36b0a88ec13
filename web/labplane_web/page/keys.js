// The keyboard in the picture: all that a mouse can do there.

const STEP = 20;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// does: functions by what they do; see lab.js.
export function useKeys(lab, picture, view, does) {
  const { svg } = picture.layers;
  svg.addEventListener("keydown", (event) => {
    if (pressed(event, lab, picture, view, does)) event.preventDefault();
  });
  svg.addEventListener("focusin", (event) => {
    const id = event.target.closest?.(".node")?.dataset.id;
    if (!id || !event.target.matches(":focus-visible")) return;
    picture.focusable(id);
    picture.heat(id);
    view.reveal(lab.nodes.get(id));
  });
  svg.addEventListener("focusout", () => picture.heat(null));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "F6" && event.target.closest("input, textarea, select, dialog, .pane.console")) return;
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (event.key === "F6") does.otherPane();
    else if (command && key === "z") (event.shiftKey ? does.redo : does.undo)();
    else if (command && key === "y") does.redo();
    else if (event.key === "?") does.help();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, true); // before a screen, which would take all keys
}

function pressed(event, lab, picture, view, does) {
  const id = event.target.closest?.(".node")?.dataset.id ?? (lab.nodes.has(picture.focused) ? picture.focused : null);
  const node = lab.nodes.get(id);
  const command = event.ctrlKey || event.metaKey;
  if (command) {
    if (event.key.toLowerCase() !== "a") return false;
    picture.select(lab.nodes.keys());
    return true;
  }
  const arrow = ARROWS[event.key];
  if (arrow && event.shiftKey) return does.nudge(arrow[0] * STEP, arrow[1] * STEP), true;
  if (arrow) return goOn(lab, picture, view, node, arrow), true;
  const chosen = () => (picture.selected.size && node && !picture.selected.has(id) ? [id] : null);
  switch (event.key) {
    case "Enter":
    case " ":
      if (!node) return false;
      if (does.linking()) does.linkTo(id);
      else if (event.shiftKey || event.key === " ") picture.select(toggled(picture.selected, id));
      else picture.select([id]);
      return true;
    case "Escape":
      does.escape();
      return true;
    case "Delete":
    case "Backspace":
      does.remove(chosen());
      return true;
    case "F2":
      if (node) does.rename(node);
      return true;
    case "ContextMenu":
    case "F10":
      if (event.key === "F10" && !event.shiftKey) return false;
      if (node && !picture.selected.has(id)) picture.select([id]);
      does.menuAt(node ?? null);
      return true;
    case "+":
    case "=":
      view.zoom(1.25);
      return true;
    case "-":
      view.zoom(0.8);
      return true;
    case "0":
      does.fit();
      return true;
  }
  const work = { n: does.add, a: does.layOut, g: does.toggleGrid }[event.key.toLowerCase()];
  if (work) return work(), true;
  if (!node) return false;
  const each = picture.selected.has(id) ? [...picture.selected].map((one) => lab.nodes.get(one)).filter(Boolean) : [node];
  const one = { l: () => does.startLink(node), c: () => does.console(each) }[event.key.toLowerCase()];
  const action = { s: "start", x: "stop", r: "reload" }[event.key.toLowerCase()];
  if (one) one();
  else if (action) does.act(action, each);
  else return false;
  return true;
}

function toggled(selected, id) {
  const next = new Set(selected);
  if (!next.delete(id)) next.add(id);
  return next;
}

// To the nearest node in a direction; from nowhere, to the first.
function goOn(lab, picture, view, from, [dx, dy]) {
  let best = null;
  let least = Infinity;
  for (const node of lab.nodes.values()) {
    if (node === from) continue;
    if (!from) {
      best = node;
      break;
    }
    const along = (node.x - from.x) * dx + (node.y - from.y) * dy;
    const aside = Math.abs((node.x - from.x) * dy) + Math.abs((node.y - from.y) * dx);
    if (along <= 0) continue;
    const far = along + 2 * aside;
    if (far < least) [best, least] = [node, far];
  }
  if (!best) return;
  picture.focus(best.vm_id);
  picture.heat(best.vm_id);
  view.reveal(best);
}
