/**
 * Follows many appends at once.
 *
 * @module
 */

import type { Wal } from "./wal.ts";

/** Appends that one tracker follows at most; `clear` makes room. */
export const TRACKED_MAX = 1 << 20;

/** One append. */
export interface TrackedAppend {
  readonly lsn: number;
  /** It is known how it ended: the record is durable, or `error` says why not. */
  readonly done: boolean;
  readonly error: Error | undefined;
}

interface Row {
  lsn: number;
  done: boolean;
  error: Error | undefined;
}

/**
 * The durability of many appends of one log. What fails is reported for the append that it is about;
 * nothing here throws because of a disk.
 *
 * @example
 * ```ts
 * import { DurabilityTracker, Wal } from "@uring/io/wal";
 *
 * await using wal = await Wal.open("/var/tmp/example-tracked");
 * const tracker = new DurabilityTracker(wal);
 * for (let i = 0; i < 100; i++) tracker.track(wal.append(`record ${i}`));
 * const failed = (await tracker.all()).filter(({ error }) => error);
 * console.log(tracker.completed, failed.length); // 100 0
 * tracker.clear();
 * ```
 */
export class DurabilityTracker {
  readonly #wal: Wal;
  readonly #rows: Row[] = [];
  /** Of them, those that are not done. */
  #open: Row[] = [];
  #completed = 0;
  /** `durableLsn` when it was looked at last. */
  #seenLsn = -1;

  constructor(wal: Wal) {
    this.#wal = wal;
  }

  /**
   * Follows the append that gave `lsn`. One that the log never gave is done at once, with a `RangeError`
   * of its own.
   *
   * @throws {RangeError} {@linkcode TRACKED_MAX} appends are followed
   */
  track(lsn: number): void {
    if (this.#rows.length >= TRACKED_MAX) {
      throw new RangeError(`a tracker follows at most ${TRACKED_MAX} appends: clear() it`);
    }
    const row: Row = { lsn, done: false, error: undefined };
    const { appendedLsn } = this.#wal;
    if (!Number.isSafeInteger(lsn) || lsn < 0 || lsn > appendedLsn) {
      row.done = true;
      row.error = new RangeError(
        `${lsn} is not an LSN that was appended: the last one is ${appendedLsn}`,
      );
    } else {
      this.#open.push(row);
      this.#seenLsn = -1;
    }
    this.#rows.push(row);
  }

  /** Appends among them that are durable. */
  get completed(): number {
    this.#look();
    return this.#completed;
  }

  /**
   * How each of them stands, in the order in which they were tracked. Never blocks; sends what was
   * appended on its way, as `submitPending` does, so that a loop over it comes to an end.
   */
  poll(): readonly TrackedAppend[] {
    if (this.#open.length > 0) this.#wal.submitPending();
    this.#look();
    return this.#rows.map((row) => ({ ...row }));
  }

  /** Waits until all of them are done, those that are tracked meanwhile too. Does not throw. */
  async all(): Promise<readonly TrackedAppend[]> {
    this.#look();
    // Each turn settles everything that was open when it began.
    while (this.#open.length > 0) {
      const waiting = this.#open;
      const last = waiting.reduce((most, { lsn }) => Math.max(most, lsn), 0);
      try {
        await this.#wal.durable(last);
        this.#look();
      } catch (error) {
        this.#look();
        for (const row of waiting) if (!row.done) end(row, error as Error);
        this.#open = this.#open.filter(({ done }) => !done);
      }
    }
    return this.#rows.map((row) => ({ ...row }));
  }

  /** Forgets all of them. */
  clear(): void {
    this.#rows.length = 0;
    this.#open = [];
    this.#completed = 0;
  }

  #look(): void {
    const { durableLsn, poisoned } = this.#wal;
    if (this.#open.length === 0 || (durableLsn === this.#seenLsn && !poisoned)) return;
    this.#seenLsn = durableLsn;
    for (const row of this.#open) {
      if (row.lsn <= durableLsn) {
        end(row, undefined);
        this.#completed++;
      } else if (poisoned) {
        end(row, poisoned);
      }
    }
    this.#open = this.#open.filter(({ done }) => !done);
  }
}

function end(row: Row, error: Error | undefined): void {
  row.done = true;
  row.error = error;
}
