/**
 * Memory for buffers: runs of one fixed arena, handed out first fit. It never grows.
 *
 * @module
 */

/** Runs start and end at multiples of this many bytes. */
export const RUN_BYTES = 4096;

/** Allocator over `bytes` of memory; it knows offsets only. */
export class Arena {
  readonly bytes: number;
  // Free runs in rising order, never touching each other: small, since neighbours are joined.
  readonly #offsets: number[] = [];
  readonly #lengths: number[] = [];

  /** @param bytes Rounded down to a multiple of {@linkcode RUN_BYTES}. */
  constructor(bytes: number) {
    this.bytes = bytes - bytes % RUN_BYTES;
    if (this.bytes > 0) {
      this.#offsets.push(0);
      this.#lengths.push(this.bytes);
    }
  }

  /** Bytes of the largest free run. */
  get largestFreeBytes(): number {
    let largest = 0;
    for (const length of this.#lengths) if (length > largest) largest = length;
    return largest;
  }

  /** Offset of a run of `bytes` that starts at a multiple of `alignment`, or -1 when there is none. */
  take(bytes: number, alignment: number): number {
    for (let i = 0; i < this.#offsets.length; i++) {
      const offset = this.#offsets[i];
      const start = Math.ceil(offset / alignment) * alignment;
      const before = start - offset;
      const after = this.#lengths[i] - before - bytes;
      if (after < 0) continue;
      if (before === 0 && after === 0) {
        this.#offsets.splice(i, 1);
        this.#lengths.splice(i, 1);
      } else if (before === 0) {
        this.#offsets[i] = start + bytes;
        this.#lengths[i] = after;
      } else {
        this.#lengths[i] = before;
        if (after > 0) {
          this.#offsets.splice(i + 1, 0, start + bytes);
          this.#lengths.splice(i + 1, 0, after);
        }
      }
      return start;
    }
    return -1;
  }

  /** Gives back a run that {@linkcode take} handed out. */
  give(offset: number, bytes: number): void {
    let i = 0;
    while (i < this.#offsets.length && this.#offsets[i] < offset) i++;
    const joinsBefore = i > 0 && this.#offsets[i - 1] + this.#lengths[i - 1] === offset;
    const joinsAfter = i < this.#offsets.length && offset + bytes === this.#offsets[i];
    if (joinsBefore && joinsAfter) {
      this.#lengths[i - 1] += bytes + this.#lengths[i];
      this.#offsets.splice(i, 1);
      this.#lengths.splice(i, 1);
    } else if (joinsBefore) {
      this.#lengths[i - 1] += bytes;
    } else if (joinsAfter) {
      this.#offsets[i] = offset;
      this.#lengths[i] += bytes;
    } else {
      this.#offsets.splice(i, 0, offset);
      this.#lengths.splice(i, 0, bytes);
    }
  }
}
