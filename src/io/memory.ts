/**
 * `MemoryIo`: a machine in memory, for simulation. Deterministic: one seed gives one history on every
 * runtime; time is virtual, and a power cut, a killed process or a failing disk is a call.
 *
 * # Fault model
 *
 * Time
 * - An operation takes effect at one moment, its completion: after a latency drawn from a range, and
 *   in any order when `reorder` is set. Until then it is in flight.
 * - `poll` completes what is due, and lets a little time pass. `park` and `wait` jump to the next
 *   completion of their client.
 * - A timer (`after`) that is due when time has passed calls back behind the program that let it pass.
 *   While one is set the machine goes on by itself once the program has come to rest: to the next
 *   completion, or the next timer.
 *
 * Data. Page cache and disk are separate things.
 * - A write that was not synced survives a crash wholly, partly (by sector) or not at all, whatever
 *   happens to others, in any order. So does a write in flight. Bypassing the page cache (`direct`)
 *   changes nothing in this.
 * - Of one sector a crash leaves one of the versions it has had since it was last durable. Sectors
 *   are never torn inside.
 * - A write with DSYNC is durable at its completion, with the file size that reading it needs, and
 *   with earlier truncations of the file; nothing else becomes durable by it but older writes to the
 *   very same sectors.
 * - fsync and fdatasync make durable all writes and changes of size that completed before the sync
 *   was submitted; later ones are not covered. Neither makes the file's name durable.
 * - A size that was not synced is the old one, the new one, or one in between after a crash, also when
 *   the data survived. What was not written reads as zeros. Truncation and allocation that were not
 *   synced may be lost.
 *
 * Names
 * - Making, renaming, linking and removing a name are changes of a directory. Each survives a crash
 *   or not, in any order, until a sync of that directory covers it; one that builds on another (the
 *   same name in the same directory) does not survive without it.
 * - A rename happens as a whole or not at all; across directories a sync of either makes it durable.
 * - A file to which no name survived is gone.
 *
 * Failures (`fail`)
 * - The n-th operation of a kind, on a path, fails with an errno, once or from then on; or transfers
 *   fewer bytes; or a write lands elsewhere in the file (`misdirect`), in some of its sectors only (`torn`),
 *   or nowhere at all (`lost`), and
 *   reports success.
 * - After a failed fsync or fdatasync the pages count as clean: the next sync succeeds, cached reads
 *   show the new data, direct reads and a crash show that all or most of it is not there. `advise`
 *   with `dontneed` lets cached reads see it too.
 * - After a failed direct or DSYNC write (EIO and its like) none, some or all of its sectors are new.
 *   ENOSPC, EDQUOT, EFBIG, EINTR and EAGAIN leave everything as it was.
 * - A disk that gets full gives a short write first, then ENOSPC; a quota (`quotaBytes`) EDQUOT. `rot` flips bits on the device.
 *   `shortChance` and `interruptChance` make short transfers, EINTR and EAGAIN happen by themselves.
 *
 * Ends
 * - `crash` cuts the power: locks are gone, nothing is in flight. It can be called again with other
 *   seeds for other outcomes of the same moment. `crashAfter` stops the machine by itself at the n-th
 *   step (a submission or a completion), so that a sweep over n meets every moment of a program.
 * - `kill` ends the process only: data in flight lands later, and until then the locks of the
 *   descriptions that are being written are held. Changes of names and sizes happen at once or not at
 *   all.
 *
 * Not modelled: torn sectors, corruption on reads in flight, a file system that loses data that it
 * said was durable (use `rot`), symbolic links, permissions.
 *
 * @module
 */

import { ERRNO } from "../abi/generated.ts";
import { hostOrUndefined } from "../host/host.ts";
import { directoryOf } from "../host/path.ts";
import { type ArenaBuffer, Backend, OpenFile } from "./backend.ts";
import { ClientIo } from "./client.ts";
import { crc32c } from "./crc32c.ts";
import {
  DSYNC,
  type IoAdvice,
  type IoAlignment,
  type IoDirectoryEntry,
  type IoFileSystem,
  IoFullError,
  type IoIdentity,
  type IoStat,
  type IoTimer,
  IoUsageError,
  type OpenOptions,
} from "./io.ts";
import { ioErrorOf } from "./io_error.ts";
import { type CopyNode, FileNode, MemoryDisk, type Survival } from "./memory_disk.ts";
import { Kind, KIND_NAMES, type OperationName } from "./operations.ts";
import { Prng } from "./prng.ts";
import { Schedule } from "./schedule.ts";
import { BLOCK_BYTES } from "./sparse_bytes.ts";

