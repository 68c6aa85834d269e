/**
 * B1 to B3: the shim builds SQEs from 100,000 random images, and a decoder that was written from the
 * manual pages alone says where the kernel would reach for each; nothing may lie outside the arena
 * and the slot's own memory, and no file but the ring's may be named. Once more while another thread
 * rewrites the images. Then sessions of random images and calls that are submitted, see
 * `shim/fuzz_submit.zig`. The seed is printed, and can be given as URING_SEED; `./dev fault abi` goes on
 * for longer.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { type Finding, fuzzProgram, judged, skipAlone, submittedFromZig } from "../fault/_abi.ts";
import { skipRing } from "../support/ring.ts";

const IMAGES = 100_000;
const SESSIONS = 500;
const MILLIS = 2_000;
const seed = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 2 ** 32));

function judge({ held, says }: Finding): void {
  console.log(`# seed ${seed}: ${says}`);
  assert.ok(held, `seed ${seed}: ${says}`);
}

describe("random images", () => {
  it("come from a program that builds", { timeout: 120_000 }, () => {
    fuzzProgram();
  });
  it("make no SQE that reaches beyond", { timeout: 60_000 }, async () => {
    const finding = await judged(seed, IMAGES, false);
    judge(finding);
    assert.match(finding.says, /^100000 images: \d{4,} accepted, \d{4,} refused/);
  });
  it("nor while they are rewritten", { timeout: 60_000 }, async () => {
    judge(await judged(seed, IMAGES, true));
  });
  it(
    "reach nothing beyond the ring when they are submitted",
    { skip: skipRing || skipAlone(), timeout: 120_000 },
    async () => judge(await submittedFromZig(seed, SESSIONS, MILLIS)),
  );
});
