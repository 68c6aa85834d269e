/**
 * Snapshots: what the copy holds, that it is durable and whole when the call says so, that nothing is
 * left where it fails, and that the log does not notice.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { crc32c } from "../../src/io/crc32c.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import { Prng } from "../../src/io/prng.ts";
import { WalClosedError, WalCorruptionError, WalOptionsError } from "../../src/wal/errors.ts";
import type { Crc32c } from "../../src/wal/format.ts";
import { parseManifest } from "../../src/wal/snapshot.ts";
import { WalView } from "../../src/wal/view.ts";
import { Wal } from "../../src/wal/wal.ts";
import { appendOneByOne, readDirectory, readFile, records, SMALL } from "./support.ts";

const FIRST_SEED = Number(process.env.URING_SEED ?? 1);
const machine = (seed = 1) => MemoryIo.create({ seed, arenaBytes: 4 << 20 });

async function verify(io: MemoryIo, directory: string) {
  const view = await WalView.open(directory, io);
  const report = await view.verify();
  await view.close();
  return report;
}

/** The records of a log on this machine, which must be clean, as text. */
async function contents(io: MemoryIo, directory: string): Promise<string[]> {
  const report = await verify(io, directory);
  assert.deepEqual([report.state, report.sealed, report.error], ["clean", true, undefined]);
  const texts: string[] = [];
  const view = await WalView.open(directory, io);
  for await (const batch of view.read()) {
    for (let i = 0; i < batch.length; i++) texts.push(batch.text(i));
  }
  await view.close();
  assert.equal(texts.length, report.last - report.first + 1);
  return texts;
}

const named = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `record ${from + i}`);

test("a quiet log: the same records, and a manifest that says what is there", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 40);
  await wal.truncateBefore(4);
  const manifest = await wal.snapshot("/copies/1");
  assert.deepEqual([manifest.first, manifest.last], [4, 40]);
  assert.deepEqual(await contents(io, "/copies/1"), named(4, 40));
  // The manifest, read without the code that wrote it.
  const text = new TextDecoder().decode(await readFile(io, "/copies/1/SNAPSHOT"));
  const [line, crc, rest] = text.split("\n");
  assert.equal(rest, "");
  assert.deepEqual(JSON.parse(line), manifest);
  assert.equal(Number.parseInt(crc, 16), crc32c(new TextEncoder().encode(line + "\n")));
  // One digit of a number in it is another one.
  const damaged = new TextEncoder().encode(text);
  damaged[text.indexOf('"last":') + '"last":'.length] ^= 1;
  const crcOf: Crc32c = (bytes, seed) => crc32c(bytes, seed);
  assert.deepEqual(parseManifest("SNAPSHOT", new TextEncoder().encode(text), crcOf), manifest);
  assert.throws(() => parseManifest("SNAPSHOT", damaged, crcOf), WalCorruptionError);
  const files = await readDirectory(io, "/copies/1");
  files.delete("SNAPSHOT");
  assert.deepEqual(
    [...files].map(([name, bytes]) => ({ name, bytes: bytes.length, crc32c: crc32c(bytes) })),
    [...manifest.files].sort((a, b) => a.name < b.name ? -1 : 1),
  );
  // A log of its own, from here on.
  const copy = await Wal.open("/copies/1", { ...SMALL, io });
  assert.deepEqual([copy.recovery.tail, copy.recovery.lastLsn], ["clean", 40]);
  await appendOneByOne(copy, 60, "copy");
  await copy.close();
  const report = await verify(io, "/copies/1");
  assert.deepEqual([report.state, report.last], ["clean", 100], "its manifest is outdated now");
  await appendOneByOne(wal, 1);
  assert.equal((await records(wal)).get(41), "record 41");
  await wal.close();
  io[Symbol.dispose]();
});

