/**
 * What waits and what ends others: timeouts, link timeouts, polls, canceling, draining. By
 * io_uring_enter(2), io_uring_prep_timeout(3), io_uring_prep_link_timeout(3), io_uring_prep_cancel(3) and
 * io_uring_prep_poll_add(3), and the ideas of liburing's tests timeout, link-timeout, io-cancel, poll,
 * poll-cancel and link_drain. What shall not happen is given ten minutes; no test measures how long
 * something took, but that it took at least what was asked for.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ERRNO,
  OPEN_FLAG,
  POLL_FLAG,
  type Ring,
  type RingFile,
  SQE_FLAG,
  TIMEOUT_FLAG,
} from "../../ring.ts";
import {
  fifo,
  filled,
  finish,
  finishAll,
  inScratch,
  openFile,
  skipRing,
  withRing,
} from "../support/ring.ts";

const test = (name: string, body: (ring: Ring, directory: string) => void | Promise<void>) =>
  it(name, () => inScratch((directory) => withRing({}, (ring) => body(ring, directory))));

/** Longer than any test. */
const NEVER = 600e6;
const { ETIME, ECANCELED, ENOENT } = ERRNO;

/** A pipe in which nothing is: reads of it wait. */
function emptyPipe(ring: Ring, directory: string, name = "pipe"): RingFile {
  return openFile(ring, fifo(directory, name), OPEN_FLAG.RDWR);
}

/** userData and res of everything, in the order of completion. */
function inOrder(ring: Ring): [number, number][] {
  const rows: [number, number][] = [];
  while (ring.inFlight > 0) {
    ring.submitAndWait(1);
    const count = ring.reap();
    for (let i = 0; i < count; i++) {
      rows.push([ring.completions.userData[i], ring.completions.res[i]]);
    }
  }
  return rows;
}

