/**
 * The fault model of `MemoryIo`, statement by statement as the header of `src/io/memory.ts` has them.
 *
 * Method: one state is crashed with many seeds. What must hold, holds in every outcome; what may
 * happen, happens in some: a model that is too kind would hide mistakes of the programs tested on it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DSYNC, File, type Io, type IoFile, type IoStat, IoUsageError } from "../../io.ts";
import { MemoryCrashError, MemoryIo, type MemoryIoOptions } from "../../testing.ts";
import { filled, openFile, readBytes, readText, run, writeBytes } from "./support.ts";

const EIO = 5, EAGAIN = 11, ENOSPC = 28, EDQUOT = 122;
const SEEDS = 200;
const SECTOR = 512;

/** A file in `/d`, made durable with its directory entry, `size` bytes of `a`. */
function prepared(options: MemoryIoOptions = {}, size = 8 * SECTOR, open = {}) {
  const io = MemoryIo.create({ seed: 3, ...options });
  io.createDirectories("/d");
  sync(io, "/");
  const file = openFile(io, "/d/a", open);
  if (size > 0) assert.equal(writeBytes(io, file, filled(size, 97), 0), size);
  assert.equal(run(io, (h) => io.fsync(file, h)), 0);
  sync(io, "/d");
  return { io, file };
}

function sync(io: Io, directory: string): void {
  assert.equal(run(io, (h) => io.syncDirectory(directory, h)), 0);
}

/** What crashes with many seeds leave of `path`; `undefined`: no file. */
function outcomes(io: MemoryIo, path = "/d/a", seeds = SEEDS): (Uint8Array | undefined)[] {
  return Array.from({ length: seeds }, (_, seed) => io.ifCrashed(seed).image().get(path));
}

/** Each sector of the bytes as one letter: its value, or `?` when it is mixed. */
function sectors(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return "none";
  let text = "";
  for (let at = 0; at < bytes.length; at += SECTOR) {
    const sector = bytes.subarray(at, at + SECTOR);
    const value = sector.every((byte) => byte === sector[0]) ? sector[0] : 63;
    text += value === 0 ? "0" : String.fromCharCode(value);
  }
  return text;
}

const write = (io: Io, file: IoFile, letter: string, from: number, count: number, flags = 0) =>
  assert.equal(
    writeBytes(
      io,
      file,
      filled(count * SECTOR, letter.charCodeAt(0)),
      from * SECTOR,
      flags,
    ),
    count * SECTOR,
  );

const some = (texts: string[], pattern: RegExp) =>
  assert.ok(texts.some((text) => pattern.test(text)), `no ${pattern} in ${[...new Set(texts)]}`);
const all = (texts: string[], pattern: RegExp) => {
  for (const text of texts) assert.match(text, pattern);
};

// Data

for (const direct of [false, true]) {
  const way = direct ? "direct" : "cached";

  test(`a ${way} write that was not synced survives wholly, partly or not at all`, () => {
    const { io, file } = prepared({}, 8 * SECTOR, { direct });
    write(io, file, "b", 2, 4);
    const texts = outcomes(io).map(sectors);
    all(texts, /^aa[ab]{4}aa$/);
    some(texts, /^aabbbbaa$/);
    some(texts, /^aaaaaaaa$/);
    some(texts, /^aa(?!aaaa|bbbb)/);
  });

  test(`${way} writes that were not synced survive in any order`, () => {
    const { io, file } = prepared({}, 8 * SECTOR, { direct });
    write(io, file, "b", 0, 1);
    write(io, file, "c", 4, 1);
    const texts = outcomes(io).map(sectors);
    for (const pattern of [/^baaac/, /^aaaac/, /^baaaa/, /^aaaaa/]) some(texts, pattern);
  });

  test(`a ${way} write in flight at the crash survives wholly, partly or not at all`, () => {
    const { io, file } = prepared({}, 8 * SECTOR, { direct });
    const buffer = io.acquireBuffer()!;
    buffer.bytes.fill(98);
    // Durable once it has completed, which it has not.
    io.writeAt(file, buffer, 0, 4 * SECTOR, 0, DSYNC, 1);
    const texts = outcomes(io).map(sectors);
    all(texts, /^[ab]{4}aaaa$/);
    some(texts, /^bbbb/);
    some(texts, /^aaaa/);
    some(texts, /^(?!aaaa|bbbb)/);
    // What the program does to its memory after the crash changes nothing.
    io.crash();
    buffer.bytes.fill(99);
    assert.deepEqual(outcomes(io).map(sectors), texts);
  });

  test(`a ${way} write with DSYNC is durable at its completion, with the size`, () => {
    const { io, file } = prepared({}, 2 * SECTOR, { direct });
    write(io, file, "b", 6, 2, DSYNC);
    all(outcomes(io).map(sectors), /^aa0000bb$/);
  });
}

test("dsync as an option of the open is the same as DSYNC", () => {
  const { io, file } = prepared({}, SECTOR, { dsync: true });
  write(io, file, "b", 1, 2);
  all(outcomes(io).map(sectors), /^abb$/);
});

test("a sector is one of the versions it has had since it was durable", () => {
  const { io, file } = prepared({}, SECTOR);
  write(io, file, "b", 0, 1);
  writeBytes(io, file, "c", 0);
  writeBytes(io, file, "d", 1);
  // Parts of one sector survive in their order, since the sector is written as a whole.
  const firsts = outcomes(io).map((bytes) => String.fromCharCode(...bytes!.subarray(0, 3)));
  all(firsts, /^(aaa|bbb|cbb|cdb)$/);
  for (const pattern of [/aaa/, /bbb/, /cbb/, /cdb/]) some(firsts, pattern);
});

test("a durable write carries older ones in the very same sectors, and no others", () => {
  const { io, file } = prepared();
  writeBytes(io, file, "b", 0);
  write(io, file, "c", 1, 1);
  assert.equal(writeBytes(io, file, "d", 10, DSYNC), 1);
  const found = outcomes(io).map((bytes) =>
    String.fromCharCode(bytes![0], bytes![10], bytes![SECTOR])
  );
  all(found, /^bd[ac]$/);
  some(found, /^bda$/);
  some(found, /^bdc$/);
});

test("a write after a durable one may be lost, the durable one stays", () => {
  const { io, file } = prepared({}, SECTOR);
  write(io, file, "b", 0, 1);
  write(io, file, "c", 0, 1, DSYNC);
  write(io, file, "d", 0, 1);
  const texts = outcomes(io).map(sectors);
  all(texts, /^[cd]$/);
  some(texts, /c/);
  some(texts, /d/);
});

