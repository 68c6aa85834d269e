/** Where lines end: the library and the search without it against a plain loop. */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { findInText, nativeFinder } from "../../src/cli/lines.ts";
import { Prng } from "../../src/io/prng.ts";

test("line ends are found at every length and density", () => {
  const rng = new Prng(11);
  const finders = [findInText, nativeFinder()];
  for (let round = 0; round < 500; round++) {
    const bytes = new Uint8Array(new ArrayBuffer(1 + rng.below(2000)));
    for (let i = 0; i < bytes.length; i++) bytes[i] = 10 + rng.below(1 + round % 60);
    const from = rng.below(bytes.length);
    const to = rng.between(from, bytes.length);
    const expected: number[] = [];
    for (let i = from; i < to; i++) if (bytes[i] === 10) expected.push(i);
    for (const find of finders) {
      const ends = new Int32Array(new ArrayBuffer(4 * (to - from) + 4));
      const count = find(bytes, from, to, ends);
      assert.deepEqual([...ends.subarray(0, count)], expected);
    }
  }
});
