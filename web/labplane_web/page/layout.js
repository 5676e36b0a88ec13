// Places for nodes that nobody placed: springs along links, all nodes pushing each other away (Fruchterman, Reingold 1991).

const EDGE = 150; // the length that a link wants to have
const REACH = 2 * EDGE; // how far nodes push each other
const STEP = 20; // places are multiples of it

// Place the nodes of `movable` (all when it is absent); others stay where they are. The same lab gives the same picture.
export function arrange(nodes, links, movable = null) {
  const free = nodes.filter((node) => movable === null || movable.has(node.vm_id));
  const index = new Map(nodes.map((node, number) => [node.vm_id, number]));
  const fixed = nodes.map((node) => !free.includes(node));
  const x = new Float64Array(nodes.length);
  const y = new Float64Array(nodes.length);
  const anchor = middle(nodes.filter((_, number) => fixed[number]));
  nodes.forEach((node, number) => {
    const angle = number * 2.39996; // the golden angle: no two at one place
    const radius = EDGE * 0.5 * Math.sqrt(number + (anchor.count ? 4 : 0));
    x[number] = fixed[number] ? node.x : anchor.x + radius * Math.cos(angle);
    y[number] = fixed[number] ? node.y : anchor.y + radius * Math.sin(angle);
  });
  const edges = links
    .filter((link) => link.ends.length === 2)
    .map((link) => link.ends.map((end) => index.get(end.vm_id)))
    .filter(([a, b]) => a !== undefined && b !== undefined && a !== b);
  relax(x, y, fixed, edges);
  for (const node of free) {
    const number = index.get(node.vm_id);
    node.x = Math.round(x[number] / STEP) * STEP;
    node.y = Math.round(y[number] / STEP) * STEP;
  }
  return new Map(free.map((node) => [node.vm_id, { x: node.x, y: node.y }]));
}

function middle(nodes) {
  if (!nodes.length) return { x: 0, y: 0, count: 0 };
  const sum = nodes.reduce((all, node) => ({ x: all.x + node.x, y: all.y + node.y }), { x: 0, y: 0 });
  return { x: sum.x / nodes.length, y: sum.y / nodes.length, count: nodes.length };
}

function relax(x, y, fixed, edges) {
  const count = x.length;
  const rounds = count > 150 ? 60 : 200;
  const dx = new Float64Array(count);
  const dy = new Float64Array(count);
  for (let round = 0; round < rounds; round += 1) {
    const most = EDGE * (1 - round / rounds) * 0.5 + 1;
    dx.fill(0);
    dy.fill(0);
    for (let a = 0; a < count; a += 1) {
      for (let b = a + 1; b < count; b += 1) {
        const vx = x[a] - x[b];
        const vy = y[a] - y[b];
        const square = vx * vx + vy * vy + 1;
        if (square > REACH * REACH) continue;
        const push = (EDGE * EDGE) / square;
        dx[a] += vx * push;
        dy[a] += vy * push;
        dx[b] -= vx * push;
        dy[b] -= vy * push;
      }
      dx[a] -= x[a] * 0.04; // all of it stays together
      dy[a] -= y[a] * 0.04;
    }
    for (const [a, b] of edges) {
      const vx = x[a] - x[b];
      const vy = y[a] - y[b];
      const pull = Math.sqrt(vx * vx + vy * vy) / EDGE;
      dx[a] -= vx * pull;
      dy[a] -= vy * pull;
      dx[b] += vx * pull;
      dy[b] += vy * pull;
    }
    for (let a = 0; a < count; a += 1) {
      if (fixed[a]) continue;
      const length = Math.sqrt(dx[a] * dx[a] + dy[a] * dy[a]) || 1;
      const step = Math.min(length, most) / length;
      x[a] += dx[a] * step;
      y[a] += dy[a] * step;
    }
  }
}