for (const name of ["fsync", "fdatasync"] as const) {
  test(`${name} makes durable what completed before it was submitted, and nothing later`, () => {
    const { io, file } = prepared({ latencyMicros: 100, reorder: false }, 4 * SECTOR);
    write(io, file, "b", 0, 1);
    const buffer = io.acquireBuffer()!;
    buffer.bytes.fill(99);
    // In flight before the sync, completes before it too, and is not covered.
    io.writeAt(file, buffer, 0, SECTOR, SECTOR, 0, 1);
    io[name](file, 2);
    while (io.inFlight > 0) {
      io.park();
      io.completions.clear();
    }
    write(io, file, "d", 2, 1);
    const texts = outcomes(io).map(sectors);
    all(texts, /^b[ac][ad]a$/);
    some(texts, /^ba/);
    some(texts, /^..a/);
  });

  test(`${name} makes the size durable`, () => {
    const { io, file } = prepared({}, SECTOR);
    write(io, file, "b", 1, 3);
    assert.equal(run(io, (h) => io[name](file, h)), 0);
    all(outcomes(io).map(sectors), /^abbb$/);
    assert.equal(run(io, (h) => io.truncate(file, 2 * SECTOR, h)), 0);
    assert.equal(run(io, (h) => io[name](file, h)), 0);
    all(outcomes(io).map(sectors), /^ab$/);
    assert.equal(run(io, (h) => io.allocate(file, 0, 4 * SECTOR, h)), 0);
    assert.equal(run(io, (h) => io[name](file, h)), 0);
    all(outcomes(io).map(sectors), /^ab00$/);
  });
}

test("a size that was not synced is the old one, the new one, or one in between", () => {
  const { io, file } = prepared({}, 2 * SECTOR);
  write(io, file, "b", 2, 6);
  const found = outcomes(io).map((bytes) => bytes!);
  const sizes = new Set(found.map((bytes) => bytes.length));
  assert.ok(sizes.has(2 * SECTOR) && sizes.has(8 * SECTOR) && sizes.size > 2);
  for (const bytes of found) {
    assert.deepEqual(bytes.slice(0, 2 * SECTOR), filled(2 * SECTOR, 97));
    for (let at = 2 * SECTOR; at < bytes.length; at++) {
      assert.ok(bytes[at] === 98 || bytes[at] === 0);
    }
  }
  // The size may have survived without the data.
  some(found.map(sectors), /^aa.*0/);
});

test("a hole that was never written reads as zeros", () => {
  const { io, file } = prepared({}, SECTOR);
  write(io, file, "b", 6, 2);
  for (const bytes of outcomes(io)) {
    for (let at = SECTOR; at < Math.min(6 * SECTOR, bytes!.length); at++) {
      assert.equal(bytes![at], 0);
    }
  }
});

test("truncation and allocation that were not synced may be lost", () => {
  const { io, file } = prepared({}, 4 * SECTOR);
  run(io, (h) => io.truncate(file, SECTOR, h));
  let texts = outcomes(io).map(sectors);
  all(texts, /^(aaaa|a)$/);
  some(texts, /^aaaa$/);
  some(texts, /^a$/);
  run(io, (h) => io.fsync(file, h));
  run(io, (h) => io.allocate(file, 0, 2 * SECTOR, h));
  texts = outcomes(io).map(sectors);
  all(texts, /^a[0?]?$/);
  some(texts, /^a$/);
  some(texts, /^a0$/);
  // What was cut off does not come back.
  write(io, file, "b", 2, 1, DSYNC);
  all(outcomes(io).map(sectors), /^a0b$/);
});

test("opening with truncate is a truncation", () => {
  const { io } = prepared({}, 2 * SECTOR);
  openFile(io, "/d/a", { truncate: true });
  const texts = outcomes(io).map(sectors);
  all(texts, /^(aa|)$/);
  some(texts, /^aa$/);
  some(texts, /^$/);
});

test("bytes that were cut off read as zeros when the file grows again", () => {
  const { io, file } = prepared({}, 4 * SECTOR);
  run(io, (h) => io.truncate(file, SECTOR + 1, h));
  run(io, (h) => io.truncate(file, 4 * SECTOR, h));
  const bytes = readBytes(io, file, 0, 4 * SECTOR);
  assert.equal(bytes[SECTOR], 97);
  assert.deepEqual(bytes.slice(SECTOR + 1), filled(3 * SECTOR - 1, 0));
});

test("the sector is as large as asked for", () => {
  const { io, file } = prepared({ sectorBytes: 4096 }, 3 * 4096);
  writeBytes(io, file, filled(3 * 4096, 98), 0);
  for (const bytes of outcomes(io)) {
    for (let at = 0; at < bytes!.length; at += 4096) {
      const page = bytes!.subarray(at, at + 4096);
      assert.ok(page.every((byte) => byte === page[0]));
    }
  }
});

// Names

const names = (io: MemoryIo) => [...io.image().keys()].join(" ");
const nameOutcomes = (io: MemoryIo) =>
  Array.from({ length: SEEDS }, (_, seed) => names(io.ifCrashed(seed)));

test("fsync of a file does not make its name durable, syncDirectory does", () => {
  const { io } = prepared();
  const file = openFile(io, "/d/b");
  writeBytes(io, file, "data", 0, DSYNC);
  run(io, (h) => io.fsync(file, h));
  some(nameOutcomes(io), /^\/d\/a$/);
  some(nameOutcomes(io), /^\/d\/a \/d\/b$/);
  sync(io, "/d");
  all(nameOutcomes(io), /^\/d\/a \/d\/b$/);
  for (const bytes of outcomes(io, "/d/b")) assert.equal(bytes!.length, 4);
});

test("a name does not carry the data of its file", () => {
  const { io } = prepared();
  writeBytes(io, openFile(io, "/d/b"), filled(SECTOR, 98), 0);
  sync(io, "/d");
  some(outcomes(io, "/d/b").map(sectors), /^$/);
  some(outcomes(io, "/d/b").map(sectors), /^b$/);
});

test("the sync of a directory covers what completed before it was submitted", () => {
  const { io } = prepared({ latencyMicros: 10, reorder: false });
  io.open("/d/b", { write: true, create: true }, 1);
  io.syncDirectory("/d", 2);
  while (io.inFlight > 0) {
    io.park();
    io.completions.clear();
  }
  some(nameOutcomes(io), /^\/d\/a$/);
});

test("a directory needs the sync of its parent", () => {
  const { io } = prepared();
  io.createDirectories("/d/e/f");
  openFile(io, "/d/e/f/b");
  sync(io, "/d/e/f");
  sync(io, "/d/e");
  const found = nameOutcomes(io);
  some(found, /^\/d\/a$/);
  some(found, /f\/b/);
  sync(io, "/d");
  all(nameOutcomes(io), /^\/d\/a \/d\/e\/f\/b$/);
});