/** Options of {@linkcode MemoryIo.create}. */
export interface MemoryIoOptions {
  /** Of everything that is random. Default 1. */
  seed?: number;
  /** Memory for buffers. Default 16 MiB. */
  arenaBytes?: number;
  /** Operations in flight. Default 256. */
  capacity?: number;
  /**
   * How long an operation takes; or the least and the most, between which all are as likely, and one in
   * 64 takes eight times as long; or a distribution, of numbers from 0 to 1 that are drawn for it. 0: it
   * completes at the next poll. Default `[20, 120]`.
   */
  latencyMicros?:
    | number
    | readonly [min: number, max: number]
    | ((draw: () => number) => number);
  /** Operations in flight may overtake each other. Default true. */
  reorder?: boolean;
  /** Time that a poll takes. Default 1. */
  pollMicros?: number;
  /** Alignment of buffers. Default 4,096. */
  blockSize?: number;
  /** What the disk writes as a whole, and a crash never tears. Default 512. */
  sectorBytes?: number;
  /** Size of the disk. Default 1 TiB. */
  diskBytes?: number;
  /** What files may take of it, after which writes fail with EDQUOT. Default: all. */
  quotaBytes?: number;
  /** What direct I/O needs; an `offset` of 0 means that there is none. Default 512, 512, 4,096. */
  alignment?: IoAlignment;
  /** Type of the file system. Default `ext4`. */
  fileSystem?: string;
  /** Release of the kernel. Default `6.18`. */
  kernel?: string;
  /** Probability, from 0 to 1, that a read or write transfers less than asked. Default 0. */
  shortChance?: number;
  /** Probability that a read or write fails with EINTR or EAGAIN. Default 0. */
  interruptChance?: number;
  /** Cuts the power after so many steps, before the next one, see {@linkcode MemoryIo.steps}. Default: never. */
  crashAfter?: number;
  /** Records how long operations take, in virtual time, for `statistics()`. Default false. */
  latencies?: boolean;
  /** Keeps a line for each operation in {@linkcode MemoryIo.history}. Default false. */
  history?: boolean;
}

/** Operations that can be made to fail. */
export type FaultOperation = OperationName | "lock" | "listDirectory" | "createDirectories";

/** What {@linkcode MemoryIo.fail} makes happen. Exactly one of `errno`, `short`, `misdirect`, `torn`, `lost`. */
export interface FaultOptions {
  /** Default: any operation. */
  operation?: FaultOperation;
  /** The n-th operation from now that matches, from 1. Default 1. */
  nth?: number;
  /** Default: any path. A rename or link matches by either of its paths. */
  path?: string | RegExp;
  /** All that match after the n-th too. Default false. */
  persistent?: boolean;
  /** The operation fails with it, positive. */
  errno?: number;
  /** A read or write transfers at most so many bytes. */
  short?: number;
  /** A write lands so many bytes away from where it should. */
  misdirect?: number;
  /** Of a write that reports success each sector is old or new. */
  torn?: boolean;
  /** A write or sync reports success, and does nothing. */
  lost?: boolean;
}

/** A fault that was asked for. */
export interface Fault {
  /** Operations that it has hit. */
  readonly fired: number;
  /** Operations that matched so far. */
  readonly matched: number;
  /** It does not happen any more. */
  cancel(): void;
}

/** How {@linkcode MemoryIo.crash} goes, and options of the machine after it. */
export interface CrashOptions extends MemoryIoOptions {
  /** What is not synced survives at random (default), not at all, or as far as it can. */
  survival?: Survival;
}

/** The simulated machine has crashed, or the process was killed: nothing works any more. */
export class MemoryCrashError extends Error {
  override readonly name: string = "MemoryCrashError";
  readonly code: string = "Crashed";
}

/** A `MemoryIo` whose clock starts here: the first day of 2026. */
const EPOCH_MILLIS = 1_767_225_600_000;
/** Virtual time between two tries for a lock: those who hold it get on meanwhile. */
const LOCK_TRY_MICROS = 5_000;
const REBOOT_MICROS = 1_000_000;
/** How much later than others data of a killed process may land, again and again. */
const LATE_MICROS_MAX = 8_000;
/** Turns of `wait` between two turns of the event loop, so that timers of the program run. */
const WAITS_PER_TURN = 64;
/** One operation in so many takes far longer than the others. */
const SLOW_ONE_IN = 64;
const SLOW_FACTOR = 8;
/** Errors that a file system finds before anything is written. */
const CLEAN_ERRORS: readonly number[] = [
  ERRNO.EINTR,
  ERRNO.EAGAIN,
  ERRNO.EBADF,
  ERRNO.EINVAL,
  ERRNO.ENOMEM,
  ERRNO.EFBIG,
  ERRNO.ENOSPC,
  ERRNO.EDQUOT,
  ERRNO.ECANCELED,
];

/**
 * What goes on after its process is gone: transfers and syncs, which the device has. The rest is done by
 * threads of the process, which the kernel waits for before its locks are free.
 */
const LANDS_LATE: readonly number[] = [Kind.read, Kind.write, Kind.fsync, Kind.fdatasync];

type Settings = Required<MemoryIoOptions>;

