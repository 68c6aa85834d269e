/**
 * Importing does nothing: no file is opened, no library loaded, no permission asked. Method: tripwires
 * in the place of everything that a module could reach the machine by, and the kernel's own view.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { hasCommand, runProgram } from "../support/program.ts";
import { inScratch, isDeno } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";
import { ENTRIES } from "./support.ts";

/** A program that imports an entry point between two calls that can be found in a trace. */
const importing = (file: string, body: string) => `
  import { readdirSync, readFileSync, statSync } from "node:fs";
  const mark = (name) => { try { statSync("/mark-" + name); } catch { /* there is none */ } };
  const load = () => import(${JSON.stringify(pathToFileURL(file).href)});
  ${body}`;

describe("import", () => {
  for (const { specifier, file } of ENTRIES) {
    it(`${specifier} touches nothing`, () =>
      inScratch(async (directory) => {
        const program = join(directory, "program.ts");
        writeFileSync(
          program,
          importing(
            file,
            `
          const touched = [];
          const tripwire = (name, target) => {
            const get = (object, key) => {
              if (typeof key === "string") touched.push(name + "." + key);
              return Reflect.get(object, key, object);
            };
            Object.defineProperty(globalThis, name, {
              value: new Proxy(target, { get }),
              configurable: true,
              writable: true,
            });
          };
          // What belongs to a runtime is behind these: Bun's own name cannot be replaced, and its
          // modules are had from process.
          const name = "Deno" in globalThis ? "Deno" : "process";
          const real = globalThis[name];
          tripwire(name, real);
          const all = await load();
          const before = touched.length;
          // The wire works.
          globalThis[name].version;
          Object.defineProperty(globalThis, name, { value: real });
          console.log(JSON.stringify([Object.keys(all).length > 0, before, touched.slice(-1)]));`,
          ),
        );
        // No permission at all: what is asked for is refused, and would throw.
        const { stdout, stderr } = await runProgram(program, [], { permissions: [] });
        const last = `${isDeno ? "Deno" : "process"}.version`;
        assert.equal(stdout, `${JSON.stringify([true, 0, [last]])}\n`, stderr);
      }));
  }

  it("the kernel sees no library, no ring and no other file", {
    skip: skipUnless(hasCommand("strace"), "strace is missing"),
  }, () =>
    inScratch(async (directory) => {
      const program = join(directory, "program.ts");
      const trace = join(directory, "trace");
      const loads = ENTRIES.map(({ file }) => `await import("${pathToFileURL(file).href}");`);
      writeFileSync(
        program,
        importing(
          ENTRIES[0].file,
          `
          const libraries = () => new Set(readFileSync("/proc/self/maps", "utf8").match(/\\S+\\.so\\S*/g));
          readdirSync("/proc/self/fd");
          const before = [libraries().size, readdirSync("/proc/self/fd").length];
          mark("begin");
          ${loads.join("\n")}
          mark("end");
          const after = [libraries().size, readdirSync("/proc/self/fd").length];
          console.log(JSON.stringify([before, after]));`,
        ),
      );
      const calls =
        "trace=open,openat,openat2,io_uring_setup,eventfd2,socket,execve,stat,statx,newfstatat";
      const launcher = ["strace", "-f", "-e", calls, "-o", trace];
      const { stdout, stderr } = await runProgram(program, [], { launcher });
      assert.notEqual(stdout, "", stderr);
      const [before, after] = JSON.parse(stdout);
      assert.deepEqual(after, before);
      const lines = readFileSync(trace, "utf8").split("\n");
      const at = (mark: string) => lines.findIndex((line) => line.includes(`"/mark-${mark}"`));
      assert.ok(at("begin") >= 0 && at("end") > at("begin"));
      // Bun's collector asks for the size of the process.
      const own = `"/proc/self/statm"`;
      const seen = lines.slice(at("begin"), at("end")).filter((line) => !line.includes(own));
      assert.ok(seen.some((line) => line.includes("src/wal/wal.ts")), "the trace has the import");
      const forbidden = /io_uring_setup|socket\(|execve|"\/(proc|sys|dev|etc)\/|liburing|\.so"/;
      assert.deepEqual(seen.filter((line) => forbidden.test(line)), []);
    }));
});
