/**
 * Power cuts as a file system sees them: it is shut down under a writer (`xfs_io -x -c shutdown`), which
 * loses everything that was not synced, and is mounted again.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { openIo } from "../../src/io/open_io.ts";
import { Prng } from "../../src/io/prng.ts";
import { Broken, History, WriterProcess } from "./_history.ts";
import { randomOptions } from "./_kill.ts";
import type { ImageMount } from "./_mounts.ts";

/** What a campaign did. */
export interface ShutdownCounts {
  cycles: number;
  /** The writer found out by itself, before it was killed. */
  noticed: number;
  clean: number;
  torn: number;
  ambiguous: number;
  records: number;
  acknowledged: number;
}

const PATIENCE_MILLIS = 20_000;
/** How long a writer may go on after the shutdown. */
const AFTERMATH_MILLIS = 30;
const DELAY_MILLIS_MAX = 30;

const later = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis));

function shutdown(point: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("xfs_io", ["-x", "-c", "shutdown", point], { stdio: "ignore" });
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve();
      else reject(new Error(`xfs_io shutdown ended with status ${status}`));
    });
  });
}

/** Throws {@linkcode Broken} when a promise was. */
export async function shutdownCampaign(
  mount: ImageMount,
  seed: number,
  cycles: number,
  until = Infinity,
): Promise<ShutdownCounts> {
  const counts = {
    cycles: 0,
    noticed: 0,
    clean: 0,
    torn: 0,
    ambiguous: 0,
    records: 0,
    acknowledged: 0,
  };
  const directory = `${mount.point}/log/here`;
  const rng = new Prng(seed);
  const history = new History(seed);
  let next = new WriterProcess();
  try {
    for (let run = 1; run <= cycles && performance.now() < until; run++) {
      const writer = next;
      next = new WriterProcess();
      // Sometimes the way to the log is made by somebody who does not sync it.
      if (run === 1 && rng.oneIn(2)) mkdirSync(`${mount.point}/log`);
      const options = randomOptions(rng, true);
      writer.start({ directory, seed, run, options, keep: rng.between(50, 1500) });
      if (rng.oneIn(8)) await writer.until("opening", 1, PATIENCE_MILLIS);
      else await writer.until("d ", rng.between(1, 30), PATIENCE_MILLIS);
      await later(rng.next() / 2 ** 32 * DELAY_MILLIS_MAX);
      // A shutdown lets a sync of a file that grows, when the two meet, end with success although the
      // journal gave its commit up: on ext4 a plain program that writes at the end of a file and calls
      // fdatasync sees it in every twelfth cycle. A log whose segments grow is held to what it told
      // before; one that overwrites, as logs do by default, to all that it told.
      const told = writer.lines.length;
      await shutdown(mount.point);
      await Promise.race([writer.ended, later(rng.below(AFTERMATH_MILLIS))]);
      const ended = await writer.kill();
      if (ended.failed !== undefined) counts.noticed++;
      else if (ended.signal !== "SIGKILL") {
        throw new Broken(`the writer ended by itself: ${ended.status} ${ended.errors}`);
      }
      const before = history.acknowledged;
      const binding = options.preallocate === false ? told : writer.lines.length;
      history.reported(run, writer.lines, { binding });
      counts.acknowledged += Math.max(0, history.acknowledged - before);
      mount.unmount();
      mount.mount();
      counts.cycles++;
      if (run < cycles && rng.oneIn(4)) continue;
      const io = openIo({ backend: "uring", arenaBytes: 2 << 20 });
      try {
        const checked = await history.check(directory, io, randomOptions(rng, true), rng.oneIn(25));
        counts[checked.tail as "clean" | "torn" | "ambiguous"]++;
        counts.records += checked.records;
      } finally {
        io[Symbol.dispose]();
      }
    }
  } catch (error) {
    (error as Error).message = `seed ${seed}, cycle ${counts.cycles}: ${(error as Error).message}`;
    throw error;
  } finally {
    await next.kill();
  }
  return counts;
}
