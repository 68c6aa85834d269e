/**
 * Child processes of benchmarks.
 *
 * @module
 */
import { spawn, type StdioOptions } from "node:child_process";
import process from "node:process";

/** How a child ended. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; what it says is collected unless `stdio` says otherwise. */
export function run(command: readonly string[], stdio?: StdioOptions): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const [program, ...rest] = command;
    const child = spawn(program, rest, { stdio: stdio ?? ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (data) => stdout += data);
    child.stderr?.on("data", (data) => stderr += data);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (signal !== null) reject(new Error(`${program} was ended by ${signal}: ${stderr}`));
      else resolve({ status: code ?? 1, stdout, stderr });
    });
  });
}

/** As {@linkcode run}, and throws what the program said when it failed. */
export async function runWell(command: readonly string[], stdio?: StdioOptions): Promise<Ended> {
  const ended = await run(command, stdio);
  if (ended.status !== 0) {
    throw new Error(
      `${command.join(" ")} ended with status ${ended.status}:\n${ended.stderr}${ended.stdout}`,
    );
  }
  return ended;
}

/** The command that runs another program of this checkout under the runtime that this one runs under. */
export function underThisRuntime(file: string, v8Flags = ""): string[] {
  if (process.versions.bun !== undefined) return [process.execPath, file];
  return [
    ...[process.execPath, "run", "--quiet", "--allow-all", "--no-check", "--no-remote"],
    ...["--cached-only", ...(v8Flags === "" ? [] : [`--v8-flags=${v8Flags}`]), file],
  ];
}
