/**
 * What `MemoryIo` says about failures, against a kernel that really has them: full file systems, a quota,
 * a limit on the size of files, devices that fail to write and to read. One scenario runs on all; the
 * results are the same line by line, and so is what is there afterwards (or it is among what the
 * simulation allows).
 */
import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DSYNC, errnoName, type Io, type IoFile, type IoStat, SyncIo, UringIo } from "../../io.ts";
import { MemoryIo } from "../../testing.ts";
import { FailingMount, ImageMount, run as command, skipUnmountable } from "../fault/_mounts.ts";
import { hasCommand, runProgram } from "../support/program.ts";
import { inScratch, ROOT, skipRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";
import { limited } from "./limit_program.ts";
import { filled, type Lack, openFile, readBytes, run, SYNC_LACKS, writeBytes } from "./support.ts";

const EIO = 5;
const MEGABYTE = 1 << 20;
const BLOCK = 4096;

const said = (res: number) => res < 0 ? errnoName(-res) : `${res}`;
const sync = (io: Io, file: IoFile) => said(run(io, (h) => io.fdatasync(file, h)));
const write = (io: Io, file: IoFile, letter: string, from: number, blocks: number, flags = 0) =>
  said(writeBytes(io, file, filled(blocks * BLOCK, letter.charCodeAt(0)), from * BLOCK, flags));
const sizeOf = (io: Io, file: IoFile) => {
  let stat!: IoStat;
  run(io, (h) => stat = io.stat(file, h));
  return stat.size;
};

/** A letter for each block: what it is full of, `?` for a mixture, `0` for zeros. */
function blocksOf(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    const value = block.every((byte) => byte === block[0]) ? block[0] : 63;
    text += value === 0 ? "0" : String.fromCharCode(value);
  }
  return text;
}

/** The kernel's backends on a mounted directory. */
const KERNEL: {
  name: string;
  skip: string | false;
  lacks: readonly Lack[];
  open: () => Io;
}[] = [
  { name: "uring", skip: skipRing, lacks: [], open: () => UringIo.open() },
  { name: "sync", skip: false, lacks: SYNC_LACKS, open: () => SyncIo.open() },
];

// A full file system

/** Fills the disk in pieces of three blocks, and makes room again. */
function full(io: Io, d: string): string[] {
  const lines: string[] = [];
  const file = openFile(io, `${d}/a`);
  let end = 0;
  for (let failures = 0; failures < 2;) {
    const res = writeBytes(io, file, filled(3 * BLOCK, 65), end);
    if (res < 0) failures++;
    else end += res;
    if (res !== 3 * BLOCK) lines.push(`write ${said(res)}`);
  }
  end = sizeOf(io, file);
  lines.push(`size ${end}`, `overwrite ${write(io, file, "B", 0, 3)}`);
  lines.push(`sync ${sync(io, file)}`);
  // Names need no room here.
  const other = openFile(io, `${d}/b`);
  lines.push(`another ${write(io, other, "C", 0, 1)}`, `size ${sizeOf(io, other)}`);
  lines.push(`beyond a hole ${write(io, other, "C", 1000, 1)}`, `size ${sizeOf(io, other)}`);
  lines.push(`truncate up ${said(run(io, (h) => io.truncate(other, 2 * MEGABYTE, h)))}`);
  lines.push(`truncate down ${said(run(io, (h) => io.truncate(other, 0, h)))}`);
  lines.push(`cut ${said(run(io, (h) => io.truncate(file, end - 2 * BLOCK, h)))}`);
  lines.push(`room for two ${write(io, other, "C", 0, 3)}`, `size ${sizeOf(io, other)}`);
  lines.push(`remove ${said(run(io, (h) => io.remove(`${d}/a`, h)))}`);
  // What is open keeps its blocks.
  lines.push(`still open ${write(io, other, "C", 2, 1)}`);
  lines.push(`close ${said(run(io, (h) => io.close(file, h)))}`);
  lines.push(`room ${write(io, other, "D", 2, 10)}`, `size ${sizeOf(io, other)}`);
  lines.push(blocksOf(readBytes(io, other, 0, 12 * BLOCK)));
  return lines;
}

