/**
 * `uring append DIR`: lines of standard input become records, durable as soon as the device allows.
 *
 * @module
 */

import process from "node:process";
import { WalFullError, WalRecordTooLargeError } from "../wal/errors.ts";
import { Wal } from "../wal/wal.ts";
import {
  type Command,
  DIRECTORY,
  JSON_FLAG,
  LOCK_TIMEOUT,
  lockTimeoutOf,
  numberOf,
  UsageError,
  type Values,
} from "./arguments.ts";
import { forCommandLine, inWords, isMeasuredElsewhere } from "./failure.ts";
import { type Input, standardInput, STOPPED } from "./input.ts";
import { findInText, type FindLineEnds, nativeFinder } from "./lines.ts";
import { openWritingIo } from "./log_io.ts";
import {
  LiveLines,
  OutputClosedError,
  type Progress,
  progressOf,
  say,
  STATUS_OUTPUT_CLOSED,
  writeOut,
} from "./terminal.ts";

const UNIT_BYTES = 4096;
/** A segment holds two copies of its header, of at most 32 KiB each, and a frame of at least a unit. */
const SEGMENT_HEADERS_BYTES = 65_536;
const SEGMENT_BYTES_MIN = SEGMENT_HEADERS_BYTES + UNIT_BYTES;
const SEGMENT_BYTES_MAX = 1024 ** 4;

/** Bytes that are read at once. */
const READ_BYTES = 1 << 20;
/** How long the event loop waits for its turn, at most, while a file is read. */
const TURN_MILLIS = 5;
/** How often a log without room is asked whether it will ever have some again. */
const FULL_CHECK_MILLIS = 100;

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

export const command: Command = {
  name: "append",
  description: "Append standard input to a log, a record a line",
  args: {
    dir: DIRECTORY,
    acks: { type: "boolean", description: "Print each new durable LSN at once, one a line" },
    "segment-bytes": {
      type: "string",
      valueHint: "N",
      description: "Bytes of a segment file, a multiple of 4096 (64 MiB)",
    },
    mode: {
      type: "enum",
      options: ["auto", "direct", "buffered"],
      description: "How to write; auto: what was quicker here when it was measured (auto)",
    },
    recalibrate: {
      type: "boolean",
      description:
        "Measure again what is quicker, as after an update of the kernel; with mode auto",
    },
    "lock-timeout": LOCK_TIMEOUT,
    json: JSON_FLAG,
  },
  run,
};

async function run(values: Values): Promise<number> {
  const segmentBytes = numberOf(values, "segment-bytes", {
    least: SEGMENT_BYTES_MIN,
    most: SEGMENT_BYTES_MAX,
    whole: true,
  });
  if (segmentBytes !== undefined && segmentBytes % UNIT_BYTES !== 0) {
    throw new UsageError(`--segment-bytes is a multiple of ${UNIT_BYTES}, not ${segmentBytes}`);
  }
  const lockTimeoutMillis = lockTimeoutOf(values);
  const mode = values.mode as "auto" | "direct" | "buffered" | undefined ?? "auto";
  const recalibrate = values.recalibrate === true;
  if (recalibrate && mode !== "auto") {
    throw new UsageError(`--recalibrate measures for --mode auto, and --mode ${mode} is asked for`);
  }
  const input = standardInput();
  const { io, frameBytes } = openWritingIo();
  if (io.backend !== "uring") {
    say(
      `uring append: warning: writing by node:fs, which blocks and is slower: ${
        forCommandLine(io.reason)
      }`,
    );
  }
  try {
    const maxBytes = segmentBytes === undefined
      ? frameBytes
      : Math.min(frameBytes, segmentBytes - SEGMENT_HEADERS_BYTES);
    const wal = await Wal.open(String(values.dir), {
      // A file comes by the mebibyte, into segments that were never used before; what trickles in gains
      // from segments that are zeroed ahead.
      preallocate: input.size === undefined ? true : "reserve",
      io,
      commit: { maxBytes },
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
      mode,
      recalibrate,
      ...(lockTimeoutMillis === undefined ? {} : { lockTimeoutMillis }),
    });
    reportRecovery(wal);
    reportMode(wal);
    return await new Append(wal, input, values.acks === true, values.json === true).run();
  } finally {
    io[Symbol.dispose]();
  }
}

