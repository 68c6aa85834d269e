/**
 * The package as a stranger gets it: packed, added to an empty project by `bun add`, and used by its
 * name. No registry is asked: what it depends on is packed from the checkout, too.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { ROOT, skipRing } from "../support/ring.ts";
import { below, dependencies, ENTRIES, exampleOf, readmeExample } from "./support.ts";

const LIBRARY = join(ROOT, "build/liburing-io.so");

describe("added by bun", () => {
  let above: string;
  let project: string;

  /** Runs a program, and gives what it printed. */
  function run(directory: string, command: string[], env: Record<string, string> = {}): string {
    const [program, ...args] = command;
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      cwd: directory,
      encoding: "utf8",
      env: {
        PATH: process.env.PATH,
        HOME: above,
        NO_COLOR: "1",
        // Nobody answers there: whatever is not at hand is missing.
        BUN_CONFIG_REGISTRY: "http://127.0.0.1:9",
        BUN_INSTALL_CACHE_DIR: join(above, "cache"),
        ...env,
      },
    });
    assert.equal(status, 0, `${command.join(" ")}: ${error ?? ""}${stdout}${stderr}`);
    return stdout;
  }

  before(() => {
    above = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-package-"));
    project = join(above, "project");
    mkdirSync(project);
    run(ROOT, [process.execPath, "pm", "pack", "--ignore-scripts", "--destination", above]);
    const tarball = readdirSync(above).find((name) => name.endsWith(".tgz"))!;
    // As a registry would have them.
    const overrides = Object.fromEntries(
      dependencies().map((name) => {
        const packed = join(above, `${name.replaceAll("/", "-")}.tgz`);
        const folder = join(ROOT, "node_modules", name);
        run(above, ["tar", "czf", packed, "--transform", "s,^[.],package,", "-C", folder, "."]);
        return [name, `file:${packed}`];
      }),
    );
    writeFileSync(
      join(project, "package.json"),
      JSON.stringify({ name: "outside", private: true, type: "module", overrides }),
    );
    run(project, [process.execPath, "add", `../${tarball}`]);
  });

  after(() => rmSync(above, { recursive: true, force: true }));

  const program = (name: string, source: string, env?: Record<string, string>) => {
    writeFileSync(join(project, name), source);
    return run(project, [process.execPath, name], env);
  };

  it("it has what is needed, and nothing else", () => {
    const files = readdirSync(join(project, "node_modules/@uring/io"));
    for (const wanted of ["package.json", "README.md", "LICENSE", "src", "mod.ts", "cli.ts"]) {
      assert.ok(files.includes(wanted), wanted);
    }
    for (const unwanted of ["tests", "bench", "tools", "dev", ".ci", "node_modules"]) {
      assert.ok(!files.includes(unwanted), unwanted);
    }
  });

  it("the README's example prints what the README says", { skip: skipRing }, () => {
    const { program: source, output } = readmeExample();
    assert.equal(program("example.ts", source, { URING_LIBRARY: LIBRARY }), output);
    rmSync(join(project, "orders"), { recursive: true });
  });

  it("the same without the library, over node:fs", () => {
    const { program: source, output } = readmeExample();
    assert.equal(program("example.ts", source, { URING_LIBRARY: "/nowhere.so" }), output);
  });

  for (const { specifier, file } of ENTRIES) {
    it(`${specifier} is imported by its name, and its example runs`, { skip: skipRing }, () => {
      const names =
        `import * as all from "${specifier}"; console.log(Object.keys(all).length > 0);`;
      assert.equal(program("names.ts", names), "true\n");
      const example = exampleOf(file);
      if (example === undefined) return;
      const directory = mkdtempSync(join(above, "files-"));
      program("example.ts", below(example, directory), { URING_LIBRARY: LIBRARY });
    });
  }

  it("what is inside is not to be imported", () => {
    writeFileSync(
      join(project, "inside.ts"),
      `try { await import("@uring/io/src/io/io.ts"); } catch { console.log("refused"); }`,
    );
    assert.equal(run(project, [process.execPath, "inside.ts"]), "refused\n");
  });

  it("the command is there by its name", () => {
    const { version } = JSON.parse(run(project, ["cat", "node_modules/@uring/io/package.json"]));
    const said = run(project, [process.execPath, "node_modules/.bin/uring", "--version"]);
    assert.equal(said.trim(), version);
  });
});
