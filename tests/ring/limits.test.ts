/**
 * Queues that are full, forced: completion queues of four entries for hundreds of operations, submission
 * queues that a thread of the kernel reads, calls that are interrupted or refused, files that may not grow.
 * Full is a result, nothing is lost, and nothing is delivered twice. The subjects are those of liburing's
 * tests cq-full, cq-overflow, cq-overflow-peek, sq-full, short-read and exit-no-cleanup.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ERRNO, type Ring, type RingOptions } from "../../ring.ts";
import { hasCommand, runRing } from "../support/program.ts";
import { finishAll, inScratch, openFile, skipRing, withRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const skipStrace = skipUnless(hasCommand("strace"), "strace is not installed") || skipRing;
const skipLimit = skipUnless(hasCommand("prlimit"), "prlimit is not installed") || skipRing;
const OPERATIONS = 64;
/** Of a completion queue that has room for four. */
const TINY: RingOptions = {
  entries: 4,
  completionEntries: 4,
  slots: OPERATIONS,
  bufferBytes: 4096,
};

/** Many reads of an empty FIFO in flight; `write` ends all of them at once. */
async function withReads(
  options: RingOptions,
  body: (ring: Ring, write: () => void) => void | Promise<void>,
): Promise<void> {
  await inScratch((directory) =>
    withRing(options, (ring) => {
      const path = join(directory, "fifo");
      execFileSync("mkfifo", [path]);
      const file = openFile(ring, path, 2);
      for (let i = 0; i < OPERATIONS; i++) {
        assert.ok(ring.prepRead(file, ring.buffers.acquire()!, 0, 8, 0, i));
        if (i % 4 === 3) assert.equal(ring.submit(), 4);
      }
      return body(ring, () => writeFileSync(path, "8 bytes.".repeat(OPERATIONS)));
    })
  );
}

/** Each of the reads once, and whole. */
function checkReads(results: readonly (readonly [number, number])[]): void {
  const expected = Array.from({ length: OPERATIONS }, (_, i) => [i, 8]);
  assert.deepEqual([...results].sort(([a], [b]) => a - b), expected);
}

function rows(ring: Ring): [number, number][] {
  const { userData, res, length } = ring.completions;
  return Array.from({ length }, (_, i) => [userData[i], res[i]]);
}

describe("ring with a full completion queue", { skip: skipRing }, () => {
  for (const rung of [0, 1, 2]) {
    it(`loses nothing when it overflows, on rung ${rung}`, () =>
      withReads({ ...TINY, firstRung: rung }, (ring, write) => {
        assert.equal(ring.features.completionEntries, 4);
        assert.equal(ring.slots, OPERATIONS);
        write();
        // No slot is free, though the queue of the kernel has room for no more either.
        assert.equal(ring.prepNop(99), false);
        assert.equal(ring.submitAndWait(OPERATIONS), OPERATIONS);
        assert.equal(ring.reap(), OPERATIONS);
        checkReads(rows(ring));
        const stats = ring.stats();
        assert.ok(stats.overflows > 0, "the queue did not overflow");
        assert.deepEqual([stats.stale, stats.inFlight, stats.peakInFlight], [0, 0, OPERATIONS]);
        // And it goes on as before.
        ring.prepNop(1);
        assert.deepEqual([...finishAll(ring)], [[1, 0]]);
      }));
  }

  it("loses nothing when it is only ever looked at", () =>
    withReads({ ...TINY, firstRung: 2 }, (ring, write) => {
      write();
      const results: [number, number][] = [];
      for (let i = 0; results.length < OPERATIONS && i < 1e7; i++) {
        ring.reap();
        results.push(...rows(ring));
      }
      checkReads(results);
    }));

  it("wakes the event loop until all is reaped", () =>
    withReads(TINY, async (ring, write) => {
      const results: [number, number][] = [];
      setTimeout(write, 20);
      while (ring.inFlight > 0) {
        await ring.drain();
        results.push(...rows(ring));
      }
      checkReads(results);
      assert.equal(await ring.drain(), 0);
    }));

  it("waits no longer than it is told", () =>
    withReads(TINY, (ring, write) => {
      const start = performance.now();
      assert.equal(ring.submitAndWait(OPERATIONS, 30_000), 0);
      assert.ok(performance.now() - start >= 29);
      write();
      assert.equal(ring.submitAndWait(OPERATIONS, 60_000_000), OPERATIONS);
      ring.reap();
      checkReads(rows(ring));
    }));

  it("takes submissions all the same", () =>
    withReads({ ...TINY, slots: 4 * OPERATIONS, firstRung: 2 }, (ring, write) => {
      write();
      // The completions of the reads fill the queue, and more, while NOPs come and go.
      const seen = new Map<number, number>();
      let next = 100;
      while (next < 1100 || ring.inFlight > 0) {
        while (next < 1100 && ring.prepNop(next)) next++;
        ring.submit();
        ring.reap();
        for (const [userData, res] of rows(ring)) {
          assert.equal(seen.has(userData), false, `${userData} twice`);
          seen.set(userData, res);
        }
      }
      checkReads([...seen].filter(([userData]) => userData < 100));
      assert.equal(seen.size, OPERATIONS + 1000);
    }));

  it("is closed with all of it still there", () =>
    withReads({ ...TINY, firstRung: 2 }, (ring, write) => {
      write();
      assert.equal(ring.close(), 0);
    }));
});

