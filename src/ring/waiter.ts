/**
 * Driving rings from the event loop: one dispatcher a thread, however many rings wait.
 *
 * A ring that waits is first looked at in the event loop's own turns, for about as long as its device
 * usually takes: other work goes on between the turns, and nothing has to be woken. After that its
 * completions signal the eventfd of the thread, and one waiter of the host waits for that.
 *
 * A device that is too slow for this, and always takes the same time, is looked at around that time: an
 * alarm of the ring signals the eventfd a little before.
 *
 * @module
 */

import type { Host, Waiter, WakeFunctions } from "../host/host.ts";

/** Devices slower than this are waited for at once: looking so long costs more than waking. */
const LOOK_MICROS_MAX = 300;
/** Or, where it is known when to look, for longer than 1 in so many of the time that is waited. */
const LOOK_SHARE = 8;
/** Looked longer than usual by so much, since no device always takes the same time. */
const LOOK_MICROS_EXTRA = 25;
const LATENCY_MICROS_START = 100;
/** Weight of a new observation is 1 in so many; in the deviation a larger one. As TCP does (RFC 6298). */
const LATENCY_WEIGHT = 8;
const DEVIATION_WEIGHT = 4;
/**
 * What took longer than so many times the usual, or than so many times the start, counts as that. Else one
 * write that the disk held up for 3 ms ended the looking for the next ten: on a loaded machine, where
 * being woken takes long, that cost more than the write.
 */
const OUTLIER = 4;
/** How far from the usual is still usual, in mean deviations. */
const DEVIATIONS = 4;
/** What an alarm can be set to. */
const ALARM_MICROS_MAX = 0xffff_ffff;
/** What being woken costs, until it was seen. */
const WAKE_MICROS_START = 100;

/** What a dispatcher needs of a ring. */
export interface Waitable {
  /** Ticks; whether completions can be reaped, or nothing is in flight any more. */
  look(): boolean;
  /** Whether completions signal the eventfd; and once after `alarmMicros`, unless these are 0. */
  arm(on: boolean, alarmMicros: number): void;
  /**
   * Nothing would signal now, and only looks bring it on: its device is polled by them, or the kernel was
   * short of something and did not take what is staged.
   */
  isSilent(): boolean;
}

interface Waiting {
  readonly ring: Waitable;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly latency: Latency;
  readonly startMillis: number;
  lookUntilMillis: number;
  /** When the alarm is due after which it is looked at once more; 0 without one. */
  alarmMillis: number;
}

/** How long the operations of one ring usually take, as seen by those who wait. */
export class Latency {
  micros = LATENCY_MICROS_START;
  #deviation = LATENCY_MICROS_START;

  observe(micros: number): void {
    const most = OUTLIER * Math.max(this.micros, LATENCY_MICROS_START);
    const difference = Math.min(micros, most) - this.micros;
    this.micros += difference / LATENCY_WEIGHT;
    this.#deviation += (Math.abs(difference) - this.#deviation) / DEVIATION_WEIGHT;
  }

  /** How much longer or shorter than usual an operation may take. */
  get spreadMicros(): number {
    return DEVIATIONS * this.#deviation;
  }

  /** Too slow to be looked at all the time, and regular enough to be looked at when it is due. */
  get isRegular(): boolean {
    return this.micros > LOOK_MICROS_MAX &&
      2 * this.spreadMicros < Math.max(LOOK_MICROS_MAX, this.micros / LOOK_SHARE);
  }

  /** For how long to look before waiting. */
  get lookMicros(): number {
    if (this.micros > LOOK_MICROS_MAX) return 0;
    return 2 * this.micros + LOOK_MICROS_EXTRA;
  }
}

/** The rings of this thread that wait. */
export class Dispatcher {
  readonly #host: Host;
  readonly #functions: WakeFunctions & { uring_wake_signal(): number };
  #waiter: Waiter | undefined;
  /** Looked at in every turn. */
  #looking: Waiting[] = [];
  /** Their completions signal the eventfd. */
  #armed: Waiting[] = [];
  #turning = false;
  #waiting = false;
  /** From the time of an alarm to being woken by it, as it usually is. */
  #wakeMicros = WAKE_MICROS_START;
  readonly #turn = () => this.#takeTurn();

  constructor(host: Host, functions: WakeFunctions & { uring_wake_signal(): number }) {
    this.#host = host;
    this.#functions = functions;
  }