test("names of one directory survive in any order", () => {
  const { io } = prepared();
  for (const name of ["b", "c"]) openFile(io, `/d/${name}`);
  const found = nameOutcomes(io);
  for (const pattern of [/^\/d\/a$/, /a \/d\/b$/, /a \/d\/c$/, /b \/d\/c$/]) some(found, pattern);
});

test("removes and renames of different files survive in any order (L7)", () => {
  const io = MemoryIo.fromImage([["/1", filled(1, 1)], ["/2", filled(1, 2)], ["/3", filled(1, 3)]]);
  run(io, (h) => io.remove("/1", h));
  run(io, (h) => io.remove("/2", h));
  run(io, (h) => io.rename("/3", "/4", h));
  const found = nameOutcomes(io);
  assert.equal(new Set(found).size, 8);
  all(found, /^(\/1 ?)?(\/2 ?)?(\/3|\/4)$/);
});

test("a rename happens as a whole or not at all", () => {
  const io = MemoryIo.fromImage([["/old", filled(3, 1)], ["/new", filled(4, 2)]]);
  run(io, (h) => io.rename("/old", "/new", h));
  const found = Array.from(
    { length: SEEDS },
    (_, seed) =>
      [...io.ifCrashed(seed).image()].map(([path, bytes]) => `${path}:${bytes.length}`).join(" "),
  );
  all(found, /^(\/new:4 \/old:3|\/new:3)$/);
  some(found, /old/);
  some(found, /^\/new:3$/);
  sync(io, "/");
  assert.deepEqual([...io.crash(1).image().keys()], ["/new"]);
});

test("a rename across directories: the sync of either makes it durable", () => {
  for (const directory of ["/x", "/y"]) {
    const io = MemoryIo.fromImage([["/x/a", filled(1, 1)], ["/y/b", filled(1, 1)]]);
    run(io, (h) => io.rename("/x/a", "/y/a", h));
    some(nameOutcomes(io), /\/x\/a/);
    sync(io, directory);
    all(nameOutcomes(io), /^\/y\/a \/y\/b$/);
  }
});

test("a change does not survive without one that it builds on", () => {
  const { io } = prepared();
  openFile(io, "/d/b");
  run(io, (h) => io.rename("/d/b", "/d/c", h));
  run(io, (h) => io.rename("/d/c", "/d/e", h));
  const found = nameOutcomes(io);
  all(found, /^\/d\/a( \/d\/[bce])?$/);
  for (const pattern of [/a$/, /b$/, /c$/, /e$/]) some(found, pattern);
});

test("a link is a second name, and each may be lost", () => {
  const { io } = prepared({}, SECTOR);
  run(io, (h) => io.link("/d/a", "/d/b", h));
  run(io, (h) => io.remove("/d/a", h));
  const found = nameOutcomes(io);
  for (const pattern of [/^\/d\/a$/, /^\/d\/b$/, /^\/d\/a \/d\/b$/, /^$/]) some(found, pattern);
});

test("names in flight at the crash may have happened", () => {
  const { io } = prepared();
  io.rename("/d/a", "/d/b", 1);
  io.open("/d/c", { write: true, create: true }, 2);
  const found = nameOutcomes(io);
  for (const pattern of [/^\/d\/a$/, /^\/d\/b$/, /a \/d\/c$/, /b \/d\/c$/]) some(found, pattern);
});

test("what survived is durable: a second crash changes nothing", () => {
  const { io, file } = prepared();
  write(io, file, "b", 0, 6);
  openFile(io, "/d/c");
  for (let seed = 0; seed < 20; seed++) {
    const once = io.crash(seed);
    const image = once.image();
    for (let again = 0; again < 5; again++) assert.deepEqual(once.crash(again).image(), image);
  }
});

test("crash: none keeps only what is durable, all keeps everything", () => {
  const { io, file } = prepared({}, 2 * SECTOR);
  write(io, file, "b", 0, 4);
  openFile(io, "/d/c");
  const buffer = io.acquireBuffer()!;
  buffer.bytes.fill(99);
  io.writeAt(file, buffer, 0, SECTOR, 0, 0, 1);
  for (let seed = 0; seed < 10; seed++) {
    const none = io.crash(seed, { survival: "none" });
    assert.deepEqual([names(none), sectors(none.image().get("/d/a"))], ["/d/a", "aa"]);
    const kept = io.crash(seed, { survival: "all" });
    assert.deepEqual([names(kept), sectors(kept.image().get("/d/a"))], ["/d/a /d/c", "cbbb"]);
  }
});

test("the crash that was taken leaves the other outcomes of the moment alone", () => {
  const { io, file } = prepared();
  write(io, file, "b", 0, 8);
  const before = outcomes(io).map(sectors);
  const one = io.crash(1);
  const again = openFile(one, "/d/a");
  write(one, again, "z", 0, 8, DSYNC);
  run(one, (h) => one.remove("/d/a", h));
  assert.deepEqual(outcomes(io).map(sectors), before);
});

test("blocks are counted anew after a crash", () => {
  const { io, file } = prepared({ diskBytes: 1 << 20 });
  const free = io.statFs(file).availableBytes;
  writeBytes(io, openFile(io, "/d/b"), filled(40_960, 1), 0);
  assert.equal(io.statFs(file).availableBytes, free - 40_960);
  const after = io.crash(1, { survival: "none" });
  assert.equal(after.statFs(openFile(after, "/d/a")).availableBytes, free);
});

// Failures

test("the n-th operation of a kind fails, once or from then on, on a path", () => {
  const { io, file } = prepared();
  const other = openFile(io, "/d/b");
  const once = io.fail({ operation: "fdatasync", nth: 2, errno: EIO, path: "/d/a" });
  const results = [other, file, other, file, file, file].map((one) =>
    run(io, (h) => io.fdatasync(one, h))
  );
  assert.deepEqual(results, [0, 0, 0, -EIO, 0, 0]);
  assert.deepEqual([once.fired, once.matched], [1, 4]);
  const always = io.fail({ operation: "write", nth: 2, errno: ENOSPC, persistent: true });
  assert.deepEqual([1, 2, 3].map(() => writeBytes(io, file, "x", 0)), [1, -ENOSPC, -ENOSPC]);
  assert.equal(always.fired, 2);
  always.cancel();
  assert.equal(writeBytes(io, file, "x", 0), 1);
  io.fail({ path: /b$/, errno: EIO });
  assert.equal(run(io, (h) => io.stat("/d/a", h)), 0);
  assert.equal(run(io, (h) => io.rename("/d/a", "/d/b", h)), -EIO);
  assert.deepEqual([...io.image().keys()], ["/d/a", "/d/b"]);
});

