/**
 * Operation N fails, and system call N, for some N and each scenario; for every N it is
 * `./dev fault every-op --full`. See tests/fault/_every_op.ts and tests/fault/_every_call.ts.
 */
import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { everyCallCampaign, skipWithoutStrace } from "../fault/_every_call.ts";
import { everyOpCampaign } from "../fault/_every_op.ts";

const SEED = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 1e9));
const STRIDE = 61;
const CALL_STRIDE = 50;

test("one operation of a simulated machine fails", async () => {
  console.log(`# seed ${SEED}`);
  const counts = await everyOpCampaign([SEED], undefined, STRIDE);
  console.log(`# ${JSON.stringify(counts)}`);
  assert.ok(counts.errors > 0 && counts.unnoticed > 0 && counts.poisoned > 0);
});

test("one system call fails", { skip: skipWithoutStrace() }, async () => {
  const counts = await everyCallCampaign(CALL_STRIDE);
  console.log(`# ${JSON.stringify(counts)}`);
  assert.ok(counts.errors > 0 && counts.acknowledged > 0);
});
