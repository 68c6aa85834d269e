/**
 * What a log is given wrongly, on real file systems: each is a clear error that names its place, and
 * what was stored stays as it was. Damage in every place is in damage.test.ts, the command line's words
 * in tests/cli.
 */

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { crc32c } from "../../src/io/crc32c.ts";
import type { Io } from "../../src/io/io.ts";
import { openIo } from "../../src/io/open_io.ts";
import { WalRecordTooLargeError } from "../../src/wal/errors.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";
import { run } from "../fault/_mounts.ts";
import { inScratch, skipRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";
import { records, SMALL } from "./support.ts";

const skip = skipRing;
// Of a slot of META, docs/FORMAT.md.
const SLOT_BYTES = 128;
const FORMAT_VERSION_OFFSET = 8;
const CRC_OFFSET = 12;

/** Names, kinds and contents of everything in a folder, but what LOCK says. */
function hashOf(folder: string): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    hash.update(`${name}\0`);
    const stat = lstatSync(path);
    if (stat.isDirectory()) hash.update(hashOf(path));
    else if (stat.isFile() && name !== "LOCK") hash.update(readFileSync(path));
  }
  return hash.digest("hex");
}

/** A closed log of three records, one of them empty. */
async function logIn(folder: string, io: Io, name = "log"): Promise<string> {
  const log = join(folder, name);
  await using wal = await Wal.open(log, { ...SMALL, io });
  for (const record of ["one", "", "three"]) await wal.durable(wal.append(record));
  return log;
}

async function withIo(body: (folder: string, io: Io) => Promise<void>): Promise<void> {
  await inScratch(async (folder) => {
    using io = openIo({ backend: "uring", arenaBytes: 1 << 20 });
    await body(folder, io);
  });
}

/** Opening fails with `code`, names `place`, and changes nothing in `folder`. */
async function refused(
  folder: string,
  log: string,
  io: Io,
  code: string,
  place: string,
  options: WalOptions = {},
): Promise<Error> {
  const before = hashOf(folder);
  let failure: Error | undefined;
  await assert.rejects(Wal.open(log, { ...SMALL, ...options, io }), (error: Error) => {
    failure = error;
    assert.equal((error as { code?: string }).code, code, String(error));
    assert.ok(error.message.includes(place), `${place} is not named: ${error.message}`);
    return true;
  });
  assert.equal(hashOf(folder), before, "a refused opening changed something");
  return failure!;
}

test("a directory that is a file, or lies in one, or leads nowhere", { skip }, async () => {
  await withIo(async (folder, io) => {
    const file = join(folder, "file");
    writeFileSync(file, "not a log");
    await refused(folder, file, io, "EEXIST", file);
    await refused(folder, join(file, "log"), io, "ENOTDIR", file);
    const link = join(folder, "link");
    symlinkSync(link, link);
    await refused(folder, join(link, "log"), io, "ELOOP", link);
    const long = join(folder, "n".repeat(300));
    await refused(folder, long, io, "ENAMETOOLONG", long);
  });
});

for (const name of ["META", "LOCK", "0000000000000001.wal"]) {
  test(`${name} is a directory`, { skip }, async () => {
    await withIo(async (folder, io) => {
      const log = await logIn(folder, io);
      const path = join(log, name);
      rmSync(path);
      mkdirSync(path);
      await refused(folder, log, io, "EISDIR", path);
    });
  });
}

const DAMAGES: [string, string, RegExp, (segment: string, other: string) => void][] = [
  ["a truncated segment", "0000000000000001.wal", /cut short/, (segment) => {
    truncateSync(segment, 100_000);
  }],
  ["an empty segment", "0000000000000001.wal", /header/, (segment) => truncateSync(segment, 0)],
  ["a segment of zeros", "0000000000000001.wal", /header/, (segment) => {
    writeFileSync(segment, new Uint8Array(readFileSync(segment).length));
  }],
  ["a bit-flipped record", "0000000000000001.wal", /record/, (segment) => {
    const bytes = readFileSync(segment);
    bytes[bytes.indexOf("one")] ^= 1;
    writeFileSync(segment, bytes);
  }],
  ["a foreign segment", "0000000000000001.wal", /another log/, (segment, other) => {
    writeFileSync(segment, readFileSync(join(other, "0000000000000001.wal")));
  }],
  ["a newer META", "META", /newer.*newer @uring\/io/, (segment) => {
    const meta = segment.replace(/[^/]*$/, "META");
    const bytes = readFileSync(meta);
    for (const at of [0, 65_536]) {
      const slot = bytes.subarray(at, at + SLOT_BYTES);
      const view = new DataView(slot.buffer, slot.byteOffset, SLOT_BYTES);
      view.setUint32(FORMAT_VERSION_OFFSET, 2, true);
      view.setUint32(CRC_OFFSET, 0, true);
      view.setUint32(CRC_OFFSET, crc32c(slot, 0), true);
    }
    writeFileSync(meta, bytes);
  }],
];