/** As tmpfs(5) and write(2) have it: what there is room for is written, and then ENOSPC. */
const FULL = [
  "write 4096",
  "write ENOSPC",
  "write ENOSPC",
  `size ${MEGABYTE}`,
  "overwrite 12288",
  "sync 0",
  "another ENOSPC",
  "size 0",
  "beyond a hole ENOSPC",
  "size 0",
  "truncate up 0",
  "truncate down 0",
  "cut 0",
  "room for two 8192",
  "size 8192",
  "remove 0",
  "still open ENOSPC",
  "close 0",
  "room 40960",
  "size 49152",
  "CCDDDDDDDDDD",
];

test("memory: ENOSPC on a disk of 1 MiB", () => {
  const io = MemoryIo.create({ diskBytes: MEGABYTE });
  assert.deepEqual(full(io, ""), FULL);
});

for (const { name, skip, lacks, open } of KERNEL) {
  test(`${name}: ENOSPC on a tmpfs of 1 MiB, as simulated`, {
    skip: skip || skipUnmountable("tmpfs"),
  }, () => {
    using mount = new ImageMount("tmpfs", 1);
    using io = open();
    // What lacks them says nothing of what it wrote before it failed.
    const expected = lacks.includes("short writes")
      ? FULL.slice(1).map((line) => line.replace("two 8192", "two ENOSPC"))
      : FULL;
    assert.deepEqual(full(io, mount.point), expected);
  });
}

/** Fills what is free, through the page cache or around it; reservations, too. */
function fullOfBlocks(io: Io, d: string, direct: boolean): string[] {
  const file = openFile(io, `${d}/a`, { direct });
  const other = openFile(io, `${d}/b`, { direct });
  assert.equal(write(io, other, "C", 0, 16), `${16 * BLOCK}`);
  const lines: string[] = [];
  const note = (line: string) => {
    if (line !== lines.at(-1)) lines.push(line);
  };
  for (let at = 0, failures = 0; failures < 3;) {
    const res = writeBytes(io, file, filled(BLOCK, 65), at);
    if (res < 0) failures++;
    else at += res;
    note(`write ${said(res)}`);
  }
  note(`reserve ${said(run(io, (h) => io.allocate(file, 0, 1 << 30, h)))}`);
  note(`overwrite ${write(io, file, "B", 0, 3)}`);
  note(`sync ${sync(io, file)}`);
  note(`remove ${said(run(io, (h) => io.remove(`${d}/b`, h)))}`);
  note(`close ${said(run(io, (h) => io.close(other, h)))}`);
  note(`sync ${said(run(io, (h) => io.syncDirectory(d, h)))}`);
  const again = openFile(io, `${d}/c`, { direct });
  note(`room ${write(io, again, "D", 0, 8)}`);
  note(blocksOf(readBytes(io, file, 0, 4 * BLOCK)));
  note(blocksOf(readBytes(io, again, 0, 9 * BLOCK)));
  return lines;
}

for (const direct of [false, true]) {
  test(`uring: ENOSPC on ext4, ${direct ? "direct" : "cached"}, as simulated`, {
    skip: skipRing || skipUnmountable("ext4"),
  }, () => {
    using mount = new ImageMount("ext4", 8);
    using io = UringIo.open();
    const got = fullOfBlocks(io, mount.point, direct);
    const memory = MemoryIo.create({ diskBytes: 4 * MEGABYTE });
    memory.createDirectories("/d");
    assert.deepEqual(got, fullOfBlocks(memory, "/d", direct));
    assert.deepEqual(got.slice(0, 3), ["write 4096", "write ENOSPC", "reserve ENOSPC"]);
  });
}

// A quota

