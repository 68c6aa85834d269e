/**
 * Goal: the permissions that README.md shows are enough for the command line, and each of them is asked
 * for by name.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import {
  isPlain,
  ROOT,
  scratch,
  skipTerminal,
  skipWithoutRing,
  start,
  startOnTerminal,
} from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
const readme = readFileSync(join(ROOT, "README.md"), "utf8");

const OPTIONS = ["run", "--quiet", "--no-prompt", "--no-remote", "--cached-only", "--no-check"];

/** The command of the page, its flags for this folder, and where its own arguments begin. */
function shownCommand(): { words: string[]; at: number; flags: string[] } {
  const shown = /```sh\ndeno run ([\s\S]*?)```/.exec(readme)![1].replaceAll(/\\\n\s*/g, "");
  const words = shown.trim().split(/\s+/).map((word) => word.replaceAll("/srv/logs", folder));
  const at = words.indexOf("cli.ts");
  const flags = words.slice(0, at).map((flag) => flag.replace("=build/", `=${ROOT}/build/`));
  return { words, at, flags };
}

test("the permissions of README.md are enough, and none is too many", { skip }, async () => {
  const { words, at, flags } = shownCommand();
  const begin = (flags: string[], rest: string[]) => {
    const all = [...OPTIONS, ...flags, join(ROOT, "cli.ts"), ...rest];
    // A library does not ask for what stands behind NO_COLOR.
    return start(process.execPath, all, { env: { NO_COLOR: "" } });
  };
  const run = (flags: string[], rest: string[], input: string) => {
    const running = begin(flags, rest);
    running.child.stdin!.end(input);
    return running.ended;
  };
  const log = words.at(-1)!;
  for (const flag of flags) {
    const kind = /^--allow-[a-z]+/.exec(flag)![0];
    const { status, out, err } = await run(
      flags.filter((one) => one !== flag),
      ["append", log],
      "a\n",
    );
    // Without the library it goes on over node:fs, and says why; else it is refused.
    const goesOn = kind === "--allow-ffi";
    assert.equal(status, goesOn ? 0 : 1, `without ${flag}`);
    assert.equal(out, goesOn ? "1\n" : "");
    assert.ok(err.includes(kind), `${flag}: ${err}`);
    assert.ok(!/^\s+at /m.test(err), err);
  }
  const { status, out, err } = await run(flags, words.slice(at + 1), "a\n");
  assert.equal(status, 0, err);
  assert.equal(out, "2\n");
  const reading = flags.filter((flag) => !flag.startsWith("--allow-write"));
  assert.equal((await run(reading, ["cat", log], "")).out, "a\na\n");
  assert.match((await run(reading, ["verify", log], "")).out, /^clean/);
  assert.match((await run(reading, ["repair", log], "")).out, /^clean.*nothing to repair/);
  const tail = begin(reading, ["tail", log]);
  await tail.until(/^a\na\n$/);
  process.kill(tail.child.pid!, "SIGINT");
  assert.equal((await tail.ended).status, 0);
});

test("they are enough on a terminal too, where bars are drawn", {
  skip: skip || skipTerminal,
}, async () => {
  const { words, at, flags } = shownCommand();
  const file = join(folder, "lines");
  writeFileSync(file, ("x".repeat(4000) + "\n").repeat(8000));
  const [command, log] = [words.slice(at + 1, -1), join(folder, "terminal")];
  const args = [...OPTIONS, ...flags, join(ROOT, "cli.ts"), ...command, log];
  const small = ["--segment-bytes", "131072"];
  const { status, out, err } = await startOnTerminal(process.execPath, [...args, ...small], {
    inputFile: file,
    env: { NO_COLOR: "" },
  }).ended;
  assert.deepEqual([status, out], [0, "8000\n"], err);
  assert.match(err, /uring append \[=*-*\] \d+% \| \d+\/\d+ bytes/);
  assert.ok(isPlain(err) && !/--allow/.test(err), err);
});