test("every operation can fail, and does nothing then", () => {
  const operations: [name: string, start: (io: MemoryIo, file: IoFile, h: number) => unknown][] = [
    ["open", (io, _, h) => io.open("/d/x", { write: true, create: true }, h)],
    ["close", (io, file, h) => io.close(file, h)],
    ["stat", (io, file, h) => io.stat(file, h)],
    ["truncate", (io, file, h) => io.truncate(file, 1, h)],
    ["allocate", (io, file, h) => io.allocate(file, 0, 1 << 20, h)],
    ["advise", (io, file, h) => io.advise(file, 0, 0, "dontneed", h)],
    ["rename", (io, _, h) => io.rename("/d/a", "/d/x", h)],
    ["link", (io, _, h) => io.link("/d/a", "/d/x", h)],
    ["remove", (io, _, h) => io.remove("/d/a", h)],
    ["syncDirectory", (io, _, h) => io.syncDirectory("/d", h)],
    ["fsync", (io, file, h) => io.fsync(file, h)],
    ["fdatasync", (io, file, h) => io.fdatasync(file, h)],
  ];
  for (const [operation, start] of operations) {
    const { io, file } = prepared();
    const before = io.image();
    const fault = io.fail({ operation: operation as "open", errno: EIO });
    assert.equal(run(io, (h) => start(io, file, h)), -EIO, operation);
    assert.equal(fault.fired, 1);
    assert.deepEqual(io.image(), before);
  }
  const { io, file } = prepared();
  io.fail({ operation: "lock", errno: 9 });
  assert.equal(io.lock(file), -9);
  assert.equal(io.lock(file), 0);
  io.fail({ operation: "listDirectory", errno: EIO });
  assert.throws(() => io.listDirectory("/d"), { code: "EIO", operation: "listDirectory" });
  io.fail({ operation: "createDirectories", errno: ENOSPC });
  assert.throws(() => io.createDirectories("/e"), { code: "ENOSPC", path: "/e" });
  assert.throws(() => io.fail({ operation: "read" }), /exactly one of errno, short/);
});

test("short transfers", () => {
  const { io, file } = prepared();
  io.fail({ operation: "write", short: 3 });
  assert.equal(writeBytes(io, file, "xyz12345", 0), 3);
  io.fail({ operation: "read", short: 5 });
  assert.equal(readText(io, file, 0, 8), "xyzaa");
  const direct = openFile(io, "/d/a", { direct: true });
  io.fail({ operation: "write", short: 1500 });
  assert.equal(writeBytes(io, direct, filled(4096, 98), 0), 1024);
});

test("a misdirected write lands elsewhere, a lost one nowhere; both report success", () => {
  const { io, file } = prepared({}, 4 * SECTOR);
  io.fail({ operation: "write", misdirect: 2 * SECTOR });
  write(io, file, "b", 0, 1, DSYNC);
  assert.equal(sectors(io.image().get("/d/a")), "aaba");
  io.fail({ operation: "write", lost: true });
  write(io, file, "c", 0, 1, DSYNC);
  assert.equal(sectors(io.image().get("/d/a")), "aaba");
  io.fail({ operation: "fdatasync", lost: true });
  write(io, file, "d", 0, 1);
  assert.equal(run(io, (h) => io.fdatasync(file, h)), 0);
  some(outcomes(io).map(sectors), /^aaba$/);
});

test("a torn write reports success, and each of its sectors is old or new", () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const { io, file } = prepared({ seed }, 4 * SECTOR);
    io.fail({ operation: "write", torn: true });
    write(io, file, "b", 0, 4, DSYNC);
    const now = sectors(io.image().get("/d/a"));
    assert.match(now, /^[ab]{4}$/);
    seen.add(now);
    // What is there is durable, as the write said.
    for (const outcome of outcomes(io).map(sectors)) assert.equal(outcome, now);
    write(io, file, "c", 0, 4, DSYNC);
    assert.equal(sectors(io.image().get("/d/a")), "cccc");
  }
  assert.ok(seen.size > 8, [...seen].join(" "));
});

test("a quota gives a short write first, then EDQUOT, and blocks that are freed can be had", () => {
  const io = MemoryIo.create({ quotaBytes: 3 * 4096 });
  const file = openFile(io, "/a");
  assert.equal(writeBytes(io, file, filled(5 * 4096, 1), 0), 3 * 4096);
  assert.equal(writeBytes(io, file, filled(10, 2), 3 * 4096), -EDQUOT);
  assert.equal(run(io, (h) => io.allocate(file, 0, 5 * 4096, h)), -EDQUOT);
  // What has a block can be overwritten.
  assert.equal(writeBytes(io, file, filled(4096, 3), 0), 4096);
  assert.equal(run(io, (h) => io.truncate(file, 4096, h)), 0);
  assert.equal(writeBytes(io, file, filled(10, 2), 4096), 10);
  const after = io.crash(1, { survival: "all" });
  assert.equal(writeBytes(after, openFile(after, "/b"), filled(2 * 4096, 1), 0), 4096);
});

test("latencies come from a distribution, the same for the same seed", () => {
  const took = (seed: number) => {
    // One in four takes a millisecond, the others ten microseconds.
    const io = MemoryIo.create({ seed, latencyMicros: (draw) => draw() < 0.25 ? 1000 : 10 });
    const file = openFile(io, "/a");
    return Array.from({ length: 400 }, () => {
      const start = io.now();
      run(io, (h) => io.fdatasync(file, h));
      return io.now() - start;
    });
  };
  const micros = took(5);
  assert.deepEqual([...new Set(micros)].sort((a, b) => a - b), [10, 1000]);
  const slow = micros.filter((one) => one === 1000).length;
  assert.ok(slow > 60 && slow < 140, `${slow}`);
  assert.deepEqual(took(5), micros);
  assert.notDeepEqual(took(6), micros);
  const broken = MemoryIo.create({ latencyMicros: () => NaN });
  assert.throws(() => broken.stat("/", 1), /latencyMicros gave NaN/);
  assert.equal(broken.inFlight, 0);
});

