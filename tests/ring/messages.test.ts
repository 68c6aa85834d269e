/**
 * Messages between rings, io_uring_prep_msg_ring(3): what was sent arrives once, with its userData and
 * res, in the ring that was named and in no other, also in another thread; what cannot be kept waits in
 * the kernel.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { CQE_FLAG, ERRNO, Ring, RingClosedError, RingImageError } from "../../ring.ts";
import { finish, finishAll, inScratch, ROOT, skipRing, withRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const lacking = skipRing === false && (() => {
  const ring = Ring.open({ entries: 1, arenaBytes: 4096, bufferBytes: 4096 });
  const has = ring.probe("msg_ring");
  ring.close();
  return skipUnless(has, "this kernel has no msg_ring: Linux 5.18 brought it");
})();
const skip = skipRing || lacking;

/** Reaps until `count` messages have come; what they say. */
function receive(ring: Ring, count: number): [number, number][] {
  const got: [number, number][] = [];
  while (got.length < count) {
    const length = ring.reap();
    for (let i = 0; i < length; i++) {
      const { userData, res, flags } = ring.completions;
      assert.equal(flags[i], CQE_FLAG.MESSAGE);
      got.push([userData[i], res[i]]);
    }
  }
  return got;
}

describe("ring messages", { skip }, () => {
  it("arrive with any userData and any res", () =>
    withRing({}, (from) =>
      withRing({}, (to) => {
        const numbers = [0, 1, -1, 2 ** 31, -(2 ** 31), 2 ** 32 + 5, 2 ** 53 - 1, -(2 ** 53) + 1];
        const results = [0, 1, -1, -28, 2 ** 31 - 1, -(2 ** 31)];
        const { address } = to;
        const expected: [number, number][] = [];
        for (const number of numbers) {
          for (const result of results) {
            assert.equal(finish(from, from.prepMsgRing(address, number, result, 7)), 0);
            assert.equal(from.completions.flags[0], 0);
            expected.push([number, result]);
          }
        }
        assert.deepEqual(receive(to, expected.length), expected);
        assert.equal(to.reap(), 0);
        assert.equal(to.stats().stale, 0);
        assert.equal(to.inFlight, 0);
      })));

  it("come among the ring's own completions, and take no slot of theirs", () =>
    withRing({}, (from) =>
      withRing({ entries: 4, completionEntries: 4 }, (to) => {
        const { address } = to;
        for (let round = 0; round < 20; round++) {
          for (let i = 0; i < 4; i++) {
            to.prepNop(i);
            assert.equal(finish(from, from.prepMsgRing(address, 100 + i, round, 1)), 0);
          }
          assert.equal(to.prepNop(4), false);
          const seen: number[] = [];
          while (seen.length < 8) {
            to.submitAndWait(to.inFlight);
            to.reap();
            for (let i = 0; i < to.completions.length; i++) {
              const { userData, res, flags } = to.completions;
              seen.push(userData[i]);
              const message = userData[i] >= 100;
              assert.equal(res[i], message ? round : 0);
              assert.equal(flags[i], message ? CQE_FLAG.MESSAGE : 0);
            }
          }
          assert.deepEqual(seen.sort((a, b) => a - b), [0, 1, 2, 3, 100, 101, 102, 103]);
        }
      })));

  it("wait in the kernel when 64 were not reaped, and none is lost", () =>
    withRing({}, (from) =>
      withRing({ entries: 16, completionEntries: 32 }, (to) => {
        const { address } = to;
        const total = 500;
        for (let i = 0; i < total; i++) {
          finish(from, from.prepMsgRing(address, i, 0 - i, 1));
          // Ticks that bring messages, without a reap.
          if (i % 10 === 0) to.submit();
        }
        const got = receive(to, total);
        assert.deepEqual(got, got.map((_, i) => [i, 0 - i]));
        to.prepNop(1);
        assert.equal(finishAll(to).get(1), 0);
      })));

  it("may go to the ring itself", () =>
    withRing({}, (ring) => {
      ring.prepMsgRing(ring.address, 11, 12, 13);
      const results = new Map<number, number>();
      while (results.size < 2) {
        ring.submitAndWait(1);
        ring.reap();
        for (let i = 0; i < ring.completions.length; i++) {
          results.set(ring.completions.userData[i], ring.completions.res[i]);
        }
      }
      assert.deepEqual([results.get(13), results.get(11)], [0, 12]);
    }));

  it("are refused when no ring has the address, and drop nothing else", () =>
    withRing({}, (ring) => {
      const other = Ring.open();
      const { address } = other;
      other.close();
      assert.throws(() => other.address, RingClosedError);
      for (const wrong of [address, 0, 1, ring.address ^ 1024, 0x7fff_ffff]) {
        ring.prepMsgRing(wrong, 1, 2, 3);
        assert.throws(() => ring.submit(), (error: RingImageError) => {
          assert.ok(error instanceof RingImageError);
          assert.equal(error.reason, "ring");
          assert.equal(error.operation, "msg_ring");
          return true;
        });
      }
      assert.throws(() => ring.prepMsgRing(-1, 1, 2, 3), /address must be/);
      assert.throws(() => ring.prepMsgRing(1, 0.5, 2, 3), /value must be a safe integer/);
      assert.throws(() => ring.prepMsgRing(1, 1, 2 ** 31, 3), /result must be a 32-bit integer/);
      assert.equal(ring.inFlight, 0);
    }));

  it(
    "reach a ring of another thread, and wake one that waits",
    { timeout: 60_000 },
    () =>
      inScratch(() =>
        withRing({ arenaBytes: 65536, bufferBytes: 4096 }, async (ring) => {
          // Whatever goes wrong in the worker, the wait has an end.
          ring.prepTimeout(30_000_000, 0, -1);
          ring.submit();
          const worker = new Worker(join(ROOT, "tests/support/message_worker.ts"), {
            workerData: { address: ring.address, count: 40 },
          });
          const failed = new Promise<never>((_, reject) => worker.on("error", reject));
          const ended = new Promise<void>((resolve) => worker.on("exit", () => resolve()));
          const got: number[] = [];
          while (got.length < 40) {
            const count = await Promise.race([ring.drain(), failed]);
            for (let i = 0; i < count; i++) {
              const { userData, res } = ring.completions;
              assert.notEqual(userData[i], -1, `only ${got.length} of 40 messages came`);
              assert.equal(res[i], 2 * userData[i]);
              got.push(userData[i]);
            }
          }
          assert.deepEqual(got, got.map((_, i) => i));
          await ended;
          ring.prepTimeoutRemove(-1, -2);
          const rest = finishAll(ring);
          assert.deepEqual([rest.get(-1), rest.get(-2)], [-ERRNO.ECANCELED, 0]);
        })
      ),
  );
});