function settle(options: MemoryIoOptions): Settings {
  const settings: Settings = {
    seed: 1,
    arenaBytes: 16 * 1024 * 1024,
    capacity: 256,
    latencyMicros: [20, 120],
    reorder: true,
    pollMicros: 1,
    blockSize: 4096,
    sectorBytes: 512,
    diskBytes: 2 ** 40,
    quotaBytes: Infinity,
    alignment: { memory: 512, offset: 512, physical: 4096 },
    fileSystem: "ext4",
    kernel: "6.18",
    shortChance: 0,
    interruptChance: 0,
    crashAfter: Infinity,
    latencies: false,
    history: false,
    ...options,
  };
  const powerOfTwo = (name: "blockSize" | "sectorBytes", least: number) => {
    const value = settings[name];
    if (!Number.isInteger(Math.log2(value)) || value < least) {
      throw new IoUsageError(`${name} must be a power of two, at least ${least}, not ${value}`);
    }
  };
  powerOfTwo("blockSize", 4096);
  powerOfTwo("sectorBytes", 1);
  if (!Number.isSafeInteger(settings.capacity) || settings.capacity < 1) {
    throw new IoUsageError(`capacity must be at least 1, not ${settings.capacity}`);
  }
  if (!Number.isSafeInteger(settings.seed)) {
    throw new IoUsageError(`seed must be a safe integer, not ${settings.seed}`);
  }
  return settings;
}

interface ActiveFault extends Fault {
  fired: number;
  matched: number;
  readonly options: FaultOptions;
}

/** An operation that was in flight when the machine stopped, with the data it had then. */
interface Interrupted {
  readonly backend: MemoryBackend;
  readonly slot: number;
  readonly data: Uint8Array | undefined;
}

/** Somebody wants to be called at `dueMicros`. */
class Timer implements IoTimer {
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
class Machine {
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

class MemoryFile extends OpenFile {
  /** Set when its open has completed. */
  node: FileNode | undefined;
  /** Operations of a killed process that have not landed yet. */
  landing = 0;
}

/** One process of a machine. */
class MemoryBackend extends Backend {
  readonly name = "memory";
  readonly machine: Machine;
  readonly process: number;
  readonly startMicros: number;
  /** Made with the first buffer: of a thousand machines that a sweep looks at, few write. */
  #memory: SharedArrayBuffer | undefined;
  readonly randomBytes: Prng;
  /** Files with a description. */
  readonly open = new Set<MemoryFile>();
  killed = false;
  /** The slot of the operation that a call waits for, or -1. */
  #inPlace = -1;

  // Arguments, by slot.
  readonly #offset: Float64Array;
  readonly #length: Float64Array;
  readonly #bufferOffset: Int32Array;
  readonly #flags: Uint8Array;
  /** Newest effect of the disk at the submission: what a sync covers. */
  readonly #sequence: Float64Array;
  readonly #path: string[];
  readonly #otherPath: string[];
  readonly #stat: (IoStat | undefined)[];
  readonly #fault: (FaultOptions | undefined)[];
  /** Slots whose operation had its effect, or never will, when the process was killed. */
  readonly #over = new Set<number>();

  constructor(machine: Machine) {
    const { settings } = machine;
    super(settings.capacity, settings.arenaBytes, settings.latencies);
    const { capacity } = settings;
    this.machine = machine;
    this.process = machine.processes.length;
    machine.processes.push(this);
    this.startMicros = machine.clockMicros;
    this.blockSize = settings.blockSize;
    this.kernel = settings.kernel;
    this.randomBytes = machine.random.split();
    this.#offset = new Float64Array(capacity);
    this.#length = new Float64Array(capacity);
    this.#bufferOffset = new Int32Array(capacity);
    this.#flags = new Uint8Array(capacity);
    this.#sequence = new Float64Array(capacity);
    this.#path = new Array(capacity).fill("");
    this.#otherPath = new Array(capacity).fill("");
    this.#stat = new Array(capacity).fill(undefined);
    this.#fault = new Array(capacity).fill(undefined);
  }

  override check(): void {
    super.check();
    this.machine.check();
    if (this.killed) throw new MemoryCrashError("the simulated process was killed");
  }

  override get alive(): boolean {
    return !this.killed && this.machine.interrupted === undefined;
  }

  view(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory ??= new SharedArrayBuffer(this.arena.bytes), offset, length);
  }

  override admitOperation(): void {
    this.machine.admit();
  }

  admitPath(path: string): string {
    return normalPath(path);
  }

  makeFile(path: string, options: Readonly<Required<OpenOptions>>): OpenFile {
    return new MemoryFile(this, path, options);
  }

  // Submissions

