/**
 * Seeded random numbers for simulation: xoshiro128**, seeded through splitmix32. 32-bit integer
 * arithmetic only, so that one seed gives one sequence on every runtime. Not for secrets.
 *
 * @module
 */

/** A stream of pseudo-random numbers. */
export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** @param seed Any safe integer; equal seeds give equal streams. */
  constructor(seed: number) {
    let state = (seed | 0) ^ Math.imul((seed / 4294967296) | 0, 0x9e3779b1);
    const next = () => {
      state = (state + 0x9e3779b9) | 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return z ^ (z >>> 15);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    // The state of all zeros is the only one that the generator cannot leave.
    this.#d = next() | 1;
  }

  /** An integer in [0, 2^32). */
  next(): number {
    const b = this.#b;
    let result = Math.imul(b, 5);
    result = Math.imul(result << 7 | result >>> 25, 9);
    const c = this.#c ^ this.#a;
    const d = this.#d ^ b;
    this.#b = b ^ c;
    this.#a ^= d;
    this.#c = c ^ b << 9;
    this.#d = d << 11 | d >>> 21;
    return result >>> 0;
  }

  /** An integer in [0, limit), for a limit of at most 2^32. */
  below(limit: number): number {
    return Math.floor(this.next() * limit / 4294967296);
  }

  /** An integer in [min, max]. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** True once in `n` on average; never for an infinite `n`. */
  oneIn(n: number): boolean {
    return this.next() * n < 4294967296;
  }

  /** True with a probability from 0 to 1. */
  chance(probability: number): boolean {
    return this.next() < probability * 4294967296;
  }

  /** Random bytes, so many. */
  fill(bytes: Uint8Array, length: number = bytes.length): void {
    for (let i = 0; i < length; i++) bytes[i] = this.next() >>> 24;
  }

  /** Puts `items` into a random order, in place. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const item = items[i];
      items[i] = items[j];
      items[j] = item;
    }
    return items;
  }

  /** A stream of its own, that later draws from this one do not change. */
  split(): Prng {
    return new Prng(this.next() * 0x200000 + (this.next() >>> 11));
  }
}
