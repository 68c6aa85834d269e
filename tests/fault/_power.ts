/**
 * Power cuts. {@linkcode powerCampaign}: a writer in a machine of its own (`_machine.ts`), whose power goes
 * at a random moment; what it acknowledged is known outside, its disk is mounted here, and must hold it.
 * {@linkcode replayCampaign}: the disk of such a machine loses its cache, too: all that reached it was
 * recorded, and is replayed up to each point at which something became durable.
 */
import {
  closeSync,
  copyFileSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { openIo } from "../../src/io/open_io.ts";
import { Prng } from "../../src/io/prng.ts";
import { type DeviceEntry, deviceLog } from "./_device_log.ts";
import { Broken, History, writerCommand, WriterProcess } from "./_history.ts";
import { randomOptions } from "./_kill.ts";
import { MACHINE_DISK, MACHINE_MARK, machineOf } from "./_machine.ts";
import { type FileSystem, ImageMount } from "./_mounts.ts";

/** What a campaign did. */
export interface PowerCounts {
  cuts: number;
  clean: number;
  torn: number;
  ambiguous: number;
  /** Compared byte for byte. */
  records: number;
  acknowledged: number;
}

const PATIENCE_MILLIS = 60_000;
const DELAY_MILLIS_MAX = 60;
/** Large enough for each file system, and for a log that keeps what the writer keeps. */
const IMAGE_MEGABYTES = 400;

const later = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis));

/** Cuts the power of machines with one disk. Throws {@linkcode Broken} when a promise was. */
export async function powerCampaign(
  fileSystem: FileSystem,
  seed: number,
  cuts: number,
  until = Infinity,
  progress: (counts: PowerCounts) => void = () => {},
): Promise<PowerCounts> {
  const counts = { cuts: 0, clean: 0, torn: 0, ambiguous: 0, records: 0, acknowledged: 0 };
  const rng = new Prng(seed);
  const history = new History(seed);
  using disk = new ImageMount(fileSystem, IMAGE_MEGABYTES);
  disk.unmount();
  const [program, args] = writerCommand();
  const machine = machineOf({ folder: disk.folder, fileSystem, image: disk.image, program, args });
  try {
    for (let run = 1; run <= cuts && performance.now() < until; run++) {
      const writer = new WriterProcess(machine);
      const options = randomOptions(rng, true);
      const keep = rng.between(50, 1500);
      writer.start({ directory: `${MACHINE_DISK}/log/here`, seed, run, options, keep });
      if (rng.oneIn(10)) await writer.until("opening", 1, PATIENCE_MILLIS);
      else await writer.until("d ", rng.between(1, 120), PATIENCE_MILLIS);
      await later(rng.next() / 2 ** 32 * DELAY_MILLIS_MAX);
      const ended = await writer.kill();
      if (ended.signal !== "SIGKILL" || ended.failed !== undefined) {
        const said = writer.lines.slice(-5).join("; ");
        throw new Broken(`the machine ended by itself: ${ended.failed ?? said} ${ended.errors}`);
      }
      const before = history.acknowledged;
      history.reported(run, writer.lines.map((line) => line.trimEnd()));
      counts.acknowledged += Math.max(0, history.acknowledged - before);
      counts.cuts++;
      // Sometimes the next machine finds what this one left.
      if (run < cuts && rng.oneIn(4)) continue;
      disk.mount();
      const io = openIo({ backend: "uring", arenaBytes: 2 << 20 });
      try {
        const directory = `${disk.point}/log/here`;
        const checked = await history.check(directory, io, randomOptions(rng, true), rng.oneIn(25));
        counts[checked.tail as "clean" | "torn" | "ambiguous"]++;
        counts.records += checked.records;
      } finally {
        io[Symbol.dispose]();
      }
      disk.unmount();
      progress(counts);
    }
  } catch (error) {
    (error as Error).message = `seed ${seed}, ${fileSystem}, cut ${counts.cuts}: ${
      (error as Error).message
    }`;
    throw error;
  }
  return counts;
}

/** What a replay did. */
export interface ReplayCounts {
  /** Machines that were recorded. */
  recordings: number;
  /** States of the disk that were mounted and checked. */
  states: number;
  /** Of these, with some of the writes that the disk still had in its cache. */
  partial: number;
  /** Before the log was there. */
  early: number;
  clean: number;
  torn: number;
  ambiguous: number;
  records: number;
}

/** Acknowledgements that end a recording. */
const RECORDED_LINES = 60;
/** Room for what one recording writes; sparse. */
const LOG_BYTES = 4 * 2 ** 30;
const REPLAY_MEGABYTES: Record<FileSystem, number> = { ext4: 64, xfs: 320, btrfs: 256 };
const PIECE_BYTES = 1 << 20;

