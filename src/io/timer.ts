/**
 * Calling back later, by the clock of the machine.
 *
 * @module
 */

import { hostOrUndefined } from "../host/host.ts";
import type { IoTimer } from "./io.ts";

const MILLI_MICROS = 1000;

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
      this.#timeout = setTimeout(() => this.#fire(), Math.ceil(micros / MILLI_MICROS));
      return;
    }
    const look = () => {
      if (this.#over) return;
      if (performance.now() < this.#dueMillis) host.turn(look);
      else this.#fire();
    };
    host.turn(look);
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
