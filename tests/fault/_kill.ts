/**
 * Kills writers of one log with SIGKILL, at random moments, and looks at what they leave behind. A follower
 * and readers in this process look on (`_follower.ts`).
 */
import { openIo } from "../../src/io/open_io.ts";
import { Prng } from "../../src/io/prng.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";
import { Follower } from "./_follower.ts";
import { Broken, History, WriterProcess } from "./_history.ts";
import { SlowGroup, slowMissing } from "./_slow_group.ts";

/** What a campaign did. */
export interface KillCounts {
  kills: number;
  /** Killed before the log was open. */
  inOpening: number;
  /** Logs that were looked at after the kill; the others are opened by the next writer. */
  checked: number;
  /** Of these, by `uring verify` and the independent reader too. */
  judged: number;
  clean: number;
  torn: number;
  ambiguous: number;
  /** Records compared byte for byte. */
  records: number;
  acknowledged: number;
  truncations: number;
  /** Writers that had retention. */
  retaining: number;
  /** Writers that were killed on a slow disk, with writes that land afterwards. */
  slow: number;
  /** Records that the follower was shown, and that readers were; readers. */
  followed: number;
  read: number;
  readers: number;
  /** Times that the next record of the follower had been removed. */
  tooOld: number;
}

export interface KillOptions {
  directory: string;
  seed: number;
  kills: number;
  /** Milliseconds of `performance.now()`. */
  until?: number;
  /** One check in so many is by the other judges too. */
  judgeOneIn: number;
  /** After each kill. */
  progress?: (counts: KillCounts) => void;
}

/** How long a writer may take for what it is killed at; it is killed then all the same. */
const PATIENCE_MILLIS = 20_000;
const DELAY_MILLIS_MAX = 40;
const OPENING_DELAY_MILLIS_MAX = 12;
/** One writer in so many spends its last moments on a slow disk; what it leaves is opened at once. */
const SLOW_ONE_IN = 12;
const SLOW_MILLIS_MAX = 30;

const later = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis));

/** Small segments and frames, so that a short life has many of both. */
export function randomOptions(rng: Prng, direct: boolean): WalOptions {
  return {
    mode: direct && rng.oneIn(2) ? "direct" : "buffered",
    segmentBytes: 65_536 * rng.between(2, 6),
    commit: { maxBytes: 4096 * rng.between(2, 12), maxInFlight: rng.between(1, 6) },
    preallocate: !rng.oneIn(6),
    idleMarkMillis: rng.between(1, 10),
    lockTimeoutMillis: PATIENCE_MILLIS,
  };
}

/** Whether the file system has direct I/O. */
export async function directPossible(directory: string): Promise<boolean> {
  const io = openIo({ backend: "uring" });
  const wal = await Wal.open(directory, { io, segmentBytes: 1 << 20 });
  const { mode } = wal.stats();
  await wal.close();
  io[Symbol.dispose]();
  return mode === "direct";
}

/** Throws {@linkcode Broken} when a promise was. */
export async function killCampaign(options: KillOptions): Promise<KillCounts> {
  const { seed, kills, until = Infinity, judgeOneIn } = options;
  const directory = `${options.directory}/log`;
  const direct = await directPossible(`${options.directory}/probe`);
  const rng = new Prng(seed);
  const history = new History(seed);
  using slow = await slowMissing() === undefined ? new SlowGroup(options.directory) : undefined;
  const counts: KillCounts = {
    kills: 0,
    inOpening: 0,
    checked: 0,
    judged: 0,
    clean: 0,
    torn: 0,
    ambiguous: 0,
    records: 0,
    acknowledged: 0,
    truncations: 0,
    ...{ retaining: 0, slow: 0, followed: 0, read: 0, readers: 0, tooOld: 0 },
  };
  const io = openIo({ backend: "uring", arenaBytes: 2 << 20 });
  // One that is ready while the one before it lives: loading takes longer than all the rest.
  let next = new WriterProcess();
  const follower = new Follower(directory, io);
  try {
    for (let run = 1; run <= kills && performance.now() < until; run++) {
      const writer = next;
      next = new WriterProcess();
      const walOptions = randomOptions(rng, direct);
      const retained = rng.oneIn(4);
      if (retained) {
        walOptions.retention = { maxSegments: rng.between(2, 6) };
        counts.retaining++;
      }
      writer.start({ directory, seed, run, options: walOptions, keep: rng.between(50, 1500) });
      const moment = killingMoment(writer, rng);
      const reading = rng.oneIn(3) ? follower.readAll() : undefined;
      await moment;
      if (slow && rng.oneIn(SLOW_ONE_IN)) {
        slow.add(writer.pid);
        await later(rng.below(SLOW_MILLIS_MAX));
        counts.slow++;
      }
      const ended = await writer.kill();
      if (ended.signal !== "SIGKILL" || ended.failed !== undefined) {
        throw new Broken(`the writer ended by itself: ${ended.failed ?? ""}${ended.errors}`);
      }
      counts.kills++;
      if (!writer.lines.some((line) => line.startsWith("open "))) counts.inOpening++;
      counts.truncations += writer.lines.filter((line) => line.startsWith("T ")).length;
      const before = history.acknowledged;
      history.reported(run, writer.lines, { retained });
      // (Asking for the lock, it would be taken for a writer.)
      await reading;
      history.shown(follower.take());
      const { followed, read, readers, tooOld } = follower;
      Object.assign(counts, { followed, read, readers, tooOld });
      counts.acknowledged += Math.max(0, history.acknowledged - before);
      // Sometimes the next writer opens what this one left, and may be killed at it.
      if (run < kills && rng.oneIn(4)) continue;
      const judges = rng.oneIn(judgeOneIn);
      const checkOptions = randomOptions(rng, direct);
      const { tail, records } = await history.check(directory, io, checkOptions, judges);
      counts.checked++;
      if (judges) counts.judged++;
      counts[tail as "clean" | "torn" | "ambiguous"]++;
      counts.records += records;
      options.progress?.(counts);
    }
  } catch (error) {
    (error as Error).message = `seed ${seed}, kill ${counts.kills}: ${(error as Error).message}`;
    throw error;
  } finally {
    await next.kill();
    await follower.stop();
    io[Symbol.dispose]();
  }
  return counts;
}

async function killingMoment(writer: WriterProcess, rng: Prng): Promise<void> {
  switch (rng.below(5)) {
    case 0:
      await writer.until("opening", 1, PATIENCE_MILLIS);
      await later(rng.next() / 2 ** 32 * OPENING_DELAY_MILLIS_MAX);
      break;
    case 1:
    case 2:
      await writer.until("d ", rng.between(1, 100), PATIENCE_MILLIS);
      break;
    default:
      await writer.until("open ", 1, PATIENCE_MILLIS);
      await later(rng.next() / 2 ** 32 * DELAY_MILLIS_MAX);
  }
}
