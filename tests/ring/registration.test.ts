/**
 * What is registered with the kernel: files in their table, slices of the arena, the ring itself, an
 * allow-list of operations; limits of worker threads; cancelling and waiting for it. The subjects are those
 * of liburing's tests file-register, file-update, fixed-reuse, rsrc_tags, register-restrictions,
 * ringfd-register and sync-cancel.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import {
  ERRNO,
  LOCK_FLAG,
  type RegisteredBuffer,
  Ring,
  RingBusyError,
  type RingFile,
} from "../../ring.ts";
import { FILE_NONE, FILE_UPDATE } from "../../src/abi/generated.ts";
import { library } from "../../src/native/library.ts";
import { runRing } from "../support/program.ts";
import {
  descriptorOf,
  finish,
  finishAll,
  inScratch,
  openFile,
  skipRing,
  textOf,
  withRing,
} from "../support/ring.ts";
import type { RingOptions } from "../../ring.ts";

const test = (
  name: string,
  body: (ring: Ring, directory: string) => void | Promise<void>,
  options: RingOptions = {},
) => it(name, () => inScratch((directory) => withRing(options, (ring) => body(ring, directory))));

/** Files with their own names in them, open in this process: descriptors and what to close them by. */
function openNamed(directory: string, names: readonly string[]): number[] {
  return names.map((name) => {
    const path = join(directory, name);
    writeFileSync(path, name);
    opened.push(openSync(path, "r+"));
    return descriptorOf(path);
  });
}
const opened: number[] = [];
const closeNamed = () => opened.splice(0).forEach((file) => closeSync(file));

function contentOf(ring: Ring, file: RingFile): string {
  const buffer = ring.buffers.acquire()!;
  const length = finish(ring, ring.prepRead(file, buffer, 0, 100, 0, 0));
  const text = length < 0 ? `${length}` : textOf(buffer, length);
  buffer.release();
  return text;
}

const descriptors = () => readdirSync("/proc/self/fd").length;

/** A FIFO and a read of it, which ends only when it is cancelled or somebody writes. */
function startReads(ring: Ring, directory: string, count: number): [RingFile, RegisteredBuffer[]] {
  const path = join(directory, "fifo");
  execFileSync("mkfifo", [path]);
  const file = openFile(ring, path, 2);
  const buffers = Array.from({ length: count }, () => ring.buffers.acquire()!);
  for (let i = 0; i < count; i++) assert.ok(ring.prepRead(file, buffers[i], 0, 10, 0, 100 + i));
  assert.equal(ring.submit(), count);
  return [file, buffers];
}

