/**
 * The simulated machine under `MemoryIo`: disk, clock, what is in flight, timers, and what is made to
 * fail. The fault model stands in `memory.ts`.
 *
 * @module
 */

import { type IoTimer, IoUsageError } from "./io.ts";
import type { MemoryDisk } from "./memory_disk.ts";
import {
  type Fault,
  type FaultOperation,
  type FaultOptions,
  MemoryCrashError,
  type Settings,
} from "./memory_options.ts";
import type { MemoryBackend } from "./memory_process.ts";
import { Prng } from "./prng.ts";
import { Schedule } from "./schedule.ts";
import { turn } from "./timer.ts";

/** A `MemoryIo` whose clock starts here: the first day of 2026. */
export const EPOCH_MILLIS = 1_767_225_600_000;
/** How much later than others data of a killed process may land, again and again. */
const LATE_MICROS_MAX = 8_000;
/** One operation in so many takes far longer than the others. */
const SLOW_ONE_IN = 64;
const SLOW_FACTOR = 8;

/** A fault that was asked for, with its counts. */
export interface ActiveFault extends Fault {
  fired: number;
  matched: number;
  readonly options: FaultOptions;
}

/** An operation that was in flight when the machine stopped, with the data it had then. */
export interface Interrupted {
  readonly backend: MemoryBackend;
  readonly slot: number;
  readonly data: Uint8Array | undefined;
}

/** Somebody wants to be called at `dueMicros`. */
export class Timer implements IoTimer {
  readonly machine: Machine;
  readonly backend: MemoryBackend;
  readonly dueMicros: number;
  readonly callback: () => void;
  canceled = false;

  constructor(
    machine: Machine,
    backend: MemoryBackend,
    dueMicros: number,
    callback: () => void,
  ) {
    this.machine = machine;
    this.backend = backend;
    this.dueMicros = dueMicros;
    this.callback = callback;
  }

  cancel(): void {
    // It may be due already, and wait for its turn to call back.
    this.canceled = true;
    const at = this.machine.timers.indexOf(this);
    if (at >= 0) this.machine.timers.splice(at, 1);
  }

  fire(): void {
    if (!this.backend.killed && !this.canceled) this.callback();
  }
}

/** What processes share: the disk, the clock, what is in flight. */
export class Machine {
  readonly settings: Settings;
  readonly disk: MemoryDisk;
  readonly random: Prng;
  readonly schedule = new Schedule();
  readonly processes: MemoryBackend[] = [];
  readonly boot: number;
  readonly startMicros: number;
  readonly history: string[] = [];
  faults: ActiveFault[] = [];
  clockMicros: number;
  steps = 0;
  operations = 0;
  waits = 0;
  /** Set once the machine has stopped. */
  interrupted: Interrupted[] | undefined;
  /** Those that are set, earliest first. A few. */
  readonly timers: Timer[] = [];
  #lastDueMicros = 0;
  readonly #draw = (): number => this.random.next() / 2 ** 32;
  /** Of the operation that is submitted next, where a program gives the distribution. */
  #drawnMicros = 0;
  #idleTurn = false;

  constructor(settings: Settings, disk: MemoryDisk, boot: number, clockMicros: number) {
    this.settings = settings;
    this.disk = disk;
    this.boot = boot;
    this.clockMicros = clockMicros;
    this.startMicros = clockMicros;
    this.random = new Prng(settings.seed);
  }

  /** One more submission or completion; stops the machine when its time has come. */
  step(): void {
    if (++this.steps <= this.settings.crashAfter) return;
    this.stop();
    this.check();
  }

  check(): void {
    if (this.interrupted !== undefined) {
      throw new MemoryCrashError(
        `the simulated machine has crashed at step ${this.steps}: crash() gives what is left of it`,
      );
    }
  }

  /** Everything stops where it is. */
  stop(): void {
    if (this.interrupted !== undefined) return;
    this.interrupted = this.inFlight();
    // Who waits for a timer finds out in the same way as who waits for an operation.
    for (const timer of this.timers.splice(0)) queueMicrotask(() => timer.fire());
  }

  /** What is in flight now. */
  inFlight(): Interrupted[] {
    return this.schedule.entries().map(({ owner, slot }) => {
      const backend = this.processes[owner];
      return { backend, slot, data: backend.dataOf(slot) };
    });
  }

