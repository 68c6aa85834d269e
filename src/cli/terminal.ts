/**
 * Standard output and standard error, as the commands use them.
 *
 * @module
 */

import { fstatSync, writeSync } from "node:fs";
import process from "node:process";

const encoder = new TextEncoder();

/** Whoever read the standard output is gone. The status is the one that SIGPIPE would have given. */
export class OutputClosedError extends Error {
  override readonly name: string = "OutputClosedError";
}
export const STATUS_OUTPUT_CLOSED = 128 + 13;

/**
 * What a reader that went away leaves: a pipe is then broken; a socket (which is what `node:child_process`
 * makes in Bun) is reset when something was left unread in it. Everything else was not written, and is to be said.
 */
const READER_LEFT: readonly (string | undefined)[] = ["EPIPE", "ECONNRESET"];

function outputFailure(error: Error): Error {
  const { code, message } = error as { code?: string; message: string };
  if (READER_LEFT.includes(code)) return new OutputClosedError("standard output was closed");
  const named = code === undefined || message.includes(code) ? message : `${code}: ${message}`;
  return new Error(`standard output: ${named}`);
}

const EAGAIN_PAUSE_MILLIS = 1;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** A pipe takes so much as a whole or not at all. */
const PIECE_MAX = 4096;
let outputIsFile: boolean | undefined;

/** Where a write may be refused in its middle: a runtime that goes on by itself does not say how far it was. */
function pieceMax(): number {
  outputIsFile ??= fstatSync(1).isFile();
  return outputIsFile ? Infinity : PIECE_MAX;
}

/** Writes all of it, blocking. Throws `OutputClosedError`, or an error that names standard output. */
export function writeOut(data: Uint8Array | string): void {
  const bytes = typeof data === "string" ? encoder.encode(data) : data;
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(1, bytes, at, Math.min(bytes.length - at, pieceMax()));
    } catch (error) {
      // Somebody who shares the pipe made it nonblocking.
      if ((error as { code?: string }).code !== "EAGAIN") throw outputFailure(error as Error);
      Atomics.wait(pause, 0, 0, EAGAIN_PAUSE_MILLIS);
    }
  }
}

/** A line for the person, on standard error. */
export function say(line: string): void {
  try {
    writeSync(2, encoder.encode(line + "\n"));
  } catch { /* there is nobody to tell */ }
}

/** Characters that wait for a slow reader at most, before only the last line of them is kept. */
const WAITING_MAX = 65_536;

/**
 * Lines to standard output without waiting for the reader, each at once (a runtime whose writes block
 * waits for it all the same). Where the reader is slower than the lines come, they are joined; beyond
 * `WAITING_MAX` characters only the newest is kept, which says as much as those before it.
 */
export class LiveLines {
  #waiting = "";
  #writing = false;
  #failure: Error | undefined;
  #ended: (() => void) | undefined;
  readonly #onFailure: () => void;

  /** @param onFailure Called once, when nothing more can be written; `failure` says why. */
  constructor(onFailure: () => void) {
    this.#onFailure = onFailure;
    process.stdout.on("error", (error) => this.#fail(error));
  }

  /** An `OutputClosedError` when the reader is gone, else an error that names standard output. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** `line` is shorter than a piece. */
  push(line: string): void {
    if (this.#failure) return;
    if (this.#waiting.length > WAITING_MAX) this.#waiting = "";
    this.#waiting += line + "\n";
    if (!this.#writing) this.#write();
  }

  #write(): void {
    const waiting = this.#waiting;
    const length = waiting.length > PIECE_MAX
      ? waiting.lastIndexOf("\n", PIECE_MAX - 1) + 1
      : waiting.length;
    this.#waiting = waiting.slice(length);
    this.#writing = true;
    this.#writePiece(waiting.slice(0, length));
  }

  #writePiece(piece: string): void {
    try {
      process.stdout.write(piece, (error) => this.#wrote(error));
    } catch (error) {
      // Deno's standard output throws what it does not tell the callback.
      if ((error as { code?: string }).code !== "EAGAIN") this.#wrote(error as Error);
      else setTimeout(() => this.#writePiece(piece), EAGAIN_PAUSE_MILLIS);
    }
  }

  #wrote(error: Error | null | undefined): void {
    this.#writing = false;
    if (error) this.#fail(error);
    else if (this.#waiting !== "") this.#write();
    if (!this.#writing) this.#ended?.();
  }

  #fail(error: Error): void {
    if (this.#failure) return;
    this.#failure = outputFailure(error);
    this.#waiting = "";
    this.#onFailure();
    this.#ended?.();
  }

  /** Resolves when everything is written, or nothing more can be. */
  end(): Promise<void> {
    if (this.#failure || !this.#writing) return Promise.resolve();
    return new Promise((resolve) => this.#ended = resolve);
  }
}

const PLAIN_EVERY_MILLIS = 10_000;
const BAR_AFTER_MILLIS = 500;

/** How far a long command is: a bar on a terminal, otherwise a plain line now and then. */
export interface Progress {
  update(done: number, total: number): void;
  end(): void;
}

/** Milliseconds until something is shown, and between two lines where there is no terminal. */
export interface ProgressTimes {
  readonly barAfterMillis?: number;
  readonly plainEveryMillis?: number;
}

/** Nothing is shown of what takes less than a moment. `unit` says what is counted. */
export async function progressOf(
  what: string,
  unit: string,
  times: ProgressTimes = {},
): Promise<Progress> {
  const { barAfterMillis = BAR_AFTER_MILLIS, plainEveryMillis = PLAIN_EVERY_MILLIS } = times;
  if (process.stderr.isTTY) {
    try {
      return await bar(what, unit, barAfterMillis);
    } catch { /* a bar that cannot be had is no reason to fail */ }
  }
  let next = performance.now() + plainEveryMillis;
  return {
    update(done, total) {
      if (performance.now() < next) return;
      next = performance.now() + plainEveryMillis;
      say(`${what}: ${done} of ${total} ${unit}`);
    },
    end() {},
  };
}

async function bar(what: string, unit: string, afterMillis: number): Promise<Progress> {
  const started = performance.now();
  const { SingleBar, Presets } = (await import("cli-progress")).default;
  const bar = new SingleBar({
    format: `${what} [{bar}] {percentage}% | {value}/{total} ${unit} | {eta_formatted} left`,
    clearOnComplete: true,
    hideCursor: true,
    // Its handler would end the process in the middle of the work.
    gracefulExit: false,
  }, Presets.legacy);
  let shown = false;
  return {
    update(done, total) {
      if (!shown && performance.now() - started < afterMillis) return;
      if (shown) {
        bar.setTotal(total);
        bar.update(done);
      } else bar.start(total, done);
      shown = true;
    },
    end() {
      if (shown) bar.stop();
    },
  };
}
