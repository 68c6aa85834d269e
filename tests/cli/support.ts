/**
 * Runs the command line in a process of its own, under the runtime that runs the test.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { after } from "node:test";
import { hasCommand } from "../support/program.ts";
import { skipUnless } from "../support/skip.ts";

export const ROOT = join(import.meta.dirname!, "../..");
export const UNDER_BUN = (process.versions as Record<string, string | undefined>).bun !== undefined;
/** Segments of the logs in tests: small, since each is zeroed first. */
export const SEGMENT_BYTES = 262_144;
export const SMALL = ["--segment-bytes", String(SEGMENT_BYTES)];
/** The same for `Wal.open`: what the command makes of it. */
export const SMALL_WAL = {
  segmentBytes: SEGMENT_BYTES,
  commit: { maxBytes: SEGMENT_BYTES - 65_536 },
};

const BUN = [`--config=${join(ROOT, "bunfig.toml")}`];
const DENO = ["run", "--quiet", "--allow-all", "--no-check", "--no-remote", "--cached-only"];

/** Program and arguments that run a file of this checkout. */
export function commandOf(file: string, args: readonly string[]): [string, string[]] {
  return [process.execPath, [...(UNDER_BUN ? BUN : DENO), resolve(ROOT, file), ...args]];
}

export interface Outcome {
  status: number | null;
  signal: string | null;
  stdout: Uint8Array;
  /** The same as text. */
  out: string;
  err: string;
}

export interface Running {
  readonly child: ChildProcess;
  /** What came so far, as text. */
  out(): string;
  /** Resolves when standard output matches; rejects when the process ends without. */
  until(pattern: RegExp): Promise<void>;
  readonly ended: Promise<Outcome>;
}

export interface StartOptions {
  /** A file that standard input is redirected from. Default: a pipe. */
  inputFile?: string;
  env?: Record<string, string>;
  cwd?: string;
}

/** Starts a program; its standard input is `child.stdin`. */
export function start(
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Running {
  const input = options.inputFile === undefined ? "pipe" : openSync(options.inputFile, "r");
  const child = spawn(program, [...args], {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: [input, "pipe", "pipe"],
  });
  if (typeof input === "number") closeSync(input);
  const stdout: Uint8Array[] = [];
  const stderr: Uint8Array[] = [];
  let advanced: (() => void) | undefined;
  let over = false;
  child.stdout!.on("data", (data: Uint8Array) => {
    stdout.push(data);
    advanced?.();
  });
  child.stderr!.on("data", (data: Uint8Array) => stderr.push(data));
  child.stdin?.on("error", () => {}); // it may end before it has read everything
  const text = (parts: Uint8Array[]) => new TextDecoder().decode(Buffer.concat(parts));
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => {
      over = true;
      advanced?.();
      resolve({
        status,
        signal,
        stdout: Buffer.concat(stdout),
        out: text(stdout),
        err: text(stderr),
      });
    });
  });
  return {
    child,
    out: () => text(stdout),
    async until(pattern) {
      while (!pattern.test(text(stdout))) {
        if (over) throw new Error(`ended without ${pattern}: ${text(stdout)}${text(stderr)}`);
        await new Promise<void>((resolve) => advanced = resolve);
      }
    },
    ended,
  };
}

/** Runs a program whose standard error is a terminal, and shows what comes to it on its own. */
const ON_TERMINAL = [
  "import fcntl, os, pty, struct, subprocess, sys, termios",
  "master, slave = pty.openpty()",
  "fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 120, 0, 0))",
  "child = subprocess.Popen(sys.argv[1:], stderr=slave)",
  "os.close(slave)",
  "try:",
  "    while data := os.read(master, 65536): os.write(2, data)",
  "except OSError: pass", // EIO is the end of a terminal
  "sys.exit(child.wait())",
].join("\n");

/** Starts a program as a person sees it: standard error is a terminal of 120 columns. */
export function startOnTerminal(
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Running {
  // A terminal that can do nothing has no bars; what a run of tests may disable stays enabled.
  const env = { TERM: "xterm", CI: "", ...options.env };
  return start("python3", ["-c", ON_TERMINAL, program, ...args], { ...options, env });
}

/** A reason to skip what needs a terminal, or `false`. */
export const skipTerminal = skipUnless(hasCommand("python3"), "no python3 to make a terminal");

/** Starts `uring`. */
export function startUring(args: readonly string[], options?: StartOptions): Running {
  return start(...commandOf("cli.ts", args), options);
}

/** Runs `uring` to its end. */
export function uring(
  args: readonly string[],
  input: string | Uint8Array = "",
  options?: StartOptions,
): Promise<Outcome> {
  const running = startUring(args, options);
  running.child.stdin?.end(input);
  return running.ended;
}

/** A folder of the test file's own, removed at its end. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "uring-cli-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A hash over names and contents of a folder, but for some files. */
export function hashOf(folder: string, except: readonly string[] = []): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(folder).sort()) {
    if (except.includes(name)) continue;
    hash.update(name).update("\0").update(readFileSync(join(folder, name)));
  }
  return hash.digest("hex");
}

/** Whether what went wrong is said in lines for people. */
export function isPlain(text: string): boolean {
  return !/^\s+at /m.test(text) && !/\.ts:\d+/.test(text);
}

let ring: Promise<string> | undefined;

/** A reason to skip what needs io_uring, or `false`. */
export async function skipWithoutRing(): Promise<string | false> {
  ring ??= uring(["doctor", "--json"]).then(({ out, err }) => {
    try {
      const { uring } = JSON.parse(out);
      return uring.available ? "" : `io_uring is not available (${uring.reason})`;
    } catch {
      throw new Error(`uring doctor --json failed: ${out}${err}`);
    }
  });
  const reason = await ring;
  return skipUnless(reason === "", reason);
}
