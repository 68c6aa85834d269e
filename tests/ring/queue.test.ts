/**
 * Staging, submit and reap: what is full says so, nothing is lost, nothing is delivered twice, and each
 * completion finds its userData. NOPs are enough for that.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  FADVISE_FLAG,
  FALLOCATE_FLAG,
  FSYNC_FLAG,
  OPEN_FLAG,
  Ring,
  RingClosedError,
  RW_FLAG,
} from "../../ring.ts";
import { finishAll, inScratch, skipRing, withRing } from "../support/ring.ts";

describe("ring queue", { skip: skipRing }, () => {
  it("completes a NOP with its userData", () =>
    withRing({}, (ring) => {
      assert.equal(ring.prepNop(42), true);
      assert.equal(ring.staged, 1);
      assert.equal(ring.submitAndWait(1), 1);
      assert.equal(ring.staged, 0);
      assert.equal(ring.reap(), 1);
      assert.equal(ring.completions.length, 1);
      assert.equal(ring.completions.userData[0], 42);
      assert.equal(ring.completions.res[0], 0);
      assert.equal(ring.completions.flags[0], 0);
      assert.equal(ring.inFlight, 0);
    }));

  it("gives false when the staging area is full, and keeps what is in it", () =>
    withRing({ entries: 4, completionEntries: 16 }, (ring) => {
      for (let i = 0; i < 4; i++) assert.equal(ring.prepNop(i), true);
      assert.equal(ring.available, 0);
      assert.equal(ring.prepNop(4), false);
      assert.deepEqual([...finishAll(ring).keys()], [0, 1, 2, 3]);
    }));

  it("a chain that finds no room for a path can be taken back, and begun again", () =>
    inScratch((directory) =>
      withRing({ entries: 64 }, (ring) => {
        const long = `${directory}/${"a/".repeat(1900)}`;
        const buffer = ring.buffers.acquire()!;
        ring.prepOpenat(join(directory, "file"), OPEN_FLAG.RDWR | OPEN_FLAG.CREAT, 0o644, 0);
        ring.submitAndWait(1);
        ring.reap();
        const file = ring.file(ring.completions.res[0]);
        ring.prepNop(1);
        const free = ring.available;
        assert.equal(ring.beginChain(30), true);
        assert.equal(ring.prepWrite(file, buffer, 0, 10, 0, 2), true);
        assert.equal(ring.prepOpenat(join(directory, "made"), OPEN_FLAG.CREAT, 0o644, 3), true);
        let staged = 2;
        while (ring.prepOpenat(long, 0, 0, 4)) staged++;
        assert.ok(staged < 30);
        assert.throws(() => ring.submit(), /lacks \d+ operations.*abandonChain/);
        assert.throws(() => ring.beginChain(2), /lacks/);
        assert.equal(ring.abandonChain(), staged);
        assert.equal(ring.abandonChain(), 0);
        // Slots, files, the buffer and the room for paths are as they were; what stood before stays.
        assert.equal(ring.available, free);
        assert.equal(ring.stats().files, 1);
        assert.equal(ring.staged, 1);
        assert.equal(ring.beginChain(2), true);
        assert.equal(ring.prepWrite(file, buffer, 0, 10, 0, 5), true);
        assert.equal(ring.prepUnlinkat(`${directory}/${"a/".repeat(1500)}`, 6), true);
        const results = finishAll(ring);
        assert.deepEqual([...results.keys()].sort(), [1, 5, 6]);
        assert.equal(results.get(5), 10);
        assert.equal(existsSync(join(directory, "made")), false);
        buffer.release();
        // One whose flags were set, and nothing prepared yet.
        ring.beginChain(2);
        ring.nextFlags(16);
        assert.equal(ring.abandonChain(), 0);
        assert.equal(ring.prepNop(7), true);
        assert.equal(finishAll(ring).get(7), 0);
      })
    ));

  it("gives false when every slot is taken, until completions are reaped", () =>
    withRing({ entries: 4, completionEntries: 8 }, (ring) => {
      for (let i = 0; i < 8; i++) {
        assert.equal(ring.prepNop(i), true);
        if (i % 4 === 3) assert.equal(ring.submit(), 4);
      }
      assert.equal(ring.prepNop(8), false);
      assert.equal(ring.reap(), 8);
      assert.equal(ring.prepNop(8), true);
      assert.equal(finishAll(ring).get(8), 0);
    }));

  it("keeps completions of several submits for one reap, in their order", () =>
    withRing({ entries: 8, completionEntries: 64 }, (ring) => {
      const expected: number[] = [];
      for (let i = 0; i < 64; i++) {
        ring.prepNop(i * 3);
        expected.push(i * 3);
        if (i % 8 === 7) ring.submitAndWait(i + 1);
      }
      assert.equal(ring.reap(), 64);
      assert.deepEqual([...ring.completions.userData.subarray(0, 64)], expected);
      assert.equal(ring.reap(), 0);
      assert.equal(ring.completions.length, 0);
    }));

  it("returns every safe integer as it was", () =>
    withRing({}, (ring) => {
      const numbers = [0, 1, -1, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53 - 1, -(2 ** 53) + 1];
      for (const number of numbers) assert.equal(ring.prepNop(number), true);
      assert.deepEqual(new Set(finishAll(ring).keys()), new Set(numbers));
    }));

  it("refuses userData that is no safe integer, and stages nothing", () =>
    withRing({}, (ring) => {
      const bad: unknown[] = [2 ** 53, 0.5, NaN, Infinity, "1", null, undefined, {}, 1n];
      for (const value of bad) assert.throws(() => ring.prepNop(value as number), TypeError);
      assert.equal(ring.staged, 0);
      assert.equal(ring.inFlight, 0);
    }));

  it("never waits for more than there is", () =>
    withRing({}, (ring) => {
      assert.equal(ring.submitAndWait(10), 0);
      ring.prepNop(1);
      assert.equal(ring.submitAndWait(10), 1);
      assert.equal(ring.submitAndWait(1), 1);
      assert.equal(ring.reap(), 1);
    }));

  it("refuses counts and time-outs that are no numbers of their range", () =>
    withRing({}, (ring) => {
      for (const count of [-1, 0.5, NaN, 513]) {
        assert.throws(() => ring.submitAndWait(count), /count must be an integer from 0 to 512/);
      }
      assert.throws(() => ring.submitAndWait("1" as unknown as number), TypeError);
      assert.throws(() => ring.submitAndWait(1, -1), /timeoutMicros must be/);
    }));

  it("runs a million NOPs, counts them, and reuses its slots", () =>
    withRing({ entries: 128, completionEntries: 256 }, (ring) => {
      let delivered = 0;
      let sum = 0;
      let next = 0;
      const total = 1 << 20;
      while (delivered < total) {
        while (next < total && ring.prepNop(next)) next++;
        ring.submitAndWait(1);
        const count = ring.reap();
        for (let i = 0; i < count; i++) sum += ring.completions.userData[i];
        delivered += count;
      }
      assert.equal(delivered, total);
      assert.equal(sum, (total * (total - 1)) / 2);
      const stats = ring.stats();
      assert.equal(stats.submissions, total);
      assert.equal(stats.completions, total);
      assert.equal(stats.stale, 0);
      assert.equal(stats.inFlight, 0);
      assert.ok(stats.enters > 0 && stats.enters <= total);
      assert.ok(stats.peakInFlight > 0 && stats.peakInFlight <= 256);
    }));

  it("makes one enter for a batch that is submitted and awaited", () =>
    withRing({}, (ring) => {
      const before = ring.stats().enters;
      for (let i = 0; i < 32; i++) ring.prepNop(i);
      ring.submitAndWait(32);
      assert.equal(ring.reap(), 32);
      assert.equal(ring.stats().enters - before, 1);
    }));

  it("runs two rings side by side", () =>
    withRing({}, (first) =>
      withRing({}, (second) => {
        for (let i = 0; i < 10; i++) {
          first.prepNop(i);
          second.prepNop(100 + i);
        }
        assert.deepEqual(Math.max(...finishAll(first).keys()), 9);
        assert.deepEqual(Math.min(...finishAll(second).keys()), 100);
      })));

  it("refuses everything once it is closed, and closes twice", () => {
    const ring = Ring.open();
    ring.prepNop(1);
    assert.equal(ring.isOpen, true);
    assert.equal(ring.close(), 0);
    assert.equal(ring.isOpen, false);
    assert.equal(ring.close(), 0);
    const calls: (() => unknown)[] = [
      () => ring.prepNop(1),
      () => ring.submit(),
      () => ring.submitAndWait(1),
      () => ring.reap(),
      () => ring.beginChain(2),
      () => ring.nextFlags(0),
      () => ring.probe(),
      () => ring.adoptFd(0),
      () => ring.file(0),
      () => ring.prepMkdirat("/nowhere", 0o755, 1),
      () => ring.prepCancel(1, 2),
    ];
    for (const call of calls) assert.throws(call, RingClosedError, String(call));
    assert.equal(ring.completions.length, 0);
  });

  it("closes at the end of a using block", () => {
    let kept: Ring;
    {
      using ring = Ring.open();
      kept = ring;
    }
    assert.equal(kept.isOpen, false);
  });

  it("traces each SQE and CQE, and nothing after the sink was taken away", () =>
    withRing({}, (ring) => {
      const lines: string[] = [];
      ring.trace((line) => lines.push(line));
      ring.prepNop(7);
      finishAll(ring);
      assert.deepEqual(lines, ["sqe nop userData=7", "cqe userData=7 res=0"]);
      ring.trace(undefined);
      ring.prepNop(8);
      finishAll(ring);
      assert.equal(lines.length, 2);
    }));
});

/** Each line of what one body prepares and a submit brings. */
const traced = async (body: (ring: Ring, directory: string) => void): Promise<string[]> =>
  await inScratch((directory) =>
    withRing({}, (ring) => {
      const lines: string[] = [];
      ring.trace((line) => lines.push(line));
      body(ring, directory);
      finishAll(ring);
      return lines.map((line) => line.replaceAll(directory, "."));
    })
  );

