/**
 * A writer is killed with four writes of a mebibyte in flight on a slow disk. The lock of its directory is
 * free at once, and the writes land long afterwards: whoever opens the log must wait for the last one, or
 * say that it is locked, and what was recovered must stay.
 */

import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openIo } from "../../src/io/open_io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { commandOf } from "../fault/_history.ts";
import { FRAME_BYTES, LATE_OPTIONS, lateRecord } from "../fault/_late.ts";
import { skipSlow, SLOW_BYTES_PER_SECOND, SlowGroup } from "../fault/_slow_group.ts";
import { inScratch, skipRing } from "../support/ring.ts";

/** All four writes at that speed, and once more. */
const LANDED_MILLIS = 2 * 4 * FRAME_BYTES / SLOW_BYTES_PER_SECOND * 1000;

const skip = skipRing || await skipSlow();

const hashOf = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

async function contents(wal: Wal): Promise<number> {
  let lsn = 0;
  for await (const batch of wal.read()) {
    for (let i = 0; i < batch.length; i++) {
      lsn = batch.firstLsn + i;
      const expected = lateRecord(lsn);
      assert.equal(batch.bytes(i).length, expected.length, `length of record ${lsn}`);
      assert.ok(batch.bytes(i).every((byte) => byte === expected[0]), `record ${lsn}`);
    }
  }
  return lsn;
}

test("an opening waits for the writes of a killed writer", { skip, timeout: 120_000 }, async () => {
  await inScratch(async (folder) => {
    using group = new SlowGroup(folder);
    const directory = join(folder, "log");
    const [program, args] = commandOf("tests/fault/_late_writer.ts", directory);
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    let said = "";
    const until = async (pattern: RegExp) => {
      while (!pattern.test(said)) {
        const [data] = await new Promise<[Uint8Array]>((resolve, reject) => {
          child.stdout.once("data", (data: Uint8Array) => resolve([data]));
          child.once("exit", () => reject(new Error(`the writer ended: ${said}`)));
        });
        said += new TextDecoder().decode(data);
      }
    };
    await until(/ready\n/);
    group.add(child.pid!);
    child.stdin.write("go\n");
    await until(/sent .*\n/);
    const [, inFlight, durable] = /sent (\d+) (\d+)/.exec(said)!;
    child.kill("SIGKILL");
    await ended;
    assert.ok(Number(inFlight) >= 3, `${inFlight} frames in flight`);

    const io = openIo({ backend: "uring", arenaBytes: 8 << 20 });
    await assert.rejects(
      Wal.open(directory, { ...LATE_OPTIONS, io, lockTimeoutMillis: 0 }),
      { code: "WalLocked" },
      "with writes still on their way",
    );
    const wal = await Wal.open(directory, { ...LATE_OPTIONS, io, lockTimeoutMillis: 60_000 });
    const { lastLsn, tail, file } = wal.recovery;
    assert.ok(lastLsn >= Number(durable) && lastLsn <= 5, `records up to ${lastLsn}`);
    assert.notEqual(tail, "clean");
    assert.equal(await contents(wal), lastLsn);
    const before = hashOf(file);
    await new Promise((resolve) => setTimeout(resolve, LANDED_MILLIS));
    assert.equal(hashOf(file), before, "something landed behind the recovery");
    await wal.close();
    const again = await Wal.open(directory, { ...LATE_OPTIONS, io });
    assert.deepEqual([again.recovery.tail, again.recovery.lastLsn], ["clean", lastLsn]);
    assert.equal(await contents(again), lastLsn);
    await again.close();
    io[Symbol.dispose]();
    console.log(`# ${inFlight} in flight, durable ${durable}, recovered ${lastLsn}`);
  });
});
