/**
 * `uring cat DIR`: the records of a log to standard output. Reads only, also beside a writer.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { RecordBatch } from "../wal/records.ts";
import { WalView } from "../wal/view.ts";
import { type Command, DIRECTORY, numberOf, type Values } from "./arguments.ts";
import { openLogIo } from "./log_io.ts";
import { say, writeOut } from "./terminal.ts";
import { describeEnd } from "./verify.ts";

/** Bytes that are collected before they are written. */
const OUTPUT_BYTES = 1 << 20;
const LF = 10;

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
    const output = new Output(values.json === true);
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

/** Collects records, and writes them in large pieces. */
class Output {
  readonly #json: boolean;
  readonly #bytes = new Uint8Array(new ArrayBuffer(OUTPUT_BYTES));
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #encoder = new TextEncoder();
  #at = 0;

  constructor(json: boolean) {
    this.#json = json;
  }

  batch(batch: RecordBatch): void {
    for (let i = 0; i < batch.length; i++) {
      if (this.#json) {
        this.#line(this.#encoder.encode(this.#object(batch.firstLsn + i, batch.bytes(i))));
      } else this.#line(batch.bytes(i));
    }
  }

  #object(lsn: number, record: Uint8Array): string {
    try {
      return JSON.stringify({ lsn, text: this.#decoder.decode(record) });
    } catch {
      return JSON.stringify({ lsn, base64: Buffer.from(record).toString("base64") });
    }
  }

  #line(record: Uint8Array): void {
    if (this.#at + record.length + 1 > OUTPUT_BYTES) this.flush();
    if (record.length + 1 > OUTPUT_BYTES) {
      writeOut(record);
    } else {
      this.#bytes.set(record, this.#at);
      this.#at += record.length;
    }
    this.#bytes[this.#at++] = LF;
  }

  flush(): void {
    const length = this.#at;
    this.#at = 0;
    if (length > 0) writeOut(this.#bytes.subarray(0, length));
  }
}
