/**
 * Standard output and standard error, as the commands use them.
 *
 * @module
 */

import { writeSync } from "node:fs";
import process from "node:process";

const encoder = new TextEncoder();

/** Whoever read the standard output is gone. The status is the one that SIGPIPE would have given. */
export class OutputClosedError extends Error {
  override readonly name: string = "OutputClosedError";
}
export const STATUS_OUTPUT_CLOSED = 128 + 13;

const EAGAIN_PAUSE_MILLIS = 1;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** Writes all of it, blocking. Throws `OutputClosedError`, or an error that names standard output. */
export function writeOut(data: Uint8Array | string): void {
  const bytes = typeof data === "string" ? encoder.encode(data) : data;
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(1, bytes, at, bytes.length - at);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (code === "EPIPE") throw new OutputClosedError("standard output was closed");
      // Somebody who shares the pipe made it nonblocking.
      if (code !== "EAGAIN") throw new Error(`standard output: ${message}`);
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

/** Text that waits for a slow reader at most, before only the last line of it is kept. */
const WAITING_MAX = 65_536;

/**
 * Lines to standard output without waiting for the reader, each at once. Where the reader is slower
 * than the lines come, they are joined; beyond `WAITING_MAX` characters only the newest is kept, which
 * says as much as those before it.
 */
export class LiveLines {
  #waiting = "";
  #writing = false;
  #closed = false;
  #ended: (() => void) | undefined;
  readonly #onClosed: () => void;

  /** @param onClosed Called once, when the reader is gone. */
  constructor(onClosed: () => void) {
    this.#onClosed = onClosed;
    process.stdout.on("error", () => this.#close());
  }

  get closed(): boolean {
    return this.#closed;
  }

  push(line: string): void {
    if (this.#closed) return;
    if (this.#waiting.length > WAITING_MAX) this.#waiting = "";
    this.#waiting += line + "\n";
    if (!this.#writing) this.#write();
  }

  #write(): void {
    const text = this.#waiting;
    this.#waiting = "";
    this.#writing = true;
    process.stdout.write(text, (error) => {
      this.#writing = false;
      if (error) this.#close();
      else if (this.#waiting !== "") this.#write();
      if (!this.#writing) this.#ended?.();
    });
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting = "";
    this.#onClosed();
    this.#ended?.();
  }

  /** Resolves when everything is written, or the reader is gone. */
  end(): Promise<void> {
    if (this.#closed || !this.#writing) return Promise.resolve();
    return new Promise((resolve) => this.#ended = resolve);
  }
}

const PLAIN_EVERY_MILLIS = 10_000;
const BAR_AFTER_MILLIS = 500;

/** How far a long command is: a bar on a terminal, otherwise a plain line now and then. */
export interface Progress {
  update(done: number): void;
  end(): void;
}

/** Nothing is shown of what takes less than a moment. `unit` says what is counted. */
export async function progressOf(what: string, unit: string, total: number): Promise<Progress> {
  const started = performance.now();
  if (!process.stderr.isTTY) {
    let next = started + PLAIN_EVERY_MILLIS;
    return {
      update(done) {
        if (performance.now() < next) return;
        next = performance.now() + PLAIN_EVERY_MILLIS;
        say(`${what}: ${done} of ${total} ${unit}`);
      },
      end() {},
    };
  }
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
    update(done) {
      if (!shown && performance.now() - started < BAR_AFTER_MILLIS) return;
      if (!shown) bar.start(total, done);
      else bar.update(done);
      shown = true;
    },
    end() {
      if (shown) bar.stop();
    },
  };
}
