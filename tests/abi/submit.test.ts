/**
 * Random images written straight into staging, and random calls of the library's functions, past all that
 * `src/ring` checks: see tests/fault/_abi_program.ts. `./dev fault abi` goes on for longer.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { skipAlone, submittedFromTypeScript } from "../fault/_abi.ts";
import { skipRing } from "../support/ring.ts";

const SESSIONS = 200;
const MILLIS = 1_500;
const seed = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 2 ** 32));

test(
  "what TypeScript writes and calls reaches nothing beyond the ring",
  { skip: skipRing || skipAlone(), timeout: 120_000 },
  async () => {
    const { held, says } = await submittedFromTypeScript(seed, SESSIONS, MILLIS);
    console.log(`# seed ${seed}: ${says}`);
    assert.ok(held, `seed ${seed}: ${says}`);
    assert.ok(JSON.parse(says).submitted > 0, says);
  },
);
