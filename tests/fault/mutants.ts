/**
 * `./dev fault mutants`: breaks one promise of the log after the other in a copy of the sources, and lets
 * the simulated crashes find it out. Fails when a mutant lives, or does not apply any more, and when the
 * sources as they are do not pass.
 */
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { Laboratory, mutants } from "./_mutants.ts";

const CRASHES = 2_000;
const CRASHES_FULL = 20_000;

const campaign = campaignOf("mutants");
const crashes = campaign.full ? CRASHES_FULL : CRASHES;
console.log(`mutants (${RUNTIME}): seeds from ${campaign.seed}, up to ${crashes} crashes each`);
let dead = 0;
let failed = 0;
{
  using laboratory = new Laboratory();
  const sound = await laboratory.judge(undefined, campaign.seed, crashes / 10);
  console.log(`${sound.dead ? "FAILED" : "ok    "} as it is: ${sound.says}`);
  if (sound.dead) failed++;
  for (const mutant of mutants()) {
    if (performance.now() > campaign.until) break;
    try {
      const verdict = await laboratory.judge(mutant, campaign.seed, crashes);
      if (verdict.dead) dead++;
      else failed++;
      console.log(`${verdict.dead ? "dead  " : "LIVES "} ${mutant.name}: ${verdict.says}`);
    } catch (error) {
      failed++;
      console.log(`FAILED ${mutant.name}: ${(error as Error).message}`);
    }
  }
}
console.log(`mutants (${RUNTIME}): ${dead} dead, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
