/**
 * The boundary to the shim: what is refused there drops what was staged, cleanly, and says why; stale
 * completions are not delivered; nothing that another thread writes into shared memory gets through.
 * Whatever TypeScript would have refused itself is prepared in numbers here, as a backend does.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ERRNO, OPEN_FLAG, type Ring, RingImageError } from "../../ring.ts";
import { OPERATION } from "../../src/abi/generated.ts";
import { finish, finishAll, inScratch, openFile, skipRing, withRing } from "../support/ring.ts";

const test = (name: string, body: (ring: Ring, directory: string) => void | Promise<void>) =>
  it(name, () => inScratch((directory) => withRing({}, (ring) => body(ring, directory))));

/** The error of submitting what was staged. */
function refusal(ring: Ring): RingImageError {
  try {
    ring.submit();
  } catch (error) {
    assert.ok(error instanceof RingImageError, String(error));
    return error;
  }
  throw new Error("nothing was refused");
}

describe("ring boundary", { skip: skipRing }, () => {
  test("refuses files that are not the ring's, by any number", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    const numbers = [0, 1, 2, 3, 4096 * 2, 255, file.reference + 1, 0x7fff_ffff, 0xffff_ffff];
    for (const reference of numbers) {
      assert.equal(ring.prepDataRaw(OPERATION.writeFixed, reference, 0, 1, 0, 7, 0), true);
      const error = refusal(ring);
      assert.equal(error.reason, "file");
      assert.equal(error.operation, "write_fixed");
      assert.deepEqual(error.dropped, [7]);
      assert.match(
        error.message,
        /the shim refused write_fixed \(userData 7\), number 0 of 1 staged: file/,
      );
    }
  });

  test("refuses a file that was closed", (ring, directory) => {
    const { reference } = openFile(ring, join(directory, "file"));
    finish(ring, ring.prepClose(ring.file(reference), 1));
    openFile(ring, join(directory, "file"));
    ring.prepDataRaw(OPERATION.read, reference, 0, 1, 0, 1, 0);
    assert.equal(refusal(ring).reason, "file");
  });

  test("refuses ranges outside the arena", (ring, directory) => {
    const { reference } = openFile(ring, join(directory, "file"));
    const size = ring.arena.length;
    const ranges = [[size, 1], [size - 1, 2], [0, size + 1], [0xffff_ffff, 1], [1, 0xffff_ffff]];
    for (const [address, length] of ranges) {
      ring.prepDataRaw(OPERATION.read, reference, address, length, 0, 1, 0);
      assert.equal(refusal(ring).reason, "arena");
    }
    ring.prepDataRaw(OPERATION.read, reference, size - 1, 1, 0, 1, 0);
    assert.equal(finishAll(ring).get(1), 0);
  });

  test(
    "refuses flags that a row does not have, and operations that there are not",
    (ring, directory) => {
      const { reference } = openFile(ring, join(directory, "file"));
      ring.prepDataRaw(OPERATION.read, reference, 0, 1, 0, 1, 0x8000_0000);
      assert.equal(refusal(ring).reason, "opFlags");
      ring.prepDataRaw(200, reference, 0, 1, 0, 1, 0);
      assert.equal(refusal(ring).reason, "operation");
      // A field that a NOP does not have.
      ring.prepDataRaw(OPERATION.nop, 0, 1, 0, 0, 1, 0);
      assert.equal(refusal(ring).reason, "notZero");
    },
  );

  test("drops the whole staged set, and submits nothing of it", (ring, directory) => {
    const path = join(directory, "file");
    const file = openFile(ring, path);
    const buffer = ring.buffers.acquire()!;
    assert.equal(ring.prepWrite(file, buffer, 0, 10, 0, 1), true);
    assert.equal(ring.prepOpenat(join(directory, "made"), OPEN_FLAG.CREAT, 0o644, 2), true);
    ring.prepDataRaw(OPERATION.read, 12345, 0, 1, 0, 3, 0);
    ring.prepNop(4);
    const error = refusal(ring);
    assert.equal(error.index, 2);
    assert.deepEqual(error.dropped, [1, 2, 3, 4]);
    assert.equal(ring.inFlight, 0);
    assert.equal(ring.staged, 0);
    assert.equal(ring.reap(), 0);
    assert.equal(readFileSync(path).length, 0);
    assert.equal(ring.stats().files, 1);
    // Buffer, slots and file are free again.
    assert.equal(finish(ring, ring.prepWrite(file, buffer, 0, 10, 0, 5)), 10);
    buffer.release();
  });

  test("takes a prepared close back when it is dropped", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    ring.prepClose(file, 1);
    ring.prepDataRaw(OPERATION.read, 12345, 0, 1, 0, 3, 0);
    refusal(ring);
    assert.equal(file.isOpen, true);
    assert.equal(finish(ring, ring.prepFsync(file, 1)), 0);
    assert.equal(finish(ring, ring.prepClose(file, 1)), 0);
  });

  test("a wait that submits is refused in the same way", async (ring) => {
    ring.prepDataRaw(OPERATION.read, 12345, 0, 1, 0, 3, 0);
    assert.throws(() => ring.submitAndWait(1), RingImageError);
    ring.prepDataRaw(OPERATION.read, 12345, 0, 1, 0, 3, 0);
    await assert.rejects(ring.drain(), RingImageError);
    assert.equal(await ring.drain(), 0);
  });

  it(
    "adopts a descriptor by a duplicate, and refuses what is no file",
    { skip: skipRing },
    () =>
      inScratch((directory) =>
        withRing({ files: 2 }, async (ring) => {
          assert.throws(() => ring.adoptFd(-1), /descriptor must be/);
          assert.throws(() => ring.adoptFd(1 << 30), { code: "EBADF" });
          const path = join(directory, "file");
          writeFileSync(path, "adopted");
          const { closeSync, openSync } = await import("node:fs");
          const { isDeno } = await import("../support/ring.ts");
          // Deno's numbers are not the kernel's.
          if (isDeno) return;
          const descriptor = openSync(path, "r");
          const file = ring.adoptFd(descriptor);
          closeSync(descriptor);
          const buffer = ring.buffers.acquire()!;
          assert.equal(finish(ring, ring.prepRead(file, buffer, 0, 100, 0, 1)), 7);
          for (const refused of ["/proc/self/mem", "/proc/self/status", "/sys/kernel/mm/ksm/run"]) {
            const other = openSync(refused, "r");
            assert.throws(() => ring.adoptFd(other), { code: "EACCES" }, refused);
            closeSync(other);
          }
          const again = openSync(path, "r");
          assert.equal(ring.registerFiles([again]).length, 1);
          assert.throws(() => ring.registerFiles([again]), { code: "ENFILE" });
          closeSync(again);
        })
      ),
  );

  test("opens nothing of /proc and /sys", (ring) => {
    for (const path of ["/proc/self/mem", "/proc/self/maps", "/sys/kernel/mm/ksm/run"]) {
      const res = finish(ring, ring.prepOpenat(path, OPEN_FLAG.RDONLY, 0, 1));
      assert.equal(res, -ERRNO.EACCES, path);
    }
    assert.equal(ring.stats().files, 0);
  });

  test("counts stale completions and does not deliver them", (ring) => {
    // A column of another generation, as if the completion were of an operation that ended before.
    const queue = (ring as unknown as { _queue: { _columns: Int32Array; slots: number } })._queue;
    ring.prepNop(1);
    ring.prepNop(2);
    ring.submitAndWait(2);
    queue._columns[queue.slots] += 1;
    assert.equal(ring.reap(), 1);
    assert.equal(ring.stats().stale, 1);
    assert.equal(ring.completions.userData[0], 2);
  });
});
