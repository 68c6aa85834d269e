/**
 * What mode "auto" decides, on simulated machines whose time is virtual: measured once, stored with the
 * machine that it is for, never against the user's own choice.
 */

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MemoryIo, type MemoryIoOptions } from "../../src/io/memory.ts";
import { Prng } from "../../src/io/prng.ts";
import { UringIo } from "../../src/io/uring.ts";
import { CALIBRATION_MICROS_MAX, decide } from "../../src/wal/calibration.ts";
import { WalOptionsError } from "../../src/wal/errors.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal, type WalStats } from "../../src/wal/wal.ts";
import { appendOneByOne, readFile, records, removeFile, SMALL, writeFile } from "./support.ts";

const PATH = "/log";
const STORED = `${PATH}/CALIBRATION`;
const OTHER = { "device": "4096 bytes", "fileSystem": "zfs", "kernel": "5.15" };

function machine(options: MemoryIoOptions = {}): MemoryIo {
  return MemoryIo.create({ seed: 11, arenaBytes: 2 << 20, ...options });
}

/** Opens, appends a record, closes; gives what the log said of itself. */
async function visit(io: MemoryIo, options: WalOptions = {}): Promise<WalStats> {
  const wal = await Wal.open(PATH, { ...SMALL, ...options, io });
  const stats = wal.stats();
  await wal.durable(wal.append(`record ${wal.appendedLsn + 1}`));
  await wal.close();
  return stats;
}

function stored(io: MemoryIo): boolean {
  return io.listDirectory(PATH).some(({ name }) => name === "CALIBRATION");
}

test("a new log measures on its spare, and stores the result; the next opening does not", async () => {
  const io = machine({ history: true });
  const first = await visit(io);
  assert.equal(first.mode, "direct", "one operation instead of two");
  assert.match(first.modeReason, /^measured: a frame of 4096 bytes takes \d+ µs direct, .*8192/);
  const text = new TextDecoder().decode(await readFile(io, STORED));
  const { version, machine: of, mode, reason } = JSON.parse(text);
  assert.deepEqual([version, mode, reason], [1, "direct", first.modeReason]);
  assert.deepEqual(of, { device: `${2 ** 40} bytes`, fileSystem: "ext4", kernel: "6.18" });
  const before = io.history.length;
  const second = await visit(io);
  assert.deepEqual([second.mode, second.modeReason], ["direct", first.modeReason]);
  const writes = io.history.slice(before).filter((line) =>
    / write .*(wal |CALIBRATION)/.test(line)
  );
  assert.equal(writes.length, 1, `only the record's frame: ${writes.join("\n")}`);
  io[Symbol.dispose]();
});

test("no write of a measurement begins after 20 ms; a device that slow is written buffered", async () => {
  for (const [latencyMicros, measured] of [[1000, true], [30_000, false]] as const) {
    const io = machine({ latencyMicros, history: true });
    const { mode, modeReason } = await visit(io);
    const times = io.history.filter((line) => / write .*0001\.wal\.tmp /.test(line))
      .map((line) => Number(line.split(" ")[0]) - latencyMicros);
    // The zeros come first, in one piece; then what is measured.
    const measuring = times.slice(1);
    assert.ok(measuring.at(-1)! - measuring[0] <= CALIBRATION_MICROS_MAX + 16 * latencyMicros / 10);
    if (measured) assert.match(modeReason, /^measured/);
    else {assert.deepEqual([mode, modeReason], [
        "buffered",
        "20 ms did not suffice to measure what is quicker",
      ]);}
    // That, too, is a result: it is not tried at every opening.
    const before = io.history.length;
    assert.equal((await visit(io)).mode, mode);
    const again = io.history.slice(before).filter((line) => / write .*0001\.wal/.test(line));
    assert.ok(again.length <= 1, again.join("\n"));
    io[Symbol.dispose]();
  }
});

test("another device, file system or kernel: buffered, until it is measured anew", async () => {
  for (const [name, value] of Object.entries(OTHER)) {
    const io = machine();
    const { modeReason } = await visit(io);
    const before = JSON.parse(new TextDecoder().decode(await readFile(io, STORED)));
    before.machine[name] = value;
    await writeFile(io, STORED, new TextEncoder().encode(JSON.stringify(before)));
    const moved = await visit(io);
    assert.equal(moved.mode, "buffered");
    assert.match(moved.modeReason, new RegExp(`measured on another .*${value}.*recalibrate: true`));
    assert.equal((await visit(io)).mode, "buffered", "nothing is measured without being asked");
    const anew = await visit(io, { recalibrate: true });
    assert.equal(anew.mode, "direct");
    assert.match(anew.modeReason, /^measured: /);
    assert.notEqual(modeReason, "");
    assert.equal((await visit(io)).modeReason, anew.modeReason);
    const wal = await Wal.open(PATH, { ...SMALL, io });
    assert.deepEqual([...(await records(wal)).keys()], [1, 2, 3, 4, 5]);
    await wal.close();
    io[Symbol.dispose]();
  }
  // The same by the kernel of the machine itself.
  const io = machine();
  await visit(io);
  const updated = io.crash(1, { kernel: "6.19" });
  const { mode, modeReason } = await visit(updated);
  assert.equal(mode, "buffered");
  assert.match(modeReason, /another kernel \(6\.18, and here it is 6\.19\)/);
});