describe("ring timeouts", { skip: skipRing }, () => {
  test("expire, and not before their time", (ring) => {
    const before = performance.now();
    assert.equal(finish(ring, ring.prepTimeout(30_000, 0, 1)), -ETIME);
    assert.ok(performance.now() - before >= 29.9);
    assert.equal(finish(ring, ring.prepTimeout(0, 0, 1)), -ETIME);
    assert.equal(finish(ring, ring.prepTimeout(1_000_001e-3 | 0, 0, 1)), -ETIME);
  });

  test("expire at a time on a clock", (ring) => {
    const { ABS, REALTIME, BOOTTIME } = TIMEOUT_FLAG;
    const at = Date.now() + 30;
    assert.equal(finish(ring, ring.prepTimeout(at * 1000, 0, 1, ABS | REALTIME)), -ETIME);
    assert.ok(Date.now() >= at);
    // Long past, on each clock.
    for (const clock of [0, BOOTTIME, REALTIME]) {
      assert.equal(finish(ring, ring.prepTimeout(1, 0, 1, ABS | clock)), -ETIME);
    }
    const both = finish(ring, ring.prepTimeout(1, 0, 1, BOOTTIME | REALTIME));
    assert.equal(both, -ERRNO.EINVAL);
  });

  test("end with 0 after so many completions", (ring) => {
    assert.equal(ring.prepTimeout(NEVER, 3, 9), true);
    ring.submit();
    for (let i = 0; i < 3; i++) ring.prepNop(i);
    const results = finishAll(ring);
    assert.equal(results.get(9), 0);
    assert.equal(results.size, 4);
  });

  test("are removed, and given another time", (ring) => {
    ring.prepTimeout(NEVER, 0, 1);
    ring.submit();
    ring.prepTimeoutRemove(1, 2);
    const removed = finishAll(ring);
    assert.deepEqual([removed.get(1), removed.get(2)], [-ECANCELED, 0]);

    ring.prepTimeout(NEVER, 0, 1);
    ring.submit();
    assert.equal(ring.prepTimeoutUpdate(1, 1000, 2), true);
    const updated = finishAll(ring);
    assert.deepEqual([updated.get(1), updated.get(2)], [-ETIME, 0]);

    // Of another kind: not found. Of nothing: not staged.
    ring.prepTimeout(NEVER, 0, 3);
    ring.prepNop(1);
    ring.prepTimeoutRemove(1, 2);
    ring.prepTimeoutUpdate(1, 5, 4);
    ring.submitAndWait(3);
    ring.reap();
    const { userData, res, length } = ring.completions;
    const seen = new Map(Array.from({ length }, (_, i) => [userData[i], res[i]]));
    assert.deepEqual([seen.get(1), seen.get(2), seen.get(4)], [0, -ENOENT, -ENOENT]);
    assert.equal(ring.prepTimeoutRemove(77, 2), false);
    assert.equal(ring.prepTimeoutUpdate(77, 5, 2), false);
    assert.equal(ring.inFlight, 1);
  });

  test("bound a wait that has no other end", async (ring) => {
    ring.prepTimeout(10_000, 0, 5);
    assert.equal(await ring.drain(), 1);
    assert.deepEqual([ring.completions.userData[0], ring.completions.res[0]], [5, -ETIME]);
  });

  test("that expire break a chain, unless that is success", (ring) => {
    for (const [flag, then] of [[0, -ECANCELED], [TIMEOUT_FLAG.ETIME_SUCCESS, 0]]) {
      ring.beginChain(2);
      ring.prepTimeout(1000, 0, 1, flag);
      ring.prepNop(2);
      const results = finishAll(ring);
      assert.deepEqual([results.get(1), results.get(2)], [-ETIME, then]);
    }
  });

  test("name bad arguments", (ring) => {
    assert.throws(() => ring.prepTimeout(-1, 0, 1), /micros must be/);
    assert.throws(() => ring.prepTimeout(0.5, 0, 1), /micros must be/);
    assert.throws(() => ring.prepTimeout(1, -1, 1), /count must be/);
    assert.throws(() => ring.prepTimeout(1, 0, 1, 2), /flags must be of 0x2d, not 2/);
    assert.throws(() => ring.prepTimeoutUpdate(1, 1, 1, 16), /flags must be of 0x1, not 16/);
    assert.throws(() => ring.prepLinkTimeout(1, 1), /stands in a chain, behind the operation/);
    ring.prepNop(1);
    assert.throws(() => ring.prepLinkTimeout(1, 1), /stands in a chain/);
    ring.beginChain(2);
    assert.throws(() => ring.prepLinkTimeout(1, 1), /stands in a chain/);
    ring.prepNop(2);
    assert.throws(() => ring.prepLinkTimeout(1, 3, 64), /flags must be/);
    ring.prepNop(3);
    assert.equal(finishAll(ring).size, 3);
  });
});

describe("ring link timeouts", { skip: skipRing }, () => {
  test("cancel the operation before them when the time is over", (ring, directory) => {
    const pipe = emptyPipe(ring, directory);
    const buffer = ring.buffers.acquire()!;
    ring.beginChain(2);
    ring.prepRead(pipe, buffer, 0, 10, 0, 1);
    ring.prepLinkTimeout(20_000, 2);
    const results = finishAll(ring);
    assert.equal(results.get(1), -ECANCELED);
    assert.equal(results.get(2), -ETIME);
    buffer.release();
  });

  test("end with the operation when it is quicker, and what follows goes on", (ring, directory) => {
    const file = openFile(ring, join(directory));
    const buffer = filled(ring, "quick");
    for (const hard of [false, true]) {
      ring.beginChain(4, hard);
      ring.prepWrite(file, buffer, 0, 5, 0, 1);
      ring.prepLinkTimeout(NEVER, 2);
      ring.prepFsync(file, 3);
      ring.prepLinkTimeout(NEVER, 4);
      const results = finishAll(ring);
      assert.deepEqual([1, 2, 3, 4].map((one) => results.get(one)), [5, -ECANCELED, 0, -ECANCELED]);
    }
  });

  test("can be given another time", (ring, directory) => {
    const pipe = emptyPipe(ring, directory);
    const buffer = ring.buffers.acquire()!;
    ring.beginChain(2);
    ring.prepRead(pipe, buffer, 0, 10, 0, 1);
    ring.prepLinkTimeout(NEVER, 2);
    ring.submit();
    assert.equal(ring.prepTimeoutUpdate(2, 1000, 3), true);
    const results = finishAll(ring);
    assert.deepEqual([1, 2, 3].map((one) => results.get(one)), [-ECANCELED, -ETIME, 0]);
  });
});

