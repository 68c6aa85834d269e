/**
 * `uring doctor [DIR]`: what a log finds on this machine, and in this directory, and what to do where
 * something is missing.
 *
 * @module
 */

import process from "node:process";
import manifest from "../../package.json" with { type: "json" };
import { type Io, IoError, type IoFile } from "../io/io.ts";
import { Pump, type Task } from "../io/pump.ts";
import { RingUnavailableError } from "../native/errors.ts";
import { library } from "../native/library.ts";
import { type SystemInfo, systemInfo } from "../native/system.ts";
import { Ring } from "../ring/ring.ts";
import { Disk, joinPath } from "../wal/disk.ts";
import { type Command, JSON_FLAG, type Values } from "./arguments.ts";
import { inWords } from "./failure.ts";
import { openLogIo } from "./log_io.ts";
import { say, writeOut } from "./terminal.ts";

export const command: Command = {
  name: "doctor",
  description: "Say what this machine and a directory offer to a log",
  args: {
    dir: {
      type: "positional",
      description: "Directory to look at (the working directory); a file is made in it and removed",
      required: false,
    },
    json: JSON_FLAG,
  },
  run,
};

/** What `--json` prints. `null` is what could not be found out. */
interface Findings {
  version: string;
  runtime: string;
  kernel: string | null;
  library: { path: string; from: string } | null;
  uring: {
    available: boolean;
    /** Why not, and what to do. */
    reason: string | null;
    detail: string | null;
    wayOut: string | null;
    /** Set-up flags that the kernel took, and whether the buffers are pinned. */
    setup: readonly string[];
    registeredBuffers: boolean;
  };
  /** Bytes; `null` where there is no limit. */
  memlockBytes: number | null;
  memlockLimited: boolean;
  crc32c: "hardware" | "software";
  backend: string | null;
  backendReason: string | null;
  durability: string | null;
  directory: DirectoryFindings;
}

interface DirectoryFindings {
  path: string;
  fileSystem: string | null;
  /** Bytes that direct I/O needs addresses and offsets to be multiples of; 0: not possible. */
  alignment: { memory: number; offset: number; physicalBlock: number } | null;
  mode: "direct" | "buffered" | null;
  problem: string | null;
}

async function run(values: Values): Promise<number> {
  const path = values.dir === undefined ? "." : String(values.dir);
  const findings = await find(path);
  if (values.json === true) writeOut(JSON.stringify(findings) + "\n");
  else writeOut(inLines(findings).join("\n") + "\n");
  const { uring, backend, directory } = findings;
  if (backend === null) say(`uring doctor: ${uring.detail ?? "no backend"}. ${uring.wayOut ?? ""}`);
  if (directory.problem !== null) say(`uring doctor: ${directory.problem}`);
  return backend === null || directory.problem !== null ? 1 : 0;
}

async function find(path: string): Promise<Findings> {
  let system: SystemInfo | undefined;
  let found: Findings["library"] = null;
  const uring: Findings["uring"] = {
    ...{ available: false, reason: null, detail: null, wayOut: null },
    ...{ setup: [], registeredBuffers: false },
  };
  try {
    const native = library();
    found = { path: native.path, from: native.source };
    system = systemInfo(native.functions);
    const ring = Ring.open();
    uring.available = true;
    uring.setup = ring.features.setup;
    uring.registeredBuffers = ring.features.registered;
    ring.close();
  } catch (error) {
    if (!(error instanceof RingUnavailableError)) throw error;
    ({ reason: uring.reason, detail: uring.detail, wayOut: uring.wayOut } = error);
  }
  let io: Io | undefined;
  try {
    io = openLogIo();
  } catch (error) {
    if (!(error instanceof RingUnavailableError)) throw error;
  }
  try {
    const versions = process.versions as Record<string, string | undefined>;
    const runtime = versions.bun ? `bun ${versions.bun}` : `deno ${versions.deno}`;
    const memlock = system?.memlockBytes;
    return {
      version: manifest.version,
      runtime,
      kernel: system?.release ?? null,
      library: found,
      uring,
      memlockBytes: memlock === undefined || memlock === Infinity ? null : memlock,
      memlockLimited: memlock !== undefined && memlock !== Infinity,
      crc32c: system?.crc32cHardware ? "hardware" : "software",
      backend: io?.backend ?? null,
      backendReason: io?.reason || null,
      durability: io?.durability ?? null,
      directory: io
        ? await lookAt(io, path)
        : { path, fileSystem: null, alignment: null, mode: null, problem: null },
    };
  } finally {
    io?.[Symbol.dispose]();
  }
}

/** Alignment is a property of a file, so one is made, asked, and removed. */
async function lookAt(io: Io, path: string): Promise<DirectoryFindings> {
  const client = io.client("doctor");
  try {
    const disk = new Disk(new Pump(client));
    return await disk.pump.run(ask(disk, path, joinPath(path, `.uring-doctor-${process.pid}`)));
  } catch (error) {
    if (!(error instanceof IoError) && (error as { name?: string }).name !== "PermissionError") {
      throw error;
    }
    return { path, fileSystem: null, alignment: null, mode: null, problem: inWords(error) };
  } finally {
    client[Symbol.dispose]();
  }
}

function* ask(disk: Disk, path: string, probe: string): Task<DirectoryFindings> {
  let file: IoFile | undefined;
  try {
    file = yield* disk.open(probe, { read: true, write: true, createNew: true });
    const { memory, offset, physical } = disk.io.alignment(file);
    return {
      path,
      fileSystem: disk.io.statFs(file).type,
      alignment: { memory, offset, physicalBlock: physical },
      mode: offset > 0 ? "direct" : "buffered",
      problem: null,
    };
  } finally {
    if (file) {
      yield* disk.close(file);
      yield* disk.remove(probe);
    }
  }
}

function inLines(findings: Findings): string[] {
  const { uring, directory, alignment } = { ...findings, alignment: findings.directory.alignment };
  const yesNo = (value: boolean) => value ? "yes" : "no";
  const lines: [string, string][] = [
    ["@uring/io", `${findings.version} on ${findings.runtime}`],
    ["kernel", findings.kernel ?? "not known without the library"],
    ["library", findings.library ? `${findings.library.path} (${findings.library.from})` : "none"],
    [
      "io_uring",
      uring.available
        ? `available, set up with ${uring.setup.join(", ") || "no flags"}`
        : `not available (${uring.reason}): ${uring.detail}`,
    ],
    ["pinned buffers", yesNo(uring.registeredBuffers)],
    [
      "memlock",
      findings.memlockBytes !== null
        ? `${findings.memlockBytes} bytes`
        : findings.kernel === null
        ? "not known without the library"
        : "no limit",
    ],
    ["CRC32C", `by ${findings.crc32c}`],
    [
      "backend",
      (findings.backend ?? "none") + (findings.backendReason ? `: ${findings.backendReason}` : ""),
    ],
    ["durability", findings.durability ?? "none"],
    ["directory", directory.path + (directory.fileSystem ? ` on ${directory.fileSystem}` : "")],
  ];
  if (alignment) {
    lines.push([
      "direct I/O",
      alignment.offset === 0
        ? "not possible here"
        : `offsets in multiples of ${alignment.offset}, memory of ${alignment.memory}, physical ` +
          `block ${alignment.physicalBlock || "not known"}`,
    ]);
  }
  if (directory.mode) lines.push(["mode of a log", directory.mode]);
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
