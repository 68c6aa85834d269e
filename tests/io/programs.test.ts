/**
 * Random programs on every backend: the results, and what is there at the end, are those of a file
 * system as the manual pages have it (model.ts). Ten thousand a runtime here; `./dev fault programs`
 * runs more, and programs that once showed a difference stand below, as it prints them.
 */
import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { SyncIo, UringIo } from "../../io.ts";
import { skipRing } from "../support/ring.ts";
import {
  compare,
  diskSide,
  memorySide,
  pasted,
  runOnModel,
  same,
  sameForAll,
  type Side,
  type Step,
} from "./programs.ts";
import { SCRATCH, SCRATCH_IN_MEMORY, SYNC_LACKS } from "./support.ts";

const SEED = 1;

const SIDES: { name: string; programs: number; skip?: string | false; open: () => Side }[] = [
  { name: "memory", programs: 7000, open: () => memorySide(SEED) },
  {
    name: "sync",
    programs: 2200,
    open: () => diskSide("sync", SyncIo.open(), SCRATCH_IN_MEMORY, SYNC_LACKS),
  },
  {
    name: "uring",
    programs: 600,
    skip: skipRing,
    open: () => diskSide("uring", UringIo.open(), SCRATCH_IN_MEMORY, []),
  },
  {
    name: "uring on a disk",
    programs: 200,
    skip: skipRing,
    open: () => diskSide("uring on a disk", UringIo.open(), SCRATCH, []),
  },
];

/** Programs whose answers are easily got wrong. */
const FOUND: [string, Step[]][] = [
  ["a directory does not move below itself, nor onto what it lies in", [
    { do: "createDirectories", path: "dir/dir" },
    { do: "rename", from: "dir", to: "dir/dir" },
    { do: "rename", from: "dir/dir", to: "dir" },
    { do: "rename", from: "dir", to: "dir" },
  ]],
  ["what is open goes on when its name is given to another file", [
    { do: "open", file: 0, path: "a", options: { read: true, write: true, create: true } },
    { do: "write", file: 0, offset: 0, size: 100, fill: 1 },
    { do: "open", file: 1, path: "b", options: { read: true, write: true, create: true } },
    { do: "lock", file: 0 },
    { do: "rename", from: "b", to: "a" },
    { do: "write", file: 0, offset: 4096, size: 10, fill: 2 },
    { do: "read", file: 0, offset: 0, size: 8192 },
    { do: "read", file: 1, offset: 0, size: 8192 },
    { do: "open", file: 2, path: "a", options: { read: true, write: true } },
    { do: "lock", file: 2 },
  ]],
  ["a reservation of nothing is refused before the file is asked for", [
    { do: "open", file: 0, path: "b", options: { read: true, write: true, create: true } },
    { do: "open", file: 1, path: "b", options: { read: true } },
    { do: "allocate", file: 1, offset: 0, size: 0 },
    { do: "allocate", file: 1, offset: 0, size: 1 },
  ]],
  ["what was cut off does not come back when the file grows", [
    { do: "open", file: 0, path: "a", options: { read: true, write: true, create: true } },
    { do: "write", file: 0, offset: 0, size: 9000, fill: 1 },
    { do: "truncate", file: 0, size: 4097 },
    { do: "write", file: 0, offset: 12_288, size: 1, fill: 2, way: "durable" },
    { do: "read", file: 0, offset: 0, size: 9000 },
    { do: "truncate", file: 0, size: 20_000 },
    { do: "reads", file: 0, offset: 4096, sizes: [4096, 4097, 9000] },
  ]],
];

for (const { name, programs, skip = false, open } of SIDES) {
  describe(name, { skip }, () => {
    const on = (body: (side: Side) => void) => () => {
      using side = open();
      body(side);
    };

    it(`${programs} random programs`, on((side) => sameForAll(side, programs, SEED)));

    for (const [what, program] of FOUND) it(what, on((side) => same(side, program)));
  });
}

test("a difference is found, and named by its step", () => {
  const program: Step[] = [
    { do: "open", file: 0, path: "a", options: { write: true, create: true } },
    { do: "write", file: 0, offset: 10, size: 5, fill: 1 },
    { do: "stat", path: "a" },
  ];
  const results = runOnModel(program);
  assert.deepEqual(results.slice(0, 3), ["0", "5", "file 15"]);
  const wrong = (at: number) => results.map((line, i) => i === at ? "other" : line);
  compare(program, results, results);
  assert.throws(
    () => compare(program, wrong(1), results),
    /^Error: step 1 \(.*"write".*: other, and should be 5/,
  );
  assert.throws(() => compare(program, wrong(3), results), /at the end: other/);
  assert.throws(() => compare(program, [...results, "b"], results), /at the end: b, .*undefined/);
  assert.throws(() => compare(program, results.slice(0, -1), results), /at the end: undefined/);
  assert.match(pasted(program), /^ {2}same\(side, \[\n {4}\{do: "open",file: 0,path: "a"/);
});
