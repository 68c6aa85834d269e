/**
 * A histogram of what took how long: the runtime's own HdrHistogram (`node:perf_hooks`), which records
 * without allocating.
 *
 * @module
 */

/** Counts integers from 1 up, to three significant digits. */
export interface Histogram {
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** The value that so many percent do not exceed, from 0 to 100. */
  percentile(percent: number): number;
  /** An integer of 1 or more. */
  record(value: number): void;
}

/** Makes an empty one. */
export function createHistogram(): Histogram {
  // deno-lint-ignore no-explicit-any
  return (globalThis as any).process.getBuiltinModule("node:perf_hooks").createHistogram();
}
