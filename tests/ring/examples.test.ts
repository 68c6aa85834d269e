/** The examples do what they say. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
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
});
