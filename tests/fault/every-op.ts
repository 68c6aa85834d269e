/**
 * `./dev fault every-op`: operation N fails, for every N until a run has none, with each errno, once and
 * from then on, in every scenario of `_every_op.ts` on the simulator; and every system call of a program
 * on the sync backend, through strace. Without `--full` only each seventh of them.
 */
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { everyCallCampaign, skipWithoutStrace } from "./_every_call.ts";
import { everyOpCampaign, SCENARIOS } from "./_every_op.ts";

const STRIDE = 7;
const CALL_STRIDE = 9;

const { seed, until, full } = campaignOf("every-op");
console.log(`every-op (${RUNTIME}): seed ${seed}`);
let status = 0;
try {
  for (const scenario of SCENARIOS) {
    const counts = await everyOpCampaign([seed], [scenario], full ? 1 : STRIDE, until);
    console.log(`${scenario.name}: ${JSON.stringify(counts)}`);
  }
  const skip = skipWithoutStrace();
  if (skip) console.log(`skipped the system calls: ${skip}`);
  else {
    const counts = await everyCallCampaign(full ? 1 : CALL_STRIDE, until);
    console.log(`system calls: ${JSON.stringify(counts)}`);
  }
  console.log(`every-op (${RUNTIME}): nothing found`);
} catch (error) {
  console.log(`FAILED ${(error as Error).message}`);
  status = 1;
}
process.exit(status);
