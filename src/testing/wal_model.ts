/**
 * What a log must be, as a model, and runs of random programs against it that end in crashes, in kills
 * with writes still on their way, and in failures of the disk.
 *
 * The model keeps every record that was appended, by LSN, and how far the log had acknowledged. After a
 * crash the log must hold a prefix of what was appended, at least up to the last acknowledgement, the same
 * bytes, without holes; and what it then reports stays.
 *
 * @module
 */

import { ERRNO } from "../abi/generated.ts";
import type { Fault, FaultOperation, FaultOptions } from "../io/memory.ts";
import { MemoryIo } from "../io/memory.ts";
import { Prng } from "../io/prng.ts";
import { LsnTooOldError } from "../wal/errors.ts";
import type { WalOptions } from "../wal/options.ts";
import type { RecordBatch } from "../wal/records.ts";
import { DurabilityTracker } from "../wal/tracker.ts";
import { Wal } from "../wal/wal.ts";

/** A promise of the log that was broken. */
export class ModelViolation extends Error {
  override readonly name: string = "ModelViolation";
}

function check(holds: boolean, message: () => string): asserts holds {
  if (!holds) throw new ModelViolation(message());
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Every record of one log, and what was promised of it. */
export class WalModel {
  /** By LSN; index 0 is unused. */
  readonly records: Uint8Array[] = [new Uint8Array(0)];
  /** LSN up to which the log has acknowledged. */
  acknowledged = 0;
  /** LSN that truncation has made the first, durably, and that it may have made the first. */
  firstLsn = 1;
  firstAsked = 1;
  /** Retention may have removed what is durable, too. */
  retains = false;
  /** Records are large, so that there are many segments. */
  large = false;
  /** The log was closed after its last change. */
  closed = false;

  get lastLsn(): number {
    return this.records.length - 1;
  }

  append(lsn: number, record: Uint8Array): void {
    check(lsn === this.records.length, () => `append gave LSN ${lsn}, not ${this.records.length}`);
    this.records.push(record);
    this.closed = false;
  }

  /** Takes over how far the log says that it is durable. */
  observe(wal: Wal): void {
    const durable = wal.durableLsn;
    check(
      durable <= this.lastLsn,
      () => `durable is ${durable}, and ${this.lastLsn} were appended`,
    );
    check(
      durable >= this.acknowledged,
      () => `durable fell from ${this.acknowledged} to ${durable}`,
    );
    this.acknowledged = durable;
    const { firstLsn } = wal;
    check(firstLsn >= this.firstLsn, () => `record ${this.firstLsn} is back as ${firstLsn}`);
    this.#checkFirst(firstLsn, durable);
    // What the log says of its beginning is durable.
    this.firstLsn = firstLsn;
    this.firstAsked = Math.max(this.firstAsked, firstLsn);
  }

  #checkFirst(firstLsn: number, lastLsn: number): void {
    const most = this.retains ? lastLsn + 1 : this.firstAsked;
    check(
      firstLsn >= this.firstLsn && firstLsn <= most,
      () => `the log begins with ${firstLsn}, not ${this.firstLsn} to ${most}`,
    );
  }

  /** After an opening: a prefix, at least the acknowledged one. From here on it is what counts. */
  recovered(wal: Wal): void {
    const { lastLsn, firstLsn, tail } = wal.recovery;
    check(
      lastLsn >= this.acknowledged,
      () => `record ${this.acknowledged} was acknowledged, and the log ends with ${lastLsn}`,
    );
    check(
      lastLsn <= this.lastLsn,
      () => `the log ends with ${lastLsn}, and ${this.lastLsn} were appended`,
    );
    this.#checkFirst(firstLsn, lastLsn);
    if (this.closed) {
      check(tail === "clean", () => `the log was closed, and is ${tail}`);
      check(
        lastLsn === this.lastLsn,
        () => `the log was closed at ${this.lastLsn}, not ${lastLsn}`,
      );
    }
    this.closed = false;
    this.records.length = lastLsn + 1;
    this.acknowledged = lastLsn;
    this.firstLsn = firstLsn;
    this.firstAsked = firstLsn;
    check(wal.durableLsn === lastLsn, () => `durable is ${wal.durableLsn}, not ${lastLsn}`);
  }

  /** Every record that can be read, from `from` on, against the model. */
  async compare(wal: Wal, from = this.firstLsn): Promise<void> {
    let lsn = from;
    const to = wal.durableLsn + 1;
    try {
      for await (const batch of wal.read({ from, to })) lsn = this.compareBatch(batch, lsn);
    } catch (error) {
      // Retention went past it.
      if (this.retains && error instanceof LsnTooOldError && wal.firstLsn > lsn) return;
      throw error;
    }
    check(lsn === to, () => `reading ended before ${lsn}, not ${to}`);
  }

  /** One batch that begins with `lsn`; gives the LSN behind it. */
  compareBatch(batch: RecordBatch, lsn: number): number {
    check(batch.firstLsn === lsn, () => `a batch begins with ${batch.firstLsn}, not ${lsn}`);
    for (let i = 0; i < batch.length; i++, lsn++) {
      const expected = this.records[lsn];
      check(expected !== undefined, () => `record ${lsn} was invented`);
      check(same(batch.bytes(i), expected), () => `record ${lsn} is not what was appended`);
    }
    return lsn;
  }
}

