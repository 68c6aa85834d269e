/**
 * Runs every suite and adds up: `tools/test.ts [FILTER|full]`.
 *
 * Each test file runs in a process of its own, under Bun and under Deno (`*.bun.test.ts` and
 * `*.deno.test.ts` under that one only), as many at once as there are processors: a crash or a hang
 * in native code then costs one file, and is counted. The Zig unit tests are one more such job.
 * Files named `*.slow.test.ts` start first, so that the longest does not run alone at the end.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";

const ROOT = join(import.meta.dirname!, "..");
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
const OUTPUT_LINES_SHOWN = 120;

interface Case {
  name: string;
  outcome: "passed" | "failed" | "skipped";
}

interface Job {
  suite: "zig" | "bun" | "deno";
  file: string;
  command: string[];
  /** Where the runner leaves its report; Zig's is its output. */
  report?: string;
}

interface Result {
  job: Job;
  cases: Case[];
  /** What went wrong outside any single test. */
  died?: string;
  output: string;
  seconds: number;
}

/** The test cases of a JUnit report as Bun and Deno write them. */
export function readReport(xml: string): Case[] {
  const cases: Case[] = [];
  const pattern = /<testcase\b((?:\s+[\w:]+="[^"]*")*)\s*(?:\/>|>([\s\S]*?)<\/testcase>)/g;
  for (const [, attributes, body = ""] of xml.matchAll(pattern)) {
    const attribute = (name: string) =>
      unescape(new RegExp(`\\s${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    // Bun has the groups in `classname`, Deno in the name itself (and the file in `classname`).
    const group = attribute("classname");
    const inGroup = group !== "" && !/\.ts$/.test(group);
    cases.push({
      name: inGroup ? `${group} > ${attribute("name")}` : attribute("name"),
      outcome: /<skipped\b/.test(body)
        ? "skipped"
        : /<(failure|error)\b/.test(body)
        ? "failed"
        : "passed",
    });
  }
  // Deno reports a group as a case too; it counts only when it failed by itself or was skipped whole.
  return cases.filter(({ name, outcome }) => {
    const inside = cases.filter((other) => other.name.startsWith(`${name} > `));
    if (inside.length === 0) return true;
    return outcome === "failed" && inside.every((other) => other.outcome !== "failed");
  });
}

function unescape(text: string): string {
  const names: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(
    /&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi,
    (whole, decimal, hex, name) =>
      decimal !== undefined
        ? String.fromCodePoint(Number(decimal))
        : hex !== undefined
        ? String.fromCodePoint(parseInt(hex, 16))
        : names[name] ?? whole,
  );
}

/** The test cases in what `zig test` prints. */
export function readZigOutput(output: string): Case[] {
  const cases: Case[] = [];
  for (const match of output.matchAll(/^\d+\/\d+ (.*?)\.\.\.(?:.*?)(OK|SKIP|FAIL)\b/gms)) {
    const outcome = match[2] === "OK" ? "passed" : match[2] === "SKIP" ? "skipped" : "failed";
    cases.push({ name: match[1], outcome });
  }
  return cases;
}

function testFiles(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return testFiles(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  }).sort();
}

function plan(filter: string, reports: string, timeoutMillis: number): Job[] {
  const jobs: Job[] = [];
  if (existsSync(join(ROOT, "shim/shim.zig")) && "shim/shim.zig".includes(filter)) {
    jobs.push({
      suite: "zig",
      file: "shim/shim.zig",
      command: ["bash", join(ROOT, "tools/build-shim.sh"), "test"],
    });
  }
  const files = testFiles("tests").filter((file) => file.includes(filter));
  const slow = (file: string) => file.includes(".slow.") ? 0 : 1;
  for (const file of files.sort((a, b) => slow(a) - slow(b))) {
    const report = join(reports, file.replaceAll("/", "-"));
    if (!/\.deno\.(slow\.)?test\.ts$/.test(file)) {
      jobs.push({
        suite: "bun",
        file,
        report: `${report}.bun.xml`,
        command: [
          ...["bun", "test", `--timeout=${timeoutMillis}`, "--reporter=junit"],
          ...[`--reporter-outfile=${report}.bun.xml`, `./${file}`],
        ],
      });
    }
    if (!/\.bun\.(slow\.)?test\.ts$/.test(file)) {
      jobs.push({
        suite: "deno",
        file,
        report: `${report}.deno.xml`,
        // Types are `./dev check`'s business.
        command: [
          ...["deno", "test", "--allow-all", "--no-check", "--no-remote", "--cached-only"],
          ...[`--junit-path=${report}.deno.xml`, `./${file}`],
        ],
      });
    }
  }
  return jobs;
}

function run(job: Job, full: boolean, timeoutMillis: number): Promise<Result> {
  return new Promise((resolve) => {
    const started = performance.now();
    const [program, ...args] = job.command;
    const child = spawn(program, args, {
      cwd: ROOT,
      // A group of its own, so that what a test started ends with it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        NO_COLOR: "1",
        FORCE_COLOR: undefined,
        ...(full ? { URING_TEST_FULL: "1" } : {}),
      },
    });
    let output = "";
    const collect = (chunk: Uint8Array) => {
      output += new TextDecoder().decode(chunk);
      if (output.length > OUTPUT_BYTES_MAX) output = output.slice(-OUTPUT_BYTES_MAX / 2);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    let timedOut = false;
    const killGroup = () => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    };
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup();
    }, timeoutMillis);
    let ended = false;
    const finish = (code: number | null, signal: string | null) => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      killGroup();
      const seconds = (performance.now() - started) / 1000;
      const reported = job.report === undefined || existsSync(job.report);
      const cases = job.report === undefined
        ? readZigOutput(output)
        : reported
        ? readReport(readFileSync(job.report, "utf8"))
        : [];
      let died: string | undefined;
      if (timedOut) died = `ran longer than ${timeoutMillis / 1000} s and was ended`;
      else if (signal !== null) died = `was ended by ${signal}`;
      else if (code !== 0 && !cases.some(({ outcome }) => outcome === "failed")) {
        died = `ended with status ${code} outside any test`;
      } else if (cases.length === 0) died = "ran no test";
      resolve({ job, cases, died, output, seconds });
    };
    child.on("error", (error) => finish(null, `${error.message}`));
    child.on("exit", (code, signal) => {
      // What a test left running may hold the pipes: wait for them, but not for long.
      const last = setTimeout(() => finish(code, signal), 2000);
      child.on("close", () => {
        clearTimeout(last);
        finish(code, signal);
      });
    });
  });
}

/**
 * Why tests of a file were skipped. The reports do not say it: it is what `skipUnless` printed, else
 * what the source gives as a text.
 */
function skipReasons(job: Job, output: string): string[] {
  const printed = [...output.matchAll(/^# skip: (.*)$/gm)].map(([, reason]) => reason);
  if (printed.length > 0 || job.suite === "zig") return [...new Set(printed)];
  const source = readFileSync(join(ROOT, job.file), "utf8");
  const written = [...source.matchAll(/\bskip(?::|\()[^,;]*?(["'`])(.*?)\1/gs)];
  return [...new Set(written.map(([, , reason]) => reason))];
}

