/**
 * Waiting for the completions of one ring without blocking the event loop.
 *
 * @module
 */

import { library } from "../native/library.ts";
import type { Queue } from "./queue.ts";
import { Dispatcher, Latency, type Waitable } from "./waiter.ts";

let dispatcher: Dispatcher | undefined;

/** Operations are waited for by one dispatcher a thread. */
function threadDispatcher(): Dispatcher {
  if (dispatcher === undefined) {
    const { host, functions } = library();
    dispatcher = new Dispatcher(host, functions);
  }
  return dispatcher;
}

/** One ring, as the dispatcher of its thread sees it. */
export class RingWait implements Waitable {
  readonly #queue: Queue;
  readonly #polls: boolean;
  readonly #latency = new Latency();
  #promise: Promise<void> | undefined;
  #waiting = false;
  #looking = false;
  readonly arm: (on: boolean, alarmMicros: number) => void;

  /** @param polls Whether only looks bring completions on. */
  constructor(queue: Queue, polls: boolean, arm: (on: boolean, alarmMicros: number) => void) {
    this.#queue = queue;
    this.#polls = polls;
    this.arm = arm;
  }

  /** Resolves when there is something to reap, nothing is in flight, or the ring was closed. */
  begin(): Promise<void> {
    if (this.#promise === undefined) {
      this.#waiting = true;
      this.#promise = threadDispatcher().wait(this, this.#latency).finally(() => {
        this.#waiting = false;
        this.#promise = undefined;
      });
    }
    return this.#promise;
  }

  /** Completions arrived, perhaps by hand: then nothing would wake the one who waits. */
  arrived(): void {
    if (!this.#looking) this.end();
  }

  /** Ends a wait, if there is one. */
  end(): void {
    if (this.#waiting) threadDispatcher().forget(this);
  }

  /** Whether a wait is over. */
  look(): boolean {
    const queue = this.#queue;
    if (queue.closed || queue.unreaped > 0 || queue.taken === 0) return true;
    this.#looking = true;
    try {
      queue.tick(queue.submittable, 0, 0);
    } finally {
      this.#looking = false;
    }
    return queue.unreaped > 0;
  }

  isSilent(): boolean {
    return this.#polls || this.#queue.submittable > 0;
  }
}