for (const name of ["fsync", "fdatasync"] as const) {
  test(`after a failed ${name} the pages count as clean, and the data may be gone (L2)`, () => {
    let gone = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const { io, file } = prepared({ seed }, 32 * SECTOR);
      const direct = openFile(io, "/d/a", { direct: true });
      write(io, file, "b", 0, 16);
      write(io, file, "c", 32, 16);
      io.fail({ operation: name, errno: EIO });
      assert.equal(run(io, (h) => io[name](file, h)), -EIO);
      // The second one succeeds.
      assert.equal(run(io, (h) => io[name](file, h)), 0);
      const full = /^b{16}a{16}c{16}$/;
      assert.match(sectors(readBytes(io, file, 0, 48 * SECTOR)), full);
      // A direct read sees the device.
      const onDevice = sectors(readBytes(io, direct, 0, 48 * SECTOR));
      assert.match(onDevice, /^[ab]{16}a{16}[c0]{16}$/);
      if (!full.test(onDevice)) gone++;
      // So does a crash, and nothing brings the rest back.
      all(outcomes(io, "/d/a", 10).map(sectors), new RegExp(`^${onDevice}$`));
    }
    assert.ok(gone > 30, `${gone} of 40 lost something`);
  });

  test(`after a failed ${name}, advise with dontneed shows what is on the device`, () => {
    const { io, file } = prepared({ seed: 2 }, 16 * SECTOR);
    write(io, file, "b", 0, 16);
    io.fail({ operation: name, errno: EIO });
    run(io, (h) => io[name](file, h));
    assert.equal(sectors(readBytes(io, file, 0, 16 * SECTOR)), "b".repeat(16));
    run(io, (h) => io.advise(file, 0, 0, "dontneed", h));
    assert.notEqual(sectors(readBytes(io, file, 0, 16 * SECTOR)), "b".repeat(16));
  });
}

test("after a failed sync, writing a page again writes all that its cache holds", () => {
  const { io, file } = prepared({ seed: 2 }, 16 * SECTOR);
  write(io, file, "b", 0, 16);
  io.fail({ operation: "fdatasync", errno: EIO });
  run(io, (h) => io.fdatasync(file, h));
  write(io, file, "c", 0, 1);
  assert.equal(run(io, (h) => io.fdatasync(file, h)), 0);
  const texts = outcomes(io).map(sectors);
  all(texts, /^cbbbbbbb[ab]{8}$/);
  some(texts, /a/);
});

test("a failed sync leaves later writes, and what was durable, alone", () => {
  const { io, file } = prepared({ latencyMicros: 10, reorder: false }, 8 * SECTOR);
  write(io, file, "b", 0, 1);
  const buffer = io.acquireBuffer()!;
  buffer.bytes.fill(99);
  io.fail({ operation: "fdatasync", errno: EIO });
  io.fdatasync(file, 1);
  io.writeAt(file, buffer, 0, SECTOR, SECTOR, 0, 2);
  while (io.inFlight > 0) {
    io.park();
    io.completions.clear();
  }
  assert.equal(run(io, (h) => io.fdatasync(file, h)), 0);
  all(outcomes(io).map(sectors), /^[ab]caaaaaa$/);
});

test("after a failed direct write each of its sectors is old or new: none, some, or all", () => {
  const texts: string[] = [];
  for (let seed = 1; seed <= 30; seed++) {
    const { io, file } = prepared({ seed, arenaBytes: 65536 }, 16 * SECTOR, { direct: true });
    io.fail({ operation: "write", errno: EIO });
    assert.equal(writeBytes(io, file, filled(12 * SECTOR, 98), 0, DSYNC), -EIO);
    // The sync after it succeeds, and says nothing about it.
    assert.equal(run(io, (h) => io.fdatasync(file, h)), 0);
    texts.push(sectors(readBytes(io, file, 0, 16 * SECTOR)));
  }
  all(texts, /^[ab]{12}aaaa$/);
  some(texts, /^[ab]*(ab|ba[ab]*b)[ab]*a{4}$/);
  some(texts, /^a{12}/);
  some(texts, /^b{12}/);
});

test("after a failed DSYNC write the cache has it, the disk may not", () => {
  const { io, file } = prepared({ seed: 2 }, 16 * SECTOR);
  io.fail({ operation: "write", errno: EIO });
  assert.equal(writeBytes(io, file, filled(12 * SECTOR, 98), 0, DSYNC), -EIO);
  assert.equal(sectors(readBytes(io, file, 0, 16 * SECTOR)), "b".repeat(12) + "aaaa");
  assert.equal(run(io, (h) => io.fdatasync(file, h)), 0);
  const texts = outcomes(io).map(sectors);
  all(texts, /^[ab]{12}aaaa$/);
  assert.notEqual(texts[0], "b".repeat(12) + "aaaa");
});

test("ENOSPC and its like leave everything as it was", () => {
  for (const errno of [ENOSPC, 122, 27, 4, EAGAIN]) {
    for (const direct of [false, true]) {
      const { io, file } = prepared({}, 8 * SECTOR, { direct });
      io.fail({ operation: "write", errno });
      assert.equal(writeBytes(io, file, filled(4096, 98), 0, DSYNC), -errno);
      assert.equal(sectors(readBytes(io, file, 0, 4096)), "a".repeat(8));
      all(outcomes(io, "/d/a", 20).map(sectors), /^a{8}$/);
    }
  }
});

test("a disk that gets full gives a short write first, then ENOSPC", () => {
  const { io, file } = prepared({ diskBytes: 10 * 4096 }, 4096);
  assert.equal(io.statFs(file).availableBytes, 9 * 4096);
  assert.equal(writeBytes(io, file, filled(16 * 4096, 1), 4096), 9 * 4096);
  assert.equal(writeBytes(io, file, filled(4096, 1), 10 * 4096), -ENOSPC);
  // Overwriting needs no room.
  assert.equal(writeBytes(io, file, filled(10 * 4096, 2), 0), 10 * 4096);
  assert.equal(run(io, (h) => io.allocate(file, 0, 11 * 4096, h)), -ENOSPC);
  assert.equal(run(io, (h) => io.truncate(file, 4096, h)), 0);
  assert.equal(io.statFs(file).availableBytes, 9 * 4096);
  assert.equal(run(io, (h) => io.allocate(file, 0, 10 * 4096, h)), 0);
  assert.equal(io.statFs(file).availableBytes, 0);
  // A file without a name keeps its blocks while it is open.
  assert.equal(run(io, (h) => io.remove("/d/a", h)), 0);
  const other = openFile(io, "/d/b");
  assert.equal(io.statFs(other).availableBytes, 0);
  assert.equal(run(io, (h) => io.close(file, h)), 0);
  assert.equal(io.statFs(other).availableBytes, 10 * 4096);
});

test("rot flips a bit on the device", () => {
  const { io, file } = prepared({}, SECTOR);
  io.rot("/d/a", 100, 3);
  assert.equal(readBytes(io, file, 100, 1)[0], 97 ^ 8);
  for (const bytes of outcomes(io)) assert.equal(bytes![100], 97 ^ 8);
  assert.throws(() => io.rot("/d/a", SECTOR), /outside/);
  assert.throws(() => io.rot("/d/none", 0), /no file/);
});

