/**
 * K loops, each of which appends a record of 256 bytes and awaits it before the next, against the same
 * with group commit in plain JavaScript: one promise a record, `fs.writeSync` and `fs.fdatasyncSync` in
 * the turn after the appends, in a file that was filled with zeros before, from its start again at its
 * end. Records a second.
 *
 * Which bar holds for one appender depends on how long its commit takes in plain JavaScript. The lag of
 * the event loop (p99.9 of the interval between two turns of `setImmediate`, less the same of the
 * process idle) is measured in a round of its own for each side, and printed beside them.
 *
 * @module
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { openIo } from "../../io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { turnIntervals } from "./lag.ts";
import { median } from "./report.ts";
import { makeRecords, RECORD_BYTES, Streamer } from "./stream.ts";
import { MIB, removeLog, tell, type WalBench } from "./wal_case.ts";

const LEAST: Readonly<Record<number, number>> = {
  1: 0.9,
  32: 0.9,
  256: 1.1,
  1024: 1.25,
  4096: 1.5,
};
/** For one appender, where one commit in plain JavaScript takes less than this. */
const LEAST_QUICK = 0.7;
const QUICK_MICROS = 100;
const FILE_BYTES = 64 * MIB;
const BUFFER_BYTES = 2 * MIB;
/** A record and its length, as both sides store it. */
const STORED_BYTES = RECORD_BYTES + 4;
/** Appends between two looks at what can be removed; a power of two. */
const STRIDE = 1024;
const LAG_SECONDS_MAX = 0.5;

export const APPENDER_CASES: readonly string[] = Object.keys(LEAST).map((k) => `appenders-${k}`);
/** Bytes of disk that these cases need. */
export const appendersRoom = (segmentBytes: number): number => 10 * segmentBytes + FILE_BYTES;

/** Appends a record and resolves when it is durable. */
type Append = (record: Uint8Array) => Promise<unknown>;

/** Group commit as a program would write it with `node:fs`. Owns its file. */
class PlainGroupCommit implements Disposable {
  readonly #file: number;
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #offset = 0;
  #waiting: (() => void)[] = [];
  #scheduled = false;

  constructor(path: string) {
    this.#file = openSync(path, "w+");
    const zeros = new Uint8Array(MIB);
    for (let at = 0; at < FILE_BYTES; at += zeros.length) writeSync(this.#file, zeros);
    fsyncSync(this.#file);
  }

  append(record: Uint8Array): Promise<void> {
    if (this.#at + STORED_BYTES > BUFFER_BYTES) this.#commit();
    this.#view.setUint32(this.#at, record.length, true);
    this.#bytes.set(record, this.#at + 4);
    this.#at += 4 + record.length;
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#commit();
      });
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #commit(): void {
    if (this.#offset + this.#at > FILE_BYTES) this.#offset = 0;
    const written = writeSync(this.#file, this.#bytes, 0, this.#at, this.#offset);
    if (written !== this.#at) throw new Error(`a write took ${written} of ${this.#at} bytes`);
    fdatasyncSync(this.#file);
    this.#offset += this.#at;
    this.#at = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** Measures these cases. */
export async function measureAppenders(bench: WalBench, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const directory = bench.scratch.join("appenders");
  const path = bench.scratch.join("plain");
  {
    using io = openIo();
    await using wal = await Wal.open(directory, { io, segmentBytes: bench.segmentBytes });
    using plain = new PlainGroupCommit(path);
    const streamer = new Streamer(wal, bench.segmentBytes, makeRecords());
    // From here on the files of the log go round, as that of the other side does.
    await streamer.warmUp();
    let appended = 0;
    const durably: Append = (record) => {
      if ((++appended & STRIDE - 1) === 0) streamer.truncateBehind();
      return wal.durable(wal.append(record));
    };
    const plainly: Append = (record) => plain.append(record);
    for (const name of names) {
      const appenders = Number(name.slice("appenders-".length));
      await compare(bench, name, appenders, durably, plainly);
    }
  }
  removeLog(directory);
  rmSync(path);
}

async function compare(
  { rounds, seconds }: WalBench,
  name: string,
  appenders: number,
  durably: Append,
  plainly: Append,
): Promise<void> {
  const values: number[] = [];
  const references: number[] = [];
  for (let round = -1; round < rounds; round++) {
    const value = await run(appenders, seconds, durably);
    const reference = await run(appenders, seconds, plainly);
    if (round < 0) continue;
    values.push(value);
    references.push(reference);
  }
  const lagSeconds = Math.min(seconds, LAG_SECONDS_MAX);
  const idle = (await turnIntervals(lagSeconds)).at(0.999);
  const lagOf = async (append: Append) => {
    const [lag] = await Promise.all([
      turnIntervals(lagSeconds),
      run(appenders, lagSeconds, append),
    ]);
    return lag.at(0.999) - idle;
  };
  const lagMillis = await lagOf(durably);
  const referenceLagMillis = await lagOf(plainly);
  const commitMicros = appenders * 1e6 / median(references);
  const quick = appenders === 1 && commitMicros < QUICK_MICROS;
  const bar = { least: quick ? LEAST_QUICK : LEAST[appenders] };
  tell(name, "records/s", values, "plain JavaScript group commit", references, bar, {
    referenceCommitMicros: commitMicros,
    lagMillis,
    referenceLagMillis,
  });
}

/** Records a second of so many loops that each await every record. */
async function run(appenders: number, seconds: number, append: Append): Promise<number> {
  const records = makeRecords();
  const start = performance.now();
  const end = start + seconds * 1000;
  let done = 0;
  const loop = async (i: number) => {
    do {
      await append(records[i & records.length - 1]);
      done++;
    } while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: appenders }, (_, i) => loop(i)));
  return done / (performance.now() - start) * 1000;
}