test("a log without records, and one that ends with a segment", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  assert.equal((await wal.snapshot("/copies/0")).last, 0);
  assert.deepEqual(await contents(io, "/copies/0"), []);
  // Frames take a unit each; a segment holds 30 behind the two of its header.
  for (const count of [29, 1, 1]) {
    await appendOneByOne(wal, count);
    const to = wal.durableLsn;
    await wal.snapshot(`/copies/${to}`);
    assert.deepEqual(await contents(io, `/copies/${to}`), named(1, to));
  }
  await wal.close();
});

test("while it is appended to, rotated and truncated", { timeout: 60_000 }, async () => {
  console.log(`# seeds from ${FIRST_SEED}`);
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 30; seed++) {
    const rng = new Prng(seed);
    const io = machine(seed);
    const mode = rng.oneIn(2) ? "direct" : "buffered";
    const preallocate = !rng.oneIn(3);
    const options = { ...SMALL, mode, preallocate, io } as const;
    const wal = await Wal.open("/log", options);
    await appendOneByOne(wal, rng.between(1, 70));
    const first = wal.firstLsn;
    const durable = wal.durableLsn;
    const snapshot = wal.snapshot("/copy");
    let done = false;
    snapshot.finally(() => done = true).catch(() => {});
    for (let step = 0; step < 200 && !done; step++) {
      await appendOneByOne(wal, 3);
      if (rng.oneIn(5)) await wal.truncateBefore(rng.between(wal.firstLsn, wal.durableLsn));
    }
    const manifest = await snapshot;
    assert.deepEqual([manifest.first, manifest.last], [first, durable], `seed ${seed}`);
    assert.deepEqual(await contents(io, "/copy"), named(first, durable), `seed ${seed}`);
    // Pins are off: the files of what was removed are used again, or gone.
    await wal.truncateBefore(wal.durableLsn);
    await appendOneByOne(wal, 40);
    const files = io.listDirectory("/log").filter(({ name }) => name.endsWith(".wal"));
    assert.ok(files.length <= 7, `seed ${seed}: ${files.length} segments are left`);
    await wal.close();
    io[Symbol.dispose](); // throws when a buffer was kept
  }
});

test("a target that is not empty, a closed log, a log that closes meanwhile", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 100);
  const before = await readDirectory(io, "/log");
  before.delete("LOCK");
  await assert.rejects(wal.snapshot("/log"), WalOptionsError);
  await assert.rejects(wal.snapshot(""), WalOptionsError);
  const snapshot = wal.snapshot("/copy");
  const outcome = assert.rejects(snapshot, WalClosedError);
  await wal.close();
  await outcome;
  assert.deepEqual(io.listDirectory("/copy"), []);
  await assert.rejects(wal.snapshot("/other"), WalClosedError);
  io[Symbol.dispose]();
});

test("damage in the log fails the snapshot, with its place, and leaves nothing", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 70);
  for (const [segment, lsn] of [[1, 7], [3, 65]]) {
    const file = `/log/${String(segment).padStart(16, "0")}.wal`;
    const offset = (2 + (lsn - 1) % 30) * 4096;
    io.rot(file, offset + 70);
    await assert.rejects(wal.snapshot("/copy"), (error: WalCorruptionError) => {
      assert.ok(error instanceof WalCorruptionError, String(error));
      assert.deepEqual([error.file, error.offset], [file, offset]);
      return true;
    });
    assert.deepEqual(io.listDirectory("/copy"), []);
    io.rot(file, offset + 70);
  }
  await wal.snapshot("/copy");
  await wal.close();
});

