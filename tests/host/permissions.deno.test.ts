/**
 * Deno's permissions: the ring works with the promised scoped ones and nothing else; each missing one
 * gives an error that names the flag to add; nothing ever prompts; and what a backend asks before it
 * touches a path is answered as Deno itself would.
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runProgram, runRing } from "../support/program.ts";
import { inScratch, ROOT, skipRing } from "../support/ring.ts";

const LIBRARY = join(ROOT, "build/liburing-io.so");
const PROGRAM = join(ROOT, "tests/support/host_program.ts");

async function ask(permissions: string[], ...requests: string[]): Promise<string[]> {
  const { status, stdout, stderr } = await runProgram(PROGRAM, requests, { permissions });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

describe("deno permissions of the ring", { skip: skipRing }, () => {
  it("it works with --allow-ffi of the library alone, and cannot look at the file first", () =>
    inScratch(async (directory) => {
      const result = await runRing(directory, { permissions: [`--allow-ffi=${LIBRARY}`] });
      assert.equal(result.good, true);
      assert.equal(result.registered, true);
    }));

  it("it works with --allow-ffi of the library, and read and write on the data", () =>
    inScratch(async (directory) => {
      const data = [`--allow-read=${directory},${LIBRARY}`, `--allow-write=${directory}`];
      const result = await runRing(directory, { permissions: [`--allow-ffi=${LIBRARY}`, ...data] });
      assert.equal(result.good, true);
    }));

  it("without --allow-ffi the error names the flag", () =>
    inScratch(async (directory) => {
      for (const permissions of [[], ["--allow-read"], [`--allow-ffi=${directory}`]]) {
        const error = await runRing(directory, { permissions });
        assert.equal(error.reason, "library");
        assert.equal(error.code, "EPERMISSION");
        assert.match(
          error.message,
          /may not be loaded\. Start Deno with --allow-ffi=.*liburing-io\.so/,
        );
      }
    }));

  it("without --allow-env URING_LIBRARY is not asked for", () =>
    inScratch(async (directory) => {
      const env = { URING_LIBRARY: "/nowhere" };
      const scoped = [`--allow-ffi=${LIBRARY}`];
      assert.equal((await runRing(directory, { env, permissions: scoped })).good, true);
      const permissions = [...scoped, "--allow-env=URING_LIBRARY", "--allow-read"];
      const error = await runRing(directory, { env, permissions });
      assert.match(error.message, /\/nowhere .*there is no such file/);
    }));

  it("a file that may be loaded but not read is described by the loader", () =>
    inScratch(async (directory) => {
      const env = { URING_LIBRARY: "/etc/hostname" };
      const permissions = ["--allow-env", "--allow-ffi=/etc/hostname"];
      const error = await runRing(directory, { env, permissions });
      assert.equal(error.code, "ELIBRARY");
      assert.match(error.message, /\/etc\/hostname .*it cannot be loaded/);
    }));
});

describe("deno permissions of paths", () => {
  it("are those of the resolved path", () =>
    inScratch(async (directory) => {
      mkdirSync(join(directory, "in/below"), { recursive: true });
      const answers = await ask(
        [`--allow-read=${directory}/in`, `--allow-write=${directory}/in/below`],
        `read:${directory}/in/file`,
        `read:${directory}/in/below/file`,
        `read:${directory}/in/../out`,
        `read:${directory}/in/below/../../in/file`,
        `write:${directory}/in/below/file`,
        `write:${directory}/in/file`,
        `write:${directory}/in/below/../file`,
        `read:${directory}/in`,
        `read:${directory}/inside`,
      );
      const denied = (access: string, path: string) =>
        `EPERMISSION --allow-${access}=${path} this program may not ${access} ${path}: ` +
        `start Deno with --allow-${access}=${path}`;
      assert.deepEqual(answers, [
        "granted",
        "granted",
        denied("read", `${directory}/out`),
        "granted",
        "granted",
        denied("write", `${directory}/in/file`),
        denied("write", `${directory}/in/file`),
        "granted",
        denied("read", `${directory}/inside`),
      ]);
    }));

  it("a denied part of a permitted directory stays denied, also after its siblings", () =>
    inScratch(async (directory) => {
      const answers = await ask(
        [`--allow-read=${directory}`, `--deny-read=${directory}/secret`],
        `read:${directory}/a`,
        `read:${directory}/b`,
        `read:${directory}/secret`,
        `read:${directory}/secret/below`,
        `read:${directory}/c`,
      );
      assert.deepEqual(answers.map((answer) => answer.split(" ")[0]), [
        "granted",
        "granted",
        "EPERMISSION",
        "EPERMISSION",
        "granted",
      ]);
    }));

  it("/proc, /sys and devices need all of them", async () => {
    const special = [
      "read:/proc/self/mem",
      "write:/sys/x",
      "read:/dev/sda",
      "read:/dev",
      "read:/proc",
    ];
    const answers = await ask(
      ["--allow-read", "--allow-write"],
      ...special,
      "read:/dev/null",
      "read:/etc",
    );
    assert.deepEqual(answers.map((answer) => answer.split(" ").slice(0, 2).join(" ")), [
      ...special.map(() => "EPERMISSION --allow-all"),
      "granted",
      "granted",
    ]);
    assert.deepEqual(await ask(["--allow-all"], ...special), special.map(() => "granted"));
  });

  it("a relative path starts at the working directory, which needs none", async () => {
    assert.deepEqual(await ask([`--allow-read=${ROOT}`], "read:file"), ["granted"]);
    const [answer] = await ask([], "read:file");
    assert.match(answer, new RegExp(`^EPERMISSION --allow-read=${ROOT}/file`));
  });
});
