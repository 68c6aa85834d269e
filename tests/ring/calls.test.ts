/**
 * Plain calls on a ring's files: flock(2), fstatfs(2), the size, copy-on-write, the device's block; and
 * CRC32C of the arena.
 */
import assert from "node:assert/strict";
import { statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ERRNO, FileSystemResult, LOCK_FLAG, type Ring } from "../../ring.ts";
import { finish, inScratch, openFile, skipRing, withRing } from "../support/ring.ts";

const test = (name: string, body: (ring: Ring, directory: string) => void | Promise<void>) =>
  it(name, () => inScratch((directory) => withRing({}, (ring) => body(ring, directory))));

describe("ring calls", { skip: skipRing }, () => {
  test(
    "flock excludes another opening, in this ring and in another",
    (ring, directory) =>
      withRing({}, (other) => {
        const path = join(directory, "LOCK");
        const { EXCLUSIVE, SHARED, NONBLOCK, UNLOCK } = LOCK_FLAG;
        const first = openFile(ring, path);
        const second = openFile(ring, path);
        const third = openFile(other, path);
        assert.equal(ring.flock(first, EXCLUSIVE | NONBLOCK), 0);
        assert.equal(ring.flock(second, EXCLUSIVE | NONBLOCK), -ERRNO.EAGAIN);
        assert.equal(other.flock(third, SHARED | NONBLOCK), -ERRNO.EAGAIN);
        assert.equal(ring.flock(first, UNLOCK), 0);
        assert.equal(ring.flock(second, SHARED | NONBLOCK), 0);
        assert.equal(other.flock(third, SHARED | NONBLOCK), 0);
        assert.equal(ring.flock(first, EXCLUSIVE | NONBLOCK), -ERRNO.EAGAIN);
        assert.throws(() => ring.flock(first, 16), /flags must be/);
        assert.throws(() => ring.flock(third, SHARED), /belongs to another ring/);
      }),
  );

  test("a lock ends with the file, and with the ring", (ring, directory) => {
    const path = join(directory, "LOCK");
    const wanted = LOCK_FLAG.EXCLUSIVE | LOCK_FLAG.NONBLOCK;
    const file = openFile(ring, path);
    assert.equal(ring.flock(file, wanted), 0);
    finish(ring, ring.prepClose(file, 1));
    return withRing({}, (other) => {
      const second = openFile(other, path);
      assert.equal(other.flock(second, wanted), 0);
      other.close();
      assert.equal(ring.flock(openFile(ring, path), wanted), 0);
    });
  });

  test("fstatfs tells about the file system", (ring, directory) => {
    const result = new FileSystemResult();
    assert.equal(ring.fstatfs(openFile(ring, join(directory, "file")), result), 0);
    const expected = statfsSync(directory);
    assert.equal(result.type, expected.type);
    assert.equal(result.blockBytes, expected.bsize);
    assert.equal(result.blocks, expected.blocks);
    assert.ok(result.blocksAvailable <= result.blocksFree);
    assert.ok(result.blocksFree <= result.blocks);
  });

  test("copy-on-write is off, or there is no such thing", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    assert.ok([0, 1].includes(ring.nocow(file)));
    assert.equal(statSync(join(directory, "file")).size, 0);
  });

  test("the device's physical block is a power of two, or unknown", (ring, directory) => {
    const bytes = ring.physicalBlockBytes(openFile(ring, join(directory, "file")));
    assert.ok(bytes === 0 || (bytes >= 512 && (bytes & (bytes - 1)) === 0), `${bytes}`);
  });

  test("CRC32C of a range of the arena, and of nothing outside it", (ring) => {
    const buffer = ring.buffers.acquire()!;
    new TextEncoder().encodeInto("123456789", buffer.bytes);
    assert.equal(ring.crc32cArena(0, buffer.offset, 9), 0xe3069283);
    const first = ring.crc32cArena(0, buffer.offset, 4);
    assert.equal(ring.crc32cArena(first, buffer.offset + 4, 5), 0xe3069283);
    assert.equal(ring.crc32cArena(0, ring.arena.length, 1), 0);
    assert.equal(ring.crc32cArena(0, ring.arena.length - 1, 2), 0);
  });

  test("names and words of errors", async () => {
    const { errnoName, errnoText } = await import("../../ring.ts");
    assert.equal(errnoName(28), "ENOSPC");
    assert.equal(errnoText(28), "no space left on device");
    assert.equal(errnoName(9999), "E9999");
  });
});

describe("ring cancel", { skip: skipRing }, () => {
  it("ends a read that waits, with two completions", () =>
    inScratch((directory) =>
      withRing({}, async (ring) => {
        const { execFileSync } = await import("node:child_process");
        execFileSync("mkfifo", [join(directory, "fifo")]);
        const file = openFile(ring, join(directory, "fifo"), 2);
        const buffer = ring.buffers.acquire()!;
        ring.prepRead(file, buffer, 0, 10, 0, 1);
        ring.submit();
        assert.throws(() => buffer.release(), { code: "Busy" });
        assert.throws(() => ring.prepClose(file, 2), { code: "Busy" });
        assert.equal(ring.prepCancel(1, 2), true);
        ring.submitAndWait(2, 5_000_000);
        assert.equal(ring.reap(), 2);
        const results = new Map<number, number>();
        for (let i = 0; i < 2; i++) {
          results.set(ring.completions.userData[i], ring.completions.res[i]);
        }
        assert.equal(results.get(2), 0);
        assert.ok([-ERRNO.ECANCELED, -ERRNO.EINTR].includes(results.get(1) as never));
        buffer.release();
      })
    ));

  test("finds nothing when nothing has that userData", (ring) => {
    assert.equal(ring.prepCancel(1, 2), false);
    assert.throws(() => ring.prepCancel(0.5, 2), TypeError);
    assert.equal(ring.inFlight, 0);
  });

  it("is done by close for all that is in flight", () =>
    inScratch((directory) =>
      withRing({ completionEntries: 64 }, async (ring) => {
        const { execFileSync } = await import("node:child_process");
        execFileSync("mkfifo", [join(directory, "fifo")]);
        const file = openFile(ring, join(directory, "fifo"), 2);
        for (let i = 0; i < 64; i++) ring.prepRead(file, ring.buffers.acquire()!, 0, 10, 0, i);
        ring.submit();
        assert.equal(ring.stats().inFlight, 64);
        const start = performance.now();
        assert.equal(ring.close(), 0);
        assert.ok(performance.now() - start < 1000);
      })
    ));
});
