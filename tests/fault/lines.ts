/**
 * `./dev fault lines`: the lines of a real log go through a pipe to `uring append --acks`, which is killed
 * with SIGKILL at random moments, 50 times, with `--full` 5,000 times under each runtime, or until
 * `--seconds` are over. Of the lines that were acknowledged none may be lost.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { lineCampaign } from "./_lines.ts";

const KILLS = 50;
const KILLS_FULL = 5_000;
const KILLS_PER_LINE = 100;

const campaign = campaignOf("lines");
const timed = campaign.until !== Infinity;
const kills = timed ? Infinity : campaign.full ? KILLS_FULL : KILLS;
const folder = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-lines-"));
console.log(
  `lines (${RUNTIME}): seed ${campaign.seed}, ${timed ? "for the time given" : `${kills} kills`}`,
);
let status = 0;
try {
  const counts = await lineCampaign({
    directory: folder,
    seed: campaign.seed,
    kills,
    until: campaign.until,
    progress: ({ kills, acknowledged }) => {
      if (kills % KILLS_PER_LINE === 0) console.log(`${kills} kills, ${acknowledged} acknowledged`);
    },
  });
  console.log(JSON.stringify(counts));
  console.log(`lines (${RUNTIME}): 0 lost of ${counts.acknowledged} acknowledged`);
  rmSync(folder, { recursive: true, force: true });
} catch (error) {
  console.log(`FAILED ${(error as Error).message}`);
  console.log(`lines (${RUNTIME}): the log is kept in ${folder}`);
  status = 1;
}
process.exit(status);
