/**
 * What every campaign over limits of the machine shares: a program behind a launcher
 * (`_limits_program.ts`), and the check of the log that it leaves.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { openIo } from "../../src/io/open_io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { Broken, commandOf } from "./_history.ts";
import type { LimitsOrders, LimitsReport } from "./_limits_program.ts";
import { recordOf, same } from "./_records.ts";

/** The log of all these campaigns: small, so that limits are met soon. */
export const LIMITS_OPTIONS: LimitsOrders["options"] = {
  segmentBytes: 1 << 20,
  commit: { maxBytes: 65_536, maxInFlight: 3 },
};

/** How the program is run. */
export interface LimitsLaunch {
  /** Before the program on the command line. */
  launcher?: string[];
  env?: Record<string, string>;
}

/** How the program ended, and the LSN up to which it acknowledged. */
export interface LimitsOutcome {
  status: number | null;
  signal: string | null;
  acknowledged: number;
  /** Missing when it was killed, or could not even begin. */
  report: LimitsReport | undefined;
  errors: string;
}

/** Runs the program to its end. */
export function runLimited(
  orders: LimitsOrders,
  { launcher = [], env = {} }: LimitsLaunch = {},
): Promise<LimitsOutcome> {
  const [program, args] = commandOf("tests/fault/_limits_program.ts", JSON.stringify(orders));
  const [first, ...rest] = [...launcher, program, ...args];
  return new Promise((resolve, reject) => {
    const child = spawn(first, rest, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    let output = "";
    let errors = "";
    child.stdout.on("data", (data: Uint8Array) => output += new TextDecoder().decode(data));
    child.stderr.on("data", (data: Uint8Array) => errors += new TextDecoder().decode(data));
    child.on("error", reject);
    child.on("close", (status, signal) => {
      const lines = output.trimEnd().split("\n");
      const told = lines.filter((line) => line.startsWith("d ")).map((line) => +line.slice(2));
      const report = lines.findLast((line) => line.startsWith("{"));
      resolve({
        status,
        signal,
        acknowledged: told.at(-1) ?? 0,
        report: report === undefined ? undefined : JSON.parse(report),
        errors,
      });
    });
  });
}

/**
 * Opens the log without limits: it holds what was acknowledged, nothing that was not appended, byte for
 * byte, and takes more. Gives its last LSN.
 */
export async function checkLimited(
  { directory, seed, run }: LimitsOrders,
  acknowledged: number,
  appended = Infinity,
): Promise<number> {
  const io = openIo({ arenaBytes: 1 << 20 });
  try {
    for (let opening = 1; opening <= 2; opening++) {
      await using wal = await Wal.open(directory, { ...LIMITS_OPTIONS, io });
      const { firstLsn, lastLsn } = wal.recovery;
      if (lastLsn < acknowledged) {
        throw new Broken(`${acknowledged} were acknowledged, and the log ends with ${lastLsn}`);
      }
      if (lastLsn > appended) throw new Broken(`${appended} were appended; there are ${lastLsn}`);
      let lsn = firstLsn;
      for await (const batch of wal.read()) {
        for (let i = 0; i < batch.length; i++, lsn++) {
          if (!same(batch.bytes(i), recordOf(seed, run, lsn))) {
            throw new Broken(`record ${lsn} is not what was appended`);
          }
        }
      }
      if (lsn !== lastLsn + 1) throw new Broken(`reading ended before ${lsn}, not ${lastLsn + 1}`);
      const next = wal.append(recordOf(seed, run, lastLsn + 1));
      await wal.durable(next);
      await wal.close();
      acknowledged = next;
      appended = next;
    }
    return acknowledged;
  } finally {
    io[Symbol.dispose]();
  }
}