/** What runs did, for the reader of a campaign's output. */
export interface CrashCounts {
  runs: number;
  opened: number;
  appended: number;
  acknowledged: number;
  crashes: number;
  crashesInRecovery: number;
  /** The process was killed, and the next one opened the log at once. */
  kills: number;
  /** Operations that were made to fail, and logs that were poisoned by it. */
  faults: number;
  poisoned: number;
  clean: number;
  torn: number;
  ambiguous: number;
  segments: number;
  truncations: number;
  /** Logs that retention had shortened. */
  retained: number;
  /** Batches that a tail delivered, and tails behind which records were removed. */
  tailed: number;
  tailsTooOld: number;
  /** Frames without records that logs wrote because they had come to rest. */
  marks: number;
  operations: number;
}

export function newCrashCounts(): CrashCounts {
  return {
    runs: 0,
    opened: 0,
    appended: 0,
    acknowledged: 0,
    crashes: 0,
    crashesInRecovery: 0,
    kills: 0,
    faults: 0,
    poisoned: 0,
    clean: 0,
    torn: 0,
    ambiguous: 0,
    segments: 0,
    truncations: 0,
    retained: 0,
    tailed: 0,
    tailsTooOld: 0,
    marks: 0,
    operations: 0,
  };
}

const DIRECTORY = "/log";
const CYCLES_MAX = 4;
const ACTIONS_MAX = 30;
/** Virtual time that an opening waits for the last writes of a killed process. */
const LOCK_TIMEOUT_MILLIS = 60_000;
/** Openings of a log whose disk fails, before the disk is mended. */
const OPENINGS_MAX = 3;
/** Polls that a promise may take on a failing disk, and on a mended one; a few hundred an operation. */
const TURNS_A_TRY = 300;
const TURNS_UNTIL_MENDED = 3000;
const TURNS_MAX = 300_000;
const RECORD_BYTES_MAX = 5000;

function randomOptions(rng: Prng): WalOptions {
  const maxBytes = 4096 * rng.between(2, 4);
  const segmentBytes = 65_536 + maxBytes + 4096 * rng.between(0, 16);
  const limits = [
    { maxSegments: rng.between(1, 4) },
    { maxBytes: segmentBytes * rng.between(1, 4) },
    { maxAgeMillis: rng.between(1, 50) },
  ];
  return {
    segmentBytes,
    ...(rng.oneIn(3) ? { retention: limits[rng.below(limits.length)] } : {}),
    ...randomMode(rng),
    commit: {
      maxBytes,
      maxInFlight: rng.between(1, 4),
      maxDelayMicros: rng.oneIn(4) ? rng.between(1, 5000) : 0,
    },
    preallocate: rng.oneIn(5) ? false : rng.oneIn(3) ? "reserve" : true,
    idleMarkMillis: rng.oneIn(3) ? Infinity : rng.between(1, 20),
    lockTimeoutMillis: LOCK_TIMEOUT_MILLIS,
  };
}

function randomMode(rng: Prng): Pick<WalOptions, "mode" | "recalibrate"> {
  // Measuring takes operations, which then are missing elsewhere.
  if (rng.oneIn(6)) return { mode: "auto", recalibrate: rng.oneIn(3) };
  return { mode: rng.oneIn(2) ? "direct" : "buffered" };
}