for (const [what, name, reason, damage] of DAMAGES) {
  test(`${what} is refused, and left as it is`, { skip }, async () => {
    await withIo(async (folder, io) => {
      const log = await logIn(folder, io);
      damage(join(log, "0000000000000001.wal"), await logIn(folder, io, "other"));
      const error = await refused(folder, log, io, "WalCorruption", join(log, name));
      assert.match(error.message, reason);
      assert.match(error.message, /at byte \d+/);
      assert.match(error.message, /No record was changed/);
    });
  });
}

test("a record too large, in every way in, and empty ones", { skip }, async () => {
  await withIo(async (folder, io) => {
    const log = await logIn(folder, io);
    const wal = await Wal.open(log, { ...SMALL, io });
    const largest = wal.maxRecordBytes;
    const large = [new Uint8Array(largest + 1), "x".repeat(largest + 1), "€".repeat(largest / 2)];
    for (const record of large) {
      const check = (error: WalRecordTooLargeError) => {
        assert.ok(error instanceof WalRecordTooLargeError, String(error));
        assert.equal(error.maxRecordBytes, largest);
        return true;
      };
      assert.throws(() => wal.append(record), check);
      assert.throws(() => wal.tryAppend(record), check);
      assert.throws(() => wal.appendBatch(["fits", record]), check);
    }
    assert.equal(wal.appendedLsn, 3, "nothing of what was refused was taken");
    wal.append(new Uint8Array(largest).fill(0x61));
    wal.append("");
    wal.appendBatch(["", new Uint8Array(0)]);
    await wal.close();
    const again = await Wal.open(log, { ...SMALL, io });
    const expected = ["one", "", "three", "a".repeat(largest), "", "", ""];
    assert.deepEqual([...(await records(again)).values()], expected);
    await again.close();
  });
});

/** A file system in memory, where direct I/O may not be possible; or why there is none. */
function memoryFileSystem(megabytes: number): { path: string; missing: string | undefined } {
  const path = mkdtempSync(join(tmpdir(), "uring-tmpfs-"));
  try {
    run("mount", "-t", "tmpfs", "-o", `size=${megabytes}m`, "uring-test", path);
  } catch (error) {
    rmdirSync(path);
    return { path, missing: `no tmpfs can be mounted here (${(error as Error).message.trim()})` };
  }
  after(() => {
    run("umount", path);
    rmdirSync(path);
  });
  return { path, missing: undefined };
}

const memory = memoryFileSystem(1);
const skipMemory = skip || skipUnless(memory.missing === undefined, `${memory.missing}`);

test("a file system without direct I/O: auto is buffered, direct is refused", {
  skip: skipMemory,
}, async () => {
  using io = openIo({ backend: "uring", arenaBytes: 1 << 20 });
  const log = join(memory.path, "log");
  let possible: boolean;
  {
    await using wal = await Wal.open(log, { ...SMALL, io });
    const { mode, modeReason } = wal.stats();
    possible = mode === "direct";
    assert.equal(/does not allow/.test(modeReason), !possible);
    await wal.durable(wal.append("kept"));
  }
  if (possible) {
    // Newer kernels have direct I/O on tmpfs: then asking for it is right.
    await using wal = await Wal.open(log, { ...SMALL, mode: "direct", io });
    assert.equal(wal.stats().mode, "direct");
  } else {
    const error = await Wal.open(log, { ...SMALL, mode: "direct", io }).catch((error) => error);
    assert.equal(error.code, "WalOptions", String(error));
    assert.ok(error.message.includes(log) && /tmpfs/.test(error.message), error.message);
    assert.match(error.message, /"auto" or "buffered"/);
  }
  await using again = await Wal.open(log, { ...SMALL, mode: "buffered", io });
  assert.deepEqual([...(await records(again)).values()], ["kept"]);
  await again.close();
  rmSync(log, { recursive: true });
});

test("a disk that is full from the start: the errno, and no half-made log in the way", {
  skip: skipMemory,
}, async () => {
  using io = openIo({ backend: "uring", arenaBytes: 1 << 20 });
  const log = join(memory.path, "large");
  await assert.rejects(Wal.open(log, { ...SMALL, segmentBytes: 4 << 20, io }), {
    code: "ENOSPC",
  });
  // With smaller segments there is room.
  const wal = await Wal.open(log, { ...SMALL, io });
  await wal.durable(wal.append("fits"));
  await wal.close();
  assert.ok(!readdirSync(log).some((name) => name.endsWith(".tmp")));
  rmSync(log, { recursive: true });
});
