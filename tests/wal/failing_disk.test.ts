/**
 * Real devices that fail and real disks that are full; the same on the simulator, with more cases, is in
 * failing_device.test.ts.
 */

import { strict as assert } from "node:assert";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { openIo } from "../../src/io/open_io.ts";
import { WalFullError, WalPoisonedError } from "../../src/wal/errors.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";
import { FailingMount, ImageMount, skipUnmountable } from "../fault/_mounts.ts";
import { recordOf, same } from "../fault/_records.ts";
import { skipRing } from "../support/ring.ts";

const SEED = 7;
const RUN = 1;
const skip = skipRing || skipUnmountable("ext4");

const OPTIONS: WalOptions = {
  segmentBytes: 1 << 20,
  commit: { maxBytes: 65_536, maxInFlight: 4 },
  idleMarkMillis: 3_600_000,
};

/** Appends `count` records that follow from their LSNs. */
function appendSome(wal: Wal, count: number): number {
  for (let i = 0; i < count; i++) wal.append(recordOf(SEED, RUN, wal.appendedLsn + 1));
  return wal.appendedLsn;
}

/** Reads everything, compares, and gives the last LSN. */
async function compare(wal: Wal): Promise<number> {
  let lsn = wal.firstLsn - 1;
  for await (const batch of wal.read()) {
    for (let i = 0; i < batch.length; i++) {
      lsn++;
      assert.equal(batch.firstLsn + i, lsn);
      assert.ok(same(batch.bytes(i), recordOf(SEED, RUN, lsn)), `record ${lsn}`);
    }
  }
  assert.equal(lsn, wal.recovery.lastLsn);
  return lsn;
}

for (const mode of ["buffered", "direct"] as const) {
  test(`${mode}: a failing device poisons the log; nothing is reported that is not on it`, {
    skip,
    timeout: 60_000,
  }, async () => {
    using disk = new FailingMount(32);
    const directory = `${disk.point}/log`;
    await using logs = new AsyncDisposableStack();
    const io = openIo({ backend: "uring", arenaBytes: 1 << 20 });
    logs.defer(() => io[Symbol.dispose]());
    const wal = logs.use(await Wal.open(directory, { ...OPTIONS, mode, io }));
    assert.equal(wal.stats().mode, mode);
    await wal.durable(appendSome(wal, 20));
    const acknowledged = wal.durableLsn;
    disk.fail();
    const poisoned = new Promise((resolve) => wal.addEventListener("poisoned", resolve));
    const pending = wal.durable(appendSome(wal, 50));
    await assert.rejects(pending, (error: WalPoisonedError) => {
      assert.ok(error instanceof WalPoisonedError, String(error));
      console.log(`# ${mode}: ${error.message}`);
      // The loop device says EIO; a file system may have found out earlier.
      assert.ok(["EIO", "ENOSPC", "EROFS"].includes((error.cause as { code: string }).code));
      return true;
    });
    await poisoned;
    assert.throws(() => wal.append("more"), WalPoisonedError);
    assert.ok(wal.durableLsn >= acknowledged && wal.durableLsn < wal.appendedLsn);
    const { durableLsn } = wal;
    await wal.close();
    disk.mend();
    // At once: the cache of the file system still shows what never reached the device.
    const again = logs.use(await Wal.open(directory, { ...OPTIONS, mode, io }));
    const reported = await compare(again);
    assert.ok(reported >= durableLsn, `${durableLsn} were acknowledged, ${reported} are there`);
    await again.close();
    disk.remount();
    const after = logs.use(await Wal.open(directory, { ...OPTIONS, mode, io }));
    assert.equal(await compare(after), reported, "reported, and not on the device");
  });
}

test("a disk of 32 MB gets full: the log says so, is undamaged, and goes on with space", {
  skip,
  timeout: 60_000,
}, async () => {
  using disk = new ImageMount("ext4", 32);
  const directory = `${disk.point}/log`;
  await using logs = new AsyncDisposableStack();
  const io = openIo({ backend: "uring", arenaBytes: 1 << 20 });
  logs.defer(() => io[Symbol.dispose]());
  const wal = logs.use(await Wal.open(directory, { ...OPTIONS, io }));
  let poisoned = 0;
  wal.addEventListener("poisoned", () => poisoned++);
  const fill = async (): Promise<WalFullError> => {
    // Ends with the disk.
    for (;;) {
      try {
        wal.append(recordOf(SEED, RUN, wal.appendedLsn + 1));
      } catch (error) {
        assert.ok(error instanceof WalFullError, String(error));
        if (error.cause !== undefined) return error;
        // Every frame is in flight, or waits for a segment: then an append finds out why.
        await Promise.race([wal.ready(), new Promise((resolve) => setTimeout(resolve, 5))]);
      }
    }
  };
  const full = await fill();
  assert.equal((full.cause as { code: string }).code, "ENOSPC");
  assert.match(full.message, /ENOSPC.*undamaged/);
  assert.ok(wal.durableLsn < wal.appendedLsn, "accepted, and waiting for space");
  const accepted = wal.appendedLsn;

  // With a truncation.
  await wal.truncateBefore(wal.durableLsn - 100);
  assert.ok(await wal.durable(accepted) >= accepted);
  await wal.durable(appendSome(wal, 100));

  // And when somebody else frees space, by itself.
  mkdirSync(`${disk.point}/other`);
  const fillers: string[] = [];
  try {
    // Ends with the disk.
    for (;;) {
      const name = `${disk.point}/other/${fillers.length}`;
      fillers.push(name);
      writeFileSync(name, new Uint8Array(1 << 20));
    }
  } catch (error) {
    assert.equal((error as { code: string }).code, "ENOSPC");
  }
  assert.equal(((await fill()).cause as { code: string }).code, "ENOSPC");
  const waiting = wal.durable(wal.appendedLsn);
  for (const name of fillers) rmSync(name, { force: true });
  assert.equal(await waiting, wal.appendedLsn);
  assert.equal(poisoned, 0);
  const { appendedLsn } = wal;
  await wal.close();

  const again = logs.use(await Wal.open(directory, { ...OPTIONS, io }));
  assert.deepEqual([again.recovery.tail, again.recovery.lastLsn], ["clean", appendedLsn]);
  await compare(again);
});
