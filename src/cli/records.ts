/**
 * Records on standard output, as `cat` and `tail` print them.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { RecordBatch } from "../wal/records.ts";
import { writeOut } from "./terminal.ts";

/** Bytes that are collected before they are written. */
const OUTPUT_BYTES = 1 << 20;
const LF = 10;

/** Collects records, and writes them in large pieces. */
export class RecordOutput {
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
