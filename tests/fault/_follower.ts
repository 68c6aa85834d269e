/**
 * Beside the writers that are killed: a follower that lives through all of them, and readers that come
 * and go. What they were shown is durable, and must be in the log ever after, byte for byte; the
 * campaign compares it when it knows who wrote it.
 */
import type { Io } from "../../src/io/io.ts";
import type { RecordBatch } from "../../src/wal/records.ts";
import { WalView } from "../../src/wal/view.ts";

/** A record that somebody was shown. */
export interface Shown {
  lsn: number;
  bytes: Uint8Array;
}

const RETRY_MILLIS = 2;

const codeOf = (error: unknown) => (error as { code?: string }).code;

export class Follower {
  readonly #directory: string;
  readonly #io: Io;
  readonly #controller = new AbortController();
  readonly #ended: Promise<void>;
  #shown: Shown[] = [];
  /** Records that the follower was shown, and times that its next one had been removed. */
  followed = 0;
  tooOld = 0;
  /** Records that readers were shown, and readers. */
  read = 0;
  readers = 0;
  #failure: { error: unknown } | undefined;

  constructor(directory: string, io: Io) {
    this.#directory = directory;
    this.#io = io;
    this.#ended = this.#follow().catch((error) => {
      this.#failure = { error };
    });
  }

  /** What was shown since the last call. Throws what a follower or reader failed with. */
  take(): Shown[] {
    if (this.#failure) throw this.#failure.error;
    const shown = this.#shown;
    this.#shown = [];
    return shown;
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#ended;
  }

  #keep(batch: RecordBatch): void {
    for (let i = 0; i < batch.length; i++) {
      this.#shown.push({ lsn: batch.firstLsn + i, bytes: batch.bytes(i).slice() });
    }
  }

  async #follow(): Promise<void> {
    const { signal } = this.#controller;
    let next: number | undefined;
    while (!signal.aborted) {
      try {
        await using view = await WalView.open(this.#directory, this.#io);
        for await (
          const batch of view.tail(next === undefined ? { signal } : { from: next, signal })
        ) {
          if (next !== undefined && batch.firstLsn !== next) {
            throw new Error(`the follower was shown ${batch.firstLsn} behind ${next - 1}`);
          }
          next = batch.firstLsn + batch.length;
          this.#keep(batch);
          this.followed += batch.length;
        }
      } catch (error) {
        if (error === signal.reason) return;
        if (codeOf(error) === "LsnTooOld") {
          this.tooOld++;
          next = undefined;
        } else if (codeOf(error) !== "WalMissing") throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLIS));
    }
  }

  /** Reads the whole log once, beside whoever writes it. */
  async readAll(): Promise<void> {
    this.readers++;
    try {
      await using view = await WalView.open(this.#directory, this.#io);
      let next = view.firstLsn;
      for await (const batch of view.read()) {
        if (batch.firstLsn !== next) {
          throw new Error(`a reader was shown ${batch.firstLsn} behind ${next - 1}`);
        }
        next += batch.length;
        this.#keep(batch);
        this.read += batch.length;
      }
      if (next !== view.lastLsn + 1) {
        throw new Error(`a reader was shown ${next - 1} as the last record, not ${view.lastLsn}`);
      }
    } catch (error) {
      if (codeOf(error) === "WalMissing" || codeOf(error) === "LsnTooOld") return;
      this.#failure ??= { error };
    }
  }
}
