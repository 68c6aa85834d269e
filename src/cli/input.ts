/**
 * Standard input, read into the caller's own buffer.
 *
 * A regular file is read by blocking calls of a megabyte, which is as fast as memory. Anything else may
 * pause, and is read beside the event loop, where acknowledgements go on meanwhile.
 *
 * @module
 */

import { fstatSync, read, readSync } from "node:fs";

/** `read` was ended by `stop`. */
export const STOPPED = -1;

/** How long to wait for an input that somebody made nonblocking. */
const EAGAIN_PAUSE_MILLIS = 2;

/** An input of bytes. */
export interface Input {
  /** Bytes in all, where that is known. */
  readonly size: number | undefined;
  /** Reads at most `length` bytes to `buffer[at]`: gives how many, 0 at the end, or `STOPPED`. */
  read(buffer: Uint8Array, at: number, length: number): number | Promise<number>;
  /** Ends the read that waits, and every later one. */
  stop(): void;
}

const failed = (error: unknown) => new Error(`standard input: ${(error as Error).message}`);

/** Standard input, however it is made. */
export function standardInput(): Input {
  let stat;
  try {
    stat = fstatSync(0);
  } catch (error) {
    throw failed(error);
  }
  if (stat.isDirectory()) throw new Error("standard input is a directory: redirect a file to it");
  return stat.isFile() ? new FileInput(stat.size) : new StreamInput();
}

class FileInput implements Input {
  #stopped = false;
  constructor(readonly size: number) {}

  read(buffer: Uint8Array, at: number, length: number): number {
    if (this.#stopped) return STOPPED;
    try {
      return readSync(0, buffer, at, length, null);
    } catch (error) {
      throw failed(error);
    }
  }

  stop(): void {
    this.#stopped = true;
  }
}

class StreamInput implements Input {
  readonly size = undefined;
  #stopped = false;
  #stop: (() => void) | undefined;

  read(buffer: Uint8Array, at: number, length: number): Promise<number> {
    if (this.#stopped) return Promise.resolve(STOPPED);
    return new Promise((resolve, reject) => {
      this.#stop = () => resolve(STOPPED);
      const start = () =>
        read(0, buffer, at, length, null, (error, got) => {
          if (!error) resolve(got);
          else if (error.code === "EAGAIN") setTimeout(start, EAGAIN_PAUSE_MILLIS);
          else if (error.code === "EOF") resolve(0);
          else reject(failed(error));
        });
      start();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#stop?.();
  }
}
