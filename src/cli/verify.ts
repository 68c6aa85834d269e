/**
 * `uring verify DIR`: reads every frame of a log and says what state it is in. Changes nothing.
 *
 * @module
 */

import { WalCorruptionError } from "../wal/errors.ts";
import { type WalReport, WalView } from "../wal/view.ts";
import { type Command, DIRECTORY, JSON_FLAG, type Values } from "./arguments.ts";
import { openLogIo } from "./log_io.ts";
import { progressOf, say, writeOut } from "./terminal.ts";

export const command: Command = {
  name: "verify",
  description: "Read a whole log and say what state it is in",
  args: { dir: DIRECTORY, json: JSON_FLAG },
  run,
};

async function run(values: Values): Promise<number> {
  const io = openLogIo();
  try {
    const report = await reportOf(String(values.dir), io);
    writeOut((values.json === true ? JSON.stringify(asObject(report)) : inLine(report)) + "\n");
    if (report.error) {
      say(`uring verify: ${report.error.message}`);
      return 1;
    }
    const warning = describeEnd(report);
    if (warning !== undefined) say(`uring verify: warning: ${warning}`);
    return 0;
  } finally {
    io[Symbol.dispose]();
  }
}

async function reportOf(
  directory: string,
  io: Parameters<typeof WalView.open>[1],
): Promise<WalReport> {
  try {
    await using view = await WalView.open(directory, io);
    const progress = await progressOf("uring verify", "segments");
    try {
      return await view.verify((done, segments) => progress.update(done, segments));
    } finally {
      progress.end();
    }
  } catch (error) {
    if (!(error instanceof WalCorruptionError)) throw error;
    // So damaged that nothing of it can be read.
    const { file, offset } = error;
    const nothing = { sealed: false, live: false, first: 0, last: 0, dropped: 0 };
    return { state: "corrupt", ...nothing, file, offset, error };
  }
}

/** The fields that `--json` promises, and no others. */
function asObject(report: WalReport): Record<string, unknown> {
  const { state, sealed, live, first, last, dropped, file, offset, error } = report;
  return {
    state,
    sealed,
    live,
    first,
    last,
    dropped,
    file,
    offset,
    error: error === undefined ? null : error.message,
  };
}

function inLine(report: WalReport): string {
  const { state, sealed, live, first, last } = report;
  const records = last < first ? "no records" : `records ${first} to ${last}`;
  const end = live ? "another process is writing" : sealed ? "sealed" : "not sealed";
  return `${state}: ${records}, ${end}`;
}

const countOf = (records: number) => records === 1 ? "1 record" : `${records} records`;

/** What is to be said of the end of a log that is not closed; nothing of one that is, or is damaged. */
export function describeEnd(report: WalReport): string | undefined {
  const { state, sealed, live, last, dropped, file, offset } = report;
  if (state === "corrupt") return undefined;
  if (live) {
    return `another process is writing to this log; it was seen up to record ${last}, the last one ` +
      `that it has marked durable`;
  }
  if (sealed) return undefined;
  const where = `at byte ${offset} of ${file}`;
  if (state === "ambiguous") {
    return `the log was not closed. It ends with record ${last} ${where}; ${
      countOf(dropped)
    } behind ` +
      `it cannot all be read, and were never acknowledged for certain. Opening it for writing cuts ` +
      `them and keeps their bytes beside the log`;
  }
  if (state === "torn" && dropped > 0) {
    return `the log was not closed. It ends with record ${last} ${where}; ${
      countOf(dropped)
    } behind ` +
      `it, written in part and never acknowledged, will be cut when it is opened for writing`;
  }
  return `the log was not closed. It ends with record ${last}` + (file === "" ? "" : ` ${where}`);
}