/** One operation of the disk that will fail, of those that a log depends on. */
function randomFault(rng: Prng): FaultOptions {
  const operations = [
    ...["write", "write", "write", "fdatasync", "fsync", "syncDirectory", "rename", "allocate"],
    ...["read", "remove"],
  ];
  const paths = [undefined, /\.wal$/, /\.wal$/, /META$/, /\.tmp$/];
  return {
    operation: operations[rng.below(operations.length)] as FaultOperation,
    path: paths[rng.below(paths.length)],
    nth: rng.between(1, rng.oneIn(2) ? 2 : 12),
    errno: [ERRNO.EIO, ERRNO.EIO, ERRNO.ENOSPC][rng.below(3)],
    persistent: rng.oneIn(4),
  };
}

/** The simulated machine of one run, the log that is open on it, and what fails there. */
interface Machine {
  io: MemoryIo;
  wal?: Wal;
  faults: Fault[];
  /** The faults were called off; what they did may still come to light. */
  mended: boolean;
  /** Reads on while the log is written, as long as the log is open. */
  tail?: { wal: Wal; batches: AsyncGenerator<RecordBatch, void>; position: number } | undefined;
}

/** Whether the machine is off, so that any error is right. */
function off(machine: Machine, error: unknown): boolean {
  return machine.io.crashed && !(error instanceof ModelViolation);
}

/** Nothing fails any more. */
function mend(machine: Machine): void {
  for (const fault of machine.faults) fault.cancel();
  machine.mended = true;
}

/** Whether what the disk did can be the cause of an error. */
function disturbed(machine: Machine): boolean {
  return !machine.io.crashed && machine.faults.some(({ fired }) => fired > 0);
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? error);
}

/**
 * Opens the log and checks what it finds. On a failing disk an opening may fail with the error of the
 * disk, and with no other; once the disk is mended it may not.
 */
async function openLog(
  machine: Machine,
  options: WalOptions,
  model: WalModel,
  counts: CrashCounts,
): Promise<Wal> {
  machine.wal = undefined;
  machine.tail = undefined;
  // What an opening that fails has removed is removed.
  const retained = model.retains;
  model.retains ||= options.retention !== undefined;
  for (let opening = 1;; opening++) {
    if (opening > OPENINGS_MAX) mend(machine);
    try {
      const wal = machine.wal = await Wal.open(DIRECTORY, { ...options, io: machine.io });
      wal.addEventListener("poisoned", () => poisoned.add(wal));
      if (machine.mended) {
        counts.faults += machine.faults.filter(({ fired }) => fired > 0).length;
        machine.faults = [];
      }
      counts.opened++;
      counts[wal.recovery.tail]++;
      model.recovered(wal);
      if (retained && model.firstLsn > 1) counts.retained++;
      model.retains = options.retention !== undefined;
      return wal;
    } catch (error) {
      // It may have got as far as taking the seal off.
      model.closed = false;
      if (machine.io.crashed || error instanceof ModelViolation) throw error;
      check(
        disturbed(machine) && ["EIO", "ENOSPC"].includes(codeOf(error)),
        () => `the log could not be opened: ${(error as Error).message}`,
      );
    }
  }
}

/**
 * One random program from `seed`: openings, appends, truncations, closings, failures of the disk, and
 * in each cycle a crash at a random operation, also inside recovery, or a kill. Throws
 * {@linkcode ModelViolation}.
 */