  startOpen(slot: number, file: OpenFile): void {
    this.#submit(slot, file.path);
  }
  admitDescriptor(): void {
    throw new IoUsageError("a simulated machine has no descriptors: open the file by its path");
  }
  makeAdopted(): OpenFile {
    throw new IoUsageError("a simulated machine has no descriptors");
  }
  startAdopt(slot: number): void {
    this.finish(slot, -ERRNO.EBADF);
  }
  startClose(slot: number, file: OpenFile): void {
    this.#submit(slot, file.path);
  }
  startRead(
    slot: number,
    file: OpenFile,
    _buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): void {
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#bufferOffset[slot] = bufferOffset;
    this.#submit(slot, file.path);
  }
  startWrite(
    slot: number,
    file: OpenFile,
    _buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    flags: number,
  ): void {
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#bufferOffset[slot] = bufferOffset;
    this.#flags[slot] = flags;
    this.#submit(slot, file.path);
  }
  startSync(slot: number, file: OpenFile): void {
    this.#submit(slot, file.path);
  }
  startStat(slot: number, target: OpenFile | string, stat: IoStat): void {
    this.#stat[slot] = stat;
    this.#submit(slot, typeof target === "string" ? target : target.path);
  }
  startTruncate(slot: number, file: OpenFile, size: number): void {
    this.#offset[slot] = size;
    this.#submit(slot, file.path);
  }
  startAllocate(slot: number, file: OpenFile, offset: number, length: number): void {
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#submit(slot, file.path);
  }
  startAdvise(
    slot: number,
    file: OpenFile,
    offset: number,
    length: number,
    advice: IoAdvice,
  ): void {
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#flags[slot] = advice === "dontneed" ? 1 : 0;
    this.#submit(slot, file.path);
  }
  startRename(slot: number, from: string, to: string): void {
    this.#submit(slot, from, to);
  }
  startLink(slot: number, from: string, to: string): void {
    this.#submit(slot, from, to);
  }
  startRemove(slot: number, path: string): void {
    this.#submit(slot, path);
  }
  startSyncDirectory(slot: number, path: string): void {
    this.#submit(slot, path);
  }