test("short transfers, EINTR and EAGAIN happen by themselves when asked for", () => {
  const { io, file } = prepared({ shortChance: 0.2, interruptChance: 0.2 }, 0);
  const results = new Set<number>();
  for (let i = 0; i < 300; i++) results.add(writeBytes(io, file, "12345678", 0));
  assert.ok(results.has(-4) && results.has(-EAGAIN) && results.has(8) && results.has(3));
  assert.ok(!results.has(0));
  // A short direct read is of whole blocks, and never the end of the file.
  const other = MemoryIo.fromImage([["/a", filled(8 * SECTOR, 97)]], { shortChance: 0.5 });
  const direct = openFile(other, "/a", { direct: true });
  const buffer = other.acquireBuffer()!;
  const sizes = new Set<number>();
  for (let i = 0; i < 100; i++) {
    sizes.add(run(other, (h) => other.readAt(direct, buffer, 0, 8 * SECTOR, 0, h)));
  }
  assert.deepEqual(
    [...sizes].sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8].map((n) => n * SECTOR),
  );
});

// Ends

test("after a crash every call throws, and giving things back does nothing", async () => {
  const { io, file } = prepared();
  const client = io.client("c");
  const buffer = io.acquireBuffer()!;
  io.writeAt(file, buffer, 0, 1, 0, 0, 1);
  const waiting = io.wait();
  io.crash();
  assert.ok(io.crashed);
  await assert.rejects(waiting, MemoryCrashError);
  const calls: (() => unknown)[] = [
    () => io.poll(),
    () => io.park(),
    () => io.fsync(file, 2),
    () => io.open("/d/a", { read: true }, 2),
    () => io.acquireBuffer(),
    () => io.listDirectory("/"),
    () => io.lock(file),
    () => io.kill(),
    () => client.poll(),
  ];
  for (const call of calls) assert.throws(call, MemoryCrashError);
  io.releaseBuffer(buffer);
  client[Symbol.dispose]();
  io[Symbol.dispose]();
});

test("ifCrashed looks at what a crash would leave, and the machine goes on", () => {
  const { io, file } = prepared({}, SECTOR);
  write(io, file, "b", 0, 1);
  some(outcomes(io).map(sectors), /a/);
  assert.equal(run(io, (h) => io.fsync(file, h)), 0);
  all(outcomes(io).map(sectors), /^b$/);
  assert.deepEqual(io.crash(7).image(), io.ifCrashed(7).image());
});

test("crashAfter stops before the next step, and a sweep meets every moment", () => {
  const program = (crashAfter: number) => {
    const io = MemoryIo.create({ crashAfter, latencyMicros: 0 });
    const done: string[] = [];
    try {
      const file = openFile(io, "/a");
      done.push("open");
      writeBytes(io, file, filled(SECTOR, 97), 0, DSYNC);
      done.push("write");
      sync(io, "/");
      done.push("sync");
    } catch (error) {
      assert.ok(error instanceof MemoryCrashError);
    }
    return { io, done };
  };
  const whole = program(Infinity);
  assert.equal(whole.io.steps, 6);
  assert.deepEqual(whole.done, ["open", "write", "sync"]);
  const moments: number[] = [];
  for (let n = 0; n <= 6; n++) {
    const { io, done } = program(n);
    assert.equal(io.crashed, n < 6);
    moments.push(done.length);
    for (let seed = 0; seed < 20; seed++) {
      const bytes = io.crash(seed).image().get("/a");
      // What was acknowledged is there.
      if (done.includes("sync")) assert.equal(sectors(bytes), "a");
    }
  }
  assert.deepEqual(moments, [0, 0, 1, 1, 2, 2, 3]);
});

test("kill: what is in flight lands later, and holds the lock of its file until then (L1)", () => {
  const { io, file } = prepared({ latencyMicros: 1_000_000, reorder: false });
  const idle = openFile(io, "/d/b");
  assert.equal(io.lock(file), 0);
  assert.equal(io.lock(idle), 0);
  const buffer = io.acquireBuffer()!;
  buffer.bytes.fill(98);
  io.writeAt(file, buffer, 0, 4096, 0, DSYNC, 1);
  const next = io.kill();
  assert.throws(() => io.poll(), MemoryCrashError);
  const nextIdle = openFile(next, "/d/b");
  // That of a file that is not being written is free at once.
  assert.equal(next.lock(nextIdle), 0);
  const again = openFile(next, "/d/a");
  assert.equal(next.lock(again), 0, "by now it has landed");
  assert.equal(sectors(next.image().get("/d/a")), "b".repeat(8));
});

test("kill: a lock is held as long as the write is in flight", () => {
  const io = MemoryIo.create({ latencyMicros: [10, 10], reorder: false, seed: 1 });
  const file = openFile(io, "/a");
  const other = io.sibling();
  const theirs = openFile(other, "/a");
  assert.equal(io.lock(file), 0);
  assert.equal(other.lock(theirs), -EAGAIN);
  const buffer = io.acquireBuffer(1 << 20)!;
  io.writeAt(file, buffer, 0, 1 << 20, 0, DSYNC, 1);
  io.kill();
  // In flight still: no time has passed.
  assert.equal(other.image().get("/a")!.length, 0);
  assert.equal(other.lock(theirs), 0);
  assert.equal(other.image().get("/a")!.length, 1 << 20);
});

test("kill: names and sizes in flight change at once or not at all", () => {
  const found = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const { io, file } = prepared({ seed, latencyMicros: [100, 1000] }, 2 * SECTOR);
    io.rename("/d/a", "/d/b", 1);
    io.truncate(file, SECTOR, 2);
    const next = io.kill();
    const left = JSON.stringify([...next.image()].map(([path, bytes]) => [path, bytes.length]));
    found.add(left);
    // Nothing of it comes later.
    for (let i = 0; i < 20; i++) run(next, (h) => next.stat("/", h));
    const later = [...next.image()].map(([path, bytes]) => [path, bytes.length]);
    assert.equal(JSON.stringify(later), left);
  }
  assert.equal(found.size, 4, [...found].join(" "));
});

test("kill: a process that is killed leaves the page cache", () => {
  const { io, file } = prepared({}, 0);
  writeBytes(io, file, "unsynced", 0);
  const { pid, bootId } = io.identity();
  const next = io.kill();
  assert.equal(readText(next, openFile(next, "/d/a"), 0, 100), "unsynced");
  assert.notEqual(next.identity().pid, pid);
  assert.equal(next.identity().bootId, bootId);
  some(outcomes(next).map((bytes) => `${bytes!.length}`), /^0$/);
});

