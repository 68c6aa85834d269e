/**
 * Every system call fails once: a program with a log on the sync backend runs under strace, which makes
 * call N on the log's files fail, until a run has no call N. What the program acknowledged must be there.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openIo } from "../../src/io/open_io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { skipUnless } from "../support/skip.ts";
import { Broken, commandOf } from "./_history.ts";
import { recordOf, same } from "./_records.ts";

/** What a campaign did. */
export interface EveryCallCounts {
  runs: number;
  /** Runs in which a call failed. */
  failures: number;
  /** Of these: the program was told. */
  errors: number;
  acknowledged: number;
}

/** Calls that change what is on the disk, or make it last, and what they fail with. */
const CALLS: [call: string, errno: string][] = [
  ["fdatasync", "EIO"],
  ["fsync", "EIO"],
  ["pwrite64", "EIO"],
  ["pwrite64", "ENOSPC"],
  ["pread64", "EIO"],
  ["openat", "EIO"],
  ["openat", "ENOSPC"],
  ["ftruncate", "EIO"],
  ["rename,renameat,renameat2", "EIO"],
  ["mkdir,mkdirat", "ENOSPC"],
  ["unlink,unlinkat", "EIO"],
];
const CALLS_MAX = 500;
export const CALL_SEED = 5;
export const CALL_RUN = 1;

/** For the `skip` of a test. */
export function skipWithoutStrace(): string | false {
  const { status } = spawnSync("strace", ["-qq", "-o", "/dev/null", "true"]);
  return skipUnless(status === 0, "strace cannot trace here");
}

/** Throws {@linkcode Broken}. With a `stride` above 1 only each so many calls. */
export async function everyCallCampaign(
  stride = 1,
  until = Infinity,
  progress: (counts: EveryCallCounts) => void = () => {},
): Promise<EveryCallCounts> {
  const counts = { runs: 0, failures: 0, errors: 0, acknowledged: 0 };
  const folder = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-calls-"));
  try {
    for (const [call, errno] of CALLS) {
      for (let nth = 1;; nth += stride) {
        if (performance.now() >= until) return counts;
        if (nth > CALLS_MAX) throw new Broken(`${call} never ends`);
        try {
          if (!await once(`${folder}/${counts.runs}`, call, errno, nth, counts)) break;
        } catch (error) {
          (error as Error).message = `${errno} at ${call} ${nth}: ${(error as Error).message}`;
          throw error;
        }
        progress(counts);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return counts;
}

async function once(
  directory: string,
  call: string,
  errno: string,
  nth: number,
  counts: EveryCallCounts,
): Promise<boolean> {
  const trace = `${directory}.trace`;
  const [program, args] = commandOf("tests/fault/_every_call_writer.ts", directory);
  // `-P` keeps to calls on these paths and on descriptors of them; a path counts without being there yet.
  const files = ["", "/LOCK", "/META", "/META.tmp"];
  for (let i = 1; i <= 6; i++) files.push(`/000000000000000${i}.wal`, `/000000000000000${i}.tmp`);
  const { status, output, errors } = await traced([
    ...["-f", "-qq", "-o", trace, `--inject=${call}:error=${errno}:when=${nth}`],
    ...[`--trace=${call}`, ...files.flatMap((file) => ["-P", directory + file])],
    ...[program, ...args],
  ]);
  counts.runs++;
  const fired = readFileSync(trace, "utf8").includes("(INJECTED)");
  const lines = output.split("\n");
  const failed = lines.find((line) => line.startsWith("failed "))?.slice(7);
  const acknowledged = Number(lines.findLast((line) => line.startsWith("d "))?.slice(2) ?? 0);
  const appended = Number(lines.findLast((line) => line.startsWith("a "))?.slice(2) ?? 0);
  if (status !== 0) throw new Broken(`the program ended with ${status}: ${errors}`);
  if (failed !== undefined && !fired) throw new Broken(`nothing failed but the program: ${failed}`);
  if (failed !== undefined && !failed.includes(errno)) throw new Broken(`it became: ${failed}`);
  if (fired) counts.failures++;
  if (failed !== undefined) counts.errors++;
  counts.acknowledged += acknowledged;

  // As if the machine had been restarted: what strace lets fail leaves no cache that is wrong.
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    if (name.startsWith("DOUBT-")) rmSync(`${directory}/${name}`);
  }
  const io = openIo({ backend: "sync" });
  try {
    const wal = await Wal.open(directory, {
      io,
      segmentBytes: 131_072,
      commit: { maxBytes: 16_384 },
    });
    const { firstLsn, lastLsn } = wal.recovery;
    if (lastLsn < acknowledged) {
      throw new Broken(`${acknowledged} were acknowledged, and the log ends with ${lastLsn}`);
    }
    if (lastLsn > appended) throw new Broken(`${appended} were appended, and there are ${lastLsn}`);
    let lsn = firstLsn;
    for await (const batch of wal.read()) {
      for (let i = 0; i < batch.length; i++, lsn++) {
        if (!same(batch.bytes(i), recordOf(CALL_SEED, CALL_RUN, lsn))) {
          throw new Broken(`record ${lsn} is not what was appended`);
        }
      }
    }
    await wal.close();
  } finally {
    io[Symbol.dispose]();
  }
  rmSync(directory, { recursive: true, force: true });
  return fired;
}

function traced(
  args: string[],
): Promise<{ status: number | null; output: string; errors: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn("strace", args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let errors = "";
    child.stdout.on("data", (data: Uint8Array) => output += new TextDecoder().decode(data));
    child.stderr.on("data", (data: Uint8Array) => errors += new TextDecoder().decode(data));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output, errors }));
  });
}
