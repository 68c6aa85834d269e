/**
 * Damaged logs of several segments: each outcome is the one that docs/FORMAT.md says, and no record is
 * delivered that was not written; see tests/fault/_rot.ts. `./dev fault rot` goes on for longer.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { judge, rotCampaign, specimens } from "../fault/_rot.ts";

const DAMAGES = 600;
const MILLIS = 4_000;
const SEED = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 1e9));

test("what is not damaged is what was written", async () => {
  for (const specimen of specimens()) {
    const { state, records } = await judge(specimen, specimen.files, false);
    assert.equal(state, specimen.name === "closed" ? "clean" : "torn");
    assert.equal(records.size, specimen.records.size);
  }
});

test("damage of every kind", { timeout: 120_000 }, async () => {
  console.log(`# seed ${SEED}`);
  const counts = await rotCampaign(SEED, DAMAGES, performance.now() + MILLIS);
  console.log(`# ${JSON.stringify(counts)}`);
  assert.ok(counts.damages > 0);
});
