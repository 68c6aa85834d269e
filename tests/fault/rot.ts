/**
 * `./dev fault rot`: damage to logs of several segments (`_rot.ts`), 20,000 random ones; with `--full`
 * 300,000, and before them every bit and every length of every file, of which each runtime takes one half;
 * or as many as fit into `--seconds`. A failure prints its seed: `./dev fault rot --seed S --seconds 1`.
 */
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { everyBit, everyLength, newRotCounts, rotCampaign } from "./_rot.ts";

const DAMAGES = 20_000;
const DAMAGES_FULL = 300_000;

const campaign = campaignOf("rot");
const half = RUNTIME === "bun" ? 0 : 1;
const counts = newRotCounts();
const timed = campaign.until !== Infinity;
console.log(`rot (${RUNTIME}): seeds from ${campaign.seed}`);
let status = 0;
try {
  if (campaign.full) {
    const lengths = await everyLength(half, campaign.until, counts);
    const bits = await everyBit(half, campaign.until, counts);
    console.log(
      `every length: ${lengths ? "done" : "out of time"}, every bit: ${
        bits ? "done" : "out of time"
      }`,
    );
  }
  const damages = timed ? Infinity : campaign.full ? DAMAGES_FULL : DAMAGES;
  await rotCampaign(campaign.seed, damages, campaign.until, counts);
} catch (error) {
  console.log(`FAILED ${(error as Error).stack}`);
  status = 1;
}
console.log(JSON.stringify(counts));
console.log(`rot (${RUNTIME}): ${status === 0 ? "nothing found" : "failed"}`);
process.exit(status);
