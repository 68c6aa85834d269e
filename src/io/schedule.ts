/**
 * What is in flight on a simulated machine, by time: a binary heap in typed arrays.
 *
 * @module
 */

/** Operations (an owner and its slot), earliest first; ties by `order`, then by their turn. */
export class Schedule {
  length = 0;
  #due = new Float64Array(64);
  #order = new Float64Array(64);
  #turn = new Float64Array(64);
  #owner = new Int32Array(64);
  #slot = new Int32Array(64);
  #nextTurn = 0;

  /** Of the first one: when it is due; infinite when there is none. */
  get dueMicros(): number {
    return this.length === 0 ? Infinity : this.#due[0];
  }
  get owner(): number {
    return this.#owner[0];
  }
  get slot(): number {
    return this.#slot[0];
  }

  add(dueMicros: number, order: number, owner: number, slot: number): void {
    if (this.length === this.#due.length) this.#grow();
    const turn = this.#nextTurn++;
    let at = this.length++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(dueMicros, order, turn, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#put(at, dueMicros, order, turn, owner, slot);
  }

  /** Removes the first one. */
  remove(): void {
    const last = --this.length;
    if (last === 0) return;
    const due = this.#due[last];
    const order = this.#order[last];
    const turn = this.#turn[last];
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= last) break;
      const right = child + 1;
      if (
        right < last &&
        this.#before(this.#due[right], this.#order[right], this.#turn[right], child)
      ) child = right;
      if (this.#before(due, order, turn, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, due, order, turn, this.#owner[last], this.#slot[last]);
  }

  /** Whether an operation of this owner is in flight. */
  owns(owner: number): boolean {
    return this.#owner.subarray(0, this.length).includes(owner);
  }

  /** All of them, in the order of their submission. */
  entries(): { owner: number; slot: number }[] {
    return Array.from({ length: this.length }, (_, i) => i)
      .sort((a, b) => this.#turn[a] - this.#turn[b])
      .map((i) => ({ owner: this.#owner[i], slot: this.#slot[i] }));
  }

  #before(due: number, order: number, turn: number, at: number): boolean {
    if (due !== this.#due[at]) return due < this.#due[at];
    if (order !== this.#order[at]) return order < this.#order[at];
    return turn < this.#turn[at];
  }

  #move(from: number, to: number): void {
    this.#due[to] = this.#due[from];
    this.#order[to] = this.#order[from];
    this.#turn[to] = this.#turn[from];
    this.#owner[to] = this.#owner[from];
    this.#slot[to] = this.#slot[from];
  }

  #put(
    at: number,
    due: number,
    order: number,
    turn: number,
    owner: number,
    slot: number,
  ): void {
    this.#due[at] = due;
    this.#order[at] = order;
    this.#turn[at] = turn;
    this.#owner[at] = owner;
    this.#slot[at] = slot;
  }

  #grow(): void {
    const doubled = <T extends Float64Array | Int32Array>(old: T): T => {
      const made = new (old.constructor as new (length: number) => T)(old.length * 2);
      made.set(old);
      return made;
    };
    this.#due = doubled(this.#due);
    this.#order = doubled(this.#order);
    this.#turn = doubled(this.#turn);
    this.#owner = doubled(this.#owner);
    this.#slot = doubled(this.#slot);
  }
}
