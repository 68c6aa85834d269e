/**
 * `uring doctor [DIR]`: what a log finds on this machine, and in this directory, and what to do where
 * something is missing.
 *
 * @module
 */

import process from "node:process";
import manifest from "../../package.json" with { type: "json" };
import { type Io, type IoBuffer, IoError, type IoFile } from "../io/io.ts";
import { Pump, type Task } from "../io/pump.ts";
import { RingUnavailableError } from "../native/errors.ts";
import { library } from "../native/library.ts";
import { type SystemInfo, systemInfo } from "../native/system.ts";
import { Ring } from "../ring/ring.ts";
import { difference, machineOf, readCalibration } from "../wal/calibration.ts";
import { Disk, joinPath } from "../wal/disk.ts";
import { type Command, JSON_FLAG, type Values } from "./arguments.ts";
import { forCommandLine, inWords, wayOutOf } from "./failure.ts";
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

/** More than a calibration takes. */
const CALIBRATION_BYTES = 16_384;

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
  /** How a log in mode auto is written; `measured`: what is quicker is found out when it is opened. */
  mode: "direct" | "buffered" | "measured" | null;
  /** What was measured for the log in the directory, where there is one. */
  calibration: {
    mode: "direct" | "buffered";
    reason: string;
    /** What is different here, so that it says nothing any more. */
    differs: string | null;
  } | null;
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
    ({ reason: uring.reason, detail: uring.detail } = error);
    uring.wayOut = forCommandLine(error.wayOut);
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
      backendReason: io?.reason ? forCommandLine(io.reason) : null,
      durability: io?.durability ?? null,
      directory: io ? await lookAt(io, path) : nothingOf(path, null),
    };
  } finally {
    io?.[Symbol.dispose]();
  }
}

const nothingOf = (path: string, problem: string | null): DirectoryFindings => ({
  ...{ path, fileSystem: null, alignment: null, mode: null, calibration: null, problem },
});

/** Alignment is a property of a file, so one is made, asked, and removed. */
async function lookAt(io: Io, path: string): Promise<DirectoryFindings> {
  const client = io.client("doctor");
  const probe = joinPath(path, `.uring-doctor-${process.pid}`);
  const buffer = client.acquireBuffer(CALIBRATION_BYTES)!;
  try {
    const disk = new Disk(new Pump(client));
    return await disk.pump.run(ask(disk, path, probe, buffer));
  } catch (error) {
    if (!(error instanceof IoError) && (error as { name?: string }).name !== "PermissionError") {
      throw error;
    }
    return nothingOf(path, problemOf(error, path, probe));
  } finally {
    client.releaseBuffer(buffer);
    client[Symbol.dispose]();
  }
}

/** The file is the doctor's own, and of no interest to anybody. */
function problemOf(error: unknown, path: string, probe: string): string {
  if (!(error instanceof IoError) || error.path !== probe) return inWords(error);
  const wayOut = error.code === "ENOENT"
    ? "Name a directory that is there; `uring append` makes that of a log"
    : wayOutOf(error.code);
  const message = error.message.replace(`${error.operation} of ${probe}`, `a new file in ${path}`);
  return wayOut === undefined ? message : `${message}. ${wayOut}`;
}

function* ask(
  disk: Disk,
  path: string,
  probe: string,
  buffer: IoBuffer,
): Task<DirectoryFindings> {
  let file: IoFile | undefined;
  try {
    file = yield* disk.open(probe, { read: true, write: true, createNew: true });
    const { memory, offset, physical } = disk.io.alignment(file);
    const stored = yield* readCalibration(disk, path, buffer);
    const calibration = stored === undefined ? null : {
      mode: stored.mode,
      reason: stored.reason,
      differs: difference(stored.machine, yield* machineOf(disk, file)) ?? null,
    };
    return {
      path,
      fileSystem: disk.io.statFs(file).type,
      alignment: { memory, offset, physicalBlock: physical },
      mode: offset === 0 || (calibration && calibration.differs !== null)
        ? "buffered"
        : calibration?.mode ?? "measured",
      calibration,
      problem: null,
    };
  } finally {
    if (file) {
      yield* disk.close(file);
      yield* disk.remove(probe);
    }
  }
}

function modeInWords({ mode, alignment, calibration }: DirectoryFindings): string {
  if (alignment?.offset === 0) return "buffered: direct I/O is not possible here";
  if (mode === "measured") return "measured when one is made, or opened for writing";
  const { differs, reason } = calibration!;
  if (differs === null) return `${mode}: ${reason}`;
  return `buffered until it is measured again, by \`uring append --recalibrate\`: what is quicker was ` +
    `measured on ${differs}`;
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
  if (directory.mode) lines.push(["mode of a log", modeInWords(directory)]);
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