test("what the user has fixed is never measured nor overridden", async () => {
  const io = machine();
  for (const mode of ["buffered", "direct"] as const) {
    const stats = await visit(io, { mode });
    assert.deepEqual([stats.mode, stats.modeReason], [mode, "asked for"]);
    await assert.rejects(
      visit(io, { mode, recalibrate: true }),
      (error: Error) => error instanceof WalOptionsError && /leaves nothing/.test(error.message),
    );
  }
  assert.ok(!stored(io));
  const auto = await visit(io);
  assert.match(auto.modeReason, /^measured/);
  assert.equal((await visit(io, { mode: "buffered" })).mode, "buffered");
  assert.equal((await visit(io)).modeReason, auto.modeReason);
  await assert.rejects(visit(io, { recalibrate: 1 as unknown as boolean }), /recalibrate/);
  io[Symbol.dispose]();
});

test("no direct I/O: buffered, and nothing is measured", async () => {
  const io = machine({ alignment: { memory: 0, offset: 0, physical: 0 } });
  const { mode, modeReason } = await visit(io);
  assert.deepEqual([mode, modeReason], ["buffered", "the file system does not allow direct I/O"]);
  assert.ok(!stored(io));
  io[Symbol.dispose]();
});

test("what is stored cannot be read: it is measured once more", async () => {
  const texts = ["", "{", "null", "[]", '{"version":2}', '{"version":1,"mode":"fast"}', "\0\0\0"];
  for (const text of texts) {
    const io = machine();
    await visit(io);
    await writeFile(io, STORED, new TextEncoder().encode(text));
    assert.match((await visit(io)).modeReason, /^measured/, JSON.stringify(text));
    await removeFile(io, STORED);
    assert.match((await visit(io)).modeReason, /^measured/);
    io[Symbol.dispose]();
  }
});

test("measuring fails: buffered, the spare is removed, the log is whole", async () => {
  const failures = [
    { operation: "write", path: /0001\.wal\.tmp$/, nth: 2, errno: 5 },
    { operation: "write", path: /0001\.wal\.tmp$/, nth: 6, errno: 28 },
    { operation: "fdatasync", path: /0001\.wal\.tmp$/, nth: 1, errno: 5 },
    { operation: "open", path: /0001\.wal\.tmp$/, nth: 2, errno: 22 },
  ] as const;
  for (const failure of failures) {
    const io = machine();
    const fault = io.fail(failure);
    const { mode, modeReason } = await visit(io);
    assert.equal(fault.fired, 1, JSON.stringify(failure));
    assert.equal(mode, "buffered");
    assert.match(modeReason, /^what is quicker could not be measured: (write|fdatasync|open) /);
    const again = await visit(io);
    assert.deepEqual([again.mode, again.modeReason], [mode, modeReason]);
    const wal = await Wal.open(PATH, { ...SMALL, io });
    assert.deepEqual([...(await records(wal)).values()], ["record 1", "record 2"]);
    await wal.close();
    io[Symbol.dispose]();
  }
  // Not stored: the log works all the same, and says so.
  const io = machine();
  io.fail({ operation: "rename", path: /CALIBRATION/, errno: 28 });
  const { mode, modeReason } = await visit(io);
  assert.equal(mode, "direct");
  assert.match(modeReason, /^measured.*the result could not be stored: rename .*ENOSPC/);
  io[Symbol.dispose]();
});

test("each size counts by its ratio", () => {
  const sample = (directMicros: number, bufferedMicros: number) => ({
    frameBytes: 4096,
    directMicros,
    bufferedMicros,
  });
  assert.equal(decide([]), "buffered");
  assert.equal(decide([sample(10, 20)]), "direct");
  assert.equal(decide([sample(20, 10)]), "buffered");
  assert.equal(decide([sample(10, 30), sample(2000, 1000)]), "direct");
  assert.equal(decide([sample(10, 15), sample(2000, 1000)]), "buffered");
});

test("a real disk: measured, stored, kept", async () => {
  const root = mkdtempSync(join(tmpdir(), "uring-calibration-"));
  const io = UringIo.open({ arenaBytes: 4 << 20 });
  try {
    const modes: string[] = [];
    for (let opening = 0; opening < 2; opening++) {
      const wal = await Wal.open(join(root, "log"), { io, segmentBytes: 1 << 20 });
      const { mode, modeReason } = wal.stats();
      modes.push(`${mode} ${modeReason}`);
      await wal.durable(wal.append("x"));
      await wal.close();
    }
    console.log(`# ${modes[0]}`);
    assert.equal(modes[1], modes[0]);
  } finally {
    io[Symbol.dispose]();
    rmSync(root, { recursive: true });
  }
});

test("killed while it measures: nothing lands on the records of the next opening", async () => {
  let measured = 0;
  for (let seed = 1; seed <= 80; seed++) {
    const rng = new Prng(seed);
    const io = MemoryIo.create({ seed, arenaBytes: 2 << 20, history: true });
    const options = { ...SMALL, lockTimeoutMillis: 60_000 };
    Wal.open("/log", { ...options, io }).catch(() => {});
    for (let turns = rng.between(60, 200); turns > 0; turns--) {
      io.poll();
      await undefined;
    }
    // The first write under the temporary name is of zeros.
    const writes = io.history.filter((line) => / write .*1\.wal\.tmp /.test(line));
    if (writes.length > 1) measured++;
    const next = io.kill();
    const wal = await Wal.open("/log", { ...options, io: next, mode: "direct" });
    await appendOneByOne(wal, 10);
    await wal.close();
    const again = await Wal.open("/log", { ...options, io: next, mode: "direct" });
    assert.deepEqual([again.recovery.tail, again.recovery.lastLsn], ["clean", 10], `seed ${seed}`);
    await again.close();
  }
  assert.ok(measured > 10, `${measured} were measuring`);
});
