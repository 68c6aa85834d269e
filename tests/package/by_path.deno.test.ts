/**
 * The library from outside the checkout under Deno: by path, with the permissions that the README names
 * and no others, and with one of them missing.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { type Run, runProgram } from "../support/program.ts";
import { inScratch, ROOT, skipRing } from "../support/ring.ts";
import { below, ENTRIES, exampleOf, readmeExample, withImports } from "./support.ts";

const LIBRARY = join(ROOT, "build/liburing-io.so");

/** Runs a program that lies in `directory`, with the files that it names below `directory/files`. */
async function program(directory: string, source: string, rights: string[]): Promise<Run> {
  const byPath = withImports(source, ({ file }) => pathToFileURL(file).href);
  writeFileSync(join(directory, "program.ts"), byPath);
  return await runProgram(join(directory, "program.ts"), [], { permissions: rights });
}

const inFiles = (body: (directory: string, files: string) => Promise<void>) => () =>
  inScratch(async (directory) => {
    const files = join(directory, "files");
    mkdirSync(files);
    await body(directory, files);
  });

const rights = (files: string) => [
  `--allow-ffi=${LIBRARY}`,
  `--allow-read=${files}`,
  `--allow-write=${files}`,
];

describe("by path, with scoped permissions", { skip: skipRing }, () => {
  it(
    "the README's example prints what the README says",
    inFiles(async (directory, files) => {
      const { program: source, output } = readmeExample();
      const at = source.replace(`"orders"`, JSON.stringify(join(files, "orders")));
      assert.notEqual(at, source);
      const { stdout, stderr, status } = await program(directory, at, rights(files));
      assert.deepEqual([stdout, stderr, status], [output, "", 0]);
    }),
  );

  for (const { specifier, file } of ENTRIES) {
    const example = exampleOf(file) ??
      `import { Ring } from "${specifier}"; Ring.open().close(); console.log("opened");`;
    it(
      `${specifier} does its example`,
      inFiles(async (directory, files) => {
        const { stderr, status } = await program(directory, below(example, files), rights(files));
        assert.deepEqual([stderr, status], ["", 0]);
      }),
    );
  }

  /** Each prints the error's name and the flag that it asks for, and leaves nothing behind. */
  const OPENS: Record<string, string> = {
    "Wal.open": `import { Wal } from "@uring/io/wal"; await Wal.open(PATH);`,
    "File.open": `import { File } from "@uring/io/io"; await File.open(PATH, RW);`,
    "PositionedFile.open":
      `import { PositionedFile } from "@uring/io/storage"; PositionedFile.open(PATH, RW);`,
    "a storage's file": `
      import { File, UringStorageIo } from "@uring/io/storage";
      using storage = UringStorageIo.open();
      storage.registerFd(await File.open(PATH, RW, storage.io));`,
  };
  for (const [what, source] of Object.entries(OPENS)) {
    for (const missing of ["read", "write"]) {
      it(
        `${what} without --allow-${missing} names the flag, and nothing is made`,
        inFiles(async (directory, files) => {
          const [imports, ...body] = source.trim().split(";");
          const constants = `const PATH = ${JSON.stringify(join(files, "a"))};
            const RW = { read: true, write: true, create: true };`;
          const tried = `${imports}; ${constants}
            try { ${body.join(";")} console.log("done"); }
            catch (error) { console.log(error.name, error.flag); }`;
          const some = rights(files).filter((flag) => !flag.startsWith(`--allow-${missing}`));
          const { stdout, stderr, status } = await program(directory, tried, some);
          assert.deepEqual([stderr, status], ["", 0]);
          assert.match(stdout, new RegExp(`^PermissionError --allow-${missing}=${files}`));
          assert.deepEqual(readdirSync(files), []);
        }),
      );
    }
  }

  it(
    "without --allow-ffi a file is opened over node:fs; io_uring by name says what is missing",
    inFiles(async (directory, files) => {
      const source = `
        import { File, openIo } from "@uring/io/io";
        const io = openIo();
        await using file = await File.open(${JSON.stringify(join(files, "a"))},
          { read: true, write: true, create: true }, io);
        await file.writeAt(new Uint8Array(3), 0, { dsync: true });
        console.log(io.backend, io.reason.includes("--allow-ffi="));
        try { openIo({ backend: "uring" }); }
        catch (error) { console.log(error.name, error.message.includes("--allow-ffi=")); }`;
      const { stdout, stderr, status } = await program(directory, source, rights(files).slice(1));
      assert.deepEqual([stderr, status], ["", 0]);
      assert.equal(stdout, "sync true\nRingUnavailableError true\n");
    }),
  );
});
