/**
 * The operations in flight of one backend, by slot: columns made once, and a hash from the caller's
 * handle to the slot. Nothing is allocated for an operation, and nothing is searched.
 *
 * @module
 */

/** Kinds of operations: what `kind` of a slot says. */
export const Kind = {
  open: 0,
  close: 1,
  read: 2,
  write: 3,
  fsync: 4,
  fdatasync: 5,
  stat: 6,
  truncate: 7,
  allocate: 8,
  advise: 9,
  rename: 10,
  link: 11,
  remove: 12,
  syncDirectory: 13,
  adopt: 14,
} as const;

/** The name of an operation, in messages and for fault injection. */
export type OperationName = keyof typeof Kind;

/** Names of the kinds, by number. */
export const KIND_NAMES = Object.keys(Kind) as OperationName[];

/** Slots of operations. A slot is taken from the submission until a poll has delivered the operation. */
export class OperationTable {
  readonly capacity: number;
  /** Of each slot: what it does. */
  readonly kind: Uint8Array;
  /** Of each slot: the number of the client, and its handle. */
  readonly client: Int32Array;
  readonly handle: Float64Array;
  /** Of each slot: how it ended. */
  readonly res: Int32Array;
  /** Slots that are taken, and the most that were. */
  used = 0;
  peak = 0;
  /** Slots that are not reserved for a client, and how many of them are taken. */
  shared: number;
  sharedUsed = 0;

  private readonly _free: Int32Array;
  /** Open addressing; -1 is empty. At most half full, so that probes stay short. */
  private readonly _hash: Int32Array;
  private readonly _mask: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.shared = capacity;
    this.kind = new Uint8Array(capacity);
    this.client = new Int32Array(capacity);
    this.handle = new Float64Array(capacity);
    this.res = new Int32Array(capacity);
    this._free = new Int32Array(capacity);
    for (let i = 0; i < capacity; i++) this._free[i] = capacity - 1 - i;
    let size = 8;
    while (size < capacity * 2) size *= 2;
    this._hash = new Int32Array(size).fill(-1);
    this._mask = size - 1;
  }

  /** The slot of an operation in flight, or -1. */
  find(client: number, handle: number): number {
    const mask = this._mask;
    for (let i = hashOf(client, handle) & mask;; i = (i + 1) & mask) {
      const slot = this._hash[i];
      if (slot < 0 || (this.handle[slot] === handle && this.client[slot] === client)) return slot;
    }
  }

  /** Takes a slot; the caller has checked that one is free and that the handle is not in flight. */
  take(kind: number, client: number, handle: number): number {
    const slot = this._free[this.capacity - 1 - this.used++];
    if (this.used > this.peak) this.peak = this.used;
    this.kind[slot] = kind;
    this.client[slot] = client;
    this.handle[slot] = handle;
    const mask = this._mask;
    let i = hashOf(client, handle) & mask;
    while (this._hash[i] >= 0) i = (i + 1) & mask;
    this._hash[i] = slot;
    return slot;
  }

  /** Gives a slot back. */
  give(slot: number): void {
    const mask = this._mask;
    const hash = this._hash;
    let hole = hashOf(this.client[slot], this.handle[slot]) & mask;
    while (hash[hole] !== slot) hole = (hole + 1) & mask;
    // Moves later entries of the same run back over the hole, so that no tombstones pile up.
    for (let i = (hole + 1) & mask; hash[i] >= 0; i = (i + 1) & mask) {
      const home = hashOf(this.client[hash[i]], this.handle[hash[i]]) & mask;
      if (((i - home) & mask) >= ((i - hole) & mask)) {
        hash[hole] = hash[i];
        hole = i;
      }
    }
    hash[hole] = -1;
    this._free[this.capacity - this.used--] = slot;
  }
}

function hashOf(client: number, handle: number): number {
  let h = Math.imul((handle | 0) ^ Math.imul(client, 0x27d4eb2f), 0x9e3779b1) ^
    Math.imul((handle / 4294967296) | 0, 0x85ebca6b);
  h ^= h >>> 15;
  return h;
}