describe("ring file table", { skip: skipRing }, () => {
  test("takes many files at once, and each is itself", (ring, directory) => {
    const names = Array.from({ length: 100 }, (_, i) => `file ${i}`);
    const files = ring.registerFiles(openNamed(directory, names));
    // The ring has duplicates: closing one's own changes nothing.
    closeNamed();
    assert.equal(ring.stats().files, 100);
    for (let i = 0; i < 100; i++) assert.equal(contentOf(ring, files[i]), names[i]);
    ring.unregisterFiles(files);
    assert.equal(ring.stats().files, 0);
    assert.equal(files[7].isOpen, false);
    assert.throws(() => ring.prepFsync(files[7], 1), /is closed/);
  });

  test("takes all files or none", (ring, directory) => {
    const [good] = openNamed(directory, ["good"]);
    const before = descriptors();
    assert.throws(() => ring.registerFiles([good, good, 1 << 20, good]), { code: "EBADF" });
    const status = openSync("/proc/self/status", "r");
    const refused = descriptorOf(`/proc/${process.pid}/status`);
    assert.throws(() => ring.registerFiles([good, good, refused]), { code: "EACCES" });
    closeSync(status);
    assert.throws(() => ring.registerFiles([good, -1]), /descriptors\[1\] must be/);
    assert.throws(() => ring.registerFiles([good, 0.5]), /descriptors\[1\] must be/);
    assert.equal(descriptors(), before);
    assert.equal(ring.stats().files, 0);
    // As many as there are places, and not one more.
    assert.throws(() => ring.registerFiles(Array(5).fill(good)), { code: "ENFILE" });
    const files = ring.registerFiles(Array(4).fill(good));
    assert.throws(() => ring.registerFiles([good]), { code: "ENFILE" });
    assert.throws(() => ring.adoptFd(good), { code: "ENFILE" });
    ring.unregisterFiles([files[2]]);
    assert.equal(contentOf(ring, ring.adoptFd(good)), "good");
    assert.deepEqual(ring.registerFiles([]), []);
    closeNamed();
  }, { files: 4 });

  test("puts another file in a place, and the old name is none any more", (ring, directory) => {
    const [a, b, c] = openNamed(directory, ["a", "b", "c"]);
    const [first, second] = ring.registerFiles([a, b]);
    const [third, fourth] = ring.updateFiles([first, second], [c, a]);
    assert.equal(ring.stats().files, 2);
    assert.equal(contentOf(ring, third), "c");
    assert.equal(contentOf(ring, fourth), "a");
    assert.notEqual(third.reference, first.reference);
    assert.equal(third.reference & 0xfff, first.reference & 0xfff, "another place");
    assert.throws(() => ring.prepFsync(first, 1), /is closed/);
    // Also for those who would go around it.
    ring.prepDataRaw(1, first.reference, 0, 1, 0, 7, 0);
    assert.throws(() => ring.submit(), /refused read \(userData 7\).*file/);
    // None of it changes anything.
    const before = descriptors();
    assert.throws(() => ring.updateFiles([third, fourth], [b, 1 << 20]), { code: "EBADF" });
    assert.throws(() => ring.updateFiles([third, third], [b, b]), /named twice/);
    assert.throws(() => ring.updateFiles([third], []), /1 files and 0 descriptors/);
    assert.throws(() => ring.updateFiles([first], [b]), /is closed/);
    assert.ok(ring.prepFsync(third, 5));
    for (
      const use of [() => ring.updateFiles([third], [b]), () => ring.unregisterFiles([third])]
    ) {
      assert.throws(use, (error: RingBusyError) => {
        assert.ok(error instanceof RingBusyError);
        assert.match(error.message, /fsync \(userData 5\) on it is in flight/);
        return true;
      });
    }
    assert.equal(finishAll(ring).get(5), 0);
    assert.equal(descriptors(), before);
    assert.equal(contentOf(ring, third), "c");
    closeNamed();
  });

  test(
    "the shim refuses a change of what is in flight, twice named, or not there",
    (ring, directory) => {
      const [a] = openNamed(directory, ["a"]);
      const [file, other] = ring.registerFiles([a, a]);
      const number = (ring as unknown as { _queue: { _number: number } })._queue._number;
      const change = (...pairs: [number, number][]) => {
        const words = new Int32Array(new SharedArrayBuffer(pairs.length * FILE_UPDATE.bytes));
        pairs.forEach((pair, i) => words.set(pair, 2 * i));
        const bytes = new Uint8Array(words.buffer);
        return library().functions.uring_update_files(number, bytes, bytes.length);
      };
      const before = descriptors();
      assert.equal(change([file.reference, a], [file.reference, a]), -ERRNO.EBADF);
      assert.equal(change([other.reference, -1], [file.reference + 1, a]), -ERRNO.EBADF);
      assert.equal(change([FILE_NONE, -1]), -ERRNO.EBADF);
      assert.equal(change([file.reference, -2]), -ERRNO.EBADF);
      assert.equal(change(), -ERRNO.EINVAL);
      assert.equal(contentOf(ring, file) + contentOf(ring, other), "aa");
      assert.equal(descriptors(), before);
      const [fifo] = startReads(ring, directory, 1);
      assert.equal(change([other.reference, a], [fifo.reference, a]), -ERRNO.EBUSY);
      assert.equal(ring.cancelSync(fifo), 0);
      finishAll(ring);
      assert.equal(contentOf(ring, other), "a");
      closeNamed();
    },
  );

  test("a place that is used again and again reads the file that is in it", (ring, directory) => {
    const names = Array.from({ length: 10 }, (_, i) => `${i}`);
    const numbers = openNamed(directory, names);
    let [file] = ring.registerFiles([numbers[0]]);
    const buffer = ring.buffers.acquire()!;
    for (let i = 0; i < 300; i++) {
      // A read of the old file ends first; the place is the same.
      assert.equal(finish(ring, ring.prepReadFixed(file, buffer, 0, 10, 0, i)), 1);
      assert.equal(textOf(buffer, 1), names[i % 10]);
      [file] = ring.updateFiles([file], [numbers[(i + 1) % 10]]);
    }
    for (let i = 0; i < 100; i++) {
      ring.unregisterFiles([file]);
      file = openFile(ring, join(directory, names[i % 10]));
      assert.equal(contentOf(ring, file), names[i % 10]);
    }
    closeNamed();
  }, { files: 1 });

  test("an emptied place lets go of its lock", (ring, directory) => {
    const path = join(directory, "LOCK");
    const wanted = LOCK_FLAG.EXCLUSIVE | LOCK_FLAG.NONBLOCK;
    const [first, second, third] = [0, 1, 2].map(() => openFile(ring, path));
    assert.equal(ring.flock(first, wanted), 0);
    assert.equal(ring.flock(second, wanted), -ERRNO.EAGAIN);
    ring.unregisterFiles([first]);
    assert.equal(ring.flock(second, wanted), 0);
    const [a] = openNamed(directory, ["a"]);
    ring.updateFiles([second], [a]);
    assert.equal(ring.flock(third, wanted), 0);
    closeNamed();
  });

  test(
    "a file of another ring is shared, and closed by each for itself",
    (ring, directory) =>
      withRing({}, (other) => {
        writeFileSync(join(directory, "shared"), "shared");
        const file = openFile(ring, join(directory, "shared"));
        const same = other.adoptFile(file);
        assert.equal(same.path, file.path);
        assert.equal(contentOf(other, same), "shared");
        // One description: a lock of one is the other's, too.
        const wanted = LOCK_FLAG.EXCLUSIVE | LOCK_FLAG.NONBLOCK;
        assert.equal(ring.flock(file, wanted), 0);
        assert.equal(other.flock(same, wanted), 0);
        finish(ring, ring.prepClose(file, 1));
        assert.equal(contentOf(other, same), "shared");
        assert.throws(() => other.adoptFile(file), /is closed/);
        assert.throws(() => other.adoptFile({} as never), /must be a RingFile/);
      }),
  );
});

