// The small picture of a lab on its card.

import { draw } from "./dom.js";
import { arrange } from "./layout.js";

const WIDTH = 270;
const HEIGHT = 150;
const ROOM = 26;
const SIDE = 16;

export function smallPicture() {
  const element = draw("svg", { class: "small", role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  return { element, show: (topology) => element.replaceChildren(...parts(topology)) };
}

function parts({ nodes, links }) {
  if (!nodes.length) return [];
  const rest = nodes.filter((node) => node.x === null);
  if (rest.length) arrange(nodes, links, new Set(rest.map((node) => node.vm_id)));
  const [left, right] = [Math.min(...nodes.map((node) => node.x)), Math.max(...nodes.map((node) => node.x))];
  const [top, bottom] = [Math.min(...nodes.map((node) => node.y)), Math.max(...nodes.map((node) => node.y))];
  const scale = Math.min((WIDTH - 2 * ROOM) / (right - left || 1), (HEIGHT - 2 * ROOM) / (bottom - top || 1), 0.5);
  const places = new Map(
    nodes.map((node) => [
      node.vm_id,
      { x: WIDTH / 2 + (node.x - (left + right) / 2) * scale, y: HEIGHT / 2 + (node.y - (top + bottom) / 2) * scale },
    ]),
  );
  const side = Math.max(4, Math.min(SIDE, 60 * scale));
  const lines = links
    .filter((link) => link.ends.length === 2)
    .map((link) => {
      const [a, b] = link.ends.map((end) => places.get(end.vm_id));
      return draw("line", { x1: a.x, y1: a.y, x2: b.x, y2: b.y });
    });
  const boxes = nodes.map((node) => {
    const { x, y } = places.get(node.vm_id);
    return draw("rect", { class: node.status === "started" ? "up" : null, x: x - side / 2, y: y - side / 2, width: side, height: side, rx: side / 4 });
  });
  return [...lines, ...boxes];
}
