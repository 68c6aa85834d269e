/** The examples do what they say, and so does every block of code in docs/RING.md; its table is whole. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Ring } from "../../ring.ts";
import { OPERATIONS } from "../../src/abi/generated.ts";
import { runProgram } from "../support/program.ts";
import { inScratch, ROOT, skipRing } from "../support/ring.ts";

const example = (name: string, ...args: string[]) => runProgram(join(ROOT, "examples", name), args);

describe("ring examples", { skip: skipRing }, () => {
  it("ring.ts copies a file", () =>
    inScratch(async (directory) => {
      const [from, to] = [join(directory, "from"), join(directory, "to")];
      for (const size of [0, 1, 65536, 1_000_001]) {
        writeFileSync(from, Uint8Array.from({ length: size }, (_, i) => i * 7));
        const { status, stderr } = await example("ring.ts", from, to);
        assert.equal(status, 0, stderr);
        assert.ok(readFileSync(from).equals(readFileSync(to)), `${size} bytes`);
      }
    }));

  it("ring_events.ts appends lines", () =>
    inScratch(async (directory) => {
      const path = join(directory, "lines");
      const { status, stdout, stderr } = await example("ring_events.ts", path);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^200 durable lines/);
      assert.equal(readFileSync(path, "utf8").split("\n").length, 201);
    }));

  const page = readFileSync(join(ROOT, "docs/RING.md"), "utf8");
  const blocks = [...page.matchAll(/```ts\n(.*?)```\n\n```text\n(.*?)```/gs)];

  it("docs/RING.md shows both ways of driving a ring", () => assert.equal(blocks.length, 2));

  for (const [i, [, code, output]] of blocks.entries()) {
    it(`docs/RING.md, program ${i + 1}, prints what stands there`, () =>
      inScratch(async (directory) => {
        const program = join(directory, "program.ts");
        const source = code.replace('"@uring/io/ring"', JSON.stringify(join(ROOT, "ring.ts")))
          .replace(/"(ring-by-\w+)"/g, (_, name) => JSON.stringify(join(directory, name)));
        writeFileSync(program, source);
        const { status, stdout, stderr } = await runProgram(program, []);
        assert.equal(status, 0, stderr);
        assert.equal(stdout, output);
      }));
  }

  it("docs/RING.md has every operation, with its method and its kernel", () => {
    const rows = [...page.matchAll(/^\| (\w+) \| `(prep\w+)` \| ([\d.]+)/gm)];
    assert.deepEqual(
      rows.map(([, name, , since]) => [name, since]),
      OPERATIONS.map(({ name, since }) => [name, since]),
    );
    for (const [, name, method] of rows) {
      assert.ok(method in Ring.prototype, method);
      assert.equal(method.slice(4).toLowerCase(), name.replaceAll("_", ""));
    }
  });
});
