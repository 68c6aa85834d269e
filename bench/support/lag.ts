/**
 * How long a turn of the event loop takes, and how latencies are summed up.
 *
 * @module
 */

/** Milliseconds, in rising order. */
export class Sorted {
  readonly #values: Float64Array;

  constructor(values: readonly number[]) {
    this.#values = Float64Array.from(values).sort();
  }

  get length(): number {
    return this.#values.length;
  }

  /** The value that this part of all does not exceed; 0 when there is none. */
  at(part: number): number {
    const { length } = this.#values;
    return length === 0 ? 0 : this.#values[Math.min(length - 1, Math.floor(part * length))];
  }
}

/**
 * The intervals between turns of a chain of `setImmediate`, for so long. `turn` is called in each of
 * them. (A timer would be late by a millisecond or two in an idle process.)
 */
export function turnIntervals(
  seconds: number,
  turn?: (nowMillis: number) => void,
): Promise<Sorted> {
  return new Promise((resolve, reject) => {
    const intervals: number[] = [];
    const start = performance.now();
    let before = start;
    const next = () => {
      const now = performance.now();
      intervals.push(now - before);
      before = now;
      if (now - start >= seconds * 1000) return resolve(new Sorted(intervals));
      try {
        turn?.(now);
      } catch (error) {
        return reject(error);
      }
      setImmediate(next);
    };
    setImmediate(next);
  });
}