describe("ring trace", { skip: skipRing }, () => {
  it("has names for operations, flags, advice and errors", async () => {
    const lines = await traced((ring, directory) => {
      const { RDWR, CREAT } = OPEN_FLAG;
      const { PUNCH_HOLE, KEEP_SIZE } = FALLOCATE_FLAG;
      ring.prepOpenat(`${directory}/data`, RDWR | CREAT, 0o644, 1);
      ring.submitAndWait(1);
      ring.reap();
      const file = ring.file(ring.completions.res[0]);
      const buffer = ring.buffers.acquire()!;
      ring.beginChain(2);
      ring.prepWriteFixed(file, buffer, 0, 4096, 8192, 2, RW_FLAG.DSYNC | RW_FLAG.SYNC);
      ring.prepFsync(file, 3, FSYNC_FLAG.DATASYNC);
      ring.prepFadvise(file, 0, 0, FADVISE_FLAG.DONTNEED, 4);
      ring.prepUnlinkat(`${directory}/not there`, 5);
      ring.prepFallocate(file, PUNCH_HOLE | KEEP_SIZE, 0, 2 ** 33, 6);
      finishAll(ring);
    });
    const [open, opened, ...others] = lines;
    assert.match(open, /^sqe openat userData=1 .*op_flags=RDWR\|CREAT$/);
    const reference = Number(/^cqe userData=1 res=(\d+)$/.exec(opened)![1]).toString(16);
    const submitted = others.filter((line) => line.startsWith("sqe"));
    assert.equal(
      submitted[0],
      `sqe write_fixed userData=2 file=0x${reference} offset=8192 addr=0 length=4096 ` +
        "op_flags=DSYNC|SYNC flags=IO_LINK",
    );
    assert.match(submitted[1], /^sqe fsync userData=3 .* op_flags=DATASYNC$/);
    assert.match(submitted[2], /^sqe fadvise userData=4 .* advice=DONTNEED$/);
    assert.match(submitted[3], /^sqe unlinkat userData=5 /);
    assert.match(submitted[4], /^sqe fallocate userData=6 .* addr=8589934592 /);
    assert.match(submitted[4], / length=KEEP_SIZE\|PUNCH_HOLE$/);
    assert.equal(submitted.length, 5);
    const completed = others.filter((line) => line.startsWith("cqe")).sort();
    assert.deepEqual(completed, [
      "cqe userData=2 res=4096",
      "cqe userData=3 res=0",
      "cqe userData=4 res=0",
      "cqe userData=5 res=-2 ENOENT",
      "cqe userData=6 res=0",
    ]);
  });
});