test("siblings share disk, locks and time, and nothing else", () => {
  const io = MemoryIo.create();
  const other = io.sibling();
  const mine = openFile(io, "/a");
  writeBytes(io, mine, "mine", 0);
  const theirs = openFile(other, "/a");
  assert.equal(readText(other, theirs, 0, 10), "mine");
  assert.equal(io.lock(mine), 0);
  assert.equal(other.lock(theirs), -EAGAIN);
  assert.throws(() => other.fsync(mine, 1), /no file of this Io/);
  io.fdatasync(mine, 1);
  other.fdatasync(theirs, 1);
  assert.equal(other.park(), 1);
  assert.equal(io.park(), 1);
  io.completions.clear();
  other.completions.clear();
  run(io, (h) => io.close(mine, h));
  assert.equal(other.lock(theirs), 0);
});

test("a disposed process closes its files", () => {
  const io = MemoryIo.create();
  const other = io.sibling();
  const theirs = openFile(other, "/a");
  assert.equal(io.lock(openFile(io, "/a")), 0);
  assert.equal(other.lock(theirs), -EAGAIN);
  io[Symbol.dispose]();
  assert.equal(other.lock(theirs), 0);
});

test("fromImage and image are inverse, and what fromImage gives is durable", () => {
  const image = new Map([["/a", filled(3, 1)], ["/d/e/b", filled(100_000, 2)], [
    "/d/c",
    filled(0, 0),
  ]]);
  const io = MemoryIo.fromImage(image, { seed: 9, latencyMicros: 0 });
  const paths = [...image.keys()].sort();
  assert.deepEqual([...io.image().keys()], paths);
  for (const [path, bytes] of image) assert.deepEqual(io.image().get(path), bytes);
  for (let seed = 0; seed < 10; seed++) assert.deepEqual(io.crash(seed).image(), io.image());
});

// Time

test("each look at the clock takes as long as it was told", () => {
  const io = MemoryIo.create({ nowMicros: 30 });
  const start = io.now();
  assert.deepEqual([io.now(), io.now()], [start + 30, start + 60]);
});

test("park and wait jump to the next completion, poll lets a little time pass", async () => {
  const io = MemoryIo.create({ latencyMicros: 500, pollMicros: 10, reorder: false });
  const file = openFile(io, "/a");
  const start = io.now();
  io.fdatasync(file, 1);
  assert.equal(io.park(100), 0);
  assert.equal(io.now(), start + 100);
  assert.equal(io.poll(), 0);
  assert.equal(io.now(), start + 110);
  await io.wait();
  assert.equal(io.now(), start + 500);
  assert.equal(io.poll(), 1);
  io.take(1);
  let polls = 0;
  io.fdatasync(file, 1);
  while (io.poll() === 0) polls++;
  assert.ok(polls >= 48 && polls <= 50);
  io.take(1);
});

test("latency 0 completes everything at the next poll, in order", () => {
  const io = MemoryIo.create({ latencyMicros: 0, reorder: false });
  const file = openFile(io, "/a");
  for (let i = 0; i < 50; i++) io.fdatasync(file, i);
  assert.equal(io.poll(), 50);
  assert.deepEqual(
    [...io.completions.userData.slice(0, 50)],
    Array.from({ length: 50 }, (_, i) => i),
  );
  io.completions.clear();
});

test("operations in flight overtake each other only with reorder", () => {
  const order = (options: MemoryIoOptions) => {
    const io = MemoryIo.create(options);
    const file = openFile(io, "/a");
    for (let i = 0; i < 50; i++) io.fdatasync(file, i);
    const seen: number[] = [];
    while (io.inFlight > 0) {
      const count = io.park();
      seen.push(...io.completions.userData.slice(0, count));
      io.completions.clear();
    }
    return seen;
  };
  const sorted = Array.from({ length: 50 }, (_, i) => i);
  assert.deepEqual(order({ reorder: false }), sorted);
  assert.notDeepEqual(order({ reorder: true }), sorted);
  assert.notDeepEqual(order({ reorder: true, latencyMicros: 0 }), sorted);
});

test("options that make no sense are refused", () => {
  assert.throws(() => MemoryIo.create({ sectorBytes: 500 }), /sectorBytes is a power of two/);
  assert.throws(() => MemoryIo.create({ blockSize: 512 }), /blockSize is a power of two/);
  assert.throws(() => MemoryIo.create({ capacity: 0 }), /capacity/);
  assert.throws(() => MemoryIo.create({ seed: NaN }), /seed/);
});

test("a file system without direct I/O refuses to open with direct", () => {
  const io = MemoryIo.create({ alignment: { memory: 0, offset: 0, physical: 0 } });
  assert.equal(run(io, (h) => io.open("/a", { write: true, create: true, direct: true }, h)), -22);
  assert.deepEqual(io.listDirectory("/"), []);
});

test("time stamps and identities are the simulation's", () => {
  const io = MemoryIo.create({ fileSystem: "btrfs" });
  const file = openFile(io, "/a");
  assert.equal(io.noCopyOnWrite(file), 1);
  writeBytes(io, file, "x", 0);
  let stat!: IoStat;
  run(io, (h) => stat = io.stat(file, h));
  assert.equal(new Date(stat.modifiedMillis).toISOString().slice(0, 10), "2026-01-01");
  assert.equal(io.statFs(file).type, "btrfs");
  const { bootId } = io.identity();
  assert.notEqual(io.crash().identity().bootId, bootId);
});

test("timers: virtual time, in order, each once; a machine that crashes calls at once", async () => {
  const io = MemoryIo.create({ seed: 3 });
  const calls: string[] = [];
  const last = new Promise<void>((resolve) => io.after(90_000_000, resolve));
  const call = (name: string) => () => calls.push(`${name} ${Math.round(io.now() / 1000)}`);
  io.after(2000, call("second"));
  io.after(1000, call("first")).cancel();
  io.after(1000, call("one"));
  const started = performance.now();
  await last;
  assert.deepEqual(calls, ["one 1", "second 2"]);
  assert.ok(performance.now() - started < 60_000, "90 seconds that nobody waits for");
  assert.throws(() => io.after(-1, () => {}), IoUsageError);
  assert.throws(() => io.after(NaN, () => {}), IoUsageError);

  // With an operation in flight that nobody polls for: it ends first.
  io.open("/a", { write: true, create: true }, 1);
  await new Promise<void>((resolve) => io.after(1_000_000, resolve));
  assert.equal(io.poll(), 1);

  const late = new Promise<void>((resolve) => io.after(1e12, resolve));
  const killed = io.sibling();
  killed.after(1, () => calls.push("killed"));
  killed.kill();
  const after = io.crash();
  await late;
  await new Promise<void>((resolve) => after.after(10, resolve));
  assert.equal(calls.length, 2, "a killed process is called no more");
});