function reportRecovery(wal: Wal): void {
  const { tail, lastLsn, droppedFrom, droppedTo, keptAside, file, offset } = wal.recovery;
  if (droppedTo <= droppedFrom) return;
  const records = droppedTo - droppedFrom;
  say(
    `uring append: warning: the end of the log was ${tail}: ${records} ` +
      `${records === 1 ? "record" : "records"} behind ${lastLsn}, not acknowledged for certain, ` +
      `${records === 1 ? "was" : "were"} cut at byte ${offset} of ${file}` +
      (keptAside === undefined ? "" : `; the bytes are kept in ${keptAside}`),
  );
}

/** A log that was measured on another kernel or device is slower than it could be, until it is told. */
function reportMode(wal: Wal): void {
  const { modeReason } = wal.stats();
  if (!isMeasuredElsewhere(modeReason)) return;
  say(`uring append: warning: writing through the page cache: ${forCommandLine(modeReason)}`);
}

/** One run over one input. Owns neither the log's Io nor the input; closes the log. */
class Append {
  readonly #wal: Wal;
  readonly #input: Input;
  readonly #json: boolean;
  readonly #live: LiveLines | undefined;
  /** Where the lines of the last read end. */
  readonly #ends = new Int32Array(new ArrayBuffer(4 * READ_BYTES));
  readonly #findLineEnds: FindLineEnds;
  /** LSN that was acknowledged on standard output. */
  #told: number;
  readonly #first: number;
  #following = false;
  #signal: keyof typeof SIGNALS | undefined;
  #poison: unknown;

  constructor(wal: Wal, input: Input, acks: boolean, json: boolean) {
    this.#wal = wal;
    this.#input = input;
    this.#json = json;
    this.#told = wal.durableLsn;
    this.#first = wal.appendedLsn + 1;
    this.#findLineEnds = wal.stats().backend === "uring" ? nativeFinder() : findInText;
    if (acks) this.#live = new LiveLines(() => this.#input.stop());
  }

  /** Gives the exit status. */
  async run(): Promise<number> {
    const wal = this.#wal;
    const poisoned = (event: Event) => {
      this.#poison = (event as CustomEvent).detail;
      this.#input.stop();
    };
    wal.addEventListener("poisoned", poisoned);
    const handlers = Object.keys(SIGNALS).map((name) => {
      const signal = name as keyof typeof SIGNALS;
      const handler = () => {
        // Who asks twice means it.
        if (this.#signal) process.exit(128 + SIGNALS[signal]);
        this.#signal = signal;
        this.#input.stop();
      };
      process.on(signal, handler);
      return () => process.off(signal, handler);
    });
    let failure: unknown;
    try {
      await this.#feed();
    } catch (error) {
      failure = error;
    }
    try {
      await wal.close();
    } catch (error) {
      failure ??= error;
    }
    failure ??= this.#poison;
    for (const remove of handlers) remove();
    return await this.#end(failure);
  }

  async #end(failure: unknown): Promise<number> {
    // First of all: whoever reads the output may be gone, or slow.
    if (failure !== undefined) this.#sayFailure(failure);
    let lost: unknown;
    if (this.#live) {
      this.#tell();
      await this.#live.end();
      lost = this.#live.failure;
    } else {
      try {
        writeOut(this.#line(this.#wal.durableLsn) + "\n");
      } catch (error) {
        lost = error;
      }
    }
    if (lost !== undefined && !(lost instanceof OutputClosedError)) {
      if (failure === undefined) this.#sayFailure(lost);
      else say(`uring append: ${inWords(lost)}`);
      return 1;
    }
    if (failure !== undefined) return 1;
    if (this.#signal) return 128 + SIGNALS[this.#signal];
    return lost === undefined ? 0 : STATUS_OUTPUT_CLOSED;
  }

  #sayFailure(failure: unknown): void {
    say(`uring append: ${inWords(failure)}`);
    say(`uring append: the log is durable up to record ${this.#wal.durableLsn}`);
  }

  #line(lsn: number): string {
    return this.#json ? `{"durable":${lsn}}` : String(lsn);
  }

