/**
 * `uring cat DIR`: the records of a log to standard output. Reads only, also beside a writer.
 *
 * @module
 */

import { WalView } from "../wal/view.ts";
import { type Command, DIRECTORY, numberOf, type Values } from "./arguments.ts";
import { openLogIo } from "./log_io.ts";
import { RecordOutput } from "./records.ts";
import { say } from "./terminal.ts";
import { describeEnd } from "./verify.ts";

export const command: Command = {
  name: "cat",
  description: "Print the records of a log, each followed by a line feed",
  args: {
    dir: DIRECTORY,
    from: { type: "string", valueHint: "LSN", description: "First record (the oldest)" },
    to: { type: "string", valueHint: "LSN", description: "Record to stop before (the end)" },
    json: { type: "boolean", description: "Print {lsn, text} a line; base64 where it is no UTF-8" },
  },
  run,
};

async function run(values: Values): Promise<number> {
  const bounds = { least: 1, most: Number.MAX_SAFE_INTEGER, whole: true };
  const from = numberOf(values, "from", bounds);
  const to = numberOf(values, "to", bounds);
  const io = openLogIo();
  try {
    await using view = await WalView.open(String(values.dir), io);
    const output = new RecordOutput(values.json === true);
    try {
      for await (
        const batch of view.read({
          ...(from === undefined ? {} : { from }),
          ...(to === undefined ? {} : { to }),
        })
      ) output.batch(batch);
    } finally {
      output.flush();
    }
    const warning = describeEnd(view.report);
    if (warning !== undefined) say(`uring cat: warning: ${warning}`);
    return 0;
  } finally {
    io[Symbol.dispose]();
  }
}
