/**
 * A file system is shut down under a writer at random moments, which loses what was not synced; see
 * tests/fault/_shutdown.ts.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { type FileSystem, ImageMount, skipUnmountable } from "../fault/_mounts.ts";
import { shutdownCampaign } from "../fault/_shutdown.ts";
import { skipRing } from "../support/ring.ts";

const SEED = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 1e9));
const TIMES = process.env.URING_TEST_FULL ? 20 : 1;
/** Of each runtime: fifty together. */
const CYCLES: Partial<Record<FileSystem, number>> = { ext4: 15 * TIMES, xfs: 10 * TIMES };
const IMAGE_MEGABYTES = 400;

for (const [name, cycles] of Object.entries(CYCLES)) {
  const fileSystem = name as FileSystem;
  const skip = skipRing || skipUnmountable(fileSystem);
  test(`${cycles} shutdowns of ${name}`, { skip, timeout: 3_600_000 }, async () => {
    console.log(`# seed ${SEED}`);
    using mount = new ImageMount(fileSystem, IMAGE_MEGABYTES);
    const counts = await shutdownCampaign(mount, SEED, cycles);
    console.log(`# ${JSON.stringify(counts)}`);
    assert.equal(counts.cycles, cycles);
    assert.ok(counts.torn > 0 && counts.acknowledged > cycles, "it was writing");
  });
}
