/**
 * `./dev fault kill`: a writer is killed with SIGKILL at a random moment, 100 times, with `--full` 5,000
 * times under each runtime, or until `--seconds` are over; every record that it had acknowledged must be in the log, byte
 * for byte, and nothing that nobody wrote.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { killCampaign } from "./_kill.ts";

const KILLS = 100;
const KILLS_FULL = 5_000;
const KILLS_PER_LINE = 100;

const campaign = campaignOf("kill");
const timed = campaign.until !== Infinity;
const kills = timed ? Infinity : campaign.full ? KILLS_FULL : KILLS;
const folder = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-kill-"));
console.log(
  `kill (${RUNTIME}): seed ${campaign.seed}, ${timed ? "for the time given" : `${kills} kills`}`,
);
let status = 0;
let shown = 0;
try {
  const counts = await killCampaign({
    directory: folder,
    seed: campaign.seed,
    kills,
    until: campaign.until,
    judgeOneIn: 15,
    progress: (counts) => {
      if (counts.kills < shown + KILLS_PER_LINE) return;
      shown = counts.kills - counts.kills % KILLS_PER_LINE;
      console.log(`${counts.kills} kills, ${counts.records} records compared`);
    },
  });
  console.log(JSON.stringify(counts));
  console.log(`kill (${RUNTIME}): nothing lost, nothing invented`);
  rmSync(folder, { recursive: true, force: true });
} catch (error) {
  console.log(`FAILED ${(error as Error).message}`);
  console.log(`kill (${RUNTIME}): the log is kept in ${folder}`);
  status = 1;
}
process.exit(status);
