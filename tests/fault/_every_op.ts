/**
 * Every operation fails once: a scenario runs on a simulated machine again and again, and in run N its
 * operation N fails, until a run has no operation N. For each error, once and from then on, and after each
 * run the promises of the log are checked: on the machine as it is, opened again, and after a power cut.
 */
import { errnoName } from "../../src/abi/errno.ts";
import { ERRNO } from "../../src/abi/generated.ts";
import { type Fault, type FaultOperation, MemoryIo } from "../../src/io/memory.ts";
import { WalModel } from "../../src/testing/wal_model.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { repair } from "../../src/wal/repair.ts";
import { Wal } from "../../src/wal/wal.ts";
import { Broken } from "./_history.ts";

/** What a campaign did. */
export interface EveryOpCounts {
  scenarios: number;
  /** Runs in which an operation failed. */
  failures: number;
  /** Of these: the program got an error, or was held back until the disk was mended, or saw nothing. */
  errors: number;
  heldBack: number;
  unnoticed: number;
  /** Logs that the failure poisoned. */
  poisoned: number;
}

const PATH = "/way/to/log";
const COPY = "/copy/of/it";
/** Behind the header of a segment, and behind its first frames. */
const DAMAGED_BYTE = 70_000;
const BIG = 7000;
/** Turns that a step may take on the failing disk before it is mended, and on the mended one. */
const TURNS_UNTIL_MENDED = 3000;
const TURNS_MAX = 300_000;
const TURNS_A_TRY = 300;
/** The event loop has a turn after so many. */
const TURNS_A_BREATH = 50;
/** No scenario has more operations than this. */
const OPERATIONS_MAX = 2000;

/** How an operation fails. */
interface Failing {
  errno: number;
  operation?: FaultOperation;
  persistent: boolean;
  /** It means nothing: it is tried again, and nobody sees it. */
  passing: boolean;
}

/** What a kernel says of a disk that fails, is full, has a quota, or has become read-only. */
const FAILING: Failing[] = [ERRNO.EIO, ERRNO.ENOSPC, ERRNO.EDQUOT, ERRNO.EROFS].flatMap((errno) =>
  [false, true].map((persistent) => ({ errno, persistent, passing: false }))
);
for (const errno of [ERRNO.EINTR, ERRNO.EAGAIN]) {
  for (const operation of ["read", "write"] as const) {
    FAILING.push({ errno, operation, persistent: false, passing: true });
  }
}

const OPTIONS: WalOptions = {
  segmentBytes: 65_536 + 32_768,
  commit: { maxBytes: 16_384, maxInFlight: 3 },
  idleMarkMillis: Infinity,
};

/** One log on one machine, with what must be true of it. */
export class Subject {
  io: MemoryIo;
  readonly model: WalModel = new WalModel();
  readonly options: WalOptions;
  wal: Wal | undefined;
  fault: Fault | undefined;
  mended = false;
  heldBack = false;
  poisoned = false;
  closing = false;

  constructor(seed: number, options: WalOptions) {
    this.io = MemoryIo.create({ seed, arenaBytes: 1 << 20 });
    this.options = options;
  }

  async open(): Promise<void> {
    this.wal = undefined;
    const wal = await Wal.open(PATH, { ...this.options, io: this.io });
    this.wal = wal;
    wal.addEventListener("poisoned", () => this.poisoned ||= this.wal === wal);
    this.model.recovered(wal);
    await this.model.compare(wal);
  }

  append(count: number, bytes: number): void {
    for (let i = 0; i < count; i++) {
      const record = new Uint8Array(bytes).fill(this.model.lastLsn & 255);
      const lsn = this.wal!.tryAppend(record);
      if (lsn === undefined) return;
      this.model.append(lsn, record);
    }
  }

