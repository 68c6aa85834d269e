/**
 * `./dev fault parsers`: everything that parses bytes from disk (`_parsers.ts`), 2 million inputs, with
 * `--full` 25 million under each runtime, or until `--seconds` are over. A failure prints its seed:
 * `./dev fault parsers --seed S --seconds 1`.
 */
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { parserCampaign } from "./_parsers.ts";

const INPUTS = 2_000_000;
const INPUTS_FULL = 25_000_000;

const campaign = campaignOf("parsers");
const timed = campaign.until !== Infinity;
const inputs = timed ? Infinity : campaign.full ? INPUTS_FULL : INPUTS;
console.log(
  `parsers (${RUNTIME}): seeds from ${campaign.seed}, ` +
    (timed ? "for the time given" : `${inputs} inputs`),
);
let status = 0;
try {
  const counts = parserCampaign(campaign.seed, inputs, campaign.until);
  console.log(JSON.stringify(counts));
  console.log(`parsers (${RUNTIME}): nothing found`);
} catch (error) {
  console.log(`FAILED ${(error as Error).stack}`);
  status = 1;
}
process.exit(status);
