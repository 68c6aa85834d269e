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

import { ClientIo } from "./client.ts";
import { IoUsageError } from "./io.ts";
import { ioErrorOf } from "./io_error.ts";
import { FileNode, MemoryDisk } from "./memory_disk.ts";
import { type ActiveFault, EPOCH_MILLIS, Machine } from "./memory_machine.ts";
import {
  checkFault,
  checkSurvival,
  type CrashOptions,
  type Fault,
  type FaultOptions,
  type MemoryIoOptions,
  settle,
} from "./memory_options.ts";
import { MemoryBackend, normalPath } from "./memory_process.ts";
import { Prng } from "./prng.ts";

export type {
  CrashOptions,
  Fault,
  FaultOperation,
  FaultOptions,
  MemoryIoOptions,
} from "./memory_options.ts";
export { MemoryCrashError } from "./memory_options.ts";

const REBOOT_MICROS = 1_000_000;

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
    const machine = this.ifCrashed(seed, options);
    this.#machine.stop();
    return machine;
  }

  /** The machine as a power cut at this moment would leave it; this one goes on. */
  ifCrashed(seed?: number, options: CrashOptions = {}): MemoryIo {
    const machine = this.#machine;
    const interrupted = machine.interrupted ?? machine.inFlight();
    const { survival = "random", ...changes } = options;
    checkSurvival(survival);
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
    const checked = checkFault(options);
    const { path } = checked;
    const fault: ActiveFault = {
      fired: 0,
      matched: 0,
      options: { ...checked, path: typeof path === "string" ? normalPath(path) : path },
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
    if (!Number.isSafeInteger(offset) || !(bit >= 0 && bit < 8 && Number.isInteger(bit))) {
      throw new IoUsageError(`there is no bit ${bit} of byte ${offset}`);
    }
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
