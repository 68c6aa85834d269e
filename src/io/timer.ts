/**
 * Calling back later, by the clock of the machine.
 *
 * @module
 */

import { hostOrUndefined } from "../host/host.ts";
import type { IoTimer } from "./io.ts";

const MILLI_MICROS = 1000;
/** What `setTimeout` holds. */
const TIMEOUT_MILLIS_MAX = 2 ** 31 - 1;

/** Calls back in the next turn of the event loop, on any runtime. */
export function turn(callback: () => void): void {
  const host = hostOrUndefined();
  if (host !== undefined) host.turn(callback);
  // deno-lint-ignore no-explicit-any
  else (globalThis as any).setImmediate(callback);
}

/**
 * A timer of the event loop. Delays below a millisecond, which its own timers do not have, are waited
 * for in its turns; everything else has its turn between them.
 */
export class LoopTimer implements IoTimer {
  readonly #callback: () => void;
  readonly #dueMillis: number;
  #timeout: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(micros: number, callback: () => void) {
    this.#callback = callback;
    this.#dueMillis = performance.now() + micros / MILLI_MICROS;
    const host = hostOrUndefined();
    if (micros >= MILLI_MICROS || host === undefined) {
      this.#sleep(Math.ceil(micros / MILLI_MICROS));
      return;
    }
    const look = () => {
      if (this.#over) return;
      if (performance.now() < this.#dueMillis) host.turn(look);
      else this.#fire();
    };
    host.turn(look);
  }

  /** In steps, where the event loop's own timers cannot hold so much, and would call back at once. */
  #sleep(millis: number): void {
    const left = millis - TIMEOUT_MILLIS_MAX;
    this.#timeout = left > 0
      ? setTimeout(() => this.#sleep(left), TIMEOUT_MILLIS_MAX)
      : setTimeout(() => this.#fire(), millis);
  }

  #fire(): void {
    if (this.#over) return;
    this.#over = true;
    this.#callback();
  }

  cancel(): void {
    this.#over = true;
    if (this.#timeout !== undefined) clearTimeout(this.#timeout);
  }
}