describe("ring buffer table", { skip: skipRing }, () => {
  const SPARSE = { sparseBuffers: true, arenaBytes: 1 << 20 };

  test("registers single buffers, and reads and writes by all", (ring, directory) => {
    assert.equal(ring.features.registered, true);
    assert.equal(ring.stats().registeredBytes, 0);
    const file = openFile(ring, join(directory, "data"));
    const [one, two, three] = [1, 1, 130_000].map((bytes) => ring.buffers.acquire(bytes)!);
    ring.registerBuffers([two, three]);
    ring.registerBuffers([two]);
    assert.deepEqual([one, two, three].map((buffer) => buffer.registered), [false, true, true]);
    assert.equal(ring.stats().registeredBytes, 3 * 65536);
    [one, two, three].forEach((buffer, i) => buffer.bytes.fill(65 + i));
    assert.equal(finish(ring, ring.prepWrite(file, one, 0, 10, 0, 1)), 10);
    assert.equal(finish(ring, ring.prepWriteFixed(file, two, 100, 10, 10, 1)), 10);
    assert.equal(finish(ring, ring.prepWriteFixed(file, three, 65530, 10, 20, 1)), 10);
    assert.equal(
      readFileSync(join(directory, "data"), "utf8"),
      "A".repeat(10) + "B".repeat(10) + "C".repeat(10),
    );
    for (const buffer of [one, two, three]) {
      buffer.bytes.fill(0);
      assert.equal(finish(ring, ring.prepReadFixed(file, buffer, 7, 100, 0, 1)), 30);
      assert.equal(buffer.bytes[7] + buffer.bytes[36], 65 + 67);
    }
    ring.unregisterBuffers([two]);
    assert.equal(two.registered, false);
    assert.equal(finish(ring, ring.prepReadFixed(file, two, 0, 100, 0, 1)), 30);
    // A release takes the registration with it, and the slices can be registered in another shape.
    three.release();
    assert.equal(ring.stats().registeredBytes, 0);
    const whole = ring.buffers.acquire(14 * 65536)!;
    ring.registerBuffers([whole]);
    assert.equal(finish(ring, ring.prepReadFixed(file, whole, 13 * 65536, 100, 0, 1)), 30);
    assert.equal(ring.stats().registeredBytes, 14 * 65536);
  }, SPARSE);

  test("refuses a change of what is in flight, and the error names it", (ring, directory) => {
    const [file, [buffer]] = startReads(ring, directory, 1);
    for (
      const use of [
        () => ring.registerBuffers([buffer]),
        () => ring.unregisterBuffers([buffer]),
        () => buffer.release(),
      ]
    ) {
      assert.throws(use, (error: RingBusyError) => {
        assert.ok(error instanceof RingBusyError);
        assert.match(error.message, /read \(userData 100\) on it is in flight/);
        return true;
      });
    }
    assert.equal(ring.cancelSync(file), 0);
    finishAll(ring);
    ring.registerBuffers([buffer]);
    buffer.release();
    assert.throws(() => ring.registerBuffers([buffer]), /was released/);
  }, SPARSE);

  it("takes as many slices as the kernel has places, and says so", () => {
    const options = { sparseBuffers: true, bufferBytes: 4096 };
    assert.throws(
      () => Ring.open({ ...options, arenaBytes: 16385 * 4096 }),
      /at most 16384 slices, not 16385/,
    );
    return withRing({ ...options, arenaBytes: 16384 * 4096 }, (ring) => {
      const all = Array.from({ length: 100 }, () => ring.buffers.acquire()!);
      ring.registerBuffers(all);
      assert.equal(ring.stats().registeredBytes, 100 * 4096);
    });
  });

  test("has no places where the whole arena is registered", (ring) => {
    assert.throws(() => ring.registerBuffers([]), /the whole arena is registered/);
    assert.equal(ring.buffers.acquire()!.registered, true);
    assert.equal(ring.stats().registeredBytes, ring.arena.length);
  });

  it("a worker uses only what is registered", () =>
    inScratch(async (directory) => {
      const ring = { inWorker: true, sparseBuffers: true };
      const result = await runRing(directory, { ring: { ...ring, task: "sparse" } });
      assert.deepEqual(result, { before: "unpinned", after: 5, read: "hello" });
    }));
});