  /** Before an operation is taken on; may throw. */
  admit(): void {
    const { latencyMicros } = this.settings;
    if (typeof latencyMicros === "function") {
      const drawn = latencyMicros(this.#draw);
      if (!(drawn >= 0 && drawn <= Number.MAX_SAFE_INTEGER)) {
        throw new IoUsageError(`latencyMicros gave ${drawn}, which is no time`);
      }
      this.#drawnMicros = drawn;
    }
    this.step();
  }

  submit(backend: MemoryBackend, slot: number): void {
    const { latencyMicros, reorder } = this.settings;
    let latency: number;
    if (typeof latencyMicros === "number") {
      latency = latencyMicros;
    } else if (typeof latencyMicros === "function") {
      latency = this.#drawnMicros;
    } else {
      latency = this.random.between(latencyMicros[0], latencyMicros[1]);
      if (this.random.oneIn(SLOW_ONE_IN)) latency *= SLOW_FACTOR;
    }
    let due = this.clockMicros + latency;
    if (!reorder) due = this.#lastDueMicros = Math.max(due, this.#lastDueMicros);
    this.schedule.add(due, reorder ? this.random.next() : 0, backend.process, slot);
  }

  /** An operation of a killed process takes longer than it would take to open a file again. */
  postpone(backend: MemoryBackend, slot: number): void {
    const due = this.clockMicros + this.random.between(1, LATE_MICROS_MAX);
    this.schedule.add(due, this.random.next(), backend.process, slot);
  }

  /** Completes the next operation. */
  runNext(): void {
    const { schedule } = this;
    this.step();
    const owner = schedule.owner;
    const slot = schedule.slot;
    if (schedule.dueMicros > this.clockMicros) this.clockMicros = schedule.dueMicros;
    schedule.remove();
    this.operations++;
    this.disk.clockMillis = this.wallClock();
    this.processes[owner].complete(slot);
    this.passed();
  }

  addTimer(timer: Timer): void {
    if (this.interrupted !== undefined) {
      queueMicrotask(() => timer.fire());
      return;
    }
    const later = this.timers.findIndex(({ dueMicros }) => dueMicros > timer.dueMicros);
    this.timers.splice(later < 0 ? this.timers.length : later, 0, timer);
    this.passed();
  }

  /** Time has passed, or stands still: sees to the timers. */
  passed(): void {
    const { timers } = this;
    if (timers.length === 0) return;
    // Their callers are in the middle of something.
    while (timers.length > 0 && timers[0].dueMicros <= this.clockMicros) {
      const timer = timers.shift()!;
      queueMicrotask(() => timer.fire());
    }
    if (timers.length > 0) this.#goOnLater();
  }

  /**
   * When the program has come to rest the machine goes on by itself, to the next completion or timer, for
   * as long as a timer is set.
   */
  #goOnLater(): void {
    if (this.#idleTurn) return;
    this.#idleTurn = true;
    turn(() => {
      this.#idleTurn = false;
      if (this.interrupted !== undefined || this.timers.length === 0) return;
      const { dueMicros } = this.timers[0];
      if (this.schedule.dueMicros > dueMicros) {
        this.clockMicros = Math.max(this.clockMicros, dueMicros);
      } else {
        try {
          this.runNext();
        } catch (error) {
          // The power went: whoever asks this machine for anything will hear of it.
          if (!(error instanceof MemoryCrashError)) throw error;
        }
      }
      this.passed();
    });
  }

  /** Completes everything that is due. */
  runDue(): void {
    while (this.schedule.length > 0 && this.schedule.dueMicros <= this.clockMicros) this.runNext();
  }

  wallClock(): number {
    return EPOCH_MILLIS + this.clockMicros / 1000;
  }

  /** The fault that hits an operation, if one does. */
  match(operation: FaultOperation, path: string, other: string): FaultOptions | undefined {
    let hit: FaultOptions | undefined;
    for (const fault of this.faults) {
      const { options } = fault;
      if (options.operation !== undefined && options.operation !== operation) continue;
      if (!pathMatches(options.path, path) && !pathMatches(options.path, other)) continue;
      const nth = options.nth ?? 1;
      fault.matched++;
      if (fault.matched < nth || (fault.matched > nth && !options.persistent)) continue;
      fault.fired++;
      hit ??= options;
    }
    return hit;
  }
}

function pathMatches(wanted: string | RegExp | undefined, path: string): boolean {
  if (wanted === undefined) return true;
  return typeof wanted === "string" ? wanted === path : path !== "" && wanted.test(path);
}
