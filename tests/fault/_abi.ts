/**
 * The fuzz of the boundary to the shim, in its three forms: images that no kernel sees and a decoder judges;
 * images and calls from Zig that are submitted; the same from TypeScript. See `shim/fuzz.zig`,
 * `tests/abi/decode.py`, `shim/fuzz_submit.zig` and `_abi_program.ts`.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { skipUnless } from "../support/skip.ts";
import { commandOf, ROOT } from "./_history.ts";
import { OWN_MOUNTS } from "./_mounts.ts";

/** What a form found: its own words, and whether all held. */
export interface Finding {
  held: boolean;
  says: string;
}

/** How the fuzz program is built: as the library is, or with what Zig's Debug mode checks beyond. */
export type Build = "fuzz" | "fuzz-debug";

/** Builds it, where it is not built already, and gives its path. */
export function fuzzProgram(build: Build = "fuzz"): string {
  const { status, stderr } = spawnSync("bash", [join(ROOT, "tools/build-shim.sh"), build], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`tools/build-shim.sh ${build}: ${stderr}`);
  return join(ROOT, `build/uring-${build}`);
}

/**
 * `sh -c` SCRIPT sh DIRECTORY COMMAND…: runs the command in a file system of 16 MiB, which only it has and
 * which ends with it; it can write nowhere else, nor fill a disk.
 */
const ALONE = `
  cut -d' ' -f2 /proc/self/mounts | while read -r at; do
    mount -o remount,bind,ro "$at" 2>/dev/null || true
  done
  mount -t tmpfs -o size=16m none "$1" && cd "$1" && shift && exec "$@"
`;

let alone: boolean | undefined;
/** For the `skip` of what submits random images. */
export function skipAlone(): string | false {
  alone ??= inDirectory((directory) =>
    spawnSync(OWN_MOUNTS[0], [...OWN_MOUNTS.slice(1), "sh", "-c", ALONE, "sh", directory, "true"])
      .status === 0
  );
  return skipUnless(
    alone,
    "a file system of its own needs unshare, as root or with user namespaces",
  );
}

function inDirectory<T>(body: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "uring-abi-"));
  try {
    return body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What a process printed and how it ended. */
interface Ended {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Kills what runs for so long after its time: it hangs. */
const PATIENCE_MILLIS = 600_000;

function ended(command: readonly string[], millis = 0): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), millis + PATIENCE_MILLIS);
    const out = { stdout: "", stderr: "" };
    child.stdout.on("data", (data) => out.stdout += new TextDecoder().decode(data));
    child.stderr.on("data", (data) => out.stderr += new TextDecoder().decode(data));
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve({ status, signal, ...out });
    });
  });
}

/** Runs a command in a file system of its own. It must end with 0, and leave the mount point empty. */
async function submitted(command: readonly string[], millis: number): Promise<Finding> {
  const directory = mkdtempSync(join(tmpdir(), "uring-abi-"));
  try {
    const run = await ended(
      [...OWN_MOUNTS, "sh", "-c", ALONE, "sh", directory, ...command],
      millis,
    );
    const strangers = readdirSync(directory);
    const held = run.status === 0 && strangers.length === 0;
    const how = run.signal ?? `status ${run.status}`;
    return {
      held,
      says: held
        ? run.stdout.trim()
        : `${how}, ${strangers.length} files outside\n${run.stdout}${run.stderr}`.trim(),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Builds SQEs from `count` random images without a kernel, and has each judged by the manual pages; with
 * `race` another thread rewrites the images meanwhile.
 */
export async function judged(seed: number, count: number, race: boolean): Promise<Finding> {
  const program = fuzzProgram();
  const pipe = 'set -o pipefail; "$1" images "$2" "$3" $5 | python3 "$4"';
  const decoder = join(ROOT, "tests/abi/decode.py");
  const args = [program, `${seed}`, `${count}`, decoder, race ? "race" : ""];
  const run = await ended(["bash", "-c", pipe, "bash", ...args]);
  const held = run.status === 0 && run.stdout.startsWith(`${count} images: `);
  return { held, says: (held ? run.stdout : `${run.stdout}${run.stderr}`).trim() };
}

/** Sessions of random images and calls from Zig, until `sessions` are done or `millis` are over. */
export function submittedFromZig(
  seed: number,
  sessions: number,
  millis: number,
  build: Build = "fuzz",
): Promise<Finding> {
  return submitted([fuzzProgram(build), "submit", `${seed}`, `${sessions}`, `${millis}`], millis);
}

/** The same from TypeScript, under the runtime that runs this. */
export function submittedFromTypeScript(
  seed: number,
  sessions: number,
  millis: number,
): Promise<Finding> {
  const [program, args] = commandOf(
    "tests/fault/_abi_program.ts",
    `${seed}`,
    `${sessions}`,
    `${millis}`,
  );
  return submitted([program, ...args], millis);
}