test("blockSize grows with what an open file needs; older buffers are refused for it", async () => {
  const alignment = { memory: 16_384, offset: 8192, physical: 4096 };
  const io = MemoryIo.create({ alignment });
  const options = { read: true, write: true, create: true };
  const plain = await File.open("/plain", options, io);
  // Its buffers are kept for the next transfers.
  await Promise.all([1, 2, 3].map((i) => plain.writeAt(new Uint8Array(10), i * 10)));
  const [first, second] = [io.acquireBuffer()!, io.acquireBuffer(16_384)!];
  assert.equal(io.blockSize, 4096);
  const direct = await File.open("/direct", { ...options, direct: true }, io);
  assert.equal(io.blockSize, 16_384);
  const fresh = io.acquireBuffer()!;
  assert.equal(fresh.length, 16_384);
  io.writeAt(direct.ioFile, fresh, 0, 16_384, 0, 0, 1);
  const late = [first, second].filter((buffer) => buffer.bytes.byteOffset % 16_384 !== 0);
  assert.ok(late.length > 0);
  for (const buffer of late) {
    const length = buffer.length - buffer.length % 8192;
    assert.throws(
      () => io.writeAt(direct.ioFile, buffer, 0, length, 0, 0, 2),
      /acquired before a file needed/,
    );
  }
  const bytes = new Uint8Array(200 * 8192).fill(5);
  assert.equal(await direct.writeAt(bytes, 8192), bytes.length);
  assert.equal(await direct.readAt(bytes.fill(0), 8192), bytes.length);
  assert.ok(bytes.every((byte) => byte === 5));
  io.park();
  io.completions.clear();
  [first, second, fresh].forEach((buffer) => io.releaseBuffer(buffer));
  await plain.close();
  await direct.close();
  assert.equal(io.arenaFreeBytes, io.arenaBytes);
});

test("rot outlasts a crash, also on a page with a write that was not synced", () => {
  for (const survival of ["none", "all", "random"] as const) {
    for (let seed = 1; seed <= 20; seed++) {
      const { io, file } = prepared({ seed });
      assert.equal(writeBytes(io, file, filled(SECTOR, 98), 0), SECTOR);
      run(io, (h) => io.truncate(file, 4 * SECTOR, h));
      io.rot("/d/a", 100, 7);
      io.rot("/d/a", 2 * SECTOR, 7);
      const [, bytes] = [...io.crash(seed, { survival }).image()].find(([path]) =>
        path === "/d/a"
      )!;
      assert.ok(
        bytes[100] === (97 ^ 128) || bytes[100] === (98 ^ 128),
        `${survival} ${bytes[100]}`,
      );
      assert.equal(bytes[2 * SECTOR], 97 ^ 128);
    }
  }
});

test("options, faults and crashes that make no sense are refused by name", () => {
  const options: Record<string, unknown[]> = {
    arenaBytes: [0, -1, 0.5, NaN, "4096", 2 ** 40],
    capacity: [0, -1, NaN, 0.5, 2 ** 30],
    latencyMicros: [-1, NaN, "1", [1], [2, 1], [-1, 1], [1, 2, 3], Infinity],
    reorder: [1, "no"],
    pollMicros: [-1, NaN, "1"],
    nowMicros: [-1, NaN, "1"],
    blockSize: [0, 512, 5000, NaN],
    sectorBytes: [0, 3, -512],
    diskBytes: [-1, NaN, 0.5],
    quotaBytes: [-1, NaN, 0.5],
    alignment: [null, 1, {}, { memory: 512, offset: 3, physical: 0 }, {
      memory: 0,
      offset: 512,
      physical: 0,
    }],
    fileSystem: ["", 1],
    kernel: ["", 6.18],
    shortChance: [-0.1, 1.1, NaN, "0"],
    interruptChance: [2],
    crashAfter: [-1, NaN, 0.5],
    latencies: [1],
    history: [0],
    seed: [0.5, NaN, "1"],
    latency: [1],
  };
  for (const [name, bad] of Object.entries(options)) {
    for (const value of bad) {
      assert.throws(() => MemoryIo.create({ [name]: value }), (error) => {
        assert.ok(error instanceof IoUsageError, `${name} ${value}: ${error}`);
        return error.message.includes(name);
      }, `${name}: ${String(value)}`);
    }
  }
  const left = Object.fromEntries(
    Object.keys(options).slice(0, -1).map((name) => [name, undefined]),
  );
  const io = MemoryIo.create(left);
  assert.deepEqual([io.capacity, io.blockSize], [256, 4096]);
  assert.throws(() => io.crash(1, { survival: "most" as "all" }), /survival is one of/);
  assert.throws(() => io.crash(1, { diskBytes: -1 }), /diskBytes/);
  assert.equal(io.crashed, false);

  const faults: [Record<string, unknown>, RegExp][] = [
    [{ errno: -5 }, /errno is an integer from 1/],
    [{ errno: 0 }, /errno is/],
    [{ errno: 5000 }, /errno is/],
    [{ errno: "EIO" }, /errno is/],
    [{ operation: "wirte", errno: 5 }, /operation is one of .*write/],
    [{ errno: 5, nth: 0 }, /nth is/],
    [{ errno: 5, nth: 1.5 }, /nth is/],
    [{ errno: 5, path: "" }, /path is/],
    [{ errno: 5, path: 7 }, /path is/],
    [{ errno: 5, persistent: 1 }, /persistent is/],
    [{ errno: 5, count: 3 }, /there is no member of a fault count/],
    [{ short: -1 }, /short is/],
    [{ misdirect: 0.5 }, /misdirect is/],
    [{ torn: false }, /torn is/],
    [{ operation: "read", torn: true }, /torn is for write/],
    [{ operation: "stat", short: 1 }, /short is for read, write/],
    [{ operation: "rename", lost: true }, /lost is for/],
    [{}, /exactly one/],
    [{ errno: 5, lost: true }, /exactly one/],
  ];
  for (const [fault, message] of faults) {
    assert.throws(() => io.fail(fault), (error) => {
      assert.ok(error instanceof IoUsageError && message.test(error.message), String(error));
      return true;
    }, JSON.stringify(fault));
  }
  const file = openFile(io, "/a");
  assert.equal(writeBytes(io, file, filled(10, 1), 0), 10);
  for (const [offset, bit] of [[0, 8], [0, -1], [0.5, 0], [10, 0]]) {
    assert.throws(() => io.rot("/a", offset, bit), IoUsageError);
  }
});
