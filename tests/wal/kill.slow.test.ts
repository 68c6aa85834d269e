/**
 * A writer is killed at random moments; see tests/fault/_kill.ts. `./dev fault kill --seed S` repeats a
 * failure as far as moments can be repeated.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { killCampaign } from "../fault/_kill.ts";
import { skipSlow } from "../fault/_slow_group.ts";
import { inScratch, skipRing } from "../support/ring.ts";

const KILLS = process.env.URING_TEST_FULL ? 2_000 : 100;
const skipSlowed = await skipSlow();
const SEED = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 1e9));

test(`${KILLS} kills at random moments`, { skip: skipRing, timeout: 3_600_000 }, async () => {
  console.log(`# seed ${SEED}`);
  await inScratch(async (directory) => {
    const counts = await killCampaign({ directory, seed: SEED, kills: KILLS, judgeOneIn: 15 });
    console.log(`# ${JSON.stringify(counts)}`);
    assert.equal(counts.kills, KILLS);
    // It must have been where it claims to go.
    assert.ok(counts.inOpening > 0, "killed while it opened the log");
    assert.ok(counts.torn > counts.checked / 4, "killed while it wrote");
    assert.ok(counts.acknowledged > KILLS && counts.truncations > 0);
    if (!skipSlowed) assert.ok(counts.slow > 0, "killed on a slow disk");
    assert.ok(counts.followed > KILLS && counts.read > KILLS && counts.retaining > 0);
  });
});