/** Writes until it is refused, and goes on when there is room again. */
function overQuota(io: Io, d: string, lacks: readonly Lack[], lift: () => void): string[] {
  const lines: string[] = [];
  const note = (line: string) => {
    if (line !== lines.at(-1)) lines.push(line);
  };
  const file = openFile(io, `${d}/a`);
  let end = 0;
  // What does not fit as a whole is written in part first, where that can be told.
  for (let failures = 0; failures < 3;) {
    const res = writeBytes(io, file, filled(16 * BLOCK, 65), end * BLOCK);
    if (res < 0) {
      failures++;
      end = Math.floor(sizeOf(io, file) / BLOCK);
    } else end += Math.floor(res / BLOCK);
    if (res !== 16 * BLOCK) note(res < 0 ? `write ${said(res)}` : "write short");
  }
  if (!lacks.includes("allocate")) {
    const reserved = run(io, (h) => io.allocate(file, 0, 8 * MEGABYTE, h));
    note(`reserve ${said(reserved)}`);
  }
  for (let failures = 0; failures < 3;) {
    const res = write(io, file, "A", end, 1);
    note(`write ${res}`);
    if (res === `${BLOCK}`) end++;
    else failures++;
  }
  note(`sync ${sync(io, file)}`);
  note(`size is what was written: ${sizeOf(io, file) === end * BLOCK}`);
  lift();
  note(`write ${write(io, file, "B", end, 2)}`);
  note(`sync ${sync(io, file)}`);
  note(blocksOf(readBytes(io, file, (end - 2) * BLOCK, 5 * BLOCK)));
  return lines;
}

for (const { name, skip, open, lacks } of KERNEL) {
  test(`${name}: EDQUOT on btrfs, as simulated`, { skip: skip || skipUnmountable("btrfs") }, () => {
    using mount = new ImageMount("btrfs", 256);
    command("btrfs", "quota", "enable", mount.point);
    command("btrfs", "qgroup", "limit", "4M", mount.point);
    using io = open();
    const got = overQuota(io, mount.point, lacks, () => {
      command("btrfs", "qgroup", "limit", "none", mount.point);
    });
    const memory = MemoryIo.create({ quotaBytes: 4 * MEGABYTE });
    // Room comes back when a file goes.
    const other = openFile(memory, "/other");
    assert.equal(write(memory, other, "O", 0, 77), `${77 * BLOCK}`);
    const simulated = overQuota(memory, "", lacks, () => {
      run(memory, (h) => memory.close(other, h));
      assert.equal(run(memory, (h) => memory.remove("/other", h)), 0);
    });
    // How much of its own a file system counts is not simulated: the kernel may refuse a last block more.
    const told = (lines: string[]) => lines.filter((line) => line !== `write ${BLOCK}`);
    const short = (lines: string[]) =>
      lacks.includes("short writes") ? lines.filter((line) => line !== "write short") : lines;
    assert.deepEqual(told(got), short(told(simulated)));
    assert.ok(got.includes("write EDQUOT"));
  });
}

// A limit on the size of files

/** As write(2) and setrlimit(2) have it. */
const LIMITED = [
  "write 24576",
  "write 24576",
  "write across 16384",
  "write behind EFBIG",
  "durable write behind EFBIG",
  "truncate up EFBIG",
  "overwrite 100",
  "sync 0",
  "size 65536",
  "65536 65,66,67,69",
  "File.writeAt EFBIG at 65536",
  "size 65536",
  "append or sync ECANCELED",
  "append or sync EFBIG",
  "append or sync 0",
  "append or sync 5000",
  "append or sync 60000",
  "65536 74 74",
];

test("memory: a short write, then EFBIG", async () => {
  const io = MemoryIo.create();
  assert.deepEqual(await limited(io, "", (fault) => void io.fail(fault)), LIMITED);
});

