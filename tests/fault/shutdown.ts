/**
 * `./dev fault shutdown`: file systems (ext4, then xfs, on loop devices) that are shut down under a writer
 * at random moments, 100 times each, with `--full` 1,000 times, or until `--seconds` are over.
 */
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { type FileSystem, ImageMount, skipUnmountable } from "./_mounts.ts";
import { shutdownCampaign } from "./_shutdown.ts";

const CYCLES = 100;
const CYCLES_FULL = 1_000;

const campaign = campaignOf("shutdown");
const timed = campaign.until !== Infinity;
const cycles = timed ? Infinity : campaign.full ? CYCLES_FULL : CYCLES;
console.log(`shutdown (${RUNTIME}): seed ${campaign.seed}`);
let status = 0;
for (const fileSystem of ["ext4", "xfs"] as FileSystem[]) {
  if (skipUnmountable(fileSystem)) continue;
  // Half of the time is the first one's.
  const until = fileSystem === "ext4" && timed
    ? (performance.now() + campaign.until) / 2
    : campaign.until;
  using mount = new ImageMount(fileSystem, 400);
  try {
    const counts = await shutdownCampaign(mount, campaign.seed, cycles, until);
    console.log(`${fileSystem}: ${JSON.stringify(counts)}`);
  } catch (error) {
    console.log(`FAILED ${fileSystem}: ${(error as Error).message}`);
    status = 1;
  }
}
console.log(`shutdown (${RUNTIME}): ${status === 0 ? "nothing lost, nothing invented" : "failed"}`);
process.exit(status);