describe("ring registration of rings", { skip: skipRing }, () => {
  it("a thread registers sixteen rings, and the others work without", () => {
    const rings: Ring[] = [];
    try {
      for (let i = 0; i < 20; i++) {
        rings.push(Ring.open({ entries: 4, arenaBytes: 4096, bufferBytes: 4096, files: 1 }));
      }
      const registered = rings.filter((ring) => ring.features.ringRegistered).length;
      // 5.18 brought it.
      assert.ok(registered === 16 || registered === 0, `${registered}`);
      for (const [i, ring] of rings.entries()) {
        ring.prepNop(i);
        assert.deepEqual([...finishAll(ring)], [[i, 0]]);
      }
      // A closed one gives its place back.
      rings[3].close();
      rings.push(Ring.open({ entries: 4, arenaBytes: 4096, bufferBytes: 4096, files: 1 }));
      assert.equal(rings.at(-1)!.features.ringRegistered, registered > 0);
    } finally {
      for (const ring of rings) ring.close();
    }
  });
});

describe("ring restrictions", { skip: skipRing }, () => {
  const DISABLED = { disabled: true };

  test("a disabled ring submits nothing before it is enabled", (ring) => {
    ring.prepNop(1);
    assert.throws(() => ring.submit(), { code: "EBADFD", message: /opened disabled.*enable\(\)/ });
    assert.equal(ring.staged, 1, "what was staged stays");
    ring.enable();
    assert.deepEqual([...finishAll(ring)], [[1, 0]]);
    assert.throws(() => ring.enable(), { code: "EBADFD" });
    assert.throws(() => ring.enable(["nop"]), { code: "EBADFD" });
  }, DISABLED);

  test("a restricted ring does what it is allowed, for ever", (ring, directory) => {
    writeFileSync(join(directory, "data"), "data");
    const [descriptor] = openNamed(directory, ["data"]);
    const file = ring.adoptFd(descriptor);
    assert.throws(() => ring.enable(["read", "tee"]), /no operation "tee"/);
    ring.enable(["read", "fsync"]);
    const buffer = ring.buffers.acquire()!;
    assert.equal(finish(ring, ring.prepRead(file, buffer, 0, 10, 0, 1)), 4);
    assert.equal(finish(ring, ring.prepReadFixed(file, buffer, 0, 10, 0, 1)), 4);
    assert.equal(finish(ring, ring.prepFsync(file, 1)), 0);
    assert.equal(finish(ring, ring.prepNop(1)), -ERRNO.EACCES);
    assert.equal(finish(ring, ring.prepWrite(file, buffer, 0, 1, 0, 1)), -ERRNO.EACCES);
    const made = join(directory, "made");
    assert.equal(finish(ring, ring.prepOpenat(made, 0o100, 0o644, 1)), -ERRNO.EACCES);
    assert.equal(ring.stats().files, 1);
    // What is refused stops nothing that is staged with it.
    ring.prepNop(1);
    ring.prepRead(file, buffer, 0, 10, 0, 2);
    ring.prepNop(3);
    assert.deepEqual(
      [...finishAll(ring)].sort(([a], [b]) => a - b),
      [[1, -ERRNO.EACCES], [2, 4], [3, -ERRNO.EACCES]],
    );
    assert.throws(() => ring.enable(["nop"]), { code: "EACCES" });
    assert.equal(finish(ring, ring.prepNop(1)), -ERRNO.EACCES);
    // Files come and go; the event loop can be waited in; close is always allowed.
    const [other] = ring.registerFiles([descriptor]);
    ring.unregisterFiles([other]);
    assert.equal(finish(ring, ring.prepClose(file, 1)), 0);
    assert.equal(ring.stats().files, 0);
    closeNamed();
  }, DISABLED);

  it("a restricted ring waits, cancels and closes", () =>
    inScratch((directory) =>
      withRing(DISABLED, async (ring) => {
        const path = join(directory, "fifo");
        execFileSync("mkfifo", [path]);
        const file = await withRing({}, (opener) => ring.adoptFile(openFile(opener, path, 2)));
        ring.enable(["read"]);
        const buffer = ring.buffers.acquire()!;
        ring.prepRead(file, buffer, 0, 10, 0, 1);
        const drained = ring.drain();
        setTimeout(() => writeFileSync(path, "x"), 20);
        assert.equal(await drained, 1);
        ring.prepRead(file, buffer, 0, 10, 0, 2);
        ring.submit();
        assert.equal(ring.cancelSync(2), 0);
        assert.equal(finishAll(ring).size, 1);
        ring.prepRead(file, buffer, 0, 10, 0, 3);
        ring.submit();
        assert.equal(ring.close(), 0);
      })
    ));

  it("a ring that polls for submissions can be restricted, too", () =>
    withRing({ disabled: true, sqpoll: { idleMillis: 50 } }, (ring) => {
      ring.enable(["fsync"]);
      ring.prepNop(1);
      assert.deepEqual([...finishAll(ring)], [[1, -ERRNO.EACCES]]);
    }));
});