for (const { name, skip, lacks } of KERNEL) {
  test(`${name}: RLIMIT_FSIZE gives a short write, then EFBIG, as simulated`, {
    skip: skip || skipUnless(hasCommand("prlimit"), "prlimit is missing"),
  }, () =>
    inScratch(async (directory) => {
      const program = join(ROOT, "tests/io/limit_program.ts");
      // The signal would end the process before any call could say EFBIG.
      const launcher = ["env", "--ignore-signal=XFSZ"];
      const { stdout, stderr } = await runProgram(program, [name, directory], { launcher });
      const whole: Record<string, string> = {
        "write across 16384": "write across EFBIG",
        "File.writeAt EFBIG at 65536": "File.writeAt EFBIG at 0",
      };
      const expected = lacks.includes("short writes")
        ? LIMITED.map((line) => whole[line] ?? line)
        : LIMITED;
      assert.deepEqual(stdout === "" ? stderr : JSON.parse(stdout), expected);
    }));
}

// A device that fails to write

const BLOCKS = 4;

/** The device says EIO; which word the file system passes on depends on who finds out. */
const failure = (line: string) => line.replace(/^(EIO|ENOSPC)$/, "failed");

/** A file of zeros on the device, whose next writes fail in one of three ways. */
function failing(io: Io, d: string, way: string, fail: () => void): string[] {
  const direct = way === "direct";
  const file = openFile(io, `${d}/a`, { direct });
  assert.equal(write(io, file, "\0", 0, BLOCKS), `${BLOCKS * BLOCK}`);
  assert.equal(sync(io, file), "0");
  assert.equal(said(run(io, (h) => io.syncDirectory(d, h))), "0");
  fail();
  const flags = way === "durable" ? DSYNC : 0;
  const lines = [`write ${failure(write(io, file, "b", 0, BLOCKS, flags))}`];
  lines.push(`sync ${failure(sync(io, file))}`, `sync ${failure(sync(io, file))}`);
  // What programs see, and what the device has.
  if (!direct) lines.push(`cached ${blocksOf(readBytes(io, file, 0, BLOCKS * BLOCK))}`);
  assert.equal(run(io, (h) => io.advise(file, 0, 0, "dontneed", h)), 0);
  lines.push(`device ${blocksOf(readBytes(io, file, 0, BLOCKS * BLOCK))}`);
  assert.equal(run(io, (h) => io.close(file, h)), 0);
  return lines;
}

const FAILING: Record<string, string[]> = {
  cached: ["write 16384", "sync failed", "sync 0", "cached bbbb", "device 0000"],
  durable: ["write failed", "sync 0", "sync 0", "cached bbbb", "device 0000"],
  direct: ["write failed", "sync 0", "sync 0", "device 0000"],
};

for (const [way, expected] of Object.entries(FAILING)) {
  test(`memory: a failing device, ${way}: nothing but what may be left is left`, () => {
    const left = new Set<string>();
    for (let seed = 1; seed <= 30; seed++) {
      const io = MemoryIo.create({ seed, arenaBytes: 1 << 17 });
      io.createDirectories("/d");
      assert.equal(run(io, (h) => io.syncDirectory("/", h)), 0);
      const operation = way === "cached" ? "fdatasync" : "write";
      const lines = failing(io, "/d", way, () => io.fail({ operation, errno: EIO }));
      const device = lines.pop()!;
      assert.deepEqual(lines, expected.slice(0, -1));
      // Of each sector the device has the old or the new contents, and keeps them.
      assert.match(device, /^device [0b?]{4}$/);
      left.add(device);
      const after = blocksOf(io.crash(seed).image().get("/d/a")!);
      if (way === "cached") assert.equal(`device ${after}`, device);
    }
    assert.ok(left.has(expected.at(-1)!), "what the kernel leaves is among it");
  });

  for (const { name, skip, lacks, open } of KERNEL) {
    if (way === "direct" && lacks.includes("direct")) continue;
    test(`${name}: a failing device, ${way}, as simulated`, {
      skip: skip || skipUnmountable("ext4"),
    }, () => {
      using disk = new FailingMount(16);
      const io = open();
      try {
        const lines = failing(io, disk.point, way, () => disk.fail());
        if (lacks.includes("advice")) {
          assert.deepEqual(lines.splice(-1), ["device bbbb"]);
          assert.deepEqual(lines, expected.slice(0, -1));
        } else assert.deepEqual(lines, expected);
      } finally {
        io[Symbol.dispose]();
      }
      disk.mend();
      disk.remount();
      assert.deepEqual(blocksOf(readFileSync(`${disk.point}/a`)), "0000");
    });
  }
}

