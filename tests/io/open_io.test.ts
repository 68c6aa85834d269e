/** Choosing a backend: by option, by the environment, and what is said when the best cannot be had. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { IoUsageError, openIo, type OpenIoOptions } from "../../io.ts";
import { runProgram } from "../support/program.ts";
import { inScratch, ROOT, skipRing } from "../support/ring.ts";

const PROGRAM = join(ROOT, "tests/io/io_program.ts");

async function open(
  options: OpenIoOptions,
  env: Record<string, string | undefined> = {},
  ...requests: string[]
  // deno-lint-ignore no-explicit-any
): Promise<any> {
  const { status, stdout, stderr } = await runProgram(
    PROGRAM,
    [JSON.stringify(options), ...requests],
    { env: { URING_BACKEND: undefined, ...env } },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

describe("openIo", () => {
  it(
    "auto is uring where it can be had, and the best needs no reason",
    { skip: skipRing },
    () =>
      inScratch(async (directory) => {
        for (const options of [{}, { backend: "auto" as const }, { backend: "uring" as const }]) {
          const { backend, reason, answers } = await open(options, {}, `both:${directory}/a`);
          assert.deepEqual([backend, reason, answers], ["uring", "", [0]]);
        }
      }),
  );

  it("memory is a simulated machine", async () => {
    const { backend, answers } = await open({ backend: "memory" }, {}, "both:/a", "list:/");
    assert.deepEqual([backend, answers], ["memory", [0, 1]]);
    const io = openIo({ backend: "memory", capacity: 3, memory: { latencyMicros: 0 } });
    assert.equal(io.capacity, 3);
  });

  it("URING_BACKEND overrides what the program asks for", async () => {
    assert.equal((await open({ backend: "uring" }, { URING_BACKEND: "memory" })).backend, "memory");
    const { name, message } = await open({}, { URING_BACKEND: "paper" });
    assert.equal(name, "IoUsageError");
    assert.match(message, /URING_BACKEND is one of auto, uring, sync, memory, not paper/);
    assert.equal(
      (await open({ backend: "memory" }, { URING_BACKEND: "" })).backend,
      "memory",
    );
  });

  it("without io_uring auto is sync, and says why; uring throws the reason", () =>
    inScratch(async (directory) => {
      const env = { URING_LIBRARY: "/nowhere/liburing-io.so" };
      const auto = await open({}, env, `both:${directory}/a`, `list:${directory}`);
      assert.deepEqual([auto.backend, auto.answers], ["sync", [0, 1]]);
      assert.match(auto.reason, /\/nowhere\/liburing-io\.so.*there is no such file/s);
      const uring = await open({ backend: "uring" }, env);
      assert.deepEqual([uring.name, uring.why], ["RingUnavailableError", "library"]);
      const memory = await open({ backend: "memory" }, env, "both:/a");
      assert.deepEqual(memory.answers, [0]);
    }));

  it("sync by its name, by option and by the environment", () =>
    inScratch(async (directory) => {
      const byOption = await open({ backend: "sync" }, {}, `both:${directory}/a`);
      assert.deepEqual([byOption.backend, byOption.answers], ["sync", [0]]);
      assert.match(byOption.reason, /asked for by name/);
      const byName = await open({ backend: "uring" }, { URING_BACKEND: "sync" });
      assert.equal(byName.backend, "sync");
    }));

  it("options that make no sense are refused", { skip: skipRing }, () => {
    const refused = (options: OpenIoOptions, message: RegExp) =>
      assert.throws(() => openIo(options), (error) => {
        assert.ok(error instanceof IoUsageError, String(error));
        assert.match(error.message, message);
        return true;
      });
    refused({ backend: "floppy" as "uring" }, /backend is one of .*, not floppy/);
    refused({ backend: "uring", capacity: 0 }, /capacity is from 1 to 4096, not 0/);
    refused({ backend: "uring", capacity: 5000 }, /capacity is from 1 to 4096, not 5000/);
    refused({ backend: "auto", arenaBytes: -1 }, /arenaBytes is at least 1, not -1/);
    refused({ backend: "sync", arenaBytes: -1 }, /arenaBytes is at least 1, not -1/);
    refused({ backend: "sync", capacity: 5000 }, /capacity is from 1 to 4096, not 5000/);
  });
});
