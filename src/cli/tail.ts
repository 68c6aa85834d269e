/**
 * `uring tail DIR`: the records of a log to standard output, and then each further one when it is
 * durable, until it is interrupted. Reads only, also beside a writer, or before there is one again.
 *
 * @module
 */

import process from "node:process";
import { WalView } from "../wal/view.ts";
import { type Command, DIRECTORY, numberOf, type Values } from "./arguments.ts";
import { openLogIo } from "./log_io.ts";
import { RecordOutput } from "./records.ts";
import { OutputClosedError } from "./terminal.ts";

/** What ends it. Whoever interrupts it at the terminal has seen enough, which is no failure. */
const SIGNALS = { SIGINT: 0, SIGHUP: 128 + 1, SIGTERM: 128 + 15 } as const;
/** How long what comes quickly is collected, at most, before it is written. */
const COLLECT_MILLIS = 20;

export const command: Command = {
  name: "tail",
  description: "Print the records of a log, and follow it",
  args: {
    dir: DIRECTORY,
    from: { type: "string", valueHint: "LSN", description: "First record (the oldest)" },
    json: { type: "boolean", description: "Print {lsn, text} a line; base64 where it is no UTF-8" },
  },
  run,
};

async function run(values: Values): Promise<number> {
  const from = numberOf(values, "from", { least: 1, most: Number.MAX_SAFE_INTEGER, whole: true });
  const controller = new AbortController();
  const { signal } = controller;
  const handlers = Object.entries(SIGNALS).map(([name, status]) => {
    const handler = () => controller.abort(new Interrupted(status));
    process.on(name, handler);
    return () => process.off(name, handler);
  });
  const io = openLogIo();
  try {
    await using view = await WalView.open(String(values.dir), io);
    const tail = view.tail(from === undefined ? { signal } : { from, signal });
    await print(tail, new RecordOutput(values.json === true), controller);
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) return error.status;
    throw error;
  } finally {
    for (const remove of handlers) remove();
    io[Symbol.dispose]();
  }
}

/** A signal asked for the end. */
class Interrupted extends Error {
  constructor(readonly status: number) {
    super("interrupted");
  }
}

/** Writes what it has whenever nothing more comes at once. Ends with the signal, or with an error. */
async function print(
  tail: ReturnType<WalView["tail"]>,
  output: RecordOutput,
  controller: AbortController,
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    timer = undefined;
    try {
      output.flush();
    } catch (error) {
      controller.abort(error); // whoever read it is gone, or the disk is full
    }
  };
  try {
    for await (const batch of tail) {
      output.batch(batch);
      timer ??= setTimeout(flush, COLLECT_MILLIS);
    }
  } finally {
    clearTimeout(timer);
    // What was delivered before the end is written, unless that was the reason.
    if (!(controller.signal.reason instanceof OutputClosedError)) output.flush();
  }
}
