/**
 * The power of a machine in User-mode Linux is cut under a writer, and its disk is put into states that it
 * could have been left in; see tests/fault/_power.ts. The runtimes share them. The long form is `./dev fault power --full`.
 */
import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { skipMachines } from "../fault/_machine.ts";
import { skipUnmountable } from "../fault/_mounts.ts";
import { powerCampaign, replayCampaign } from "../fault/_power.ts";
import { isDeno, skipRing } from "../support/ring.ts";

const SEED = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 1e9));
const CUTS = 1;
const STATES = 10;
const ALL = process.env.URING_TEST_FULL !== undefined;

if (ALL || !isDeno) {
  test(
    "power cuts",
    { skip: skipRing || skipMachines(false) || skipUnmountable("ext4") },
    async () => {
      console.log(`# seed ${SEED}`);
      const counts = await powerCampaign("ext4", SEED, CUTS);
      console.log(`# ${JSON.stringify(counts)}`);
      assert.equal(counts.cuts, CUTS);
    },
  );
}

if (ALL || isDeno) {
  test(
    "states of a disk with a volatile cache",
    { skip: skipRing || skipMachines(true) || skipUnmountable("ext4") },
    async () => {
      console.log(`# seed ${SEED}`);
      const counts = await replayCampaign("ext4", SEED, STATES);
      console.log(`# ${JSON.stringify(counts)}`);
      assert.equal(counts.states, STATES);
      assert.ok(counts.records > 0, "there was a log");
    },
  );
}