const count = (cases: Case[], outcome: Case["outcome"]) =>
  cases.filter((one) => one.outcome === outcome).length;

function show({ job, cases, died, output, seconds }: Result): void {
  const failed = cases.filter(({ outcome }) => outcome === "failed");
  const parts = (["passed", "failed", "skipped"] as const)
    .map((outcome) => [count(cases, outcome), outcome] as const)
    .filter(([n]) => n > 0)
    .map(([n, outcome]) => `${n} ${outcome}`);
  if (died !== undefined) parts.push(died);
  console.log(`${job.suite.padEnd(5)}${job.file}: ${parts.join(", ")} (${seconds.toFixed(1)} s)`);
  if (failed.length === 0 && died === undefined) return;
  const lines = output.trimEnd().split("\n");
  if (lines.length > OUTPUT_LINES_SHOWN) console.log(`     … ${lines.length} lines, the last:`);
  for (const line of lines.slice(-OUTPUT_LINES_SHOWN)) console.log(`     ${line}`);
  for (const { name } of failed) console.log(`FAILED ${job.suite} ${job.file} > ${name}`);
}

async function main(argument: string): Promise<number> {
  const full = argument === "full";
  const filter = full ? "" : argument;
  mkdirSync(join(ROOT, ".tools"), { recursive: true });
  const reports = mkdtempSync(join(ROOT, ".tools/test-"));
  const testTimeoutMillis = full ? 3_600_000 : 120_000;
  const jobTimeoutMillis = full ? 5_400_000 : 300_000;
  const results: Result[] = [];
  try {
    const jobs = plan(filter, reports, testTimeoutMillis);
    const worker = async () => {
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        const result = await run(job, full, jobTimeoutMillis);
        results.push(result);
        show(result);
      }
    };
    await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, worker));
  } finally {
    rmSync(reports, { recursive: true, force: true });
  }

  for (const { job, cases, output } of results) {
    const why = skipReasons(job, output).join("; ") || "no reason given: see tests/support/skip.ts";
    for (const { name, outcome } of cases) {
      if (outcome === "skipped") console.log(`skipped ${job.suite} ${job.file} > ${name}: ${why}`);
    }
  }
  const cases = results.flatMap((result) => result.cases);
  const failures = results.filter(({ cases, died }) =>
    died !== undefined || count(cases, "failed") > 0
  );
  const passed = count(cases, "passed");
  const failed = count(cases, "failed") + results.filter(({ died }) => died !== undefined).length;
  if (failures.length > 0) {
    console.log(`\nfailed: ${failures.map(({ job }) => `${job.suite} ${job.file}`).join(", ")}`);
  }
  if (passed + failed === 0) {
    console.log(
      filter === "" ? "no test ran" : `no test ran: no test file has "${filter}" in its path`,
    );
  }
  console.log(`${passed} passed, ${failed} failed, ${count(cases, "skipped")} skipped`);
  return failed > 0 || passed === 0 ? 1 : 0;
}

if (import.meta.main) process.exit(await main(process.argv[2] ?? ""));