export async function crashRun(seed: number, counts: CrashCounts): Promise<void> {
  const rng = new Prng(seed);
  const model = new WalModel();
  // Mostly somewhere in the life of the log, sometimes in the middle of opening it.
  const crashAfter = () => rng.oneIn(4) ? rng.between(1, 120) : rng.between(1, 1500);
  const rough = rng.oneIn(3);
  const machine: Machine = {
    io: MemoryIo.create({
      seed: rng.next(),
      arenaBytes: 1 << 20,
      crashAfter: crashAfter(),
      shortChance: rough ? 0.03 : 0,
      interruptChance: rough ? 0.03 : 0,
      // In some runs the program is slow beside the disk, and its frames go out half filled.
      nowMicros: seed % 4 === 0 ? 50 : 0,
    }),
    faults: [],
    mended: true,
  };
  const failing = rng.oneIn(3);
  model.large = rng.oneIn(4);
  counts.runs++;
  const cycles = rng.between(1, CYCLES_MAX);
  for (let cycle = 0; cycle < cycles; cycle++) {
    const options = randomOptions(rng);
    if (rng.oneIn(cycle === 0 ? 4 : 12)) await killedOpening(machine, options, model, rng, counts);
    let wal: Wal | undefined;
    try {
      if (failing && rng.oneIn(6)) arm(machine, rng);
      wal = await openLog(machine, options, model, counts);
    } catch (error) {
      if (!off(machine, error)) throw error;
      counts.crashesInRecovery++;
    }
    if (wal) {
      try {
        await model.compare(wal).catch((error) => readFailed(machine, error));
        await live(machine, options, model, rng, counts, failing);
      } catch (error) {
        if (!off(machine, error)) throw error;
      }
      // What was acknowledged in the last moment counts too.
      if (machine.wal) model.observe(machine.wal);
    }
    counts.operations += machine.io.operations;
    mend(machine);
    counts.faults += machine.faults.filter(({ fired }) => fired > 0).length;
    machine.faults = [];
    const last = cycle === cycles - 1;
    if (!last && !machine.io.crashed && rng.oneIn(2)) {
      counts.kills++;
      machine.io = machine.io.kill();
    } else {
      counts.crashes++;
      machine.io = machine.io.crash(rng.next(), { crashAfter: last ? Infinity : crashAfter() });
    }
  }
  // In the end everything that was promised must be there, twice.
  for (let i = 0; i < 2; i++) {
    const wal = await openLog(machine, randomOptions(rng), model, counts);
    await model.compare(wal);
    const { segmentReady } = wal.stats();
    await wal.close();
    model.closed = segmentReady;
  }
  machine.io[Symbol.dispose]();
}

/** A process that begins to open the log, and is killed on the way. */
async function killedOpening(
  machine: Machine,
  options: WalOptions,
  model: WalModel,
  rng: Prng,
  counts: CrashCounts,
): Promise<void> {
  const opening = Wal.open(DIRECTORY, { ...options, io: machine.io });
  opening.catch(() => {});
  try {
    for (let turns = rng.below(rng.oneIn(2) ? 10 : 200); turns > 0; turns--) {
      machine.io.poll();
      await undefined;
    }
    machine.io = machine.io.kill();
    counts.kills++;
  } catch (error) {
    if (!off(machine, error)) throw error;
  }
  model.closed = false;
}

function arm(machine: Machine, rng: Prng): void {
  machine.faults.push(machine.io.fail(randomFault(rng)));
  machine.mended = false;
}

/** A read that the disk refused is an error of that read; anything else is passed on. */
function readFailed(machine: Machine, error: unknown): void {
  if (!disturbed(machine) || !["EIO", "ENOSPC"].includes(codeOf(error))) throw error;
}

/**
 * Waits for a promise of the log. On a failing disk it may wait for a new segment, which the log tries
 * again whenever it is asked; on a mended disk it must come. The event loop has no turn here, so that
 * a seed has one history.
 */
async function settle<T>(machine: Machine, wal: Wal, promise: Promise<T>): Promise<T> {
  if (machine.faults.length === 0) return await promise;
  let over = false;
  const end = () => over = true;
  promise.then(end, end);
  for (let turn = 0; !over && !machine.io.crashed; turn++) {
    if (turn === TURNS_UNTIL_MENDED) mend(machine);
    check(turn < TURNS_MAX, () => "a promise of the log never ends");
    if (turn % TURNS_A_TRY === 0) wal.ready().catch(() => {});
    wal.submitPending();
    await undefined;
  }
  return await promise;
}

/**
 * Lets virtual time pass while the program does nothing. Time goes on where nothing else does, in turns
 * of the event loop: one for each timer that is due, and for every so many operations.
 */
async function rest(machine: Machine, micros: number): Promise<void> {
  let over = false;
  machine.io.after(micros, () => over = true);
  while (!over && !machine.io.crashed) await new Promise((resolve) => setImmediate(resolve));
}

