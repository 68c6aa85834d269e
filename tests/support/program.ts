/**
 * Runs a program of the checkout in a process of its own, under the runtime that the test runs under,
 * with other permissions, another environment, or behind a launcher.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { isDeno, ROOT } from "./ring.ts";

export interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface ProgramOptions {
  /** Goes before the runtime on the command line. */
  launcher?: readonly string[];
  /** Deno's permissions; all by default. */
  permissions?: readonly string[];
  env?: Record<string, string | undefined>;
  /** Where Deno keeps what it makes, for programs of another user. */
  home?: string;
  /** Called with the standard output so far, whenever there is more of it. */
  onOutput?: (stdout: string) => void;
}

/** Runs `path` with `args`. Kills it after a minute. */
export function runProgram(
  path: string,
  args: readonly string[],
  { launcher = [], permissions = ["--allow-all"], env = {}, home, onOutput }: ProgramOptions = {},
): Promise<Run> {
  // Spawned from Deno, a Deno without any permission flag would be given all of them.
  const rights = permissions.length > 0 ? permissions : ["--deny-net"];
  const runtime = isDeno
    ? [
      "run",
      "--quiet",
      "--no-prompt",
      "--no-check",
      "--no-remote",
      "--cached-only",
      ...rights,
    ]
    : [];
  const places = home === undefined ? {} : { HOME: home, DENO_DIR: join(home, ".deno") };
  const command = [...launcher, process.execPath, ...runtime, path, ...args];
  return runCommand(command, ROOT, { ...places, ...env }, undefined, onOutput);
}

/** Runs a command, without input. Kills it after a minute, or as long as it is told. */
export function runCommand(
  [command, ...rest]: readonly string[],
  cwd: string,
  env: Record<string, string | undefined>,
  timeoutMillis = 60_000,
  onOutput?: (stdout: string) => void,
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: defined({ ...process.env, NO_COLOR: "1", URING_LIBRARY: undefined, ...env }),
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMillis);
    const run: Run = { status: null, stdout: "", stderr: "" };
    child.stdout.on("data", (chunk) => {
      run.stdout += new TextDecoder().decode(chunk);
      onOutput?.(run.stdout);
    });
    child.stderr.on("data", (chunk) => run.stderr += new TextDecoder().decode(chunk));
    child.on("error", reject);
    child.on("close", (status) => {
      clearTimeout(timer);
      resolve({ ...run, status });
    });
  });
}

function defined(env: Record<string, string | undefined>): Record<string, string> {
  const entries = Object.entries(env).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Record<string, string>;
}

/** Runs tests/support/ring_program.ts in `directory`, and returns what it says. */
export async function runRing(
  directory: string,
  options: ProgramOptions & { ring?: Record<string, unknown> } = {},
  // deno-lint-ignore no-explicit-any
): Promise<any> {
  const program = join(ROOT, "tests/support/ring_program.ts");
  const ring = JSON.stringify(options.ring ?? {});
  const { status, stdout, stderr } = await runProgram(program, [directory, ring], options);
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (status !== 0 || !line.startsWith("{")) {
    throw new Error(`the program ended with status ${status}: ${stdout}\n${stderr}`);
  }
  return JSON.parse(line);
}

/** Whether a command is on the path. */
export function hasCommand(name: string): boolean {
  return (process.env.PATH ?? "").split(":").some((folder) => existsSync(join(folder, name)));
}

/**
 * A launcher that makes the program an ordinary user's, who may lock so much memory. Run as root it keeps
 * the right to get at the files of the checkout, wherever that is, and no other.
 */
export function asUser(memlockBytes: number): readonly string[] {
  const limit = ["prlimit", `--memlock=${memlockBytes}:${memlockBytes}`];
  if (process.getuid?.() !== 0) return limit;
  const rights = "-all,+dac_override,+dac_read_search";
  return [...becoming(otherUser()), `--inh-caps=${rights}`, `--ambient-caps=${rights}`, ...limit];
}

/** As {@linkcode asUser}, but a user with no right at all beyond those of the files' modes. */
export function asStranger(user: number, memlockBytes: number): readonly string[] {
  const limit = ["prlimit", `--memlock=${memlockBytes}:${memlockBytes}`];
  if (process.getuid?.() !== 0) return limit;
  return [...becoming(user), "--inh-caps=-all", "--bounding-set=-all", ...limit];
}

const becoming = (user: number) => [
  "setpriv",
  `--reuid=${user}`,
  `--regid=${user}`,
  "--clear-groups",
];

let users = 0;
/** A user that nobody else is: what is locked counts for all processes of a user together. */
export function otherUser(): number {
  return 100_000 + (process.pid % 60_000) * 16 + users++ % 16;
}