// A device that fails to read

/** Reads block by block a file of `abcdefgh` whose third block cannot be read, and heals it. */
function unreadable(io: Io, d: string, heal: () => void): string[] {
  const file = openFile(io, `${d}/a`);
  const lines: string[] = [];
  const buffer = io.acquireBuffer(BLOCK)!;
  const read = (block: number) => {
    const res = run(io, (h) => io.readAt(file, buffer, 0, BLOCK, block * BLOCK, h));
    lines.push(`read ${block} ${said(res)} ${res > 0 ? blocksOf(buffer.bytes) : ""}`);
  };
  for (let block = 0; block < 8; block++) read(block);
  read(2);
  lines.push(`write ${write(io, file, "C", 2, 1)}`, `sync ${sync(io, file)}`);
  heal();
  run(io, (h) => io.advise(file, 0, 0, "dontneed", h));
  read(2);
  io.releaseBuffer(buffer);
  return lines;
}

const UNREADABLE = [
  "read 0 4096 a",
  "read 1 4096 b",
  "read 2 EIO ",
  "read 3 4096 d",
  "read 4 4096 e",
  "read 5 4096 f",
  "read 6 4096 g",
  "read 7 4096 h",
  "read 2 EIO ",
  "write 4096",
  "sync 0",
  "read 2 4096 C",
];

const letters = Uint8Array.from({ length: 8 * BLOCK }, (_, i) => 97 + Math.floor(i / BLOCK));

test("memory: a block that cannot be read", () => {
  const io = MemoryIo.fromImage([["/a", letters]]);
  const faults = [3, 9].map((nth) => io.fail({ operation: "read", nth, errno: EIO }));
  assert.deepEqual(unreadable(io, "", () => {}), UNREADABLE);
  assert.deepEqual(faults.map(({ fired }) => fired), [1, 1]);
});

for (const { name, skip, open } of KERNEL) {
  test(`${name}: rot under btrfs is EIO for that block, as simulated`, {
    skip: skip || skipUnmountable("btrfs"),
  }, () => {
    using disk = new ImageMount("btrfs", 128, { mkfs: ["-d", "single"] });
    {
      using io = open();
      const file = openFile(io, `${disk.point}/a`);
      assert.equal(writeBytes(io, file, letters, 0), letters.length);
      assert.equal(run(io, (h) => io.fsync(file, h)), 0);
    }
    disk.unmount();
    rot(disk.image, letters.subarray(2 * BLOCK, 3 * BLOCK));
    disk.mount();
    using io = open();
    assert.deepEqual(unreadable(io, disk.point, () => {}), UNREADABLE);
  });
}

/** Flips one bit of every place of an image that holds `block`. */
function rot(image: string, block: Uint8Array): void {
  const descriptor = openSync(image, "r+");
  try {
    const piece = new Uint8Array(MEGABYTE);
    let found = 0;
    for (let at = 0;; at += piece.length) {
      const size = readSync(descriptor, piece, 0, piece.length, at);
      if (size === 0) break;
      for (let from = 0; from < size; from += BLOCK) {
        if (piece.subarray(from, from + BLOCK).some((byte, i) => byte !== block[i])) continue;
        writeSync(descriptor, Uint8Array.of(block[0] ^ 1), 0, 1, at + from);
        found++;
      }
    }
    assert.equal(found, 1, "the image holds the block once");
  } finally {
    closeSync(descriptor);
  }
}