  /** Appends, and waits until all of it is durable. */
  async durable(count: number, bytes: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      this.append(1, bytes);
      const wal = this.wal!;
      await this.settle(wal.durable(wal.appendedLsn));
      this.model.observe(wal);
    }
  }

  /** Until the log has so many segments more. */
  async roll(segments: number): Promise<void> {
    for (let left = segments * 8; left > 0; left--) await this.durable(1, BIG);
  }

  async truncate(keep: number): Promise<void> {
    const wal = this.wal!;
    const lsn = Math.max(1, wal.durableLsn - keep);
    this.model.firstAsked = Math.max(this.model.firstAsked, lsn);
    await this.settle(wal.truncateBefore(lsn));
    this.model.firstLsn = lsn;
  }

  async close(): Promise<void> {
    const wal = this.wal!;
    this.closing = true;
    await this.settle(wal.close()).finally(() => this.closing = false);
    this.model.observe(wal);
  }

  /** A promise of the log: on a failing disk it may be held back, on a mended one it has to end. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const end = () => over = true;
    promise.then(end, end);
    for (let turn = 0; !over; turn++) {
      if (turn === TURNS_UNTIL_MENDED) {
        this.heldBack = this.heldBack || (this.fault !== undefined && !this.mended);
        this.mend();
      }
      if (turn >= TURNS_MAX) throw new Broken("a promise of the log never ends");
      if (turn % TURNS_A_TRY === 0 && !this.closing) this.wal?.ready().catch(() => {});
      if (!this.closing) this.wal?.submitPending();
      if (turn % TURNS_A_BREATH === 0) await new Promise((resolve) => setImmediate(resolve));
      else await undefined;
    }
    return await promise;
  }

  mend(): void {
    this.fault?.cancel();
    this.mended = true;
  }
}

/** What is done before operations fail, and while they do. */
export interface Scenario {
  name: string;
  options?: WalOptions;
  before?: (subject: Subject) => Promise<void>;
  act: (subject: Subject) => Promise<void>;
  /** What must be true then, `done` when `act` came to its end; the disk works again. */
  after?: (subject: Subject, done: boolean) => Promise<void>;
}

async function started(subject: Subject): Promise<void> {
  await subject.open();
  await subject.durable(5, 100);
}

async function torn(subject: Subject): Promise<void> {
  await started(subject);
  await subject.roll(1);
  subject.append(6, 4000);
  subject.wal!.submitPending();
  subject.io.poll();
  subject.model.observe(subject.wal!);
  subject.io = subject.io.crash(3, { survival: "random" });
}

/** Closed, with a bit flipped in the middle: what is before it can be kept, and has to be. */
async function damaged(subject: Subject): Promise<void> {
  await started(subject);
  await subject.roll(3);
  await subject.close();
  subject.wal = undefined;
  subject.io.rot(`${PATH}/0000000000000002.wal`, DAMAGED_BYTE);
  const { before } = await repair(PATH, { io: subject.io });
  if (before === undefined) throw new Broken("nothing before the damage");
  subject.model.acknowledged = before.last;
}

/** A copy that was said to be there is the log as it was; a copy that was not ended is none. */
async function copied(subject: Subject, done: boolean): Promise<void> {
  let copy: Wal;
  try {
    copy = await Wal.open(COPY, { ...OPTIONS, io: subject.io });
  } catch (error) {
    if (done) throw error;
    return;
  }
  if (copy.recovery.lastLsn === 0 && !done) return await copy.close();
  const { lastLsn, tail } = copy.recovery;
  if (lastLsn < subject.model.acknowledged || tail !== "clean") {
    throw new Broken(`the copy ends with ${lastLsn}, ${tail}`);
  }
  await subject.model.compare(copy);
  await copy.close();
}

export const SCENARIOS: Scenario[] = [
  { name: "open a new log", act: (s) => s.open() },
  { name: "append", before: started, act: (s) => s.durable(6, 300) },
  {
    name: "append many frames",
    before: started,
    act: async (s) => {
      s.append(8, 5000);
      await s.settle(s.wal!.durable(s.wal!.appendedLsn));
      s.model.observe(s.wal!);
    },
  },
  { name: "rotate", before: started, act: (s) => s.roll(3) },
  {
    name: "rotate without zeroing",
    options: { preallocate: false },
    before: started,
    act: (s) => s.roll(3),
  },
  {
    name: "truncate",
    before: async (s) => {
      await started(s);
      await s.roll(4);
    },
    act: (s) => s.truncate(3),
  },
  {
    name: "recycle",
    before: async (s) => {
      await started(s);
      await s.roll(4);
      await s.truncate(3);
    },
    act: (s) => s.roll(3),
  },
  {
    name: "close",
    before: async (s) => {
      await started(s);
      s.append(3, 500);
    },
    act: (s) => s.close(),
  },
  {
    name: "open a closed log",
    before: async (s) => {
      await started(s);
      await s.roll(2);
      await s.close();
    },
    act: (s) => s.open(),
  },
  { name: "recover", before: torn, act: (s) => s.open() },
  {
    name: "recover, and go on",
    before: torn,
    act: async (s) => {
      await s.open();
      await s.durable(3, 300);
    },
  },
  {
    name: "snapshot",
    before: async (s) => {
      await started(s);
      await s.roll(2);
    },
    act: async (s) => void await s.settle(s.wal!.snapshot(COPY)),
    after: copied,
  },
  {
    name: "repair",
    before: damaged,
    act: async (s) => void await repair(PATH, { io: s.io, keep: "before" }),
    // What was begun can be ended.
    after: async (s) => void await repair(PATH, { io: s.io, keep: "before" }),
  },
  {
    name: "read",
    before: async (s) => {
      await started(s);
      await s.roll(2);
    },
    act: (s) => s.model.compare(s.wal!),
  },
];

