/**
 * Mutants: the library with one promise broken on purpose. Each is a file of mutants/ with the promise
 * and the changes that break it, and is applied to a copy of the sources; the simulated crashes must turn
 * red on it.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { RUNTIME } from "./_arguments.ts";

const ROOT = join(import.meta.dirname!, "../..");
const MUTANTS = join(import.meta.dirname!, "mutants");
/** What the judge needs of the checkout. */
const COPIED = ["src", "tests/fault", "package.json", "deno.json", "bunfig.toml", "tsconfig.json"];
const JUDGE = "tests/fault/sim.ts";
const RUNTIME_FLAGS = RUNTIME === "bun"
  ? []
  : ["run", "--quiet", "--allow-all", "--no-check", "--no-remote", "--cached-only"];
const JUDGE_MILLIS = 300_000;

/** One promise broken. */
export interface Mutant {
  name: string;
  /** What the log promises, and this one does not. */
  promise: string;
  /** Found out so soon that every test run does it. */
  quick: boolean;
  changes: { file: string; from: string; to: string }[];
}

/** How a mutant fared. */
export interface Verdict {
  /** The judge found it out. */
  dead: boolean;
  /** What it found, or why it could not judge. */
  says: string;
}

export function mutants(): Mutant[] {
  return readdirSync(MUTANTS).filter((name) => name.endsWith(".json")).sort().map((name) => ({
    name: name.slice(0, -".json".length),
    ...JSON.parse(readFileSync(join(MUTANTS, name), "utf8")),
  }));
}

/** Copies of the sources, one mutant at a time. */
export class Laboratory implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "uring-mutants-"));
  readonly #broken: string[] = [];

  constructor() {
    for (const name of COPIED) {
      cpSync(join(ROOT, name), join(this.#folder, name), { recursive: true });
    }
  }

  /** The sources as they are again. */
  #mend(): void {
    for (const file of this.#broken.splice(0)) cpSync(join(ROOT, file), join(this.#folder, file));
  }

  /** Applies a mutant. Throws when its place is not there exactly once: it has to be written anew. */
  #break(mutant: Mutant): void {
    for (const { file, from, to } of mutant.changes) {
      const path = join(this.#folder, file);
      const source = readFileSync(path, "utf8");
      const places = source.split(from).length - 1;
      if (places !== 1) {
        throw new Error(
          `mutant ${mutant.name} does not apply: its place stands ${places} times in ${file}; ` +
            `write tests/fault/mutants/${mutant.name}.json anew`,
        );
      }
      if (!this.#broken.includes(file)) this.#broken.push(file);
      writeFileSync(path, source.replace(from, () => to));
    }
  }

  /** Runs the judge over `crashes` crashes from `seed` on, on a mutant or on the sources as they are. */
  async judge(mutant: Mutant | undefined, seed: number, crashes: number): Promise<Verdict> {
    this.#mend();
    if (mutant) this.#break(mutant);
    const args = [...RUNTIME_FLAGS, JUDGE, "--seed", String(seed), "--crashes", String(crashes)];
    const child = spawn(process.execPath, args, {
      cwd: this.#folder,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: JUDGE_MILLIS,
    });
    let output = "";
    const collect = (data: Uint8Array) => output += new TextDecoder().decode(data);
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    const status = await new Promise<number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    const finding = /^FAILED .*$/m.exec(output)?.[0];
    if (status === 0) return { dead: false, says: "nothing found" };
    if (status === 1 && finding !== undefined) return { dead: true, says: finding };
    throw new Error(`the judge ended with status ${status}: ${output}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