describe("ring worker limits", { skip: skipRing }, () => {
  test("are told and set, each by itself", (ring) => {
    const before = ring.limitWorkers();
    assert.ok(before.bounded >= 1 && before.unbounded >= 1, JSON.stringify(before));
    assert.deepEqual(ring.limitWorkers({ bounded: 3 }), before);
    assert.deepEqual(ring.limitWorkers({ unbounded: 5 }), { ...before, bounded: 3 });
    assert.deepEqual(ring.limitWorkers(before), { bounded: 3, unbounded: 5 });
    for (const bounded of [0, -1, 0.5, 2 ** 31]) {
      assert.throws(() => ring.limitWorkers({ bounded }), RangeError);
    }
  });

  test("hold: never more threads than that", (ring, directory) => {
    ring.limitWorkers({ bounded: 2 });
    const file = openFile(ring, join(directory, "data"));
    const workers = () =>
      readdirSync("/proc/self/task").filter((task) => {
        try {
          return readFileSync(`/proc/self/task/${task}/comm`, "utf8").startsWith("iou-wrk");
        } catch {
          return false;
        }
      }).length;
    let most = 0;
    for (let i = 0; i < 50; i++) {
      for (let j = 0; j < 16; j++) {
        ring.nextFlags(0x10);
        ring.prepFsync(file, j);
      }
      ring.submit();
      most = Math.max(most, workers());
      finishAll(ring);
    }
    assert.ok(most >= 1 && most <= 2, `${most} worker threads`);
  });
});