/** Records a machine's disk, and checks it in `states` of the states that a cut could have left it in. */
export async function replayCampaign(
  fileSystem: FileSystem,
  seed: number,
  states: number,
  until = Infinity,
  progress: (counts: ReplayCounts) => void = () => {},
): Promise<ReplayCounts> {
  const counts = {
    recordings: 0,
    states: 0,
    partial: 0,
    early: 0,
    clean: 0,
    torn: 0,
    ambiguous: 0,
    records: 0,
  };
  const rng = new Prng(seed);
  while (counts.states < states && performance.now() < until) {
    const run = ++counts.recordings;
    using disk = new ImageMount(fileSystem, REPLAY_MEGABYTES[fileSystem]);
    disk.unmount();
    const replayed = new ReplayedDisk(disk);
    await recording(disk, replayed.log, fileSystem, seed, run, rng);
    const entries = [...deviceLog(replayed.log)];
    const points = entries.filter((e) => e.kind === "mark" || e.flush || e.forced).length;
    const oneIn = Math.max(1, Math.floor(points / (states - counts.states + 1)));
    const marks = { d: 0, t: 1, T: 1 };
    // Writes that the next flush makes durable, and that a cut before it may keep or lose.
    let cached: DeviceEntry[] = [];
    const checked = async (kept: readonly DeviceEntry[], where: string): Promise<void> => {
      const history = new History(seed);
      history.owners.next(0, run);
      history.acknowledged = marks.d;
      history.first = marks.T;
      history.firstAsked = marks.t;
      replayed.mount(kept);
      const io = openIo({ backend: "uring", arenaBytes: 2 << 20 });
      try {
        const directory = `${disk.point}/log/here`;
        const found = await history.check(directory, io, randomOptions(rng, true), rng.oneIn(50));
        if (found.records === 0) counts.early++;
        counts[found.tail as "clean" | "torn" | "ambiguous"]++;
        counts.records += found.records;
      } catch (error) {
        (error as Error).message = `seed ${seed}, ${fileSystem}, recording ${run}, ${where}: ${
          (error as Error).message
        }`;
        throw error;
      } finally {
        io[Symbol.dispose]();
        disk.unmount();
      }
      counts.states++;
      progress(counts);
    };
    for (const entry of entries) {
      if (entry.kind === "mark") {
        const [word, lsn] = entry.text.split("-");
        if (word in marks) marks[word as keyof typeof marks] = Number(lsn);
      } else if (entry.flush || entry.forced || entry.kind === "discard") {
        if (entry.flush && cached.length > 0 && rng.oneIn(oneIn)) {
          const kept = cached.filter(() => rng.oneIn(2));
          await checked(kept, `before entry ${entry.index}, with ${kept.length} cached writes`);
          counts.partial++;
        }
        for (const write of cached) replayed.apply(write);
        cached = [];
        replayed.apply(entry);
      } else {
        cached.push(entry);
        continue;
      }
      if (counts.states < states && rng.oneIn(oneIn)) {
        await checked([], `after entry ${entry.index}`);
      }
      if (counts.states >= states || performance.now() >= until) break;
    }
  }
  return counts;
}

/** Lets a machine run for a while. */
async function recording(
  disk: ImageMount,
  logImage: string,
  fileSystem: FileSystem,
  seed: number,
  run: number,
  rng: Prng,
): Promise<void> {
  const [program, args] = writerCommand();
  const { folder, image } = disk;
  const machine = machineOf({ folder, fileSystem, image, logImage, program, args });
  const writer = new WriterProcess(machine);
  const options = randomOptions(rng, true);
  const keep = rng.between(50, 500);
  const directory = `${MACHINE_DISK}/log/here`;
  writer.start({ directory, seed, run, options, keep, mark: MACHINE_MARK });
  await writer.until("d ", RECORDED_LINES, PATIENCE_MILLIS);
  const ended = await writer.kill();
  if (ended.signal !== "SIGKILL" || !writer.lines.some((line) => line.startsWith("d "))) {
    const said = writer.lines.slice(-5).join("; ");
    throw new Error(`the machine ended by itself: ${said} ${ended.errors}`);
  }
}

/** A disk as it was before a recording, brought forward write by write. */
class ReplayedDisk {
  /** What was recorded. */
  readonly log: string;
  readonly #disk: ImageMount;
  readonly #base: string;

  /** @param disk Not mounted. */
  constructor(disk: ImageMount) {
    this.#disk = disk;
    this.log = `${disk.folder}/log`;
    this.#base = `${disk.folder}/base`;
    copyFileSync(disk.image, this.#base);
    closeSync(openSync(this.log, "w"));
    truncateSync(this.log, LOG_BYTES);
  }

  apply(entry: DeviceEntry): void {
    this.#applyTo(this.#base, [entry]);
  }

  /** Mounts the disk as it is now, with some writes more. */
  mount(more: readonly DeviceEntry[]): void {
    rmSync(this.#disk.image);
    copyFileSync(this.#base, this.#disk.image);
    this.#applyTo(this.#disk.image, more);
    this.#disk.mount();
  }

  #applyTo(image: string, entries: readonly DeviceEntry[]): void {
    const log = openSync(this.log, "r");
    const target = openSync(image, "r+");
    try {
      for (const { kind, offset, bytes, dataOffset } of entries) {
        for (let done = 0; done < bytes && kind !== "mark";) {
          const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes - done));
          // What was discarded reads as zeros.
          if (kind === "write") readSync(log, piece, 0, piece.length, dataOffset + done);
          done += writeSync(target, piece, 0, piece.length, offset + done);
        }
      }
    } finally {
      closeSync(log);
      closeSync(target);
    }
  }
}
