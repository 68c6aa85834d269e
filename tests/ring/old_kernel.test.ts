/**
 * A kernel that lacks operations, made by another answer to the probe: what it lacks is refused when it is
 * prepared, by its name and with the kernel that brought it, and leaves nothing behind; all else works.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Ring, RingUnsupportedError, StatxResult } from "../../ring.ts";
import { OPERATION, OPERATIONS } from "../../src/abi/generated.ts";
import { hasCommand, runProgram } from "../support/program.ts";
import { finish, inScratch, openFile, ROOT, skipRing, withRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const skipStrace = skipUnless(hasCommand("strace"), "strace is not installed") || skipRing;
const LEAST = "5.15";

/** Says that this kernel lacks what `lacks` says, as `uring_probe` would. */
function older(ring: Ring, lacks: (name: string) => boolean): void {
  const { _core } = ring as unknown as { _core: { probeRows(): readonly boolean[] } };
  const has = OPERATIONS.map(({ name }) => !lacks(name));
  _core.probeRows = () => has;
}

describe("ring on an old kernel", { skip: skipRing }, () => {
  it("refuses by name what the kernel lacks, and nothing else", () =>
    inScratch((directory) =>
      withRing({}, (ring) => {
        const path = join(directory, "file");
        const file = openFile(ring, path);
        const buffer = ring.buffers.acquire()!;
        const preps: Record<string, () => boolean> = {
          ftruncate: () => ring.prepFtruncate(file, 10, 1),
          getxattr: () => ring.prepGetxattr(path, "user.a", buffer, 0, 10, 1),
          setxattr: () => ring.prepSetxattr(path, "user.a", buffer, 0, 10, 1),
          fgetxattr: () => ring.prepFgetxattr(file, "user.a", buffer, 0, 10, 1),
          fsetxattr: () => ring.prepFsetxattr(file, "user.a", buffer, 0, 10, 1),
          msg_ring: () => ring.prepMsgRing(ring.address, 1, 1, 1),
          cancel_file: () => ring.prepCancelFile(file, 1),
          cancel_any: () => ring.prepCancelAny(1),
        };
        const later = OPERATIONS.filter(({ since }) => since !== LEAST);
        assert.deepEqual(later.map(({ name }) => name).sort(), Object.keys(preps).sort());
        older(ring, (name) => name in preps);
        for (const { name, since } of later) {
          assert.equal(ring.probe(name), false);
          // More often than there is room for, were anything kept.
          for (let i = 0; i < 400; i++) {
            assert.throws(preps[name], (error) => {
              assert.ok(error instanceof RingUnsupportedError, String(error));
              assert.equal(error.operation, name);
              assert.equal(error.since, since);
              assert.match(error.message, new RegExp(`no ${name} .*Linux ${since} brought it`));
              return true;
            });
          }
          assert.equal(ring.staged, 0, name);
        }
        buffer.release();
        assert.equal(finish(ring, ring.prepStatx(path, new StatxResult(), 1)), 0);
        assert.equal(finish(ring, ring.prepClose(file, 1)), 0);
      })
    ));

  it("vectors in a worker name the kernel that has them for pinned memory", () =>
    inScratch((directory) =>
      withRing({}, (ring) => {
        const file = openFile(ring, join(directory, "file"));
        const buffer = ring.buffers.acquire()!;
        const vectors = [{ buffer, offset: 0, length: 10 }];
        older(ring, (name) => name === "readv" || name === "writev");
        for (const prep of [ring.prepReadv, ring.prepWritev]) {
          assert.throws(() => prep.call(ring, file, vectors, 0, 1), {
            name: "RingUnsupportedError",
            since: OPERATIONS[OPERATION.readv].pinnedSince,
            message: /of pinned memory, which a worker needs, in io_uring: Linux 6\.15/,
          });
        }
        buffer.release();
        assert.equal(ring.staged, 0);
      })
    ));

  it(
    "has no synchronous cancel before Linux 6.0",
    { skip: skipStrace },
    () =>
      inScratch(async (directory) => {
        // The first calls are those of opening: the ring itself, probe, files and buffers.
        const injection = "inject=io_uring_register:error=EINVAL:when=5";
        const launcher = ["strace", "-f", "-qq", "-o", join(directory, "strace"), "-e", injection];
        const program = join(ROOT, "tests/ring/cancel_program.ts");
        const run = await runProgram(program, [], { launcher });
        assert.deepEqual(JSON.parse(run.stdout), {
          operation: "synchronous cancel",
          since: "6.0",
          message: "this kernel has no synchronous cancel in io_uring: Linux 6.0 brought it",
          inFlight: 1,
        }, run.stderr);
        const without = await runProgram(program, []);
        assert.deepEqual(JSON.parse(without.stdout), { res: 0 });
      }),
  );
});