  #submit(slot: number, path: string, other = ""): void {
    const { machine } = this;
    this.#path[slot] = path;
    this.#otherPath[slot] = other;
    this.#sequence[slot] = machine.disk.sequence;
    const { kind } = this.table;
    this.#fault[slot] = machine.faults.length > 0
      ? machine.match(KIND_NAMES[kind[slot]], path, other)
      : undefined;
    const transfers = kind[slot] === Kind.read || kind[slot] === Kind.write;
    if (transfers && this.#fault[slot] === undefined) {
      const { shortChance, interruptChance } = machine.settings;
      if (interruptChance > 0 && machine.random.chance(interruptChance)) {
        this.#fault[slot] = { errno: machine.random.oneIn(2) ? ERRNO.EINTR : ERRNO.EAGAIN };
      } else if (shortChance > 0 && machine.random.chance(shortChance)) {
        // A direct transfer is of whole blocks, and a read of nothing would be the end of the file.
        const { direct } = this.fileOf[slot]!.options;
        const least = direct ? machine.settings.alignment.offset : 1;
        const short = least + machine.random.below(Math.max(1, this.#length[slot]));
        this.#fault[slot] = { short };
      }
    }
    machine.submit(this, slot);
  }

  // Completions

  /** An operation has its effect now. */
  complete(slot: number): void {
    if (this.killed && !this.#over.has(slot) && this.machine.random.oneIn(2)) {
      this.machine.postpone(this, slot);
      return;
    }
    const res = this.#over.has(slot) ? 0 : this.#perform(slot);
    const { machine } = this;
    if (machine.settings.history) {
      const other = this.#otherPath[slot];
      machine.history.push(
        `${machine.clockMicros} ${this.process} ${KIND_NAMES[this.table.kind[slot]]} ` +
          `${this.#path[slot]}${other && ` ${other}`} ${this.#offset[slot]} ${res}`,
      );
    }
    this.#stat[slot] = undefined;
    this.#fault[slot] = undefined;
    if (!this.killed) {
      this.finish(slot, res);
      return;
    }
    const file = this.fileOf[slot] as MemoryFile | undefined;
    if (file !== undefined && --file.landing === 0) this.#closeDescription(file);
  }

  #perform(slot: number): number {
    const fault = this.#fault[slot];
    const file = this.fileOf[slot] as MemoryFile | undefined;
    const { disk } = this.machine;
    switch (this.table.kind[slot]) {
      case Kind.open:
        return fault?.errno ? -fault.errno : this.#open(file!, disk);
      case Kind.close:
        // A close that fails has closed the file all the same.
        this.#closeDescription(file!);
        return -(fault?.errno ?? 0);
      case Kind.read:
        return this.#read(slot, file!, fault);
      case Kind.write:
        return this.#write(slot, file!, fault);
      case Kind.fsync:
      case Kind.fdatasync: {
        const node = file!.node!;
        if (fault?.errno) {
          if (fault.errno !== ERRNO.EINTR && fault.errno !== ERRNO.EAGAIN) {
            disk.loseUnsynced(node, this.#sequence[slot], this.machine.random);
          }
          return -fault.errno;
        }
        if (!fault?.lost) disk.sync(node, this.#sequence[slot]);
        return 0;
      }
      case Kind.stat:
        return fault?.errno ? -fault.errno : this.#fillStat(slot, file);
      case Kind.advise:
        if (fault?.errno) return -fault.errno;
        if (this.#flags[slot] !== 0) {
          disk.dropCache(file!.node!, this.#offset[slot], this.#length[slot]);
        }
        return 0;
      case Kind.syncDirectory:
        if (fault?.errno) return -fault.errno;
        return fault?.lost ? 0 : disk.syncDirectory(this.#path[slot], this.#sequence[slot]);
      default:
        return fault?.errno ? -fault.errno : this.#change(slot, disk, file?.node);
    }
  }

  /** What changes files and names without data: the same for the living and for a crash. */
  #change(slot: number, disk: MemoryDisk, node: FileNode | undefined): number {
    switch (this.table.kind[slot]) {
      case Kind.truncate:
        if (!this.fileOf[slot]!.options.write) return -ERRNO.EINVAL;
        return disk.truncate(node!, this.#offset[slot]);
      case Kind.allocate:
        // In the order of the kernel's own checks.
        if (this.#length[slot] === 0) return -ERRNO.EINVAL;
        if (!this.fileOf[slot]!.options.write) return -ERRNO.EBADF;
        return disk.allocate(node!, this.#offset[slot], this.#length[slot]);
      case Kind.rename:
        return disk.rename(this.#path[slot], this.#otherPath[slot]);
      case Kind.link:
        return disk.link(this.#path[slot], this.#otherPath[slot]);
      case Kind.remove:
        return disk.remove(this.#path[slot]);
      default:
        return 0;
    }
  }

  #open(file: MemoryFile, disk: MemoryDisk): number {
    const { options } = file;
    if (options.direct && this.machine.settings.alignment.offset === 0) return -ERRNO.EINVAL;
    const node = disk.openFile(file.path, options.create, options.createNew);
    if (typeof node === "number") return node;
    if (options.truncate) disk.truncate(node, 0);
    node.opens++;
    file.node = node;
    this.open.add(file);
    return 0;
  }

  #read(slot: number, file: MemoryFile, fault: FaultOptions | undefined): number {
    if (fault?.errno) return -fault.errno;
    if (!file.options.read) return -ERRNO.EBADF;
    return this.machine.disk.read(
      file.node!,
      this.#offset[slot],
      this.bufferOf[slot]!.bytes,
      this.#bufferOffset[slot],
      this.#shortened(slot, file, fault),
      file.options.direct,
    );
  }

  #write(slot: number, file: MemoryFile, fault: FaultOptions | undefined): number {
    const { options } = file;
    const node = file.node!;
    const { disk, random } = this.machine;
    const { bytes } = this.bufferOf[slot]!;
    const from = this.#bufferOffset[slot];
    const length = this.#shortened(slot, file, fault);
    const offset = options.append ? node.size : this.#offset[slot];
    const durable = options.dsync || this.#flags[slot] === DSYNC;
    if (!options.write) return -ERRNO.EBADF;
    // The end of the file decides where an append goes, and that must be aligned, too.
    if (options.direct && offset % this.machine.settings.alignment.offset !== 0) {
      return -ERRNO.EINVAL;
    }
    if (fault === undefined) {
      return disk.write(node, offset, bytes, from, length, options.direct, durable);
    }
    if (fault.errno) {
      if (CLEAN_ERRORS.includes(fault.errno)) return -fault.errno;
      if (options.direct) {
        disk.tearWrite(node, offset, bytes, from, length, true, random);
      } else if (durable) {
        // It is in the cache, and what syncs it failed.
        disk.write(node, offset, bytes, from, length, false, false);
        disk.loseUnsynced(node, disk.sequence, random);
      }
      return -fault.errno;
    }
    if (fault.lost) return length;
    if (fault.torn) {
      // The file has the size that it should have; what did not land reads as before.
      const { content } = node;
      const old = new Uint8Array(length);
      content.read(offset, old, 0, length);
      const res = disk.write(node, offset, bytes, from, length, options.direct, durable);
      if (res > 0) disk.untear(node, offset, old, res, options.direct, durable, random);
      return res;
    }
    const target = Math.max(0, offset + (fault.misdirect ?? 0));
    return disk.write(node, target, bytes, from, length, options.direct, durable);
  }

  /** Length of a transfer; a short direct one still ends at a multiple of the alignment. */
  #shortened(slot: number, file: MemoryFile, fault: FaultOptions | undefined): number {
    const length = this.#length[slot];
    if (fault?.short === undefined || fault.short >= length) return length;
    const unit = file.options.direct ? this.machine.settings.alignment.offset : 1;
    return fault.short - fault.short % unit;
  }

  #fillStat(slot: number, file: MemoryFile | undefined): number {
    const stat = this.#stat[slot]!;
    const node = file !== undefined ? file.node! : this.machine.disk.find(this.#path[slot]);
    if (typeof node === "number") return node;
    const isFile = node.kind === "file";
    stat.size = isFile ? node.size : BLOCK_BYTES;
    stat.allocatedBytes = isFile ? node.blocks * BLOCK_BYTES : BLOCK_BYTES;
    stat.isFile = isFile;
    stat.isDirectory = !isFile;
    stat.device = 1;
    stat.inode = node.number;
    stat.modifiedMillis = node.modifiedMillis;
    return 0;
  }

  #closeDescription(file: MemoryFile): void {
    const { node } = file;
    if (node === undefined || !this.open.delete(file)) return;
    if (node.holder === file) node.holder = undefined;
    this.machine.disk.closeFile(node);
  }

  // Immediate calls

  /** An operation like any other, for which time goes on until it has ended. */
  transferNow(
    writes: boolean,
    client: ClientIo,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number {
    const { table, machine } = this;
    if (table.used === table.capacity) {
      throw new IoFullError(`${table.capacity} operations are in flight: poll first`);
    }
    machine.admit();
    // NaN is no handle of anybody.
    const slot = table.take(writes ? Kind.write : Kind.read, client.number, NaN);
    this.fileOf[slot] = file;
    this.bufferOf[slot] = buffer;
    file.inFlight++;
    buffer.slot = slot;
    this.#inPlace = slot;
    try {
      if (writes) this.startWrite(slot, file, buffer, bufferOffset, length, offset, 0);
      else this.startRead(slot, file, buffer, bufferOffset, length, offset);
      while (this.#inPlace === slot) machine.runNext();
      return table.res[slot];
    } finally {
      this.#inPlace = -1;
      // A machine that stopped meanwhile keeps it: what is in flight then is a part of the crash.
      if (this.alive) {
        this.fileOf[slot] = this.bufferOf[slot] = undefined;
        file.inFlight--;
        buffer.slot = -1;
        table.give(slot);
      }
    }
  }

  override finish(slot: number, res: number): void {
    if (slot !== this.#inPlace) return super.finish(slot, res);
    this.table.res[slot] = res;
    this.#inPlace = -1;
  }

  lock(file: OpenFile): number {
    const { machine } = this;
    const fault = machine.match("lock", file.path, "");
    if (fault?.errno) return -fault.errno;
    const node = (file as MemoryFile).node!;
    if (node.holder !== undefined && node.holder !== file) {
      // The caller will try again, in real time: here others get on as if it had passed.
      machine.clockMicros += LOCK_TRY_MICROS;
      machine.runDue();
      machine.passed();
    }
    if (node.holder !== undefined && node.holder !== file) return -ERRNO.EAGAIN;
    node.holder = file;
    return 0;
  }

  statFs(): IoFileSystem {
    const { disk, settings } = this.machine;
    return {
      type: settings.fileSystem,
      blockBytes: BLOCK_BYTES,
      totalBytes: disk.totalBlocks * BLOCK_BYTES,
      availableBytes: (disk.totalBlocks - disk.usedBlocks) * BLOCK_BYTES,
    };
  }

  alignment(): IoAlignment {
    return this.machine.settings.alignment;
  }

  noCopyOnWrite(file: OpenFile): number {
    if (this.machine.settings.fileSystem !== "btrfs") return 0;
    return (file as MemoryFile).node!.size === 0 ? 1 : -ERRNO.EINVAL;
  }

  identity(): IoIdentity {
    return {
      pid: 1000 + this.process,
      startTicks: Math.floor(this.startMicros / 10_000),
      bootId: `memory-${this.machine.boot}`,
      host: "memory",
    };
  }

  listDirectory(path: string): IoDirectoryEntry[] {
    const fault = this.machine.match("listDirectory", path, "");
    if (fault?.errno) throw ioErrorOf(-fault.errno, "listDirectory", path);
    const node = this.machine.disk.find(path);
    if (typeof node === "number") throw ioErrorOf(node, "listDirectory", path);
    if (node.kind === "file") throw ioErrorOf(-ERRNO.ENOTDIR, "listDirectory", path);
    const entries = [...node.entries].map(([name, { kind }]) => ({
      name,
      isFile: kind === "file",
      isDirectory: kind === "directory",
    }));
    // The order of a directory means nothing: nobody shall come to rely on one.
    return this.machine.random.shuffle(entries);
  }

  override createDirectories(path: string): string[] {
    const fault = this.machine.match("createDirectories", path, "");
    if (fault?.errno) throw ioErrorOf(-fault.errno, "createDirectories", path);
    return super.createDirectories(path);
  }

  makeDirectory(path: string): number {
    const { disk } = this.machine;
    if (typeof disk.find(path) === "object") return -ERRNO.EEXIST;
    const parent = disk.find(directoryOf(path));
    if (typeof parent === "number") return parent;
    this.machine.step();
    return disk.makeDirectory(path);
  }

  isDirectory(path: string): number {
    const node = this.machine.disk.find(path);
    return typeof node === "number" ? node : node.kind === "directory" ? 1 : 0;
  }

  override now(): number {
    return this.machine.clockMicros;
  }
  override wallClock(): number {
    return this.machine.wallClock();
  }
  override random(bytes: Uint8Array): void {
    this.randomBytes.fill(bytes);
  }
  crc32c(bytes: Uint8Array, seed: number): number {
    return crc32c(bytes, seed);
  }
  crc32cBuffer(buffer: ArenaBuffer, offset: number, length: number, seed: number): number {
    return crc32c(buffer.bytes, seed, offset, offset + length);
  }

  // Turns

  override after(micros: number, callback: () => void): IoTimer {
    const { machine } = this;
    const timer = new Timer(machine, this, machine.clockMicros + micros, callback);
    machine.addTimer(timer);
    return timer;
  }

  drain(): void {
    const { machine } = this;
    machine.clockMicros += machine.settings.pollMicros;
    machine.runDue();
    machine.passed();
  }

  block(client: ClientIo, timeoutMicros: number): void {
    const { machine } = this;
    const deadline = machine.clockMicros + timeoutMicros;
    while (client.ready === 0) {
      if (machine.schedule.dueMicros > deadline) {
        machine.clockMicros = deadline;
        machine.passed();
        return;
      }
      machine.runNext();
    }
    machine.runDue();
  }

  async wakeup(client: ClientIo): Promise<void> {
    const { machine } = this;
    if (++machine.waits % WAITS_PER_TURN === 0) {
      await new Promise<void>((resolve) => turn(resolve));
      this.check();
    }
    if (client.inFlight > 0) this.block(client, Infinity);
  }

  free(): void {
    while (this.machine.schedule.owns(this.process)) this.machine.runNext();
    for (const file of [...this.open]) this.#closeDescription(file);
  }

  // Ends

  /** The process ends: its descriptions close, except those that operations in flight hold. */
  kill(): void {
    this.killed = true;
    for (const { owner, slot } of this.machine.schedule.entries()) {
      const file = owner === this.process ? this.fileOf[slot] : undefined;
      if (file instanceof MemoryFile) file.landing++;
      if (owner === this.process && !LANDS_LATE.includes(this.table.kind[slot])) {
        if (this.machine.random.oneIn(2)) this.#perform(slot);
        this.#over.add(slot);
      }
    }
    for (const file of [...this.open]) if (file.landing === 0) this.#closeDescription(file);
  }

  /** A copy of what a write in flight is about to write. */
  dataOf(slot: number): Uint8Array | undefined {
    if (this.table.kind[slot] !== Kind.write) return undefined;
    const from = this.#bufferOffset[slot];
    return this.bufferOf[slot]!.bytes.slice(from, from + this.#length[slot]);
  }

  /** What an operation in flight does to a disk that has crashed meanwhile; it was not acknowledged. */
  interrupt(slot: number, data: Uint8Array | undefined, disk: MemoryDisk, copy: CopyNode): void {
    const fault = this.#fault[slot];
    if (fault?.errno || fault?.lost || this.#over.has(slot)) return;
    const file = this.fileOf[slot] as MemoryFile | undefined;
    const kind = this.table.kind[slot];
    if (kind === Kind.open) {
      if (file!.options.direct && this.machine.settings.alignment.offset === 0) return;
      const { create, createNew, truncate } = file!.options;
      const node = disk.openFile(file!.path, create, createNew);
      if (typeof node === "object" && truncate) disk.truncate(node, 0);
    } else if (kind === Kind.write) {
      if (!file!.options.write) return;
      const node = copy(file!.node!);
      const length = this.#shortened(slot, file!, fault);
      const offset = file!.options.append ? node.size : this.#offset[slot];
      const target = Math.max(0, offset + (fault?.misdirect ?? 0));
      disk.write(node, target, data!, 0, length, file!.options.direct, false);
    } else {
      this.#change(slot, disk, file?.node === undefined ? undefined : copy(file.node));
    }
  }
}

/**
 * An `Io` over a simulated machine.
 *
 * ```ts
 * const io = MemoryIo.create({ seed: 7 });
 * const file = io.open("/a", { write: true, create: true }, 1);
 * io.park();
 * io.take(1); // 0
 * const after = io.crash(); // "/a" may be there or not: its directory was not synced
 * ```
 */
export class MemoryIo extends ClientIo {
  readonly #machine: Machine;
  readonly #process: MemoryBackend;

  private constructor(machine: Machine) {
    const process = new MemoryBackend(machine);
    super(process, "main");
    this.#machine = machine;
    this.#process = process;
  }

  /** A machine with an empty disk, and a process on it. */
  static create(options: MemoryIoOptions = {}): MemoryIo {
    const settings = settle(options);
    const disk = new MemoryDisk(settings.sectorBytes, settings.diskBytes, settings.quotaBytes);
    disk.clockMillis = EPOCH_MILLIS;
    return new MemoryIo(new Machine(settings, disk, 1, 0));
  }

  /** A machine whose disk holds these files, all durable; directories are made as needed. */
  static fromImage(
    image: Iterable<readonly [path: string, bytes: Uint8Array]>,
    options: MemoryIoOptions = {},
  ): MemoryIo {
    const io = MemoryIo.create(options);
    const { disk } = io.#machine;
    for (const [given, bytes] of image) {
      const path = normalPath(given);
      io.#process.createDirectories(path.slice(0, Math.max(1, path.lastIndexOf("/"))));
      const node = disk.openFile(path, true, false);
      if (typeof node === "number") throw ioErrorOf(node, "open", path);
      disk.write(node, 0, bytes, 0, bytes.length, true, true);
    }
    // Cut off and started again with nothing lost: then all of it is durable.
    return io.crash(io.#machine.settings.seed, { ...options, survival: "all" });
  }

  /** Submissions and completions so far, the moments at which `crashAfter` can stop. */
  get steps(): number {
    return this.#machine.steps;
  }
  /** Operations completed so far. */
  get operations(): number {
    return this.#machine.operations;
  }
  /** A line for each operation, when the option `history` is set. */
  get history(): readonly string[] {
    return this.#machine.history;
  }
  /** Whether the machine has crashed. */
  get crashed(): boolean {
    return this.#machine.interrupted !== undefined;
  }

  /** Another process on the same machine. Completions of all go on while any of them polls. */
  sibling(): MemoryIo {
    this.#machine.check();
    return new MemoryIo(this.#machine);
  }

  /**
   * Cuts the power, and gives the machine as it is found afterwards, with the same options and those
   * given. This one is dead: every call throws {@linkcode MemoryCrashError}, except for giving things
   * back, which does nothing. May be called again with another seed.
   */
  crash(seed?: number, options: CrashOptions = {}): MemoryIo {
    this.#machine.stop();
    return this.ifCrashed(seed, options);
  }

  /** The machine as a power cut at this moment would leave it; this one goes on. */
  ifCrashed(seed?: number, options: CrashOptions = {}): MemoryIo {
    const machine = this.#machine;
    const interrupted = machine.interrupted ?? machine.inFlight();
    const { survival = "random", ...changes } = options;
    const random = new Prng(seed ?? machine.settings.seed + machine.boot);
    const disk = machine.disk.crash(random, survival, (copied, copy) => {
      if (survival === "none") return;
      for (const { backend, slot, data } of random.shuffle([...interrupted])) {
        if (survival === "all" || random.oneIn(2)) backend.interrupt(slot, data, copied, copy);
      }
    });
    const settings = settle({
      ...machine.settings,
      crashAfter: Infinity,
      seed: random.next(),
      ...changes,
    });
    return new MemoryIo(
      new Machine(settings, disk, machine.boot + 1, machine.clockMicros + REBOOT_MICROS),
    );
  }

  /**
   * Kills the process, and gives a new one on the same machine. Data in flight lands later, and until
   * then the locks of the files that it is about are held.
   */
  kill(): MemoryIo {
    this.#machine.check();
    this.#process.kill();
    return new MemoryIo(this.#machine);
  }

  /** Makes operations of all processes fail; see {@linkcode FaultOptions}. */
  fail(options: FaultOptions): Fault {
    const machine = this.#machine;
    const effects = (["errno", "short", "misdirect", "torn", "lost"] as const).filter((name) =>
      options[name] !== undefined
    );
    if (effects.length !== 1) {
      throw new IoUsageError("a fault has exactly one of errno, short, misdirect, torn and lost");
    }
    const { path } = options;
    const fault: ActiveFault = {
      fired: 0,
      matched: 0,
      options: { ...options, path: typeof path === "string" ? normalPath(path) : path },
      cancel: () => {
        machine.faults = machine.faults.filter((other) => other !== fault);
      },
    };
    machine.faults.push(fault);
    return fault;
  }

  /** Flips a bit of a file on the device, for good. Cached reads see it too: the page was dropped. */
  rot(path: string, offset: number, bit = 0): void {
    const node = this.#file(path);
    if (!(offset >= 0 && offset < node.size)) {
      throw new IoUsageError(`byte ${offset} lies outside ${path}, which has ${node.size} bytes`);
    }
    this.#machine.disk.rot(node, offset, bit);
  }

  /** What programs see now, by path: all files with their bytes. */
  image(): Map<string, Uint8Array> {
    const { disk } = this.#machine;
    return new Map(
      disk.files().map(([path, node]) => {
        const bytes = new Uint8Array(node.size);
        disk.read(node, 0, bytes, 0, node.size, false);
        return [path, bytes];
      }),
    );
  }

  #file(path: string): FileNode {
    const node = this.#machine.disk.find(normalPath(path));
    if (node instanceof FileNode) return node;
    throw new IoUsageError(`there is no file ${path}`);
  }
}

/** Calls back in the next turn of the event loop, on any runtime. */
function turn(callback: () => void): void {
  const host = hostOrUndefined();
  if (host !== undefined) host.turn(callback);
  else setTimeout(callback, 0);
}

/** Absolute, without `.`, `..`, and doubled or trailing slashes. The working directory is `/`. */
function normalPath(path: string): string {
  // Most paths are so already.
  if (path.charCodeAt(0) === 47 && !/\/(\.{0,2}\/|\.{0,2}$)/.test(path)) return path;
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") names.pop();
    else names.push(name);
  }
  return `/${names.join("/")}`;
}