describe("ring chains", { skip: skipRing }, () => {
  it("begins nothing when the chain does not fit", () =>
    withRing({ entries: 4, completionEntries: 8 }, (ring) => {
      ring.prepNop(1);
      assert.equal(ring.beginChain(4), false);
      assert.equal(ring.beginChain(3), true);
      for (let i = 2; i < 5; i++) assert.equal(ring.prepNop(i), true);
      const lines: string[] = [];
      ring.trace((line) => lines.push(line));
      finishAll(ring);
      assert.deepEqual(lines.slice(0, 4), [
        "sqe nop userData=1",
        "sqe nop userData=2 flags=IO_LINK",
        "sqe nop userData=3 flags=IO_LINK",
        "sqe nop userData=4",
      ]);
    }));

  it("refuses to submit a chain that lacks operations", () =>
    withRing({}, (ring) => {
      assert.equal(ring.beginChain(2), true);
      ring.prepNop(1);
      assert.throws(() => ring.submit(), /lacks 1 operations/);
      assert.throws(() => ring.beginChain(2), /lacks 1 operations/);
      ring.prepNop(2);
      assert.equal(finishAll(ring).size, 2);
    }));

  it("refuses a chain of one, and of more than the ring holds", () =>
    withRing({ entries: 4 }, (ring) => {
      for (const count of [0, 1, 5, 1.5, -2]) {
        assert.throws(() => ring.beginChain(count), RangeError);
      }
    }));

  it("links hard when asked to, and lets flags be set for one operation", () =>
    withRing({}, (ring) => {
      const lines: string[] = [];
      ring.trace((line) => lines.push(line));
      ring.beginChain(2, true);
      ring.prepNop(1);
      ring.nextFlags(0x10);
      ring.prepNop(2);
      ring.prepNop(3);
      finishAll(ring);
      assert.deepEqual(lines.slice(0, 3), [
        "sqe nop userData=1 flags=IO_HARDLINK",
        "sqe nop userData=2 flags=ASYNC",
        "sqe nop userData=3",
      ]);
      assert.throws(() => ring.nextFlags(4), RangeError);
    }));
});
