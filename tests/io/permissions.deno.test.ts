/**
 * Deno's permissions and the paths of the backends that touch files (B8): each path operation asks for what Deno
 * itself would want for it, before anything is submitted, and names the flag to add.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runProgram } from "../support/program.ts";
import { inScratch, ROOT, skipRing } from "../support/ring.ts";

const LIBRARY = join(ROOT, "build/liburing-io.so");
const PROGRAM = join(ROOT, "tests/io/io_program.ts");

type Ask = (permissions: string[], requests: string[]) => Promise<unknown[]>;

async function askOf(
  wanted: "uring" | "sync",
  permissions: string[],
  requests: string[],
): Promise<unknown[]> {
  const options = JSON.stringify({ backend: wanted });
  const { status, stdout, stderr } = await runProgram(PROGRAM, [options, ...requests], {
    permissions: wanted === "uring" ? [`--allow-ffi=${LIBRARY}`, ...permissions] : permissions,
  });
  assert.equal(status, 0, stderr);
  const { backend, answers, message } = JSON.parse(stdout);
  assert.equal(backend, wanted, message);
  return answers;
}

const REQUESTS = (d: string) => [
  `read:${d}/a`,
  `write:${d}/w`,
  `both:${d}/w`,
  `stat:${d}/a`,
  `list:${d}`,
  `sync:${d}`,
  `directories:${d}/x/y`,
  `rename:${d}/w:${d}/v`,
  `link:${d}/a:${d}/l`,
  `remove:${d}/a`,
];

for (const backend of ["uring", "sync"] as const) {
  const skip = backend === "uring" && skipRing;
  describe(`deno permissions of the ${backend} backend`, { skip }, () => {
    suite((permissions, requests) => askOf(backend, permissions, requests));
  });
}

function suite(ask: Ask): void {
  it("read and write on the directory are enough for everything", () =>
    inScratch(async (d) => {
      writeFileSync(join(d, "a"), "a");
      const answers = await ask([`--allow-read=${d}`, `--allow-write=${d}`], REQUESTS(d));
      assert.deepEqual(answers, [0, 0, 0, 0, 2, 0, 2, 0, 0, 0]);
    }));

  it("without a permission to write, nothing is written, and the error names the flag", () =>
    inScratch(async (d) => {
      writeFileSync(join(d, "a"), "a");
      const write = (path: string) => `--allow-write=${d}/${path}`;
      const answers = await ask([`--allow-read=${d}`], REQUESTS(d));
      assert.deepEqual(answers.slice(0, 6), [0, write("w"), write("w"), 0, 1, 0]);
      assert.deepEqual(answers.slice(6), [write("x/y"), write("w"), write("a"), write("a")]);
      assert.deepEqual(readdirSync(d), ["a"]);
    }));

  it("without a permission to read, nothing is read, and the error names the flag", () =>
    inScratch(async (d) => {
      writeFileSync(join(d, "a"), "a");
      const read = (path: string) => `--allow-read=${d}${path}`;
      const answers = await ask([`--allow-write=${d}`], REQUESTS(d));
      assert.deepEqual(answers, [
        read("/a"),
        0,
        read("/w"),
        read("/a"),
        read(""),
        read(""),
        read("/x/y"),
        read("/w"),
        read("/a"),
        0,
      ]);
    }));

  it("the permission is for the resolved path", () =>
    inScratch(async (d) => {
      mkdirSync(join(d, "in"));
      writeFileSync(join(d, "out"), "out");
      const inside = join(d, "in");
      const answers = await ask([`--allow-read=${inside}`, `--allow-write=${inside}`], [
        `read:${inside}/../out`,
        `rename:${inside}/a:${inside}/../b`,
        `link:${inside}/../out:${inside}/a`,
        `directories:${d}/other`,
        `write:${inside}/./x/../a`,
      ]);
      assert.deepEqual(answers, [
        `--allow-read=${d}/out`,
        `--allow-read=${d}/b`,
        `--allow-read=${d}/out`,
        `--allow-read=${d}/other`,
        0,
      ]);
    }));

  it("parents that are missing need the permission too", () =>
    inScratch(async (d) => {
      const wanted = `${d}/x/y/z`;
      const rights = [`--allow-read=${d}`, `--allow-write=${wanted}`];
      const answers = await ask(rights, [`directories:${wanted}`]);
      assert.deepEqual(answers, [`--allow-write=${d}/x/y`]);
      assert.deepEqual(readdirSync(d), []);
    }));
}
