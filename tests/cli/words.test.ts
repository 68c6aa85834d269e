/**
 * Goal: what README.md and the examples show runs as it stands. Method: the code is taken out of the
 * page and run, and so is each example; their output is compared with what the page says.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { commandOf, ROOT, scratch, skipWithoutRing, start, uring } from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
const readme = readFileSync(join(ROOT, "README.md"), "utf8");

/** Code blocks of the page, each with the block of output behind it. */
function blocks(): { code: string; output: string | undefined }[] {
  return [...readme.matchAll(/```ts\n([\s\S]*?)```(?:\s*```text\n([\s\S]*?)```)?/g)].map((
    match,
  ) => ({
    code: match[1],
    output: match[2],
  }));
}

/** The package's names as files of this checkout. */
function resolved(code: string): string {
  return code.replace(/"@uring\/io(?:\/(\w+))?"/g, (_, name = "mod") => {
    return JSON.stringify(pathToFileURL(join(ROOT, `${name}.ts`)).href);
  });
}

test("the code of README.md runs, and prints what the page says", { skip }, async () => {
  assert.ok(blocks().length > 0);
  for (const [index, { code, output }] of blocks().entries()) {
    const own = join(folder, `block-${index}`);
    mkdirSync(own);
    const file = join(own, "code.ts");
    writeFileSync(file, resolved(code));
    const [program, args] = commandOf(file, []);
    const running = start(program, args, { cwd: own });
    running.child.stdin!.end();
    const { status, out, err } = await running.ended;
    assert.equal(status, 0, err);
    if (output !== undefined) assert.equal(out, output);
  }
});

test("README.md names the commands and their options, and no others", async () => {
  const named = [...readme.matchAll(/^\| `uring (\w+)(.*?)` \|/gm)];
  assert.deepEqual(named.map(([, name]) => name), [
    "append",
    "cat",
    "tail",
    "verify",
    "repair",
    "doctor",
  ]);
  for (const [, name, rest] of named) {
    const { out } = await uring([name, "--help"]);
    const options = (text: string) => [...text.matchAll(/--[a-z-]+/g)].map(String).sort();
    assert.deepEqual(options(rest), options(out), name);
  }
});

test("files that README.md links to are there", () => {
  for (const [, path] of readme.matchAll(/\]\(([^)#:]+)\)/g)) {
    assert.ok(existsSync(join(ROOT, path)), path);
  }
});

test("examples/key_value.ts", { skip }, async () => {
  const run = (...args: string[]) => {
    const running = start(...commandOf("examples/key_value.ts", [join(folder, "values"), ...args]));
    running.child.stdin!.end();
    return running.ended;
  };
  assert.equal((await run("apples")).out, "(nothing)\n");
  assert.equal((await run("apples", "three")).out, "three\n");
  assert.equal((await run("apples", "four")).out, "four\n");
  assert.equal((await run("apples")).out, "four\n");
});

test("examples/follow.ts", { skip }, async () => {
  const log = join(folder, "followed");
  const position = join(folder, "position");
  const append = (lines: string) => uring(["append", log, "--segment-bytes", "262144"], lines);
  const follow = () => start(...commandOf("examples/follow.ts", [log, position]));
  await append("a\nb\n");
  for (const [lines, shown] of [["c\n", "1 a\n2 b\n3 c\n"], ["d\n", "4 d\n"]]) {
    const running = follow();
    if (shown.startsWith("1")) await running.until(/2 b\n/);
    await append(lines);
    await running.until(RegExp(`${shown}$`));
    process.kill(running.child.pid!, "SIGTERM");
    const { status, out, err } = await running.ended;
    assert.deepEqual([status, out, err], [0, shown, ""]);
  }
  assert.equal(readFileSync(position, "utf8"), "5");
});

test("examples/http_gate.ts", { skip }, async () => {
  const log = join(folder, "gate");
  const running = start(...commandOf("examples/http_gate.ts", [log, "0"]));
  await running.until(/http:\S+\n/);
  const url = running.out().trim();
  const post = async (body: string) => await (await fetch(url, { method: "POST", body })).text();
  assert.equal(await post("first"), "1\n");
  const others = await Promise.all(["second", "third", "fourth"].map(post));
  assert.deepEqual(others.sort(), ["2\n", "3\n", "4\n"]);
  process.kill(running.child.pid!, "SIGTERM");
  const { status, err } = await running.ended;
  assert.equal(status, 0, err);
  assert.match((await uring(["cat", log])).out, /^first\n/);
  assert.match((await uring(["verify", log])).out, /^clean: records 1 to 4, sealed/);
});
