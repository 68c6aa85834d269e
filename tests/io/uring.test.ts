/** What only `UringIo` has: limits of the ring below it, the kernel's locks, file systems, processes. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type IoFile, UringIo } from "../../io.ts";
import { runProgram } from "../support/program.ts";
import { inScratch, ROOT, skipRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";
import { filled, openFile, readBytes, run, writeBytes } from "./support.ts";

const ENFILE = 23, EAGAIN = 11, EINVAL = 22;
const SHARED_MEMORY = "/dev/shm";

describe("uring", { skip: skipRing }, () => {
  it("more paths together than the ring can stage at once", () =>
    inScratch((directory) => {
      using io = UringIo.open();
      const long = (i: number) => `${directory}/${"n".repeat(240)}${i}`;
      const far = (i: number) => `${directory}/${"d/".repeat(900)}${i}`;
      for (let i = 0; i < 100; i++) io.open(long(i), { write: true, create: true }, i);
      for (let i = 100; i < 150; i++) io.stat(far(i), i);
      for (let i = 150; i < 200; i++) io.rename(far(i), far(i + 1), i);
      const results = new Map<number, number>();
      while (io.inFlight > 0) {
        io.park();
        const { userData, res, length } = io.completions;
        for (let row = 0; row < length; row++) results.set(userData[row], res[row]);
        io.completions.clear();
      }
      assert.equal(results.size, 200);
      for (const [handle, res] of results) assert.equal(res, handle < 100 ? 0 : -2, `${handle}`);
      assert.equal(io.listDirectory(directory).length, 100);
    }));

  it("when all file slots are taken an open fails with ENFILE, and later works again", () =>
    inScratch((directory) => {
      using io = UringIo.open({ files: 3 });
      const files = [1, 2, 3].map((i) => openFile(io, join(directory, `${i}`)));
      let file!: IoFile;
      const open = (name: string) =>
        run(io, (h) => file = io.open(join(directory, name), { write: true, create: true }, h));
      assert.equal(open("4"), -ENFILE);
      assert.equal(run(io, (h) => io.syncDirectory(directory, h)), -ENFILE);
      assert.equal(run(io, (h) => io.close(files[0], h)), 0);
      assert.equal(run(io, (h) => io.syncDirectory(directory, h)), 0);
      assert.equal(run(io, (h) => io.open(directory, { read: true }, h)), -21);
      assert.equal(open("5"), 0);
      assert.equal(run(io, (h) => io.close(file, h)), 0);
      assert.equal(io.ringStats().files, 2);
    }));

  it("a lock holds against another Io of the same process", () =>
    inScratch((directory) => {
      using one = UringIo.open();
      using two = UringIo.open();
      const path = join(directory, "lock");
      const mine = openFile(one, path);
      const theirs = openFile(two, path);
      assert.equal(one.lock(mine), 0);
      assert.equal(two.lock(theirs), -EAGAIN);
      one[Symbol.dispose]();
      // The descriptions end when the kernel has taken the ring apart.
      const until = performance.now() + 5000;
      while (two.lock(theirs) !== 0) assert.ok(performance.now() < until);
    }));

  it("several Io wait at once in one event loop", () =>
    inScratch(async (directory) => {
      const ios = Array.from({ length: 8 }, () => UringIo.open({ arenaBytes: 65536 }));
      const work = ios.map(async (io, i) => {
        const file = openFile(io, join(directory, `${i}`));
        const buffer = io.acquireBuffer()!;
        for (let round = 0; round < 50; round++) {
          buffer.bytes.fill(round);
          io.writeAt(file, buffer, 0, 4096, round * 4096, 0, 1);
          if (round % 10 === 9) io.fdatasync(file, 2);
          while (io.inFlight > 0) {
            await io.wait();
            io.poll();
            for (let row = 0; row < io.completions.length; row++) {
              assert.equal(io.completions.res[row], io.completions.userData[row] === 1 ? 4096 : 0);
            }
            io.completions.clear();
          }
        }
        io.releaseBuffer(buffer);
        assert.deepEqual(readBytes(io, file, 49 * 4096, 4096), filled(4096, 49));
      });
      await Promise.all(work);
      for (const io of ios) io[Symbol.dispose]();
    }));

  it("an Io that is idle keeps no process alive", () =>
    inScratch(async (directory) => {
      const program = join(directory, "idle.ts");
      writeFileSync(
        program,
        `import { openIo } from "${ROOT}/io.ts";
         const io = openIo({ backend: "uring" });
         io.stat("/", 1);
         await io.wait();
         io.poll();
         console.log(io.take(1));`,
      );
      const { status, stdout, stderr } = await runProgram(program, []);
      assert.deepEqual([status, stdout.trim()], [0, "0"], stderr);
    }));

  it("an end with transfers in flight waits for them, and lets nothing go early", () =>
    inScratch((directory) => {
      for (let round = 0; round < 20; round++) {
        const io = UringIo.open();
        const file = openFile(io, join(directory, "a"), { direct: round % 2 === 0 });
        const buffer = io.acquireBuffer(1 << 20)!;
        buffer.bytes.fill(round);
        io.writeAt(file, buffer, 0, 1 << 20, 0, 2, 1);
        io.poll();
        assert.throws(() => io[Symbol.dispose](), /1 buffers were not released/);
        using again = UringIo.open();
        const bytes = readBytes(again, openFile(again, join(directory, "a")), 0, 1 << 20);
        // Whole, cut short by the cancel, or not at all: then it is as some round before left it.
        assert.ok(bytes.length === 0 || bytes[0] <= round, `${bytes[0]} in round ${round}`);
      }
    }));

  it("buffers of a ring lie in its arena, and hold what the kernel read", () =>
    inScratch((directory) => {
      using io = UringIo.open({ arenaBytes: 100_000 });
      assert.equal(io.arenaBytes, 102_400);
      const file = openFile(io, join(directory, "a"));
      const data = Uint8Array.from({ length: 50_000 }, (_, i) => i * 7);
      assert.equal(writeBytes(io, file, data, 3), 50_000);
      assert.deepEqual(readBytes(io, file, 3, 50_000), data);
      assert.equal(io.features.registered, true);
    }));

  it("on tmpfs: the name of the file system, and direct I/O or a refusal", {
    skip: skipUnless(existsSync(SHARED_MEMORY), "there is no /dev/shm"),
  }, () => {
    const directory = mkdtempSync(join(SHARED_MEMORY, "uring-io-"));
    try {
      using io = UringIo.open();
      const file = openFile(io, join(directory, "a"));
      assert.equal(io.statFs(file).type, "tmpfs");
      const { offset } = io.alignment(file);
      const res = run(io, (h) => io.open(join(directory, "a"), { read: true, direct: true }, h));
      assert.ok(res === 0 || (res === -EINVAL));
      // What says that direct I/O is impossible must be right.
      assert.equal(offset === 0, res === -EINVAL);
      // Asking has left nothing open.
      assert.equal(io.ringStats().files, res === 0 ? 2 : 1);
      assert.equal(io.noCopyOnWrite(file), 0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("a file whose open could not go on is closed again", () =>
    inScratch((directory) => {
      using io = UringIo.open({ files: 1 });
      const { ring } = io.driver as unknown as { ring: { prepFstatx(): boolean } };
      const prep = ring.prepFstatx;
      for (let i = 0; i < 3; i++) {
        ring.prepFstatx = () => false;
        const options = { write: true, create: true };
        assert.equal(run(io, (h) => io.open(`${directory}/a`, options, h)), -EAGAIN);
        ring.prepFstatx = prep;
        io.poll();
        const file = openFile(io, `${directory}/a`);
        assert.equal(run(io, (h) => io.close(file, h)), 0);
      }
    }));

  it("a directory with more names than one look at it holds", () =>
    inScratch((directory) => {
      using io = UringIo.open();
      const name = (i: number) => "n".repeat(200) + i;
      for (let i = 0; i < 700; i++) writeFileSync(join(directory, name(i)), "");
      const names = io.listDirectory(directory).map((entry) => entry.name).sort();
      assert.deepEqual(names, Array.from({ length: 700 }, (_, i) => name(i)).sort());
      // A file that others remove while the names are read moves none of the rest out of sight.
      const { decode } = TextDecoder.prototype;
      let removed = "";
      TextDecoder.prototype.decode = function (...all) {
        const text = decode.apply(this, all);
        if (removed === "") rmSync(join(directory, removed = text));
        return text;
      };
      try {
        assert.equal(io.listDirectory(directory).length, 700);
      } finally {
        TextDecoder.prototype.decode = decode;
      }
    }));
});
