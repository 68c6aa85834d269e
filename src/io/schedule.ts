/**
 * What is in flight on a simulated machine, by time: a binary heap in typed arrays.
 *
 * @module
 */

/** Operations (an owner and its slot), earliest first; ties by `order`, then by their turn. */
export class Schedule {
  length = 0;
  private _due = new Float64Array(64);
  private _order = new Float64Array(64);
  private _turn = new Float64Array(64);
  private _owner = new Int32Array(64);
  private _slot = new Int32Array(64);
  private _nextTurn = 0;

  /** Of the first one: when it is due; infinite when there is none. */
  get dueMicros(): number {
    return this.length === 0 ? Infinity : this._due[0];
  }
  get owner(): number {
    return this._owner[0];
  }
  get slot(): number {
    return this._slot[0];
  }

  add(dueMicros: number, order: number, owner: number, slot: number): void {
    if (this.length === this._due.length) this._grow();
    const turn = this._nextTurn++;
    let at = this.length++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this._before(dueMicros, order, turn, parent)) break;
      this._move(parent, at);
      at = parent;
    }
    this._put(at, dueMicros, order, turn, owner, slot);
  }

  /** Removes the first one. */
  remove(): void {
    const last = --this.length;
    if (last === 0) return;
    const due = this._due[last];
    const order = this._order[last];
    const turn = this._turn[last];
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= last) break;
      const right = child + 1;
      if (
        right < last &&
        this._before(this._due[right], this._order[right], this._turn[right], child)
      ) child = right;
      if (this._before(due, order, turn, child)) break;
      this._move(child, at);
      at = child;
    }
    this._put(at, due, order, turn, this._owner[last], this._slot[last]);
  }

  /** Whether an operation of this owner is in flight. */
  owns(owner: number): boolean {
    return this._owner.subarray(0, this.length).includes(owner);
  }

  /** All of them, in the order of their submission. */
  entries(): { owner: number; slot: number }[] {
    return Array.from({ length: this.length }, (_, i) => i)
      .sort((a, b) => this._turn[a] - this._turn[b])
      .map((i) => ({ owner: this._owner[i], slot: this._slot[i] }));
  }

  private _before(due: number, order: number, turn: number, at: number): boolean {
    if (due !== this._due[at]) return due < this._due[at];
    if (order !== this._order[at]) return order < this._order[at];
    return turn < this._turn[at];
  }

  private _move(from: number, to: number): void {
    this._due[to] = this._due[from];
    this._order[to] = this._order[from];
    this._turn[to] = this._turn[from];
    this._owner[to] = this._owner[from];
    this._slot[to] = this._slot[from];
  }

  private _put(
    at: number,
    due: number,
    order: number,
    turn: number,
    owner: number,
    slot: number,
  ): void {
    this._due[at] = due;
    this._order[at] = order;
    this._turn[at] = turn;
    this._owner[at] = owner;
    this._slot[at] = slot;
  }

  private _grow(): void {
    const doubled = <T extends Float64Array | Int32Array>(old: T): T => {
      const made = new (old.constructor as new (length: number) => T)(old.length * 2);
      made.set(old);
      return made;
    };
    this._due = doubled(this._due);
    this._order = doubled(this._order);
    this._turn = doubled(this._turn);
    this._owner = doubled(this._owner);
    this._slot = doubled(this._slot);
  }
}