describe("ring with a full submission queue", { skip: skipRing }, () => {
  it("says so by false, and keeps what it has, however often it is asked", () =>
    withRing({ entries: 8, completionEntries: 32 }, (ring) => {
      for (let i = 0; i < 8; i++) assert.equal(ring.prepNop(i), true);
      for (let i = 0; i < 1000; i++) assert.equal(ring.prepNop(100), false);
      assert.equal(ring.prepMkdirat("/nowhere/at/all", 0o755, 100), false);
      assert.equal(ring.beginChain(2), false);
      assert.equal(ring.staged, 8);
      assert.deepEqual([...finishAll(ring).keys()], [0, 1, 2, 3, 4, 5, 6, 7]);
      ring.prepNop(8);
      assert.deepEqual([...finishAll(ring).keys()], [8]);
    }));

  it("keeps what the polling thread has not read yet, in order, and waits for all", () =>
    withRing({ entries: 4, completionEntries: 64, sqpoll: { idleMillis: 1 } }, async (ring) => {
      let next = 0;
      const seen: number[] = [];
      for (let round = 0; round < 50; round++) {
        // Asleep in some rounds, awake in others.
        if (round % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
        const until = next + 20;
        while (next < until) {
          while (next < until && ring.prepNop(next)) next++;
          ring.submit();
        }
        const left = until - seen.length;
        assert.equal(ring.submitAndWait(left), left);
        ring.reap();
        seen.push(...rows(ring).map(([userData]) => userData));
      }
      assert.deepEqual(seen, Array.from({ length: 1000 }, (_, i) => i));
    }));
});

describe("ring with short transfers", { skip: skipRing }, () => {
  it(
    "reports what a file at its limit took",
    { skip: skipLimit },
    () =>
      inScratch(async (directory) => {
        // So large that nothing else in the process comes near it: that would end it.
        const launcher = ["prlimit", `--fsize=${1 << 30}:${1 << 30}`];
        const result = await runRing(directory, { launcher, ring: { task: "short" } });
        assert.deepEqual(result, { first: 4096, second: 6000 - 4096 });
        assert.equal(statSync(join(directory, "data")).size, 1 << 30);
      }),
  );

  it("ends a soft chain at a short read, and tells how short", () =>
    inScratch((directory) =>
      withRing({}, (ring) => {
        writeFileSync(join(directory, "data"), "ten bytes.");
        const file = openFile(ring, join(directory, "data"));
        ring.beginChain(2);
        ring.prepRead(file, ring.buffers.acquire()!, 0, 100, 0, 1);
        ring.prepNop(2);
        assert.deepEqual([...finishAll(ring)].sort(), [[1, 10], [2, -ERRNO.ECANCELED]]);
      })
    ));
});

describe("ring calls of the kernel", { skip: skipStrace }, () => {
  /** What strace counted. */
  const entersOf = (summary: string): number => {
    const line = summary.split("\n").find((one) => one.endsWith("io_uring_enter"));
    return line === undefined ? 0 : Number(line.trim().split(/\s+/)[3]);
  };
  const count = async (ring: Record<string, unknown>) =>
    await inScratch(async (directory) => {
      const summary = join(directory, "summary");
      const launcher = ["strace", "-f", "-c", "-e", "trace=io_uring_enter", "-o", summary];
      const { enters, counted } = await runRing(directory, {
        launcher,
        ring: { ...ring, task: "enters" },
      });
      assert.equal(entersOf(readFileSync(summary, "utf8")), enters, "stats().enters");
      return counted;
    });

  it("are one for each tick that submits and waits, on every rung", async () => {
    for (const firstRung of [0, 1, 2]) assert.equal(await count({ firstRung }), 100);
  });

  it("are none while the polling thread is awake", async () => {
    assert.equal(await count({ sqpoll: { idleMillis: 60_000 } }), 0);
  });

  it("wake the polling thread when it sleeps", () =>
    inScratch(async (directory) => {
      const trace = join(directory, "trace");
      const launcher = ["strace", "-f", "-e", "trace=io_uring_enter", "-o", trace];
      const ring = { sqpoll: { idleMillis: 1 }, task: "wake" };
      assert.deepEqual(await runRing(directory, { launcher, ring }), { done: 20 });
      assert.match(readFileSync(trace, "utf8"), /IORING_ENTER_SQ_WAKEUP/);
    }));
});

describe("ring of a process that exits", { skip: skipRing }, () => {
  it("does not hold it up, with operations in flight and nothing closed", () =>
    inScratch(async (directory) => {
      execFileSync("mkfifo", [join(directory, "fifo")]);
      for (const ring of [{}, { sqpoll: true }, { firstRung: 2 }]) {
        const result = await runRing(directory, { ring: { ...ring, task: "exit" } });
        assert.deepEqual(result, { inFlight: 32 });
      }
    }));
});