  /** Resolves when the ring has completions to reap, or nothing in flight. */
  wait(ring: Waitable, latency: Latency): Promise<void> {
    return new Promise((resolve, reject) => {
      const startMillis = performance.now();
      const lookUntilMillis = startMillis + latency.lookMicros / 1000;
      const alarmMillis = latency.isRegular
        ? startMillis + (latency.micros - latency.spreadMicros - this.#wakeMicros) / 1000
        : 0;
      this.#looking.push({
        ...{ ring, resolve, reject, latency, startMillis, lookUntilMillis, alarmMillis },
      });
      this.#ensureTurn();
    });
  }

  /** Ends the wait of a ring that is being closed. */
  forget(ring: Waitable): void {
    const mine = (waiting: Waiting) => waiting.ring === ring;
    for (const waiting of this.#armed.filter(mine)) this.#disarm(waiting);
    for (const waiting of [...this.#looking, ...this.#armed].filter(mine)) waiting.resolve();
    this.#looking = this.#looking.filter((waiting) => !mine(waiting));
    this.#armed = this.#armed.filter((waiting) => !mine(waiting));
    this.#releaseWaiter();
  }

  #ensureTurn(): void {
    if (this.#turning) return;
    this.#turning = true;
    this.#host.turn(this.#turn);
  }

  #takeTurn(): void {
    this.#turning = false;
    const now = performance.now();
    const looking = this.#looking;
    this.#looking = [];
    for (const waiting of looking) {
      if (this.#done(waiting)) continue;
      if (now < waiting.lookUntilMillis || waiting.ring.isSilent()) this.#looking.push(waiting);
      else this.#arm(waiting, alarmMicros(waiting, now));
    }
    if (this.#looking.length > 0) this.#ensureTurn();
    if (this.#armed.length > 0) this.#ensureWaiter();
  }

  #arm(waiting: Waiting, alarmMicros: number): void {
    try {
      waiting.ring.arm(true, alarmMicros);
    } catch (error) {
      waiting.reject(error);
      return;
    }
    // What completed before arming signals nothing, so look once more.
    if (this.#done(waiting)) {
      this.#disarm(waiting);
    } else if (waiting.ring.isSilent()) {
      this.#disarm(waiting);
      this.#looking.push(waiting);
      this.#ensureTurn();
    } else {
      this.#armed.push(waiting);
    }
  }

  /** It is about the time at which the device usually ends. */
  #lookAround(waiting: Waiting, now: number): void {
    const { latency, startMillis, alarmMillis } = waiting;
    // A loop that was busy says nothing about waking.
    const late = Math.min((now - alarmMillis) * 1000, LOOK_MICROS_MAX);
    this.#wakeMicros += (late - this.#wakeMicros) / LATENCY_WEIGHT;
    waiting.alarmMillis = 0;
    const usual = latency.micros + latency.spreadMicros + LOOK_MICROS_EXTRA;
    waiting.lookUntilMillis = startMillis + usual / 1000;
    this.#looking.push(waiting);
  }

  #disarm(waiting: Waiting): void {
    try {
      waiting.ring.arm(false, 0);
    } catch {
      // A ring that is gone signals nothing; looking at it says so.
    }
  }

  /** Looks at a ring; settles its wait when that is over. */
  #done(waiting: Waiting): boolean {
    try {
      if (!waiting.ring.look()) return false;
      waiting.latency.observe((performance.now() - waiting.startMillis) * 1000);
      waiting.resolve();
    } catch (error) {
      waiting.reject(error);
    }
    return true;
  }

  #ensureWaiter(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#startWait().then(() => this.#woken(), (error) => this.#failed(error));
  }

  async #startWait(): Promise<void> {
    this.#waiter ??= this.#host.createWaiter(this.#functions);
    await this.#waiter.wait();
  }

  #woken(): void {
    this.#waiting = false;
    const armed = this.#armed;
    this.#armed = [];
    const now = performance.now();
    for (const waiting of armed) {
      // A look posts completions: with the eventfd still armed each would be a signal for the next wait.
      this.#disarm(waiting);
      if (this.#done(waiting)) continue;
      if (waiting.alarmMillis > 0 && now >= waiting.alarmMillis) this.#lookAround(waiting, now);
      else this.#arm(waiting, 0);
    }
    if (this.#looking.length > 0) this.#ensureTurn();
    if (this.#armed.length > 0) this.#ensureWaiter();
  }

  #failed(error: unknown): void {
    this.#waiting = false;
    const armed = this.#armed;
    this.#armed = [];
    for (const waiting of armed) waiting.reject(error);
  }

  /** A waiter that nobody needs is woken, so that it does not keep the process alive. */
  #releaseWaiter(): void {
    if (this.#waiting && this.#armed.length === 0) this.#functions.uring_wake_signal();
  }
}

/** How long until the alarm of a wait; 0 without one. One that is due already comes at once. */
function alarmMicros({ alarmMillis }: Waiting, now: number): number {
  if (alarmMillis === 0) return 0;
  return Math.min(ALARM_MICROS_MAX, Math.max(1, Math.floor((alarmMillis - now) * 1000)));
}
