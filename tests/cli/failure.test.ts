/**
 * Goal: failures come with a way out, and in words of the command line: nobody there can call a method
 * or pass an option of the library. Method: every message of the sources that tells a program what to do
 * is among those that are translated; a log that cannot be locked, a directory in the place of a file and
 * a short address space show it from outside.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IoError } from "../../io.ts";
import { inWords } from "../../src/cli/failure.ts";
import { WalOptionsError } from "../../wal.ts";
import { closedLog, segmentOf } from "./logs.ts";
import { isPlain, ROOT, scratch, skipWithoutRing, SMALL, uring } from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();

/** What a program can do, and nobody else. */
const FOR_PROGRAMS = [
  "recalibrate: true",
  "unsafeNoLock: true",
  "call truncateBefore",
  "pass it as io",
  'mode "auto"',
  "with a larger arena",
  "with a smaller arena",
  "backend of openIo",
];

/** The texts in the sources of a room, their pieces put together. */
function textsOf(room: string): string[] {
  const texts: string[] = [];
  for (const name of readdirSync(join(ROOT, "src", room))) {
    const source = readFileSync(join(ROOT, "src", room, name), "utf8")
      .replaceAll(/^\s*(\*|\/\/|\/\*).*$/gm, "");
    const literal = "(?:`[^`\\n]*`|\"[^\"\\n]*\"|'[^'\\n]*')";
    for (const [text] of source.matchAll(RegExp(`${literal}(?:\\s*\\+\\s*${literal})*`, "g"))) {
      texts.push(text.replaceAll(/[`"']\s*\+\s*[`"']/g, "").slice(1, -1));
    }
  }
  return texts;
}

for (const words of FOR_PROGRAMS) {
  test(`${words} is for programs`, () => {
    const texts = ["wal", "io", "ring", "native"].flatMap(textsOf)
      .filter((text) => text.includes(words));
    assert.ok(texts.length > 0, "no source says it any more");
    for (const text of texts) {
      const said = inWords(new WalOptionsError(text));
      assert.ok(!said.includes(words), said);
      assert.notEqual(said, text);
    }
  });
}

for (const code of ["ENOENT", "EISDIR", "ENOMEM", "ENOSPC", "EACCES", "EROFS"]) {
  test(`${code} comes with a way out`, () => {
    const message = `open of /somewhere failed: ${code}, so it is`;
    const said = inWords(new IoError(message, code, 1, "open", "/somewhere"));
    assert.ok(said.startsWith(`${message}. `) && said.length > message.length + 10, said);
  });
}

test("a directory in the place of a segment", { skip }, async () => {
  const log = join(folder, "directory");
  await closedLog(log, ["a"]);
  rmSync(segmentOf(log));
  mkdirSync(segmentOf(log));
  const { status, out, err } = await uring(["append", log, ...SMALL], "b\n");
  assert.deepEqual([status, out], [1, ""]);
  assert.ok(err.includes(segmentOf(log)), err);
  assert.match(err, /EISDIR.*A directory stands where a file belongs/);
  assert.ok(isPlain(err), err);
});