/** The tail of the log goes on by a batch, or begins. */
async function followTail(
  machine: Machine,
  model: WalModel,
  rng: Prng,
  counts: CrashCounts,
): Promise<void> {
  const wal = machine.wal!;
  let tail = machine.tail;
  if (!tail || tail.wal !== wal) {
    const position = rng.between(wal.firstLsn, wal.durableLsn + 1);
    tail = machine.tail = { wal, batches: wal.tail({ from: position }), position };
  }
  // Else it would wait.
  if (tail.position > wal.durableLsn) return;
  try {
    const { value } = await tail.batches.next();
    check(value !== undefined, () => "a tail ended before the log");
    tail.position = model.compareBatch(value, tail.position);
    check(tail.position <= wal.durableLsn + 1, () => "a tail delivered what was not durable");
    counts.tailed++;
  } catch (error) {
    machine.tail = undefined;
    if (error instanceof LsnTooOldError && wal.firstLsn > tail.position) counts.tailsTooOld++;
    else throw error;
  }
}

/** Random use of the open log, until it is enough or the machine goes off. */
async function live(
  machine: Machine,
  options: WalOptions,
  model: WalModel,
  rng: Prng,
  counts: CrashCounts,
  failing: boolean,
): Promise<void> {
  const actions = rng.between(1, ACTIONS_MAX);
  let tracked = machine.wal!;
  let tracker = new DurabilityTracker(tracked);
  for (let action = 0; action < actions && !machine.io.crashed; action++) {
    model.observe(machine.wal!);
    if (failing && rng.oneIn(6)) arm(machine, rng);
    try {
      if (tracked !== machine.wal!) tracker = new DurabilityTracker(tracked = machine.wal!);
      await act(machine, options, model, rng, counts);
      if (tracked === machine.wal! && tracked.appendedLsn > 0) tracker.track(tracked.appendedLsn);
    } catch (error) {
      if (!disturbed(machine) || error instanceof ModelViolation) throw error;
      await failed(machine, options, model, counts, error);
    }
  }
  const wal = machine.wal!;
  model.observe(wal);
  if (tracked === wal) {
    const durable = tracker.poll().filter(({ lsn }) => lsn <= wal.durableLsn).length;
    check(tracker.completed === durable, () => `tracked ${tracker.completed}, durable ${durable}`);
  }
  counts.acknowledged += model.acknowledged;
  counts.segments += wal.stats().segments;
  counts.marks += wal.stats().marks;
  if (!machine.io.crashed && rng.oneIn(3)) {
    mend(machine);
    const { segmentReady } = wal.stats();
    const error = await wal.close().then(() => undefined, (error) => error);
    model.observe(wal);
    check(error === undefined || disturbed(machine) || machine.io.crashed, () => `close: ${error}`);
    model.closed = error === undefined && !poisoned.has(wal) && segmentReady;
  }
}

/** Logs that have said that they are poisoned. */
const poisoned = new WeakSet<Wal>();

/** One step of the program. */
async function act(
  machine: Machine,
  options: WalOptions,
  model: WalModel,
  rng: Prng,
  counts: CrashCounts,
): Promise<void> {
  const wal = machine.wal!;
  switch (rng.below(16)) {
    case 0: {
      const lsn = rng.between(wal.firstLsn, wal.durableLsn + 1);
      model.firstAsked = Math.max(model.firstAsked, lsn);
      model.closed = false;
      await wal.truncateBefore(lsn);
      model.firstLsn = Math.max(model.firstLsn, lsn);
      counts.truncations++;
      break;
    }
    case 1: {
      const from = rng.between(wal.firstLsn, wal.durableLsn + 1);
      await model.compare(wal, from).catch((error) => readFailed(machine, error));
      break;
    }
    case 2: {
      const { segmentReady } = wal.stats();
      await wal.close();
      model.observe(wal);
      if (poisoned.has(wal)) {
        check(machine.io.crashed || disturbed(machine), () => "a log was poisoned by nothing");
        await openLog(machine, options, model, counts);
        break;
      }
      check(
        model.acknowledged === model.lastLsn,
        () => `closed with ${model.acknowledged} of ${model.lastLsn} durable`,
      );
      model.closed = segmentReady;
      await openLog(machine, options, model, counts);
      break;
    }
    case 3:
      await settle(machine, wal, wal.flush());
      break;
    case 4: {
      const batch = Array.from({ length: rng.between(1, 5) }, () => randomRecord(rng, 900, false));
      try {
        const last = wal.appendBatch(batch);
        batch.forEach((record, i) => model.append(last - batch.length + 1 + i, record));
        counts.appended += batch.length;
      } catch (error) {
        if (codeOf(error) !== "WalFull") throw error;
        await settle(machine, wal, wal.ready());
      }
      break;
    }
    case 7:
    case 8:
      await followTail(machine, model, rng, counts)
        .catch((error) => readFailed(machine, error));
      break;
    case 6:
      await rest(machine, rng.between(1, 40_000));
      break;
    case 5:
      if (wal.durableLsn < wal.appendedLsn) {
        wal.waitDurable(rng.between(wal.durableLsn, wal.appendedLsn));
      }
      break;
    default: {
      const count = rng.between(1, 20);
      for (let i = 0; i < count; i++) {
        const record = randomRecord(rng, RECORD_BYTES_MAX, model.large);
        const lsn = wal.tryAppend(record);
        if (lsn === undefined) {
          await settle(machine, wal, wal.ready());
          continue;
        }
        model.append(lsn, record);
        counts.appended++;
      }
      if (rng.oneIn(2)) {
        const lsn = wal.appendedLsn;
        const pending = rng.oneIn(3) ? wal.gate(lsn, lsn) : wal.durable(lsn);
        pending.catch(() => {});
        if (rng.oneIn(2)) {
          const durable = await settle(machine, wal, pending);
          check(durable >= lsn, () => `durable(${lsn}) gave ${durable}`);
        }
      }
    }
  }
}