  /** Reads to the end of the input, or until it is stopped; what was read whole is appended. */
  async #feed(): Promise<void> {
    const input = this.#input;
    const progress = input.size === undefined
      ? undefined
      : await progressOf("uring append", "bytes");
    try {
      await this.#readAll(progress);
    } finally {
      progress?.end();
    }
  }

  async #readAll(progress: Progress | undefined): Promise<void> {
    const input = this.#input;
    const longest = this.#wal.maxRecordBytes;
    // The rest of a line that is not whole yet stays at the start, the next piece goes behind it.
    const bytes = new Uint8Array(new ArrayBuffer(longest + 1 + READ_BYTES));
    let start = 0;
    let end = 0;
    let before = 0; // bytes of the input before bytes[0]
    let nextTurn = 0;
    for (;;) {
      if (bytes.length - end < READ_BYTES) {
        bytes.copyWithin(0, start, end);
        before += start;
        end -= start;
        start = 0;
      }
      const reading = input.read(bytes, end, READ_BYTES);
      const got = typeof reading === "number" ? reading : await reading;
      if (got === STOPPED) {
        if (end > start && this.#poison === undefined) {
          say(`uring append: ${end - start} bytes of a line without an end were not stored`);
        }
        return;
      }
      if (got === 0) {
        if (end > start) await this.#appendLater(bytes.subarray(start, end));
        this.#follow();
        return;
      }
      start = await this.#lines(bytes, start, end, end + got, before);
      end += got;
      this.#follow();
      if (end - start > longest) throw this.#tooLong(before + start);
      // Acknowledgements and signals have their turn also where no read waits.
      if (typeof reading === "number" && performance.now() >= nextTurn) {
        await turn();
        progress?.update(before + end, input.size!);
        nextTurn = performance.now() + TURN_MILLIS;
      }
    }
  }

  /**
   * Appends the lines that end in `bytes[from, to)`, the first of which begins at `start`; gives the
   * start of the one that does not end there.
   */
  async #lines(
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
    from: number,
    to: number,
    before: number,
  ): Promise<number> {
    const ends = this.#ends;
    const count = this.#findLineEnds(bytes, from, to, ends);
    try {
      for (let done = 0; done < count;) {
        const appended = this.#wal.tryAppendParts(bytes, start, ends, done, count);
        if (appended > 0) {
          done += appended;
          start = ends[done - 1] + 1;
        } else {
          await this.#appendLater(bytes.subarray(start, ends[done]));
          start = ends[done++] + 1;
        }
      }
    } catch (error) {
      throw error instanceof WalRecordTooLargeError ? this.#tooLong(before + start) : error;
    }
    return start;
  }

  /** Appends a record as soon as there is room for it. */
  async #appendLater(record: Uint8Array): Promise<void> {
    const wal = this.#wal;
    // Ends when a frame in flight makes room, or when it is known that none can.
    for (;;) {
      try {
        wal.append(record);
        return;
      } catch (error) {
        if (!(error instanceof WalFullError)) throw error;
        // With nothing in flight it waits for a new segment, and the cause says that there is none.
        if (error.cause !== undefined && wal.stats().framesInFlight === 0) throw error;
      }
      this.#follow();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const asleep = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FULL_CHECK_MILLIS);
      });
      await Promise.race([wal.ready(), asleep]);
      clearTimeout(timer);
    }
  }

  #tooLong(offset: number): Error {
    const line = this.#wal.appendedLsn - this.#first + 2;
    return new Error(
      `standard input: line ${line}, which begins at byte ${offset}, is longer than a record can be ` +
        `here (${this.#wal.maxRecordBytes} bytes): split it. The lines before it are stored`,
    );
  }

  /** Sees to it that each advance of the durable LSN is told, once there is something to wait for. */
  #follow(): void {
    if (this.#live === undefined || this.#following) return;
    this.#following = true;
    void this.#tellAll();
  }

  async #tellAll(): Promise<void> {
    const wal = this.#wal;
    try {
      this.#tell();
      while (wal.durableLsn < wal.appendedLsn) {
        await wal.durable(wal.durableLsn + 1);
        this.#tell();
      }
    } catch { /* poison: its event ends the input, and `run` reports it */ }
    this.#following = false;
  }

  #tell(): void {
    const lsn = this.#wal.durableLsn;
    if (lsn <= this.#told) return;
    this.#told = lsn;
    this.#live!.push(this.#line(lsn));
  }
}

/** The event loop's next turn. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
