/**
 * What runs above an `Io`: one loop a client, that turns only while something is in flight.
 *
 * Three kinds of operations share it.
 * - Hot ones use handles below `reserved` and are handed to `onCompletion` as two numbers; nothing is
 *   allocated for them here.
 * - Tasks are generators that yield one operation at a time and are resumed with its `res`. They go
 *   on wherever completions are dispatched: in the event loop, and inside a blocking `park` too, where
 *   no promise could.
 * - `call` and `run` give promises over these.
 *
 * @module
 */

import { type Io, IoFullError } from "./io.ts";

/** Pause before an operation is tried again that found the Io full. */
const FULL_RETRY_MICROS = 1000;

/** Called for each completion of a reserved handle. Must not throw. */
export type OnCompletion = (handle: number, res: number) => void;

/**
 * What a task yields: the start of one operation with the handle given, a pause, or a wait for
 * something else of the same program, which calls `resume` once.
 */
export type Step =
  | ((handle: number) => void)
  | { readonly sleepMillis: number }
  | { readonly until: (resume: () => void) => void };

/** A sequence of operations: each `yield` gives the `res` of the operation that it started. */
export type Task<T> = Generator<Step, T, number>;

interface Resumable {
  resume(res: number): void;
  fail(error: unknown): void;
}

/** Drives one client of an `Io`. The client belongs to the pump until `io.inFlight` is 0. */
export class Pump {
  readonly #io: Io;
  readonly #reserved: number;
  readonly #onCompletion: OnCompletion;
  readonly #onFailure: (error: unknown) => void;
  readonly #waiting = new Map<number, Resumable>();
  #nextHandle: number;
  #running = false;
  #dispatching = false;
  #again = false;
  #failure: { error: unknown } | undefined;

  /**
   * @param reserved Handles below this number are the hot ones.
   * @param onFailure The backend itself failed (not an operation): nothing will complete any more.
   */
  constructor(
    io: Io,
    reserved = 0,
    onCompletion: OnCompletion = () => {},
    onFailure: (error: unknown) => void = () => {},
  ) {
    this.#io = io;
    this.#reserved = reserved;
    this.#onCompletion = onCompletion;
    this.#onFailure = onFailure;
    this.#nextHandle = reserved;
  }

  /** The client that this pump drives. */
  get io(): Io {
    return this.#io;
  }

  /** The backend itself failed: nothing completes any more. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Starts one operation and resolves with its `res`. Misuse that `start` finds rejects. */
  call(start: (handle: number) => void): Promise<number> {
    return this.run((function* (): Task<number> {
      return yield start;
    })());
  }

  /** Runs a task and resolves with what it returns, or rejects with what it throws. */
  run<T>(task: Task<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.spawn(task, resolve, reject);
    });
  }

  /** Runs a task; exactly one of `done` and `failed` is called, perhaps before this returns. */
  spawn<T>(task: Task<T>, done: (value: T) => void, failed: (error: unknown) => void): void {
    const resumable: Resumable = {
      resume: (res) => this.#advance(task, resumable, () => task.next(res), done, failed),
      fail: (error) => this.#advance(task, resumable, () => task.throw(error), done, failed),
    };
    if (this.#failure) failed(this.#failure.error);
    else this.#advance(task, resumable, () => task.next(0), done, failed);
  }

  #advance<T>(
    task: Task<T>,
    resumable: Resumable,
    turn: () => IteratorResult<Step, T>,
    done: (value: T) => void,
    failed: (error: unknown) => void,
  ): void {
    let result: IteratorResult<Step, T>;
    // Bounded: each turn either starts an operation, or throws once more into the task.
    for (;;) {
      try {
        result = turn();
      } catch (error) {
        failed(error);
        return;
      }
      if (result.done) {
        done(result.value);
        return;
      }
      const step = result.value;
      if (typeof step !== "function") {
        if ("until" in step) step.until(() => resumable.resume(0));
        else this.#io.after(step.sleepMillis * 1000, () => resumable.resume(0));
        return;
      }
      const handle = this.#nextHandle;
      this.#nextHandle = handle >= Number.MAX_SAFE_INTEGER ? this.#reserved : handle + 1;
      try {
        if (this.#failure) throw this.#failure.error;
        step(handle);
      } catch (error) {
        if (error instanceof IoFullError) {
          // Others have all the operations of the Io: nothing has happened, and this one comes later.
          const again = () => result;
          this.#io.after(
            FULL_RETRY_MICROS,
            () => this.#advance(task, resumable, again, done, failed),
          );
          return;
        }
        turn = () => task.throw(error);
        continue;
      }
      this.#waiting.set(handle, resumable);
      this.kick();
      return;
    }
  }

  /** Makes sure that the loop runs; call after submitting operations with reserved handles. */
  kick(): void {
    if (!this.#running && !this.#failure) {
      this.#running = true;
      void this.#loop();
    }
  }

  /** One tick: submits what is staged and hands out what has completed. Never blocks. */
  drain(): void {
    this.#tick(() => this.#io.poll());
  }

  /** Blocks until at least one operation has completed, or `timeoutMicros` are over; then dispatches. */
  park(timeoutMicros?: number): void {
    if (this.#dispatching) {
      throw new Error("a blocking wait inside the delivery of a completion would never end");
    }
    this.#tick(() => this.#io.park(timeoutMicros));
  }

  #tick(tick: () => void): void {
    if (this.#failure) return;
    // The columns change at the next poll: what a completion submits is polled for behind this loop.
    if (this.#dispatching) {
      this.#again = true;
      return;
    }
    try {
      tick();
      this.#dispatch();
      // What the completions submitted goes out at once; the loop sees to the rest.
      if (this.#again) {
        this.#again = false;
        this.#io.poll();
        this.#dispatch();
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#again) {
      this.#again = false;
      this.kick();
    }
  }

  #dispatch(): void {
    this.#dispatching = true;
    try {
      this.#dispatchAll();
    } finally {
      this.#dispatching = false;
    }
  }

  #dispatchAll(): void {
    const completions = this.#io.completions;
    const count = completions.length;
    for (let i = 0; i < count; i++) {
      const handle = completions.userData[i];
      const res = completions.res[i];
      if (handle < this.#reserved) {
        this.#onCompletion(handle, res);
        continue;
      }
      const resumable = this.#waiting.get(handle);
      if (resumable) {
        this.#waiting.delete(handle);
        resumable.resume(res);
      }
    }
    completions.clear();
  }

  async #loop(): Promise<void> {
    // The first turn lets everything that the caller submits now go out together.
    await undefined;
    try {
      // Ends with the last operation in flight.
      while (this.#io.inFlight > 0 && !this.#failure) {
        await this.#io.wait();
        this.drain();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#running = false;
    }
  }

  #fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = { error };
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const resumable of waiting) resumable.fail(error);
    this.#onFailure(error);
  }
}