/** The disk failed, and so did a step of the program: what the log does then is promised too. */
async function failed(
  machine: Machine,
  options: WalOptions,
  model: WalModel,
  counts: CrashCounts,
  error: unknown,
): Promise<void> {
  const wal = machine.wal;
  const code = codeOf(error);
  if (code === "WalFull") {
    // Back-pressure: the log is undamaged, and goes on when the disk is mended.
    const { cause } = error as Error;
    check(cause instanceof Error, () => `a full log without a cause: ${(error as Error).message}`);
    mend(machine);
    await settle(machine, wal!, wal!.ready());
    return;
  }
  check(
    ["WalPoisoned", "WalClosed", "EIO", "ENOSPC"].includes(code),
    () => `on a failing disk: ${(error as Error).stack}`,
  );
  if (wal) {
    model.observe(wal);
    const { durableLsn, appendedLsn } = wal;
    const known = poisoned.has(wal);
    if (known) {
      counts.poisoned++;
      let refused = "";
      try {
        wal.append("");
      } catch (again) {
        refused = codeOf(again);
      }
      check(
        refused === "WalPoisoned" || refused === "WalClosed",
        () => `a poisoned log takes records: ${refused}`,
      );
      check(await wal.durable(durableLsn) === durableLsn, () => "what was durable is so no more");
      const pending = await wal.durable(appendedLsn).catch(codeOf);
      check(
        appendedLsn === durableLsn || pending === "WalPoisoned",
        () => `durable(${appendedLsn}) of a poisoned log gave ${pending}`,
      );
    }
    await wal.close().catch((again) =>
      // (The machine may go off meanwhile.)
      check(
        !known || again === error || machine.io.crashed,
        () => `close of a poisoned log: ${again}`,
      )
    );
    // Where only a read had failed nothing else is wrong with the log, and closing makes it durable.
    if (!known) model.observe(wal);
    else check(wal.durableLsn === durableLsn, () => "a poisoned log acknowledged a record");
  }
  await openLog(machine, options, model, counts);
}

function randomRecord(rng: Prng, bytesMax: number, large: boolean): Uint8Array {
  const record = new Uint8Array(large || rng.oneIn(10) ? rng.below(bytesMax) : rng.below(300));
  rng.fill(record);
  return record;
}

/** The machine that one random program from `seed` left behind when its power was cut. */
export async function crashImage(seed: number): Promise<MemoryIo> {
  const rng = new Prng(seed);
  const machine: Machine = {
    io: MemoryIo.create({
      seed: rng.next(),
      arenaBytes: 1 << 20,
      crashAfter: rng.between(100, 1500),
    }),
    faults: [],
    mended: true,
  };
  const options = randomOptions(rng);
  const model = new WalModel();
  const counts = newCrashCounts();
  try {
    await openLog(machine, options, model, counts);
    await live(machine, options, model, rng, counts, false);
  } catch (error) {
    if (!machine.io.crashed || error instanceof ModelViolation) throw error;
  }
  return machine.io.crash(rng.next());
}
