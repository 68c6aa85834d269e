/**
 * Options that a ring is set up with: what the kernel made of them is looked at from outside, in /proc and
 * in what operations answer. The ladder of set-up flags is in availability.test.ts.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  ERRNO,
  OPEN_FLAG,
  Ring,
  RingPollError,
  RingUnavailableError,
  StatxResult,
} from "../../ring.ts";
import { library } from "../../src/native/library.ts";
import { Dispatcher, Latency } from "../../src/ring/waiter.ts";
import { finish, finishAll, inScratch, openFile, skipRing, withRing } from "../support/ring.ts";

/** The threads of the kernel that poll for submissions of this process: what their status files say. */
function pollers(): string[] {
  return readdirSync("/proc/self/task").flatMap((task) => {
    try {
      const status = readFileSync(`/proc/self/task/${task}/status`, "utf8");
      return /^Name:\s+iou-sqp/.test(status) ? [status] : [];
    } catch {
      return []; // gone meanwhile
    }
  });
}

/** Waits until so many threads poll: they end after their ring. */
async function pollersAre(count: number): Promise<void> {
  for (let i = 0; pollers().length !== count; i++) {
    assert.ok(i < 500, `${pollers().length} polling threads instead of ${count}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe("ring set-up", { skip: skipRing }, () => {
  it("sqpoll runs one thread of the kernel a ring, on the processor that was asked for", async () => {
    await pollersAre(0);
    await withRing({ sqpoll: { idleMillis: 20, cpu: 0 } }, async (ring) => {
      assert.ok(ring.features.setup.includes("SQPOLL") && ring.features.setup.includes("SQ_AFF"));
      await pollersAre(1);
      assert.match(pollers()[0], /^Cpus_allowed_list:\s+0$/m);
      for (let i = 0; i < 100; i++) ring.prepNop(i);
      assert.equal(finishAll(ring).size, 100);
    });
    await pollersAre(0);
  });

  it("sqpoll on a processor that there is not is refused, and the error names it", () => {
    assert.throws(
      () => Ring.open({ sqpoll: { cpu: 60_000 } }),
      (error: RingUnavailableError) => {
        assert.ok(error instanceof RingUnavailableError);
        assert.match(error.message, /refuses sqpoll on processor 60000.*one that is online/s);
        return true;
      },
    );
  });

  it("attach shares the thread that polls", async () => {
    await pollersAre(0);
    await withRing(
      { sqpoll: { idleMillis: 20 } },
      (first) =>
        withRing({ sqpoll: { idleMillis: 20 }, attach: first }, async (second) => {
          assert.ok(second.features.setup.includes("ATTACH_WQ"));
          await pollersAre(1);
          for (let i = 0; i < 50; i++) {
            first.prepNop(i);
            second.prepNop(100 + i);
          }
          assert.equal(Math.max(...finishAll(first).keys()), 49);
          assert.equal(Math.min(...finishAll(second).keys()), 100);
          // The one that began ends first.
          first.close();
          second.prepNop(1);
          assert.deepEqual([...finishAll(second)], [[1, 0]]);
        }),
    );
    await pollersAre(0);
  });

  it("attach takes open rings of this library only", () => {
    assert.throws(() => Ring.open({ attach: 5 as never }), /attach must be a Ring/);
    assert.throws(() => Ring.open({ attach: {} as never }), /attach must be a Ring/);
    const closed = Ring.open();
    closed.close();
    assert.throws(() => Ring.open({ attach: closed }), { name: "RingClosedError" });
    using first = Ring.open();
    using second = Ring.open({ attach: first });
    second.prepNop(1);
    assert.deepEqual([...finishAll(second)], [[1, 0]]);
  });

  it("sizes are checked, or brought down when asked to", () => {
    assert.throws(() => Ring.open({ entries: 5000 }), /entries must be an integer from 1 to 4096/);
    assert.throws(
      () => Ring.open({ entries: 8, completionEntries: 4 }),
      /completionEntries must be an integer from 8 to 16384, not 4/,
    );
    assert.throws(() => Ring.open({ completionEntries: 16, slots: 8 }), /slots must be .* from 16/);
    const all = { entries: 1e6, completionEntries: 1e6, slots: 1e9, files: 1e6 };
    using ring = Ring.open({ ...all, clamp: true });
    assert.deepEqual([ring.entries, ring.slots], [4096, 16384]);
    assert.equal(ring.features.completionEntries, 16384);
    assert.ok(ring.features.setup.includes("CLAMP"));
    assert.throws(() => Ring.open({ clamp: true, entries: 0 }), RangeError);
    // The queue of completions is as large as that of submissions wants it.
    using large = Ring.open({ entries: 1024 });
    assert.deepEqual([large.slots, large.features.completionEntries], [2048, 2048]);
  });

  it("features have names", () => {
    using ring = Ring.open();
    const { features, featureNames, setup } = ring.features;
    for (const name of ["NODROP", "SUBMIT_STABLE", "EXT_ARG"]) {
      assert.ok(featureNames.includes(name));
    }
    assert.ok(featureNames.length <= features.toString(2).replaceAll("0", "").length);
    assert.ok(setup.includes("CQSIZE"));
  });
});

describe("ring with iopoll", { skip: skipRing }, () => {
  /** Whether the disk under a path can be polled, as sysfs says. */
  function canPoll(path: string): boolean {
    const { dev } = statSync(path);
    const block = `/sys/dev/block/${(dev >> 8) & 0xfff}:${dev & 0xff}`;
    for (const up of ["", "../"]) {
      const file = `${block}/${up}queue/io_poll`;
      if (existsSync(file)) return readFileSync(file, "utf8").trim() === "1";
    }
    return false;
  }

  it("reads and writes what can be polled for, and says what cannot", () =>
    inScratch((directory) =>
      withRing({}, (opener) =>
        withRing({ iopoll: true }, (ring) => {
          const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT | OPEN_FLAG.DIRECT;
          const path = join(directory, "data");
          const opened = openFile(opener, path, flags);
          const blank = opener.buffers.acquire()!;
          assert.equal(finish(opener, opener.prepWrite(opened, blank, 0, 65536, 0, 1)), 65536);
          assert.equal(finish(opener, opener.prepFsync(opened, 1)), 0);
          const file = ring.adoptFile(opened);
          const buffer = ring.buffers.acquire()!;
          buffer.bytes.fill(5);
          const written = finish(ring, ring.prepWriteFixed(file, buffer, 0, 4096, 0, 1));
          const read = finish(ring, ring.prepReadFixed(file, buffer, 0, 4096, 0, 2));
          // Polling is the device's: where its driver has no queues for it, the kernel says so.
          // A write that the file system completes by itself is done all the same.
          const expected = canPoll(path) ? 4096 : -ERRNO.EOPNOTSUPP;
          assert.equal(read, expected);
          assert.ok(written === 4096 || written === expected, `${written}`);
          // Not of a file that goes through the page cache, whatever the device.
          const cached = ring.adoptFile(openFile(opener, path));
          const res = finish(ring, ring.prepRead(cached, buffer, 0, 4096, 0, 3));
          assert.equal(res, -ERRNO.EOPNOTSUPP);
          ring.unregisterFiles([cached, file]);
          assert.equal(ring.stats().files, 0);
        }))
    ));

  it("refuses fsync and its like before anything is staged, and says what to do", () =>
    inScratch((directory) =>
      withRing({}, (opener) =>
        withRing({ iopoll: true }, (ring) => {
          const file = ring.adoptFile(openFile(opener, join(directory, "data")));
          const refused: (() => unknown)[] = [
            () => ring.prepFsync(file, 1),
            () => ring.prepOpenat("/tmp", 0, 0, 1),
            () => ring.prepClose(file, 1),
            () => ring.prepFallocate(file, 0, 0, 4096, 1),
            () => ring.prepFstatx(file, new StatxResult(), 1),
          ];
          for (const call of refused) {
            assert.throws(call, (error: RingPollError) => {
              assert.ok(error instanceof RingPollError, String(error));
              assert.equal(error.code, "NotPolled");
              assert.match(error.message, /has no \w+: .*second ring without iopoll/);
              return true;
            }, String(call));
          }
          assert.equal(ring.staged, 0);
          assert.equal(file.isOpen, true);
          // The one that was refused can be done by the other ring.
          assert.equal(finish(opener, opener.prepFsync(opener.adoptFile(file), 1)), 0);
        }))
    ));

  it("can be waited for in the event loop, though nothing is ever signalled", () =>
    withRing({ iopoll: true }, async (ring) => {
      for (let i = 0; i < 3; i++) {
        ring.prepNop(i);
        assert.equal(await ring.drain(), 1);
      }
      assert.equal(await ring.drain(), 0);
    }));

  it("is looked at until the device has ended, however long that takes", async () => {
    // The dispatcher of rings, over one that a test plays.
    const { host, functions } = library();
    const dispatcher = new Dispatcher(host, functions);
    const latency = new Latency();
    let looks = 0;
    const ring = {
      isSilent: () => true,
      look: () => ++looks > 50 && performance.now() > start + 10 * latency.lookMicros / 1000,
      arm: () => assert.fail("nothing would signal"),
    };
    const start = performance.now();
    await dispatcher.wait(ring, latency);
    assert.ok(looks > 50);
  });
});
