/**
 * Random programs that end in power cuts and kills, on disks that fail, against a model
 * (src/testing/wal_model.ts): whatever was acknowledged is there, nothing is invented, and opening again
 * changes nothing. The seed of a failure is in its message; `URING_SEED` starts elsewhere.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { host } from "../../src/host/host.ts";
import { crashRun, newCrashCounts } from "../../src/testing/wal_model.ts";

/** Of the simulated disk; each runtime does half of a million. */
const OPERATIONS = process.env.URING_TEST_FULL ? 4_000_000 : 500_000;
/** A seed gives the same history on every runtime: each has its own. */
const FIRST_SEED = Number(process.env.URING_SEED ?? (host().name === "bun" ? 1 : 1_000_001));

test(`${OPERATIONS} operations with seeded crashes`, { timeout: 3_600_000 }, async () => {
  const counts = newCrashCounts();
  console.log(`# seeds from ${FIRST_SEED}`);
  // Each run has at least one crash.
  for (let seed = FIRST_SEED; counts.operations < OPERATIONS; seed++) {
    try {
      await crashRun(seed, counts);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  console.log(`# ${JSON.stringify(counts)}`);
  // The runs must have been where they claim to go.
  const { runs } = counts;
  assert.ok(counts.torn > runs / 2, "unfinished tails");
  assert.ok(counts.clean > runs / 2, "clean openings");
  assert.ok(counts.ambiguous > 0, "ambiguous tails");
  assert.ok(counts.crashesInRecovery > runs / 50, "crashes inside recovery");
  assert.ok(counts.kills > runs / 5, "kills");
  assert.ok(counts.faults > runs / 10 && counts.poisoned > runs / 50, "failing disks");
  assert.ok(counts.segments > runs, "more than one segment");
  assert.ok(counts.acknowledged > 0 && counts.truncations > 0 && counts.marks > runs / 5);
});
