/**
 * Records whose bytes follow from a seed, the run of the writer and the LSN: whoever knows these can tell
 * a record that was lost, changed, moved, or left over from a run that recovery had cut.
 */
import { Prng } from "../../src/io/prng.ts";

/** Longest record. */
export const RECORD_BYTES_MAX = 4000;

/** Record `lsn` as run `run` of the writer appends it. */
export function recordOf(seed: number, run: number, lsn: number): Uint8Array {
  const rng = new Prng(seed * 0x100000 + run * 0x3fff + lsn);
  // An empty record is a record; most are short, some fill frames.
  const length = rng.oneIn(40) ? 0 : rng.oneIn(12) ? rng.below(RECORD_BYTES_MAX) : rng.below(300);
  const record = new Uint8Array(length);
  rng.fill(record);
  return record;
}

/** Which run of the writer owns which records. */
export class Owners {
  readonly seed: number;
  /** First LSN of each run, rising. */
  readonly #runs: { from: number; run: number }[] = [];

  constructor(seed: number) {
    this.seed = seed;
  }

  /** The log was found to end with `lastLsn`; what follows is from `run`. */
  next(lastLsn: number, run: number): void {
    while (this.#runs.length > 0 && this.#runs.at(-1)!.from > lastLsn) this.#runs.pop();
    this.#runs.push({ from: lastLsn + 1, run });
  }

  /** Record `lsn` as it must be, or `undefined` when nobody can have written it. */
  record(lsn: number): Uint8Array | undefined {
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      if (this.#runs[i].from <= lsn) return recordOf(this.seed, this.#runs[i].run, lsn);
    }
    return undefined;
  }
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
