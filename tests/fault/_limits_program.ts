/**
 * A program that meets a limit: opens the Io that is to be had and a log, appends until so many records are
 * durable, or it is held back, or something fails; closes, and says in one line of JSON what it saw.
 *
 * Argument: {@linkcode LimitsOrders} as JSON. Standard output: `d LSN` for each commit, then the line.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { openIo } from "../../src/io/open_io.ts";
import { WalFullError } from "../../src/wal/errors.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";
import { recordOf } from "./_records.ts";

/** What it is told. */
export interface LimitsOrders {
  directory: string;
  backend: "auto" | "uring" | "sync";
  seed: number;
  run: number;
  records: number;
  options: WalOptions;
}

/** What it saw. */
export interface LimitsReport {
  backend?: string;
  /** Why not io_uring. */
  reason?: string;
  mode?: string;
  registered?: boolean;
  found?: number;
  appended: number;
  durable: number;
  /** Errno by name of what holds it back, on an undamaged log. */
  held?: string;
  /** The error that ended it, by `code`, the code of its cause, and its message. */
  failed?: { code: string; cause?: string; message: string };
  /** What closing said. */
  closing?: string;
}

/** Held back for so long, it gives up. */
const PATIENCE_MILLIS = 300;
const COMMIT_RECORDS = 50;

const codeOf = (error: unknown) => String((error as { code?: unknown } | undefined)?.code);
const later = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis));

async function main(orders: LimitsOrders, report: LimitsReport): Promise<void> {
  const io = openIo({ backend: orders.backend, arenaBytes: 1 << 20 });
  report.backend = io.backend;
  report.reason = io.reason;
  const wal = await Wal.open(orders.directory, { ...orders.options, io });
  report.mode = wal.stats().mode;
  report.found = wal.recovery.lastLsn;
  try {
    while (wal.durableLsn < orders.records && report.held === undefined) {
      for (let i = 0; i < COMMIT_RECORDS && report.held === undefined; i++) {
        await append(wal, orders, report);
      }
      report.appended = wal.appendedLsn;
      // What was accepted waits for space too: another append then finds out.
      const pending = wal.durable(wal.appendedLsn);
      pending.catch(() => {});
      while (report.held === undefined && wal.durableLsn < report.appended) {
        await Promise.race([pending, later(PATIENCE_MILLIS)]);
        while (report.held === undefined && wal.durableLsn < report.appended) {
          await append(wal, orders, report);
        }
      }
      writeSync(1, `d ${wal.durableLsn}\n`);
    }
  } finally {
    report.appended = wal.appendedLsn;
    report.durable = wal.durableLsn;
    await wal.close().catch((error) => report.closing = codeOf(error));
    report.durable = wal.durableLsn;
    io[Symbol.dispose]();
  }
}

async function append(wal: Wal, orders: LimitsOrders, report: LimitsReport): Promise<void> {
  const record = recordOf(orders.seed, orders.run, wal.appendedLsn + 1);
  const deadline = performance.now() + PATIENCE_MILLIS;
  for (;;) {
    try {
      wal.append(record);
      return;
    } catch (error) {
      if (!(error instanceof WalFullError)) throw error;
      if (error.cause !== undefined && performance.now() > deadline) {
        report.held = codeOf(error.cause);
        return;
      }
      await Promise.race([wal.ready(), later(5)]);
    }
  }
}

const report: LimitsReport = { appended: 0, durable: 0 };
try {
  await main(JSON.parse(process.argv[2]), report);
} catch (error) {
  const { code, cause, message } = error as { code: string; cause?: unknown; message: string };
  report.failed = { code, cause: cause === undefined ? undefined : codeOf(cause), message };
}
writeSync(1, JSON.stringify(report) + "\n");
process.exit(0);