describe("ring cancel and wait", { skip: skipRing }, () => {
  test("one operation by its userData", (ring, directory) => {
    const [, buffers] = startReads(ring, directory, 3);
    assert.equal(ring.cancelSync(101), 0);
    assert.equal(ring.reap(), 1);
    assert.equal(ring.completions.userData[0], 101);
    assert.equal(ring.completions.res[0], -ERRNO.ECANCELED);
    buffers[1].release();
    assert.throws(() => buffers[0].release(), RingBusyError);
    assert.equal(ring.cancelSync(101), -ERRNO.ENOENT);
    assert.equal(ring.inFlight, 2);
  });

  test("all on one file, and nothing on another", (ring, directory) => {
    const other = openFile(ring, join(directory, "other"));
    const [file] = startReads(ring, directory, 16);
    assert.equal(ring.cancelSync(other), -ERRNO.ENOENT);
    assert.equal(ring.inFlight, 16);
    assert.equal(ring.cancelSync(file), 0);
    assert.deepEqual([...finishAll(ring).values()], Array(16).fill(-ERRNO.ECANCELED));
    assert.equal(ring.cancelSync(file), -ERRNO.ENOENT);
  });

  test("everything", (ring, directory) => {
    startReads(ring, directory, 64);
    assert.equal(ring.cancelSync("all"), 0);
    const results = [...finishAll(ring).values()];
    assert.deepEqual(results, Array(64).fill(-ERRNO.ECANCELED));
    assert.equal(ring.cancelSync("all"), -ERRNO.ENOENT);
  }, { completionEntries: 256 });

  test("not what is only staged, and nothing that is not there", (ring) => {
    ring.prepNop(5);
    assert.equal(ring.cancelSync(5), -ERRNO.ENOENT);
    assert.equal(ring.cancelSync(6), -ERRNO.ENOENT);
    assert.deepEqual([...finishAll(ring)], [[5, 0]]);
    assert.throws(() => ring.cancelSync(0.5), TypeError);
    assert.throws(() => ring.cancelSync("some" as never), /file must be/);
    assert.throws(() => ring.cancelSync(1, -1), /timeoutMillis must be/);
  });
});

