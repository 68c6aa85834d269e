/** The tables under every backend, against plain models of them: operations by handle, and the arena. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Arena, RUN_BYTES } from "../../src/io/arena.ts";
import { OperationTable } from "../../src/io/operations.ts";
import { Prng } from "../../src/io/prng.ts";

test("the operation table finds what is in it, and nothing else", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Prng(seed);
    const capacity = 1 + random.below(64);
    const table = new OperationTable(capacity);
    const model = new Map<string, number>();
    // Few handles, so that they come again; far apart and in several clients, so that they collide.
    const handle = () => (random.below(40) - 20) * (random.oneIn(2) ? 1 : 2 ** 32 + 1);
    for (let i = 0; i < 20_000; i++) {
      const client = random.below(3);
      const wanted = handle();
      const slot = table.find(client, wanted);
      const known = model.get(`${client} ${wanted}`);
      assert.equal(slot, known ?? -1);
      if (known !== undefined) {
        if (random.oneIn(2)) {
          table.give(slot);
          model.delete(`${client} ${wanted}`);
        }
      } else if (table.used < capacity) {
        const taken = table.take(7, client, wanted);
        assert.ok(![...model.values()].includes(taken));
        assert.deepEqual(
          [table.kind[taken], table.client[taken], table.handle[taken]],
          [7, client, wanted],
        );
        model.set(`${client} ${wanted}`, taken);
      }
      assert.equal(table.used, model.size);
    }
  }
});

test("the arena hands out runs that do not overlap, aligned, first fit", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Prng(seed);
    const pages = 1 + random.below(100);
    const arena = new Arena(pages * RUN_BYTES + random.below(RUN_BYTES));
    assert.equal(arena.bytes, pages * RUN_BYTES);
    const owner = new Int32Array(pages);
    const runs: { offset: number; bytes: number }[] = [];
    // The first place where so many pages are free.
    const firstFit = (count: number, step: number) => {
      for (let page = 0; page + count <= pages; page += step) {
        if (owner.subarray(page, page + count).every((one) => one === 0)) return page;
      }
      return -1;
    };
    for (let i = 0; i < 5000; i++) {
      if (runs.length > 0 && random.oneIn(2)) {
        const [run] = runs.splice(random.below(runs.length), 1);
        owner.fill(0, run.offset / RUN_BYTES, (run.offset + run.bytes) / RUN_BYTES);
        arena.give(run.offset, run.bytes);
      } else {
        const count = 1 + random.below(12);
        const step = 1 << random.below(3);
        const offset = arena.take(count * RUN_BYTES, step * RUN_BYTES);
        const expected = firstFit(count, step);
        assert.equal(offset, expected < 0 ? -1 : expected * RUN_BYTES);
        if (offset < 0) continue;
        owner.fill(1, offset / RUN_BYTES, offset / RUN_BYTES + count);
        runs.push({ offset, bytes: count * RUN_BYTES });
      }
      const free = String.fromCharCode(...owner).split("\x01").map((run) => run.length);
      assert.equal(arena.largestFreeBytes, Math.max(...free) * RUN_BYTES);
    }
  }
});
