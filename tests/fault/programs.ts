/**
 * `./dev fault programs`: random programs of `Io` operations on every backend, against a model of a file
 * system. Without `--seconds` it runs 20,000 programs, with `--full` a million. A difference is shrunk,
 * and printed as a program for tests/io/programs.test.ts; `--seed S --seconds 1` shows it again.
 */
import process from "node:process";
import { SyncIo, UringIo } from "../../io.ts";
import { diskSide, memorySide, sameForAll, type Side } from "../io/programs.ts";
import { SCRATCH, SCRATCH_IN_MEMORY, SYNC_LACKS } from "../io/support.ts";
import { skipRing } from "../support/ring.ts";
import { campaignOf, RUNTIME } from "./_arguments.ts";

const PROGRAMS = 20_000;
const PROGRAMS_FULL = 1_000_000;
/** Programs of one seed, on one side. */
const BATCH = 500;

const campaign = campaignOf("programs");
const timed = campaign.until !== Infinity;
const programs = campaign.full ? PROGRAMS_FULL : timed ? Infinity : PROGRAMS;

const disks: Side[] = [diskSide("sync", SyncIo.open(), SCRATCH_IN_MEMORY, SYNC_LACKS)];
if (skipRing === false) {
  disks.push(
    diskSide("uring", UringIo.open(), SCRATCH_IN_MEMORY, []),
    diskSide("uring on a disk", UringIo.open(), SCRATCH, []),
  );
}

/** Three of five batches are on simulated machines, where a program costs least. */
function sideOf(seed: number): Side {
  if (seed % 5 < 3) return memorySide(seed);
  return disks[seed % 5 === 3 ? 0 : Math.floor(seed / 5) % disks.length];
}

console.log(
  `programs (${RUNTIME}): seeds from ${campaign.seed}, ` +
    (programs === Infinity ? "for the time given" : `${programs} programs`),
);
const counts: Record<string, number> = {};
let status = 0;
let done = 0;
for (let { seed } = campaign; done < programs && performance.now() < campaign.until; seed++) {
  const side = sideOf(seed);
  const count = Math.min(BATCH, programs - done);
  try {
    sameForAll(side, count, seed);
  } catch (error) {
    console.log(`FAILED ${(error as Error).message}`);
    status = 1;
    break;
  }
  done += count;
  counts[side.name] = (counts[side.name] ?? 0) + count;
}
for (const side of disks) side[Symbol.dispose]();
console.log(JSON.stringify({ programs: done, ...counts }));
console.log(`programs (${RUNTIME}): ${status === 0 ? "nothing found" : "a difference was found"}`);
process.exit(status);
