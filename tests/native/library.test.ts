/**
 * The native library: each way in which it can be the wrong one gives an error that names the file,
 * where its name came from, and what to do. Faults are made by copying the good library and breaking
 * the copy.
 */
import assert from "node:assert/strict";
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ABI_BYTES, abiDifference } from "../../src/abi/check.ts";
import { ABI_HASH, ABI_VERSION } from "../../src/abi/generated.ts";
import { elfProblem } from "../../src/native/elf.ts";
import { runProgram, runRing } from "../support/program.ts";
import { inScratch, isDeno, ROOT, skipRing } from "../support/ring.ts";

const LIBRARY = join(ROOT, "build/liburing-io.so");

/** The error of opening a ring with what `make` left at the path. */
async function errorWith(make: (path: string) => string | void) {
  return await inScratch(async (directory) => {
    const named = join(directory, "library.so");
    const path = make(named) ?? named;
    const error = await runRing(directory, { env: { URING_LIBRARY: path } });
    assert.equal(error.reason, "library", JSON.stringify(error));
    assert.ok(error.message.includes(path), error.message);
    assert.ok(error.message.includes("URING_LIBRARY"), error.message);
    return error;
  });
}

/** A copy of the good library with some bytes replaced by others. */
function patched(path: string, from: Uint8Array, to: Uint8Array): void {
  const bytes = readFileSync(LIBRARY);
  const at = bytes.indexOf(from);
  assert.ok(at > 0, "the bytes to replace are not in the library");
  bytes.set(to, at);
  writeFileSync(path, bytes);
}

const text = (words: string) => new TextEncoder().encode(words);
const hash = Uint8Array.from(ABI_HASH.match(/../g)!, (byte) => parseInt(byte, 16));

describe("native library", () => {
  it("missing", async () => {
    const error = await errorWith(() => {});
    assert.equal(error.code, "ENOENT");
    assert.match(error.message, /there is no such file/);
  });

  it("missing in an installed package, which cannot build it", () =>
    inScratch(async (directory) => {
      const installed = join(directory, "node_modules/@uring/io");
      mkdirSync(installed, { recursive: true });
      for (const name of ["package.json", "ring.ts", "src"]) {
        cpSync(join(ROOT, name), join(installed, name), { recursive: true });
      }
      const program = join(directory, "program.ts");
      writeFileSync(
        program,
        `import { Ring } from "./node_modules/@uring/io/ring.ts";
         try { Ring.open(); } catch (error) { console.log(error.reason, error.message); }`,
      );
      const run = await runProgram(program, [], { env: { URING_LIBRARY: undefined } });
      assert.match(
        run.stdout,
        /^library .*in a checkout of @uring\/io.*URING_LIBRARY.*backend sync/,
        run.stderr,
      );
    }));

  it("a directory", async () => {
    const error = await errorWith(() => "/usr");
    assert.equal(error.code, "EISDIR");
  });

  it("an empty file", async () => {
    const error = await errorWith((path) => writeFileSync(path, ""));
    assert.match(error.message, /it is empty/);
  });

  it("a text file", async () => {
    const error = await errorWith((path) => writeFileSync(path, "hello\n"));
    assert.equal(error.code, "ENOEXEC");
    assert.match(error.message, /it is no ELF file.*\.\/dev setup/s);
  });

  it("of another machine", async () => {
    const error = await errorWith((path) => {
      const bytes = readFileSync(LIBRARY);
      // e_machine: aarch64 on x86-64, and the other way round.
      bytes[18] = bytes[18] === 62 ? 183 : 62;
      writeFileSync(path, bytes);
    });
    assert.equal(error.code, "ENOEXEC");
    assert.match(error.message, /it is for (arm64, and this is x64|x64, and this is arm64)/);
  });

  it("cut off", async () => {
    const error = await errorWith((path) =>
      writeFileSync(path, readFileSync(LIBRARY).subarray(0, 1000))
    );
    assert.equal(error.code, "ENOEXEC");
    assert.match(error.message, /it is cut off: it has 1000 of \d+ bytes/);
  });

  it("with other layouts", async () => {
    const other = hash.slice();
    other[0] ^= 0xff;
    const error = await errorWith((path) => patched(path, hash, other));
    assert.equal(error.code, "EABI");
    assert.match(
      error.message,
      /its layouts hash to [0-9a-f]{12}….*Rebuild it with: \.\/dev setup/s,
    );
  });

  it("without the functions of a shim", async () => {
    const error = await errorWith((path) =>
      patched(path, text("uring_abi\0"), text("uring_xyz\0"))
    );
    assert.equal(error.code, "ELIBRARY");
    assert.match(error.message, /uring_abi/);
  });

  it(
    "another name for the good one is used",
    { skip: skipRing },
    () =>
      inScratch(async (directory) => {
        const path = join(directory, "renamed.so");
        copyFileSync(LIBRARY, path);
        const result = await runRing(directory, { env: { URING_LIBRARY: path } });
        assert.equal(result.good, true);
      }),
  );

  it("an empty variable counts as unset", { skip: skipRing }, () =>
    inScratch(async (directory) => {
      const result = await runRing(directory, { env: { URING_LIBRARY: "" } });
      assert.equal(result.good, true);
    }));

  it("is not asked for by an import", () =>
    inScratch(async (directory) => {
      const { runProgram } = await import("../support/program.ts");
      const program = join(directory, "import.ts");
      writeFileSync(program, `import ${JSON.stringify(join(ROOT, "ring.ts"))}; console.log("in");`);
      const run = await runProgram(program, [], {
        env: { URING_LIBRARY: "/nowhere" },
        permissions: isDeno ? [] : undefined,
      });
      assert.deepEqual(run, { status: 0, stdout: "in\n", stderr: "" });
    }));
});

describe("native checks", () => {
  it("tell versions and hashes apart", () => {
    const filled = new Uint8Array(ABI_BYTES);
    new DataView(filled.buffer).setUint32(0, ABI_VERSION, true);
    filled.set(hash, 8);
    assert.equal(abiDifference(filled), undefined);
    filled[20] ^= 1;
    assert.match(abiDifference(filled)!, /its layouts hash to/);
    new DataView(filled.buffer).setUint32(0, ABI_VERSION + 1, true);
    assert.match(abiDifference(filled)!, new RegExp(`it has version ${ABI_VERSION + 1} of`));
  });

  it("read ELF headers", () => {
    const whole = readFileSync(LIBRARY);
    const good = whole.subarray(0, 64);
    const size = whole.length;
    const arch = good[18] === 62 ? "x64" : "arm64";
    assert.equal(elfProblem(good, size, arch), undefined);
    assert.match(elfProblem(good.subarray(0, 63), 63, arch)!, /cut off/);
    assert.match(elfProblem(good, size - 1, arch)!, /cut off/);
    const changed = (at: number, value: number) => {
      const copy = new Uint8Array(good);
      copy[at] = value;
      return elfProblem(copy, size, arch);
    };
    assert.match(changed(0, 0)!, /no ELF file/);
    assert.match(changed(4, 1)!, /64-bit/);
    assert.match(changed(5, 2)!, /little-endian/);
    assert.match(changed(16, 2)!, /no shared library/);
    assert.match(changed(18, 40)!, /it is for machine 40/);
  });
});