describe("ring polls", { skip: skipRing }, () => {
  test("complete once, with what there is", (ring, directory) => {
    const pipe = emptyPipe(ring, directory);
    const { IN, OUT } = POLL_FLAG;
    assert.equal(finish(ring, ring.prepPollAdd(pipe, IN | OUT, 1)), OUT);
    ring.prepPollAdd(pipe, IN, 1);
    ring.submit();
    assert.equal(ring.reap(), 0);
    const buffer = filled(ring, "!");
    ring.prepWrite(pipe, buffer, 0, 1, 0, 2);
    const results = finishAll(ring);
    assert.deepEqual([results.get(1), results.get(2)], [IN, 1]);
    // An ordinary file is always ready.
    const file = openFile(ring, join(directory));
    assert.equal(finish(ring, ring.prepPollAdd(file, IN, 1)), IN);
    assert.throws(() => ring.prepPollAdd(pipe, 0x8000_0000, 1), /events of poll_add must/);
    assert.throws(() => ring.prepPollAdd(pipe, 1 << 28, 1), /events of poll_add must/);
  });

  test("are removed", (ring, directory) => {
    const pipe = emptyPipe(ring, directory);
    ring.prepPollAdd(pipe, POLL_FLAG.IN, 1);
    ring.submit();
    ring.prepPollRemove(1, 2);
    const results = finishAll(ring);
    assert.deepEqual([results.get(1), results.get(2)], [-ECANCELED, 0]);
    assert.equal(ring.prepPollRemove(1, 2), false);
    ring.prepTimeout(NEVER, 0, 1);
    ring.submit();
    ring.prepPollRemove(1, 2);
    ring.submitAndWait(1);
    assert.equal(ring.reap(), 1);
    assert.equal(ring.completions.res[0], -ENOENT);
  });
});

