/** `SyncIo`, and everything that is written on `Io`, under plain Node.js: bundled by Bun, run by node. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { hasCommand } from "../support/program.ts";
import { inScratch, ROOT } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const PROGRAMS = 300;
const EOPNOTSUPP = 95;
const LOG = ["WalLockedError", "a record"];

test("it works under plain Node.js, without locks", {
  skip: skipUnless(hasCommand("node"), "node is missing"),
}, () =>
  inScratch((directory) => {
    const bundle = join(directory, "program.mjs");
    const program = join(ROOT, "tests/io/node_program.ts");
    const run = (command: string, ...args: string[]) => {
      const { status, stdout, stderr } = spawnSync(command, args, { cwd: ROOT, encoding: "utf8" });
      assert.equal(status, 0, stderr);
      return stdout;
    };
    run(process.execPath, "build", "--target=node", `--outfile=${bundle}`, program);
    const said = JSON.parse(run("node", bundle, directory, `${PROGRAMS}`));
    // The log needs Node.js 22.
    assert.deepEqual(said.log ?? LOG, LOG);
    delete said.log;
    assert.deepEqual(said, {
      io: ["sync", "io_uring is driven under Bun and Deno, and this is neither"],
      lock: [0, -EOPNOTSUPP],
      identity: true,
      programs: PROGRAMS,
      file: [5, "world"],
      storage: [4, 3, 0],
      positioned: "one two",
    });
  }));
