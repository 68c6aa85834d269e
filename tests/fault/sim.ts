/**
 * `./dev fault sim`: random programs on simulated machines, with power cuts, kills and failing disks,
 * against the model of src/testing/wal_model.ts. Without `--seconds` it runs until 5,000 crashes, with
 * `--full` until 100,000. A failure names its seed: `./dev fault sim --seed S --seconds 1` shows it again.
 */
import process from "node:process";
import { crashRun, newCrashCounts } from "../../src/testing/wal_model.ts";
import { campaignOf, RUNTIME } from "./_arguments.ts";

const CRASHES = 5_000;
const CRASHES_FULL = 100_000;

const campaign = campaignOf("sim");
const timed = campaign.until !== Infinity;
const crashes = campaign.crashes ??
  (timed ? Infinity : campaign.full ? CRASHES_FULL : CRASHES);
console.log(
  `sim (${RUNTIME}): seeds from ${campaign.seed}, ` +
    (crashes === Infinity ? "for the time given" : `until ${crashes} crashes`),
);
const counts = newCrashCounts();
let seed = campaign.seed;
let status = 0;
// Ends by time or by count; each run is bounded.
for (; counts.crashes < crashes && performance.now() < campaign.until; seed++) {
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
