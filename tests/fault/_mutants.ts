/**
 * Mutants: the library with one promise broken on purpose. Each is a file of mutants/ with the promise,
 * the changes that break it, and what must find that out. It is applied to a copy of the checkout, and
 * one of its judges must turn red there.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { readReport, readZigOutput } from "../../tools/test.ts";
import { RUNTIME } from "./_arguments.ts";

const ROOT = join(import.meta.dirname!, "../..");
const MUTANTS = join(import.meta.dirname!, "mutants");
const SETTINGS = ["package.json", "deno.json", "bunfig.toml", "tsconfig.json"];
/** What campaigns need of the checkout; and what everything else needs. */
const COPIED = ["src", "tests/fault", "tools/test.ts", ...SETTINGS];
const COPIED_WHOLE = [
  ...["src", "tests", "tools", "shim", "build", "examples", "docs", ...SETTINGS],
  ...readdirSync(ROOT).filter((name) => name.endsWith(".ts")),
];
const LIBRARY = "build/liburing-io.so";
/** Many times what any judge takes: by then it hangs, which is a finding too. */
const JUDGE_MILLIS = 120_000;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
/** Lines of output in the message about a judge that did not come to a verdict. */
const LINES_SHOWN = 20;

/** One promise broken. */
export interface Mutant {
  name: string;
  /** What the library promises, and this one does not. */
  promise: string;
  /** Found out by the simulated crashes so soon that every test run does it. */
  quick: boolean;
  /**
   * The judges, one of which must find it out, cheapest first: paths of test files, `shim` (the unit
   * tests of the library), or a campaign with its arguments, such as `sim --seed 1 --crashes 2000`.
   */
  by: string[];
  changes: { file: string; from: string; to: string }[];
}

/** How a mutant fared. */
export interface Verdict {
  /** A judge found it out. */
  dead: boolean;
  /** What it found. */
  says: string;
}

export function mutants(): Mutant[] {
  return readdirSync(MUTANTS).filter((name) => name.endsWith(".json")).sort().map((name) => ({
    name: name.slice(0, -".json".length),
    ...JSON.parse(readFileSync(join(MUTANTS, name), "utf8")),
  }));
}

/** A copy of the checkout, with one mutant at a time. */
export class Laboratory implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "uring-mutants-"));
  readonly #broken: string[] = [];

  /** @param whole Everything that any judge needs; else what campaigns need. */
  constructor(whole = false) {
    for (const name of whole ? COPIED_WHOLE : COPIED) {
      cpSync(join(ROOT, name), join(this.#folder, name), { recursive: true });
    }
    if (!whole) return;
    // The compiler and its cache are shared, which is keyed by contents; what was built is not.
    mkdirSync(join(this.#folder, ".tools"));
    for (const name of ["bin", "zig", "zig-cache"].map((one) => `.tools/${one}`)) {
      if (existsSync(join(ROOT, name))) symlinkSync(join(ROOT, name), join(this.#folder, name));
    }
    if (existsSync(join(ROOT, "node_modules"))) {
      symlinkSync(join(ROOT, "node_modules"), join(this.#folder, "node_modules"));
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
    // The unit tests build what they need.
    const shim = mutant.changes.some(({ file }) => file.startsWith("shim/"));
    if (!shim || mutant.by.every((judge) => judge === "shim")) return;
    this.#broken.push(LIBRARY);
    rmSync(join(this.#folder, ".tools/stamps"), { recursive: true, force: true });
    const build = ["tools/build-shim.sh", "library"];
    const { status, stderr } = spawnSync("bash", build, { cwd: this.#folder, encoding: "utf8" });
    if (status !== 0) throw new Error(`mutant ${mutant.name} does not build: ${stderr}`);
  }

  /** Runs the judges, on a mutant or on the sources as they are, until one has found something. */
  async judge(mutant: Mutant | undefined, by: readonly string[]): Promise<Verdict> {
    this.#mend();
    if (mutant) this.#break(mutant);
    let verdict: Verdict = { dead: false, says: "nothing found" };
    for (const judge of by) {
      verdict = await this.#ask(judge);
      if (verdict.dead) break;
    }
    return verdict;
  }

  async #ask(judge: string): Promise<Verdict> {
    const report = judge.endsWith(".test.ts") ? join(this.#folder, "report.xml") : undefined;
    if (report) rmSync(report, { force: true });
    const [program, ...args] = commandOf(judge, report);
    const child = spawn(program, args, {
      cwd: this.#folder,
      // A group of its own, so that what a judge started ends with it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
    });
    let output = "";
    const collect = (data: Uint8Array) => {
      output += new TextDecoder().decode(data);
      if (output.length > OUTPUT_BYTES_MAX) output = output.slice(-OUTPUT_BYTES_MAX / 2);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    const killGroup = () => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    };
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      killGroup();
    }, JUDGE_MILLIS);
    const ended = await new Promise<number | string | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", () => killGroup());
      child.on("close", (code, signal) => resolve(signal ?? code));
    }).finally(() => clearTimeout(timer));
    const found = (what: string) => ({ dead: true, says: `${judge}: ${what}` });
    if (late) return found(`did not end within ${JUDGE_MILLIS / 1000} s`);
    if (ended === 0) return { dead: false, says: "nothing found" };
    const finding = findingOf(judge, report, output);
    if (finding !== undefined) return found(finding);
    // A process that dies has noticed too.
    if (typeof ended === "string") return found(`was ended by ${ended}`);
    if (ended !== null && ended > 128) return found(`ended with status ${ended}`);
    const lines = output.trimEnd().split("\n").slice(-LINES_SHOWN).join("\n");
    throw new Error(`${judge} ended with status ${ended}: ${lines}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function commandOf(judge: string, report: string | undefined): string[] {
  if (judge === "shim") return ["bash", "tools/build-shim.sh", "test"];
  const flags = ["--quiet", "--allow-all", "--no-check", "--no-remote", "--cached-only"];
  if (report === undefined) {
    const [name, ...args] = judge.split(" ");
    const program = [`tests/fault/${name}.ts`, ...args];
    return [process.execPath, ...(RUNTIME === "bun" ? [] : ["run", ...flags]), ...program];
  }
  if (RUNTIME === "bun" || judge.endsWith(".bun.test.ts")) {
    const bun = RUNTIME === "bun" ? process.execPath : "bun";
    const reporter = ["--reporter=junit", `--reporter-outfile=${report}`];
    return [bun, "test", "--timeout=120000", ...reporter, `./${judge}`];
  }
  return [process.execPath, "test", ...flags, `--junit-path=${report}`, `./${judge}`];
}

/** What a judge found, in its own words; `undefined` when it did not come to that. */
function findingOf(
  judge: string,
  report: string | undefined,
  output: string,
): string | undefined {
  if (report === undefined && judge !== "shim") return /^FAILED .*$/m.exec(output)?.[0];
  const cases = judge === "shim"
    ? readZigOutput(output)
    : existsSync(report!)
    ? readReport(readFileSync(report!, "utf8"))
    : [];
  // Of a file that cannot be loaded nothing passes, and that is no finding.
  const loads = !/\b(SyntaxError|error: Module|Cannot find module)\b/.test(output);
  const name = cases.find(({ outcome }) => outcome === "failed")?.name;
  return loads ? name : undefined;
}