describe("ring registrations at the boundary", { skip: skipRing }, () => {
  const numberOf = (ring: Ring) =>
    (ring as unknown as { _queue: { _number: number } })._queue._number;

  test(
    "numbers that no method would pass are refused",
    (ring, directory) =>
      withRing({}, (whole) => {
        const { functions } = library();
        const { EINVAL, EEXIST, ENOENT, EBADF, EOPNOTSUPP } = ERRNO;
        const number = numberOf(ring);
        const slice = ring.buffers.sliceBytes;
        const size = ring.arena.length;
        const buffer = (offset: number, bytes: number, on = 1, of = number) =>
          functions.uring_update_buffer(of, offset, bytes, on);
        for (
          const [offset, bytes] of [
            [1, slice],
            [0, slice - 1],
            [0, 0],
            [size, slice],
            [size - slice, 2 * slice],
            [0, size + slice],
            [0x1_0000_0000 - slice, slice],
            [slice, 0x1_0000_0000 - slice],
          ]
        ) assert.equal(buffer(offset, bytes), -EINVAL, `${offset}, ${bytes}`);
        assert.equal(buffer(0, slice, 1, numberOf(whole)), -EOPNOTSUPP);
        assert.equal(buffer(slice, 3 * slice), 0);
        assert.equal(buffer(0, 2 * slice), -EEXIST);
        assert.equal(buffer(3 * slice, slice), -EEXIST);
        assert.equal(buffer(slice, slice, 0), -ENOENT);
        assert.equal(buffer(2 * slice, 2 * slice, 0), -ENOENT);
        assert.equal(buffer(0, slice, 0), -ENOENT);
        assert.equal(buffer(slice, 3 * slice, 0), 0);

        const file = openFile(ring, join(directory, "data"));
        assert.equal(functions.uring_cancel_sync(number, 3, 0, 0, 0), -EINVAL);
        assert.equal(functions.uring_cancel_sync(number, 2, file.reference + 1, 0, 0), -EBADF);
        assert.equal(functions.uring_cancel_sync(number, 1, 0xffff_ffff, 0, 0), -ENOENT);
        const bytes = new Uint8Array(new SharedArrayBuffer(8));
        assert.equal(functions.uring_enable(number, bytes, 3), -EINVAL);
        assert.equal(functions.uring_workers(number, bytes, 7), -EINVAL);
        assert.equal(functions.uring_update_files(number, bytes, 7), -EINVAL);
        assert.equal(functions.uring_adopt_file(number, number ^ 1, file.reference), -EBADF);
        assert.equal(functions.uring_adopt_file(number, numberOf(whole), file.reference), -EBADF);
        // No ring, and one that was closed.
        const closed = Ring.open({ arenaBytes: 4096, bufferBytes: 4096 });
        const gone = numberOf(closed);
        closed.close();
        for (const none of [0, 1, gone, 0xffff_ffff]) {
          assert.equal(buffer(0, slice, 1, none), -EBADF);
          assert.equal(functions.uring_enable(none, bytes, 0), -EBADF);
          assert.equal(functions.uring_workers(none, bytes, 8), -EBADF);
          assert.equal(functions.uring_update_files(none, bytes, 8), -EBADF);
          assert.equal(functions.uring_cancel_sync(none, 0, 0, 0, 0), -EBADF);
          assert.equal(functions.uring_adopt_file(none, number, file.reference), -EBADF);
        }
        assert.equal(finish(ring, ring.prepFsync(file, 1)), 0);
      }),
    { sparseBuffers: true },
  );
});

describe("ring registrations of a closed ring", { skip: skipRing }, () => {
  it("are refused", () => {
    const ring = Ring.open({ sparseBuffers: true });
    const buffer = ring.buffers.acquire()!;
    ring.registerBuffers([buffer]);
    ring.close();
    const calls: (() => unknown)[] = [
      () => ring.registerFiles([0]),
      () => ring.updateFiles([], []),
      () => ring.unregisterFiles([]),
      () => ring.registerBuffers([]),
      () => ring.enable(),
      () => ring.limitWorkers(),
      () => ring.cancelSync("all"),
      () => ring.adoptFile({} as never),
    ];
    for (const call of calls) assert.throws(call, { name: "RingClosedError" }, String(call));
    buffer.release();
  });
});
