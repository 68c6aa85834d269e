/**
 * The programs behind `./dev check` and `./dev test` go red on what they are for: each rule is shown a
 * source that breaks it and one that keeps it, and each report a real runner's output.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { blank, checkSource } from "../../tools/check-imports.ts";
import { checkLibrary } from "../../tools/check-symbols.ts";
import { readReport, readZigOutput } from "../../tools/test.ts";

const messages = (file: string, source: string): string[] =>
  checkSource(file, source).map(({ line, message }) => `${line}: ${message}`);

describe("import directions", () => {
  const keeps: [string, string][] = [
    ["src/ring/ring.ts", `import { a } from "../abi/generated.ts";`],
    ["src/io/uring.ts", `import { Ring } from "../ring/ring.ts";`],
    ["src/io/sync.ts", `import { openSync } from "node:fs";`],
    ["src/host/deno.ts", `const { pid } = Deno; import("bun:ffi");`],
    ["src/wal/wal.ts", `/* Bun */ // Deno\nconst text = "Bun and Deno"; const t = \`Deno\`;`],
    ["src/wal/wal.ts", `import type { Io } from "../io/io.ts"; export * from "./format.ts";`],
    ["cli.ts", `import { defineCommand } from "citty"; import process from "node:process";`],
    ["testing.ts", `export * from "./src/testing/sweep.ts";`],
    ["tests/wal/wal.test.ts", `import { Sweep } from "../../src/testing/sweep.ts"; Deno.exit();`],
    ["src/log/log.ts", `const runtime = { Deno: 1, Bun: 2 }; export { runtime };`],
    ["src/file/file.ts", `const slash = /["'\`]/; import { Io } from "../io/io.ts";`],
  ];
  for (const [file, source] of keeps) {
    it(`allows ${file}: ${source}`, () => assert.deepEqual(messages(file, source), []));
  }

  const breaks: [string, string, RegExp][] = [
    ["src/abi/errno.ts", `import { Host } from "../host/host.ts";`, /^1: src\/abi may not import/],
    ["src/wal/wal.ts", `\nimport { Ring } from "../ring/ring.ts";`, /^2: src\/wal may not/],
    ["src/io/pump.ts", `import { Ring } from "../ring/ring.ts";`, /src\/io may not/],
    ["src/io/io.ts", `import {\n  a,\n  b,\n} from "../wal/wal.ts";`, /^1: src\/io may not/],
    [
      "src/wal/wal.ts",
      `export { Sweep } from "../testing/sweep.ts";`,
      /may not import src\/testing/,
    ],
    ["mod.ts", `import "./src/testing/sweep.ts";`, /may not import src\/testing/],
    ["src/wal/wal.ts", `const fs = await import("node:fs");`, /import node:fs/],
    ["src/ring/ring.ts", `import { ptr } from "bun:ffi";`, /bun:ffi/],
    ["src/wal/wal.ts", `const t = \`\${Deno.pid}\`;`, /^1: only src\/host\/ says Deno/],
    ["src/wal/wal.ts", `const t = /* x */ typeof Bun;`, /says Bun/],
    ["src/wal/wal.ts", `const t = globalThis.Deno;`, /says Deno/],
    ["src/wal/wal.ts", `import c from "citty";`, /library: citty/],
    ["src/wal/wal.ts", `import c from "jsr:@std/cli";`, /fetches nothing/],
    ["src/wal/wal.ts", `import c from "./format";`, /with its ending/],
    ["src/wal/wal.ts", `import c from "../../tests/x.ts";`, /does not import programs/],
    ["src/shed/x.ts", ``, /is no room/],
  ];
  for (const [file, source, expected] of breaks) {
    it(`refuses ${file}: ${source.trim()}`, () => {
      const found = messages(file, source);
      assert.equal(found.length, 1, found.join("; "));
      assert.match(found[0], expected);
    });
  }

  it("keeps every character in its place", () => {
    const source = "a /* b\nc */ 'd' + `e ${f} g` // h\n";
    const { code, withStrings } = blank(source);
    assert.equal(code, "a     \n     ' ' + `  ${f}  `     \n");
    assert.equal(withStrings, "a     \n     'd' + `e ${f} g`     \n");
  });
});

describe("symbols", () => {
  it("refuses what is no library", () => {
    assert.deepEqual(checkLibrary(new TextEncoder().encode("a text file")), [
      "is no 64-bit little-endian ELF file",
    ]);
  });
});

describe("summing", () => {
  it("reads Bun's report", () => {
    const report = `<testsuites><testsuite name="a" file="a.test.ts">
      <testcase name="ok" classname="" time="0" assertions="0" />
      <testcase name="bad &gt; 1" classname="group"><failure message="x">1 &lt; 2</failure></testcase>
      <testcase name="not here" classname=""><skipped /></testcase>
    </testsuite></testsuites>`;
    assert.deepEqual(readReport(report), [
      { name: "ok", outcome: "passed" },
      { name: "group > bad > 1", outcome: "failed" },
      { name: "not here", outcome: "skipped" },
    ]);
  });

  it("counts no group of Deno's report, unless it failed by itself", () => {
    const group = (body: string) =>
      `<testcase name="group" classname="./a.test.ts">${body}</testcase>
       <testcase name="group &gt; one" classname="ext:node/testing.ts"></testcase>`;
    assert.deepEqual(readReport(group("")), [{ name: "group > one", outcome: "passed" }]);
    assert.deepEqual(readReport(group(`<failure message="after"></failure>`)), [
      { name: "group", outcome: "failed" },
      { name: "group > one", outcome: "passed" },
    ]);
  });

  it("reads Zig's output, also where a test prints", () => {
    const output = "1/4 shim.test.a...OK\n2/4 shim.test.b...some words\nOK\n" +
      "3/4 shim.test.c...SKIP\n4/4 shim.test.d...FAIL (X)\n2 passed; 1 skipped; 1 failed.\n";
    assert.deepEqual(
      readZigOutput(output).map(({ outcome }) => outcome),
      ["passed", "passed", "skipped", "failed"],
    );
  });
});
