/**
 * Rings and threads: a ring per worker; another thread's ring is refused; a worker that is ended with
 * operations in flight leaves no ring, no descriptor and no lock behind once another ring is opened,
 * and what the kernel still writes goes into memory that is pinned.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { promises, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { LOCK_FLAG, Ring } from "../../ring.ts";
import { inScratch, openFile, ROOT, skipRing, withRing } from "../support/ring.ts";

const FULL = process.env.URING_TEST_FULL !== undefined;
const BUSY = join(ROOT, "tests/ring/busy_worker.ts");
const PROGRAM = join(ROOT, "tests/support/ring_worker.ts");

function start(task: string, directory: string, number = 0): Worker {
  return new Worker(PROGRAM, { workerData: { task, directory, number } });
}

function answer(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

const descriptors = () => readdirSync("/proc/self/fd").length;

describe("ring threads", { skip: skipRing }, () => {
  it("each worker has a ring of its own", () =>
    inScratch(async (directory) => {
      const workers = [1, 2, 3, 4].map(() => start("run", directory));
      assert.deepEqual(await Promise.all(workers.map(answer)), [32000, 32000, 32000, 32000]);
      await Promise.all(workers.map((worker) => worker.terminate()));
    }));

  it("a ring of another thread is refused", () =>
    withRing({}, async (ring) => {
      const { _queue } = ring as unknown as { _queue: { _number: number } };
      const worker = start("foreign", "", _queue._number);
      assert.equal(await answer(worker), "refused");
      await worker.terminate();
      ring.prepNop(1);
      assert.equal(ring.submitAndWait(1), 1);
    }));

  it("four workers and 64 rings of the main thread wait while fs.promises answers", () =>
    inScratch(async (directory) => {
      const mine = Array.from({ length: 64 }, (_, i) => join(directory, `main${i}`));
      const paths = [1, 2, 3, 4].map((i) => join(directory, `fifo${i}`));
      execFileSync("mkfifo", [...mine, ...paths]);
      const workers = [1, 2, 3, 4].map((i) => start("wait", directory, i));
      assert.deepEqual(await Promise.all(workers.map(answer)), Array(4).fill("waiting"));
      const rings: Ring[] = [];
      try {
        const drains = mine.map((path, i) => {
          const ring = Ring.open({ entries: 4, arenaBytes: 4096, bufferBytes: 4096, files: 4 });
          rings.push(ring);
          ring.prepRead(openFile(ring, path, 2), ring.buffers.acquire()!, 0, 10, 0, i);
          return ring.drain();
        });
        await new Promise((resolve) => setTimeout(resolve, 50));
        writeFileSync(join(directory, "file"), "answer");
        for (let i = 0; i < 8; i++) {
          assert.equal(await promises.readFile(join(directory, "file"), "utf8"), "answer");
        }
        const answers = Promise.all(workers.map(answer));
        for (const path of [...paths, ...mine]) writeFileSync(path, "x");
        assert.deepEqual(await answers, [1, 2, 3, 4]);
        assert.deepEqual(await Promise.all(drains), Array(64).fill(1));
        rings.forEach((ring, i) => assert.equal(ring.completions.userData[0], i));
      } finally {
        for (const ring of rings) ring.close();
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
    }));

  it("workers ended with 64 operations in flight leave nothing behind", () =>
    inScratch(async (directory) => {
      const times = FULL ? 200 : 12;
      const path = join(directory, "LOCK");
      execFileSync("mkfifo", [join(directory, "fifo")]);
      let before = 0;
      for (let i = 0; i < times; i++) {
        const worker = start("hang", directory);
        assert.deepEqual(await answer(worker), { locked: 0, inFlight: 64 });
        await worker.terminate();
        // Every open sweeps what belongs to threads that are gone; a thread takes its time to go.
        await held(path);
        if (i === 1) before = descriptors();
      }
      assert.ok(descriptors() <= before + 8, `${before} descriptors, then ${descriptors()}`);
    }));

  for (const rung of [0, 1]) {
    it(`workers ended with opens, closes, statx and messages in flight leave the lock free, rung ${rung}`, () =>
      inScratch((directory) =>
        withRing({ arenaBytes: 65536, bufferBytes: 4096 }, async (ring) => {
          const times = FULL ? 200 : 12;
          execFileSync("mkfifo", [join(directory, "fifo")]);
          const { address } = ring;
          let before = 0;
          for (let i = 0; i < times; i++) {
            const worker = new Worker(BUSY, { workerData: { directory, address, rung } });
            assert.deepEqual(await answer(worker), { locked: 0, prepared: 88 });
            await worker.terminate();
            await held(join(directory, "LOCK"));
            // What was sent to this ring came, and does not disturb it.
            ring.prepNop(-1);
            let done = false;
            while (!done) {
              ring.submitAndWait(1);
              const count = ring.reap();
              done ||= ring.completions.userData.subarray(0, count).includes(-1);
            }
            if (i === 1) before = descriptors();
          }
          // With DEFER_TASKRUN, rung 0, what had not completed when the thread ended never does: of each
          // such operation that goes by a descriptor, and of each open, one stays.
          const stay = rung === 0 ? 41 * times : 8;
          assert.ok(descriptors() <= before + stay, `${before}, then ${descriptors()}`);
        })
      ));
  }
});

/** Waits until the lock that a thread left behind is free. */
async function held(path: string): Promise<void> {
  for (let i = 0;; i++) {
    using ring = Ring.open();
    const file = openFile(ring, path);
    if (ring.flock(file, LOCK_FLAG.EXCLUSIVE | LOCK_FLAG.NONBLOCK) === 0) return;
    assert.ok(i < 200, "the lock of a thread that is gone is still held");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
