/**
 * Random programs on all backends: the same results and the same bytes as on `MemoryIo`, which is
 * compared with the kernel by this too.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryIo } from "../../testing.ts";
import { runProgram } from "./programs.ts";
import { BACKENDS } from "./support.ts";

const PROGRAMS = 60;
const LENGTH = 80;

for (const backend of BACKENDS) {
  test(`${backend.name}: random programs give the same as on a plain MemoryIo`, {
    skip: backend.skip,
  }, () => {
    const { io, directory, remove } = backend.open();
    try {
      for (let seed = 1; seed <= PROGRAMS; seed++) {
        const plain = MemoryIo.create({ latencyMicros: 0, seed: 1000 });
        const expected = runProgram(plain, "/plain", seed, LENGTH, backend.lacks);
        assert.deepEqual(
          runProgram(io, `${directory}/${seed}`, seed, LENGTH, backend.lacks),
          expected,
          `seed ${seed}`,
        );
        assert.deepEqual(plain.leaks, []);
      }
      io[Symbol.dispose]();
    } finally {
      remove();
    }
  });
}
