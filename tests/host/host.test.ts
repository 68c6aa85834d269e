/** What both runtimes offer, by one interface. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { host } from "../../src/host/host.ts";
import { directoryOf, resolveFrom } from "../../src/host/path.ts";
import { inScratch, isDeno, ROOT } from "../support/ring.ts";

describe("host", () => {
  it("knows the runtime and the machine", () => {
    assert.equal(host().name, isDeno ? "deno" : "bun");
    assert.match(host().version, /^\d+\.\d+\.\d+/);
    assert.equal(host().platform, process.platform);
    assert.equal(host().arch, process.arch);
    assert.equal(host(), host());
  });

  it("reads the beginning of a file, or says why not", () =>
    inScratch((directory) => {
      writeFileSync(join(directory, "file"), "0123456789");
      const start = host().readStart(join(directory, "file"), 4);
      assert.ok(typeof start === "object");
      assert.equal(new TextDecoder().decode(start.bytes), "0123");
      assert.equal(start.size, 10);
      const short = host().readStart(join(directory, "file"), 100);
      assert.ok(typeof short === "object" && short.bytes.length === 10);
      mkdirSync(join(directory, "folder"));
      assert.equal(host().readStart(join(directory, "folder"), 4), "directory");
      assert.equal(host().readStart(join(directory, "none"), 4), "missing");
      assert.equal(host().readStart(join(directory, "file/below"), 4), "missing");
    }));

  it("reads the environment", () => {
    process.env.URING_TEST_VARIABLE = "value";
    assert.equal(host().env("URING_TEST_VARIABLE"), "value");
    delete process.env.URING_TEST_VARIABLE;
    assert.equal(host().env("URING_TEST_VARIABLE"), undefined);
  });

  it("takes turns of the event loop that let timers and I/O have theirs", async () => {
    const { readFile } = await import("node:fs/promises");
    let turns = 0;
    let timers = 0;
    let reads = 0;
    const timer = setInterval(() => timers++, 1);
    const until = performance.now() + 100;
    const reading = (async () => {
      while (performance.now() < until) {
        await readFile(import.meta.filename!, "utf8");
        reads++;
      }
    })();
    await new Promise<void>((resolve) => {
      const turn = () => {
        turns++;
        if (performance.now() < until) host().turn(turn);
        else resolve();
      };
      host().turn(turn);
    });
    clearInterval(timer);
    await reading;
    assert.ok(turns > 500, `${turns} turns`);
    assert.ok(timers > 10, `${timers} timers`);
    assert.ok(reads > 10, `${reads} reads`);
  });

  it("knows workers from the main thread", async () => {
    assert.equal(host().isWorker(), false);
    const source = `import { host } from ${JSON.stringify(join(ROOT, "src/host/host.ts"))};`;
    await inScratch(async (directory) => {
      const path = join(directory, "worker.ts");
      writeFileSync(
        path,
        `${source}
         import { parentPort } from "node:worker_threads";
         parentPort!.postMessage(host().isWorker());`,
      );
      const worker = new Worker(path);
      const answer = await new Promise((resolve) => worker.once("message", resolve));
      assert.equal(answer, true);
      await worker.terminate();
    });
  });

  it("resolves paths by name", () => {
    const cases = [
      ["/a/b", "/a/b"],
      ["/a//b/./c/", "/a/b/c"],
      ["/a/../../b", "/b"],
      ["/", "/"],
      ["c/../d", "/w/d"],
      ["", "/w"],
    ];
    for (const [path, expected] of cases) assert.equal(resolveFrom("/w", path), expected, path);
    assert.equal(host().resolvePath("/a/../b"), "/b");
    assert.equal(host().resolvePath("x"), join(process.cwd(), "x"));
    assert.equal(directoryOf("/a/b"), "/a");
    assert.equal(directoryOf("/a"), "/");
    assert.equal(directoryOf("/"), "/");
  });
});
