/** `uring append --acks` is killed at random moments; see tests/fault/_lines.ts. */
import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { lineCampaign } from "../fault/_lines.ts";
import { inScratch, skipRing } from "../support/ring.ts";

const KILLS = process.env.URING_TEST_FULL ? 500 : 12;
const SEED = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 1e9));

test(`${KILLS} kills of the command`, { skip: skipRing, timeout: 3_600_000 }, async () => {
  console.log(`# seed ${SEED}`);
  await inScratch(async (directory) => {
    const counts = await lineCampaign({ directory, seed: SEED, kills: KILLS });
    console.log(`# ${JSON.stringify(counts)}`);
    assert.equal(counts.kills, KILLS);
    assert.equal(counts.lost, 0);
    assert.ok(counts.acknowledged > KILLS && counts.compared >= counts.acknowledged);
  });
});
