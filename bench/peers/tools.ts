/**
 * Brings and builds what `./dev bench peers` measures beside this project's log, into `.tools/peers`.
 * None of it is a dependency of the package.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { run } from "../support/child.ts";

const ROOT = join(import.meta.dirname!, "../..");
const SOURCES = import.meta.dirname!;
const TOOLS = join(ROOT, ".tools/peers");
/** Where the packages of npm are. */
export const NPM_FOLDER: string = join(TOOLS, "npm");
/** The built programs. */
export const GO_PROGRAM: string = join(TOOLS, "go/peers");
export const RUST_PROGRAM: string = join(TOOLS, "rust/target/release/peers");

/** The end of what a tool said. */
const SAID_CHARACTERS = 300;

interface Tool {
  readonly files: readonly string[];
  readonly folder: string;
  /** What is there when it was done. */
  readonly result: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const TOOLS_BY_NAME = {
  npm: {
    files: ["package.json", "package-lock.json", "../../.npmrc"],
    folder: NPM_FOLDER,
    result: join(NPM_FOLDER, "node_modules"),
    command: ["npm", "ci", "--loglevel=error", "--no-progress"],
    environment: {},
  },
  go: {
    files: ["go/go.mod", "go/go.sum", "go/main.go"],
    folder: join(TOOLS, "go"),
    result: GO_PROGRAM,
    command: ["go", "build", "-o", GO_PROGRAM, "."],
    // No other Go than that of the machine, and nothing outside the checkout.
    environment: {
      GOTOOLCHAIN: "local",
      GOFLAGS: "-mod=mod -buildvcs=false -modcacherw",
      GOMODCACHE: join(TOOLS, "go-modules"),
      GOCACHE: join(TOOLS, "go-cache"),
    },
  },
  cargo: {
    files: ["rust/Cargo.toml", "rust/Cargo.lock", "rust/src/main.rs"],
    folder: join(TOOLS, "rust"),
    result: RUST_PROGRAM,
    command: ["cargo", "build", "--release", "--locked"],
    environment: { CARGO_TARGET_DIR: join(TOOLS, "rust/target") },
  },
} as const satisfies Record<string, Tool>;

/** What brings a peer. */
export type ToolName = keyof typeof TOOLS_BY_NAME;

/** Whether it was brought for just the sources that are there now. */
export function isPrepared(name: ToolName): boolean {
  const { result } = TOOLS_BY_NAME[name];
  const stamp = join(TOOLS, `${name}.stamp`);
  return existsSync(result) && existsSync(stamp) &&
    readFileSync(stamp, "utf8") === key(name);
}

/** Brings it. Gives why it is not to be had, or `undefined`. */
export async function prepare(name: ToolName): Promise<string | undefined> {
  if (isPrepared(name)) return undefined;
  const { files, folder, command, environment } = TOOLS_BY_NAME[name];
  console.error(`bench peers: ${command.join(" ")}`);
  for (const file of files) {
    // The tools may write beside their sources: into a copy.
    const target = join(folder, file.replace(/^(\.\.\/)*(go\/|rust\/)?/, ""));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(SOURCES, file), target);
  }
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  try {
    const ended = await run([
      ...["env", "-C", folder, ...variables],
      ...command,
    ]);
    if (ended.status === 127) return `${command[0]} is missing`;
    if (ended.status !== 0) {
      const said = `${ended.stderr}${ended.stdout}`.trim().slice(
        -SAID_CHARACTERS,
      );
      return `${command.join(" ")} failed: ${said}`;
    }
  } catch (error) {
    return `${command.join(" ")}: ${(error as Error).message}`;
  }
  writeFileSync(join(TOOLS, `${name}.stamp`), key(name));
  return undefined;
}

/** Of the sources, and of the machine they were built for. */
function key(name: ToolName): string {
  const hash = createHash("sha256").update(`${process.arch}\n`);
  for (const file of TOOLS_BY_NAME[name].files) {
    hash.update(readFileSync(join(SOURCES, file)));
  }
  return hash.digest("hex");
}
