/**
 * `uring repair DIR`: says what of a corrupt log can be kept, and with `--keep` keeps it. Nothing is
 * removed: what does not stay is put aside.
 *
 * @module
 */

import { type LsnRange, repair, type RepairReport } from "../wal/repair.ts";
import {
  type Command,
  DIRECTORY,
  JSON_FLAG,
  LOCK_TIMEOUT,
  lockTimeoutOf,
  type Values,
} from "./arguments.ts";
import { openLogIo } from "./log_io.ts";
import { progressOf, say, writeOut } from "./terminal.ts";

export const command: Command = {
  name: "repair",
  description: "Say what of a corrupt log can be kept, and keep it",
  args: {
    dir: DIRECTORY,
    keep: {
      type: "enum",
      options: ["before", "after"],
      description: "Keep the records before the first damage, or those after the last",
    },
    "lock-timeout": LOCK_TIMEOUT,
    json: JSON_FLAG,
  },
  run,
};

async function run(values: Values): Promise<number> {
  const lockTimeoutMillis = lockTimeoutOf(values);
  const io = openLogIo();
  try {
    const progress = await progressOf("uring repair", "segments");
    const report = await repair(String(values.dir), {
      io,
      onProgress: (done, segments) => progress.update(done, segments),
      ...(values.keep === undefined ? {} : { keep: values.keep as "before" | "after" }),
      ...(lockTimeoutMillis === undefined ? {} : { lockTimeoutMillis }),
    }).finally(() => progress.end());
    if (values.json === true) writeOut(JSON.stringify(asObject(report)) + "\n");
    else writeOut(inLines(report).join("\n") + "\n");
    for (const { message } of report.damage) say(`uring repair: ${message}`);
    if (report.damage.length === 0 || report.kept !== undefined) return 0;
    say(
      report.before || report.after
        ? "uring repair: nothing was changed. Without a copy to restore from, run it again with --keep"
        : "uring repair: nothing of this log can be kept. Restore it from a copy",
    );
    return 1;
  } finally {
    io[Symbol.dispose]();
  }
}

function asObject(report: RepairReport): Record<string, unknown> {
  const { state, damage, first, last, before, after, kept, aside } = report;
  return {
    state,
    first,
    last,
    damage: damage.map(({ file, offset, message }) => ({ file, offset, error: message })),
    before: before ?? null,
    after: after ?? null,
    kept: kept ?? null,
    aside,
  };
}

function inLines(report: RepairReport): string[] {
  const { state, first, last, before, after, kept, aside } = report;
  const records = last < first ? "no records" : inWords({ first, last });
  if (state !== "corrupt") return [`${state}: ${records}, nothing to repair`];
  const lines = [`corrupt: ${records}`];
  if (kept === undefined) {
    lines.push(`--keep before  ${outcome(before, first, last)}`);
    lines.push(`--keep after   ${outcome(after, first, last)}`);
    return lines;
  }
  lines.push(outcome(report[kept], first, last));
  for (const path of aside) lines.push(`put aside: ${path}`);
  return lines;
}

const inWords = ({ first, last }: LsnRange) =>
  first === last ? `record ${first}` : `records ${first} to ${last}`;

/** What is kept, and what is lost by it. */
function outcome(kept: LsnRange | undefined, first: number, last: number): string {
  if (!kept) return "keeps nothing";
  const lost: string[] = [];
  if (kept.first > first) lost.push(inWords({ first, last: kept.first - 1 }));
  if (kept.last < last) lost.push(inWords({ first: kept.last + 1, last }));
  return `keeps ${inWords(kept)}, loses ${lost.length > 0 ? lost.join(" and ") : "nothing"}`;
}
