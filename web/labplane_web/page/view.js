// What part of the picture is seen: moving it, zooming, fitting all in.

const NEAREST = 3;
const FARTHEST = 0.12;
const ROOM = 90; // pixels around everything when it is fitted in

export class View {
  // svg: the picture; worlds: the groups that have everything between them; pattern: that of the grid.
  constructor(svg, worlds, pattern) {
    Object.assign(this, { svg, worlds, pattern, x: 0, y: 0, scale: 1 });
    this.box = svg.getBoundingClientRect(); // asked for only when it changes: that lays out the page
    // What was in the middle stays there when the window or the drawer changes.
    new ResizeObserver(() => {
      const now = svg.getBoundingClientRect();
      const [dx, dy] = [now.width - this.box.width, now.height - this.box.height];
      this.box = now;
      if (dx || dy) this.pan(dx / 2, dy / 2);
    }).observe(svg);
  }

  // The place in the lab at a point of the window.
  at(event) {
    const { box } = this;
    return { x: (event.clientX - box.left - this.x) / this.scale, y: (event.clientY - box.top - this.y) / this.scale };
  }

  // The point of the window at a place in the lab.
  pointOf({ x, y }) {
    const { box } = this;
    return { clientX: box.left + this.x + x * this.scale, clientY: box.top + this.y + y * this.scale };
  }

  get center() {
    const { box } = this;
    return this.at({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 });
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.show();
  }

  zoom(factor, point = null) {
    const { box } = this;
    const px = point ? point.clientX - box.left : box.width / 2;
    const py = point ? point.clientY - box.top : box.height / 2;
    const scale = Math.min(NEAREST, Math.max(FARTHEST, this.scale * factor));
    this.x = px - ((px - this.x) * scale) / this.scale;
    this.y = py - ((py - this.y) * scale) / this.scale;
    this.scale = scale;
    this.show();
  }

  fit(nodes) {
    const { box } = this;
    if (!nodes.length || !box.width) {
      Object.assign(this, { scale: 1, x: box.width / 2, y: box.height / 2 });
      return this.show();
    }
    const xs = nodes.map((node) => node.x);
    const ys = nodes.map((node) => node.y);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const room = Math.min(ROOM, box.width / 5, box.height / 5);
    const scale = Math.min((box.width - 2 * room) / (right - left || 1), (box.height - 2 * room) / (bottom - top || 1), 1.25);
    this.scale = Math.min(NEAREST, Math.max(FARTHEST, scale));
    this.x = box.width / 2 - ((left + right) / 2) * this.scale;
    this.y = box.height / 2 - ((top + bottom) / 2) * this.scale;
    this.show();
  }

  // Bring a place into sight, with as little movement as does.
  reveal(place) {
    const { box } = this;
    const { clientX, clientY } = this.pointOf(place);
    const edge = 70;
    const dx = Math.max(0, box.left + edge - clientX) + Math.min(0, box.right - edge - clientX);
    const dy = Math.max(0, box.top + edge - clientY) + Math.min(0, box.bottom - edge - clientY);
    if (dx || dy) this.pan(dx, dy);
  }

  show() {
    const transform = `translate(${this.x} ${this.y}) scale(${this.scale})`;
    for (const world of this.worlds) world.setAttribute("transform", transform);
    this.pattern.setAttribute("patternTransform", transform);
  }
}
