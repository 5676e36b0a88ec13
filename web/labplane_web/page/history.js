// What was done on this page, so that it can be undone: pairs of functions, the newest last.

const MOST = 100;

export class History {
  constructor(onchange) {
    Object.assign(this, { onchange, done: [], undone: [], busy: Promise.resolve() });
  }

  // name: what was done, in a few words; undo and redo: async functions that do it back and again.
  add(name, undo, redo) {
    this.done.push({ name, undo, redo });
    if (this.done.length > MOST) this.done.shift();
    this.undone = [];
    this.onchange();
  }

  undo() {
    return this._step(this.done, this.undone, "undo");
  }

  redo() {
    return this._step(this.undone, this.done, "redo");
  }

  // One after the other, however fast the keys come. What fails is forgotten, since it would fail again.
  _step(from, to, way) {
    this.busy = this.busy.then(async () => {
      const step = from.pop();
      if (!step) return null;
      try {
        await step[way]();
        to.push(step);
        return { name: step.name };
      } catch (error) {
        return { name: step.name, error };
      } finally {
        this.onchange();
      }
    });
    return this.busy;
  }
}
