/**
 * Whether the simulated crashes would notice: the log with a promise broken on purpose
 * (tests/fault/mutants) must fail them, and the log as it is must pass. The runtimes share them.
 * `./dev fault mutants` does the same with all of them, each by what must find it out.
 */

import { strict as assert } from "node:assert";
import { after, test } from "node:test";
import process from "node:process";
import { isDeno } from "../support/ring.ts";
import { Laboratory, mutants } from "../fault/_mutants.ts";

const ALL = process.env.URING_TEST_FULL !== undefined;
const JUDGE = "sim --seed 1 --crashes 1000";
const JUDGE_SOUND = "sim --seed 1 --crashes 60";

const laboratory = new Laboratory();
after(() => laboratory[Symbol.dispose]());

test("the sources as they are pass", { timeout: 120_000 }, async () => {
  const { dead, says } = await laboratory.judge(undefined, [JUDGE_SOUND]);
  assert.ok(!dead, says);
});

const QUICK = mutants().filter(({ quick }) => quick);

for (const mutant of QUICK.filter((_, i) => ALL || i % 2 === (isDeno ? 0 : 1))) {
  test(`${mutant.name} is found out`, { timeout: 120_000 }, async () => {
    const { dead, says } = await laboratory.judge(mutant, [JUDGE]);
    console.log(`# ${mutant.name}: ${says}`);
    assert.ok(dead, `nothing noticed that this does not hold: ${mutant.promise}`);
  });
}