test("a full or failing target: the error, nothing left, and a log that goes on", async () => {
  for (const operation of ["write", "fsync", "open", "rename", "syncDirectory"] as const) {
    for (let nth = 1; nth <= 4; nth++) {
      const io = machine();
      const wal = await Wal.open("/log", { ...SMALL, io });
      await appendOneByOne(wal, 40);
      const fault = io.fail({ operation, nth, path: /copy/, errno: nth === 1 ? 5 : 28 });
      const error = await wal.snapshot("/copy").then(() => undefined, (error) => error);
      if (fault.fired > 0) {
        assert.ok(["EIO", "ENOSPC"].includes(error?.code), `${operation} ${nth}: ${error}`);
        assert.match(error.message, /copy/);
        assert.deepEqual(io.listDirectory("/copy"), [], `${operation} ${nth}`);
        fault.cancel();
        await wal.snapshot("/copy");
      }
      assert.deepEqual(await contents(io, "/copy"), named(1, 40));
      await appendOneByOne(wal, 1);
      await wal.close();
    }
  }
});

test("a poisoned log: what was durable", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 5);
  io.fail({ operation: "write", path: /\.wal$/, errno: 5 });
  await assert.rejects(wal.durable(wal.append("lost")));
  await wal.snapshot("/copy");
  assert.deepEqual(await contents(io, "/copy"), named(1, 5));
  await wal.close();
});

test("verify finds a flipped bit in any file, also where no frame is", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 40);
  const { files } = await wal.snapshot("/copy");
  await wal.close();
  const places: [string, number][] = [["SNAPSHOT", 20], ["SNAPSHOT", 500]];
  for (const { name, bytes } of files) {
    for (const part of [0, 0.3, 0.999]) places.push([name, Math.floor(bytes * part)]);
  }
  for (const [name, offset] of places) {
    const path = `/copy/${name}`;
    if (offset >= (await readFile(io, path)).length) continue;
    io.rot(path, offset, offset % 8);
    const report = await verify(io, "/copy").catch((error) => ({ state: "corrupt", ...error }));
    assert.equal(report.state, "corrupt", `${path} at ${offset}`);
    assert.equal(report.file, path, `${path} at ${offset}`);
    io.rot(path, offset, offset % 8);
  }
  assert.equal((await verify(io, "/copy")).state, "clean");
});

/** What was reported is there after a power cut; what was not is whole, or no log, or refused. */
test("a crash at any step of a snapshot", { timeout: 60_000 }, async () => {
  console.log(`# seeds from ${FIRST_SEED}`);
  const outcomes = { reported: 0, whole: 0, none: 0, refused: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 60; seed++) {
    const rng = new Prng(seed);
    const io = machine(seed);
    const options = { ...SMALL, io, preallocate: !rng.oneIn(3), idleMarkMillis: Infinity };
    const wal = await Wal.open("/log", options);
    await appendOneByOne(wal, rng.between(1, 70));
    const last = wal.durableLsn;
    let reported = false;
    wal.snapshot("/copies/copy").then(() => reported = true, () => {});
    // A snapshot of this size takes up to some hundred turns.
    for (let turns = rng.below(250); turns > 0 && !reported; turns--) {
      wal.submitPending();
      await undefined;
      io.poll();
    }
    if (rng.oneIn(4)) { while (!reported) await new Promise((resolve) => setTimeout(resolve, 1)); }
    const off = io.crash(rng.next());
    const log = await Wal.open("/log", { ...SMALL, io: off });
    assert.equal(log.recovery.lastLsn, last, `seed ${seed}: the log itself`);
    await log.close();
    let state: string;
    try {
      assert.deepEqual(await contents(off, "/copies/copy"), named(1, last), `seed ${seed}`);
      state = reported ? "reported" : "whole";
    } catch (error) {
      const { code } = error as { code?: string };
      assert.ok(!reported, `seed ${seed}: it was reported, and then: ${error}`);
      assert.ok(code === "WalMissing" || code === "WalCorruption", `seed ${seed}: ${error}`);
      state = code === "WalMissing" ? "none" : "refused";
    }
    outcomes[state as keyof typeof outcomes]++;
  }
  console.log(`# ${JSON.stringify(outcomes)}`);
  assert.ok(outcomes.reported > 0 && outcomes.none + outcomes.refused > 0);
});