describe("ring cancel", { skip: skipRing }, () => {
  const stuck = (ring: Ring, pipe: RingFile, from: number, count: number) => {
    for (let i = from; i < from + count; i++) {
      assert.equal(ring.prepRead(pipe, ring.buffers.acquire()!, 0, 1, 0, i), true);
    }
    ring.submit();
  };

  test("ends one operation, all of a file, or all", (ring, directory) => {
    const one = emptyPipe(ring, directory, "one");
    const two = emptyPipe(ring, directory, "two");
    stuck(ring, one, 0, 5);
    stuck(ring, two, 10, 5);
    ring.prepTimeout(NEVER, 0, 20);
    ring.submit();
    assert.equal(ring.inFlight, 11);
    const ended = (prepared: boolean, count: number, by: number) => {
      assert.equal(prepared, true);
      const rows = new Map<number, number>();
      while (rows.size < count + 1) {
        ring.submitAndWait(count + 1 - rows.size);
        const length = ring.reap();
        for (let i = 0; i < length; i++) {
          rows.set(ring.completions.userData[i], ring.completions.res[i]);
        }
      }
      const res = rows.get(by);
      rows.delete(by);
      for (const other of rows.values()) assert.equal(other, -ECANCELED);
      return [res, [...rows.keys()].sort((a, b) => a - b)];
    };
    assert.deepEqual(ended(ring.prepCancel(3, 99), 1, 99), [0, [3]]);
    if (!ring.probe("cancel_any")) return;
    assert.deepEqual(ended(ring.prepCancelFile(one, 99), 4, 99), [4, [0, 1, 2, 4]]);
    assert.deepEqual(ended(ring.prepCancelFile(one, 99), 0, 99), [0, []]);
    assert.deepEqual(ended(ring.prepCancelAny(99), 6, 99), [6, [10, 11, 12, 13, 14, 20]]);
    assert.equal(ring.inFlight, 0);
    assert.deepEqual(ended(ring.prepCancelAny(99), 0, 99), [0, []]);
    assert.equal(ring.prepCancel(3, 99), false);
  });

  test(
    "io-cancel: of reads that run, each ends once, as canceled or with its bytes",
    (ring, directory) => {
      const file = openFile(ring, join(directory));
      const buffers = Array.from({ length: 32 }, () => filled(ring, "x".repeat(100)));
      finish(ring, ring.prepWrite(file, buffers[0], 0, 65536, 0, 1));
      for (let round = 0; round < 8; round++) {
        for (let i = 0; i < 32; i++) {
          ring.nextFlags(i % 2 === 0 ? SQE_FLAG.ASYNC : 0);
          ring.prepRead(file, buffers[i], 0, 65536, 0, i);
        }
        ring.submit();
        for (let i = 0; i < 32; i += 1 + round) ring.prepCancel(i, 100 + i);
        const results = finishAll(ring);
        for (let i = 0; i < 32; i++) {
          const res = results.get(i)!;
          assert.ok(res === 65536 || res === -ECANCELED || res === -ERRNO.EINTR, `${i}: ${res}`);
          const cancel = results.get(100 + i);
          if (cancel === 0) assert.ok(res < 0, `${i}: canceled, and yet ${res}`);
          else if (cancel !== undefined) {
            assert.ok([-ENOENT, -ERRNO.EALREADY].includes(cancel as never), `${i}: ${cancel}`);
          }
        }
      }
    },
  );
});

describe("ring draining", { skip: skipRing }, () => {
  test("an operation with IO_DRAIN comes after all before it, and before all after it", (ring) => {
    ring.prepTimeout(20_000, 0, 1);
    ring.prepNop(2);
    ring.nextFlags(SQE_FLAG.IO_DRAIN);
    ring.prepNop(3);
    ring.prepNop(4);
    const rows = inOrder(ring);
    assert.deepEqual(rows.map(([id]) => id), [2, 1, 3, 4]);
    assert.equal(rows[1][1], -ETIME);
  });

  test("so does a whole chain that begins with it", (ring, directory) => {
    const file = openFile(ring, join(directory));
    const buffer = filled(ring, "drained");
    ring.prepTimeout(20_000, 0, 1);
    ring.beginChain(2);
    ring.nextFlags(SQE_FLAG.IO_DRAIN);
    ring.prepWrite(file, buffer, 0, 7, 0, 2);
    ring.prepFsync(file, 3);
    assert.deepEqual(inOrder(ring), [[1, -ETIME], [2, 7], [3, 0]]);
  });

  test("a flag that a row cannot have is named, and nothing is staged", (ring, directory) => {
    const file = openFile(ring, join(directory));
    ring.nextFlags(SQE_FLAG.IO_DRAIN);
    assert.throws(() => ring.prepClose(file, 1), /close cannot have IO_DRAIN/);
    ring.nextFlags(0);
    ring.beginChain(2);
    assert.throws(() => ring.prepClose(file, 1), /close cannot have IO_LINK/);
    ring.prepNop(1);
    ring.prepNop(2);
    assert.equal(finishAll(ring).size, 2);
    assert.equal(file.isOpen, true);
    assert.equal(finish(ring, ring.prepClose(file, 1)), 0);
  });
});

/** A file's path in a directory. */
function join(directory: string): string {
  return `${directory}/file`;
}
