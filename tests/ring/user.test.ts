/**
 * The ring's own tests once more, and the contracts of what stands on it, as an ordinary user who may lock
 * 8 MiB of memory, which is what most systems allow: what passes as root only would show here. Each file is run
 * under the runtime of this one, by a user of its own, since locked memory is counted for each user and given
 * back late.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, cpSync, mkdirSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { asStranger, hasCommand, otherUser, runCommand } from "../support/program.ts";
import { inScratch, isDeno, ROOT, skipRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const MEMLOCK_BYTES = 8 << 20;
/** Of one file; a slow machine under load takes long. */
const RUN_MILLIS_MAX = 110_000;
/** Files of the ring that need something else, and what. */
const NOT_RUN: Record<string, string> = {
  availability: "covers a sysctl by another file, and makes namespaces for it",
  user: "runs the others",
};
/** What stands on the ring, in its contract. */
const ABOVE = [
  "tests/io/contract.test.ts",
  "tests/storage/storage.test.ts",
  "tests/wal/log.test.ts",
];
const ALL = [
  ...readdirSync(join(ROOT, "tests/ring")).filter((name) => name.endsWith(".test.ts"))
    .filter((name) => !(name.replace(".test.ts", "") in NOT_RUN)).sort()
    .map((name) => `tests/ring/${name}`),
  ...ABOVE,
];
/** The runtimes share them; each runs all of them in the long form. */
const FILES = ALL.filter((_, i) =>
  process.env.URING_TEST_FULL !== undefined || i % 2 === (isDeno ? 0 : 1)
);
const isRoot = process.getuid?.() === 0;
const skip = skipRing ||
  skipUnless(hasCommand("prlimit") && (!isRoot || hasCommand("setpriv")), "no setpriv and prlimit");

/** Whether any user can read the checkout, and run the runtime from where it is. */
function isOpenToAll(user: number): boolean {
  const [command, ...rest] = asStranger(user, MEMLOCK_BYTES);
  const files = `test -r "${ROOT}/build/liburing-io.so" -a -x "${process.execPath}"`;
  return spawnSync(command, [...rest, "sh", "-c", files]).status === 0;
}

/** What these tests need of the checkout, where everybody can read it: its root, and the runtime. */
function copyOut(to: string): [string, string] {
  const root = join(to, "checkout");
  mkdirSync(root);
  for (const name of readdirSync(ROOT)) {
    if (/^(src|tests|build|examples|[\w.]+\.(ts|json|toml))$/.test(name)) {
      cpSync(join(ROOT, name), join(root, name), { recursive: true });
    }
  }
  const runtime = join(to, basename(process.execPath));
  copyFileSync(process.execPath, runtime);
  chmodSync(runtime, 0o755);
  chmodSync(to, 0o755);
  return [root, runtime];
}

describe("ring of an ordinary user", { skip }, () => {
  for (const name of FILES) {
    it(`passes ${name} with 8 MiB of locked memory`, () =>
      inScratch(async (directory) => {
        const user = isRoot ? otherUser() : process.getuid!();
        let [root, runtime] = [ROOT, process.execPath];
        if (!isOpenToAll(user)) [root, runtime] = copyOut(directory);
        const home = join(directory, "home");
        mkdirSync(home);
        if (isRoot) chownSync(home, user, user);
        chmodSync(directory, 0o755);
        const file = `./${name}`;
        const command = isDeno
          ? ["test", "--allow-all", "--no-check", "--no-remote", "--cached-only", file]
          : ["test", "--timeout=120000", file];
        const env = {
          HOME: home,
          TMPDIR: home,
          DENO_DIR: join(home, ".deno"),
          URING_SCRATCH: undefined,
          URING_TEST_FULL: undefined,
        };
        const launcher = asStranger(user, MEMLOCK_BYTES);
        const whole = [...launcher, runtime, ...command];
        const run = await runCommand(whole, root, env, RUN_MILLIS_MAX);
        const output = run.stdout + run.stderr;
        assert.equal(run.status, 0, output);
        assert.match(output, /[1-9]\d* pass/, output);
        assert.doesNotMatch(output, /# skip/, output);
      }));
  }
});
