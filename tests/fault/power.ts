/**
 * `./dev fault power`: the power of machines in User-mode Linux is cut under a writer, on ext4, xfs and
 * btrfs; and the disks of such machines, recorded write by write, are put into every state that a cut could
 * have left them in when their own cache is lost, too. Every record that was acknowledged before must be in
 * the log, byte for byte, and nothing that nobody wrote.
 *
 * 12 cuts and 150 states, with `--full` 500 and 2,500 under each runtime, or until `--seconds` are over;
 * `--only btrfs` takes one of the file systems.
 */
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { skipMachines } from "./_machine.ts";
import { type FileSystem, skipUnmountable } from "./_mounts.ts";
import { powerCampaign, replayCampaign } from "./_power.ts";

const ALL: FileSystem[] = ["ext4", "xfs", "btrfs"];
const CUTS = { short: 4, full: 167 };
const STATES = { short: 50, full: 834 };
const LINE_MILLIS = 20_000;

const campaign = campaignOf("power");
const FILE_SYSTEMS = ALL.filter((name) => campaign.only === "" || campaign.only === name);
if (FILE_SYSTEMS.length === 0) {
  console.error(`fault power: --only is one of ${ALL.join(", ")}, not '${campaign.only}'`);
  process.exit(2);
}
const timed = campaign.until !== Infinity;
const amount = ({ short, full }: { short: number; full: number }) =>
  timed ? Infinity : campaign.full ? full : short;
console.log(`power (${RUNTIME}): seed ${campaign.seed}`);

let shown = performance.now();
const progress = (counts: object) => {
  if (performance.now() < shown + LINE_MILLIS) return;
  shown = performance.now();
  console.log(`  ${JSON.stringify(counts)}`);
};
/** With `--seconds`, each part has its share of the time. */
let parts = FILE_SYSTEMS.length * 2;
const shareOfTime = () => {
  const now = performance.now();
  return timed ? now + Math.max(0, campaign.until - now) / parts-- : Infinity;
};

let status = 0;
try {
  for (const fileSystem of FILE_SYSTEMS) {
    const skip = skipMachines(true) || skipUnmountable(fileSystem);
    if (skip) {
      console.log(`skipped ${fileSystem}: ${skip}`);
      parts -= 2;
      continue;
    }
    const { seed } = campaign;
    const cuts = await powerCampaign(fileSystem, seed, amount(CUTS), shareOfTime(), progress);
    console.log(`cuts on ${fileSystem}: ${JSON.stringify(cuts)}`);
    const states = await replayCampaign(fileSystem, seed, amount(STATES), shareOfTime(), progress);
    console.log(`states of ${fileSystem}: ${JSON.stringify(states)}`);
  }
  console.log(`power (${RUNTIME}): nothing lost, nothing invented`);
} catch (error) {
  console.log(`FAILED ${(error as Error).message}`);
  status = 1;
}
process.exit(status);