/** The program goes on, on this machine; or its power is cut, and this is what survives. */
const ENDINGS = ["go on", "none", "random"] as const;
type Ending = typeof ENDINGS[number];

const code = (error: unknown) => String((error as { code?: unknown } | undefined)?.code);

/** Runs a scenario with its operation `nth` failing; false when it has none. */
async function once(
  scenario: Scenario,
  seed: number,
  options: WalOptions,
  failing: Failing,
  nth: number,
  ending: Ending,
  counts: EveryOpCounts,
): Promise<boolean> {
  const subject = new Subject(seed, { ...options, ...scenario.options });
  const { model } = subject;
  await scenario.before?.(subject);
  model.closed = false;
  subject.poisoned = false;
  const { errno, operation, persistent, passing } = failing;
  subject.fault = subject.io.fail({ nth, operation, errno, persistent });
  const errorName = errnoName(errno);
  let failure: unknown;
  try {
    await scenario.act(subject);
  } catch (error) {
    failure = error;
  }
  const fired = subject.fault.fired > 0;
  if (failure !== undefined) {
    // The program is told what the disk said, and by an error of the log or of the Io.
    if (!fired || failure instanceof Broken || code(failure).startsWith("ERR_")) throw failure;
    const told = [code(failure), code((failure as { cause?: unknown }).cause)];
    if (!told.includes(errorName)) {
      throw new Broken(`${errorName} became ${(failure as Error).name}: ${failure}`);
    }
    if (passing) throw new Broken(`${errorName} was not tried again: ${failure}`);
  }
  if (fired) {
    counts.failures++;
    if (subject.poisoned) counts.poisoned++;
    if (failure !== undefined) counts.errors++;
    else if (subject.heldBack) counts.heldBack++;
    else counts.unnoticed++;
  }
  if (subject.wal) model.observe(subject.wal);
  subject.mend();

  if (ending === "go on") {
    if (subject.wal) {
      await subject.wal.close().catch(() => {});
      model.observe(subject.wal);
    }
  } else {
    subject.io = subject.io.crash(seed + nth, { survival: ending });
  }
  await scenario.after?.(subject, failure === undefined);
  await subject.open();
  await subject.durable(2, 100);
  await subject.roll(1);
  await subject.close();
  await subject.open();
  if (subject.wal!.recovery.tail !== "clean") throw new Broken("closed, and not clean");
  await subject.close();
  subject.io[Symbol.dispose]();
  return fired;
}

/**
 * Throws {@linkcode Broken}, or what the model says, with the run that shows it. With a `stride` above 1
 * only each so many operations, beginning with one that the seed chooses.
 */
export async function everyOpCampaign(
  seeds: number[],
  scenarios: readonly Scenario[] = SCENARIOS,
  stride = 1,
  until = Infinity,
): Promise<EveryOpCounts> {
  const counts = { scenarios: 0, failures: 0, errors: 0, heldBack: 0, unnoticed: 0, poisoned: 0 };
  for (const seed of seeds) {
    for (const scenario of scenarios) {
      counts.scenarios++;
      for (const mode of ["direct", "buffered"] as const) {
        for (const failing of FAILING) {
          for (let nth = 1 + seed % Math.min(stride, 2), fired = true; fired; nth += stride) {
            if (nth > OPERATIONS_MAX) throw new Broken(`${scenario.name} never ends`);
            for (let i = 0; i < ENDINGS.length && fired; i++) {
              if (performance.now() >= until) return counts;
              const options = { ...OPTIONS, mode };
              try {
                fired = await once(scenario, seed, options, failing, nth, ENDINGS[i], counts);
              } catch (error) {
                const { errno, operation = "operation", persistent } = failing;
                throw new Broken(
                  `${scenario.name}, ${mode}, seed ${seed}: ${
                    errnoName(errno)
                  } at ${operation} ${nth}` +
                    `${persistent ? " and from then on" : ""}, then ${ENDINGS[i]}: ` +
                    (error as Error).message,
                  { cause: error },
                );
              }
            }
          }
        }
      }
    }
  }
  return counts;
}
