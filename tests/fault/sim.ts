/**
 * `./dev fault sim`: random programs on simulated machines, with power cuts, kills and failing disks,
 * against the model of src/testing/wal_model.ts. Without `--seconds` it runs until 5,000 crashes, with
 * `--full` until half a million crashes and kills, and fifty million operations, under each runtime, which
 * take seeds of their own. A failure names its seed: `./dev fault sim --seed S --seconds 1` shows it again.
 */
import process from "node:process";
import { crashRun, newCrashCounts } from "../../src/testing/wal_model.ts";
import { campaignOf, RUNTIME } from "./_arguments.ts";

const CRASHES = 5_000;
const CYCLES_FULL = 500_000;
const OPERATIONS_FULL = 50_000_000;
const LINE_MILLIS = 60_000;
/** A run takes milliseconds, and much less than this on any machine. */
const RUN_MILLIS_MAX = 120_000;
/** Between the first seeds of the runtimes: one seed is one history under both. */
const SEEDS = 1_000_000_000;

const campaign = campaignOf("sim");
const timed = campaign.until !== Infinity;
const { full } = campaign;
const crashes = campaign.crashes ?? (timed || full ? Infinity : CRASHES);
const counts = newCrashCounts();
const first = campaign.seed + (full && RUNTIME === "deno" ? SEEDS : 0);
let seed = first;
console.log(
  `sim (${RUNTIME}): seeds from ${first}, ` +
    (crashes < Infinity
      ? `until ${crashes} crashes`
      : timed
      ? "for the time given"
      : `until ${CYCLES_FULL} crashes and kills, and ${OPERATIONS_FULL} operations`),
);
let status = 0;
let shown = performance.now();
const enough = () =>
  counts.crashes >= crashes || performance.now() >= campaign.until ||
  (full && !timed && counts.crashes + counts.kills >= CYCLES_FULL &&
    counts.operations >= OPERATIONS_FULL);
let begun = performance.now();
// A run in which everybody waits for ever would end the process without a word, or never.
setInterval(() => {
  if (performance.now() < begun + RUN_MILLIS_MAX) return;
  console.log(`FAILED seed ${seed}: it never ends`);
  process.exit(1);
}, 1000);
// Ends by time or by count; each run is bounded.
for (; !enough(); seed++) {
  if (performance.now() > shown + LINE_MILLIS) {
    shown = performance.now();
    const { crashes, kills, operations } = counts;
    console.log(`seed ${seed}: ${crashes + kills} crashes and kills, ${operations} operations`);
  }
  begun = performance.now();
  try {
    await crashRun(seed, counts);
  } catch (error) {
    console.log(`FAILED seed ${seed}: ${(error as Error).message}`);
    status = 1;
    break;
  }
}
console.log(JSON.stringify(counts));
console.log(status === 0 ? `sim (${RUNTIME}): nothing found` : `sim (${RUNTIME}): seed ${seed}`);
process.exit(status);
