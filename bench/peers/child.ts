/**
 * One side of `./dev bench peers` that runs in this runtime, as a child: `child.ts NAME`.
 *
 * It reads one command a line and answers each with one line of JSON, as the programs in Go and Rust do:
 *
 *     open DIR BATCH    makes a log; appends will be of BATCH records, durable before the next begins
 *     run MILLIS MAX    appends until the time is over or MAX records are in: {"records":N,"seconds":S}
 *     close             closes the log, opens it again, reads and checks every record: {"records":N}
 */
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { Wal, type WalOptions } from "../../wal.ts";
import { makeRecords, RECORD_BYTES } from "../support/stream.ts";
import { NPM_FOLDER } from "./tools.ts";

/** A log under measurement. Records are numbered from 0. */
interface Side {
  open(directory: string, batch: number): Promise<void>;
  /** Stores one batch, the first record of which has the number `first`; at its end it is durable. */
  append(first: number): Promise<void> | void;
  /** Until everything appended is durable, where `append` leaves something in flight. */
  settle?(): Promise<void>;
  /** Closes the log and reads it again: how many records there are, and where it says so, were read. */
  close(): Promise<{ records: number; read?: number }>;
}

/** Records before those that are measured, where a log's files are to go round. */
const WARM_UP_SEGMENTS = 10;
/** Frames that the log has in flight by default. */
const WINDOW = 4;
const POLL_MILLIS = 5;
const RECYCLED_SEGMENT_BYTES = 8 << 20;

const records = makeRecords();
const record = (number: number) => records[number & (records.length - 1)];
const require = createRequire(join(NPM_FOLDER, "package.json"));

function check(number: number, bytes: Uint8Array): void {
  const expected = record(number);
  if (
    bytes.length !== RECORD_BYTES ||
    bytes.some((byte, at) => byte !== expected[at])
  ) {
    throw new Error(`record ${number} is not what was appended`);
  }
}

/**
 * This project's log, as it comes; `recycled`: the same with segments that were used before; `window`:
 * batches in flight.
 */
class OwnSide implements Side {
  readonly #recycled: boolean;
  readonly #window: number;
  #directory = "";
  #wal!: Wal;
  #batch = 0;
  #base = 0;

  constructor(recycled: boolean, window: number) {
    this.#recycled = recycled;
    this.#window = window;
  }

  get #options(): WalOptions {
    if (!this.#recycled) return {};
    return {
      segmentBytes: RECYCLED_SEGMENT_BYTES,
      retention: { maxSegments: 1 },
    };
  }

  async open(directory: string, batch: number): Promise<void> {
    this.#directory = directory;
    this.#wal = await Wal.open(directory, this.#options);
    this.#batch = batch;
    const { backend } = this.#wal.stats();
    if (backend !== "uring") {
      throw new Error(`the log works on ${backend} here, not io_uring: see "uring doctor"`);
    }
    if (this.#recycled) {
      const bytes = WARM_UP_SEGMENTS * RECYCLED_SEGMENT_BYTES;
      while (this.#wal.stats().diskBytes < bytes) {
        for (const each of records) this.#wal.append(each);
        await this.#wal.flush();
      }
    }
    this.#base = this.#wal.appendedLsn;
    // Zeroing the first spare is part of opening; the later ones are made while it is measured.
    while (!this.#wal.stats().spareReady) await setTimeout(POLL_MILLIS);
  }

  async append(first: number): Promise<void> {
    const wal = this.#wal;
    let lsn = 0;
    for (let i = 0; i < this.#batch; i++) lsn = wal.append(record(first + i));
    // The batch that was appended `#window` batches ago, and so all before it.
    await wal.durable(Math.max(this.#base, lsn - (this.#window - 1) * this.#batch));
  }

  async settle(): Promise<void> {
    await this.#wal.flush();
  }

  async close(): Promise<{ records: number; read: number }> {
    await this.#wal.close();
    await using wal = await Wal.open(this.#directory, this.#options);
    let read = 0;
    for await (const batch of wal.read({ from: wal.firstLsn })) {
      for (let i = 0; i < batch.length; i++) {
        check(batch.firstLsn + i - 1, batch.bytes(i));
      }
      read += batch.length;
    }
    if (wal.firstLsn - 1 + read !== wal.durableLsn) {
      throw new Error(
        `${read} records from ${wal.firstLsn}, and the last is ${wal.durableLsn}`,
      );
    }
    return {
      records: wal.durableLsn - this.#base,
      read: Math.min(read, wal.durableLsn - this.#base),
    };
  }
}

interface Statement {
  run(...values: unknown[]): unknown;
  iterate(): Iterable<{ record: Uint8Array }>;
}
interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/** The SQLite of the runtime: a table of blobs, WAL, every commit synced, one transaction a batch. */
class SqliteSide implements Side {
  #file = "";
  #database!: Database;
  #begin!: Statement;
  #insert!: Statement;
  #commit!: Statement;
  #batch = 0;

  async #open(): Promise<Database> {
    if (process.versions.bun !== undefined) {
      const { Database } = await import("bun:sqlite");
      return new Database(this.#file) as unknown as Database;
    }
    const { DatabaseSync } = await import("node:sqlite");
    return new DatabaseSync(this.#file) as unknown as Database;
  }

  async open(directory: string, batch: number): Promise<void> {
    mkdirSync(directory);
    this.#file = join(directory, "log.db");
    this.#batch = batch;
    const database = this.#database = await this.#open();
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec(
      "CREATE TABLE log (number INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    );
    this.#begin = database.prepare("BEGIN");
    this.#insert = database.prepare("INSERT INTO log VALUES (?, ?)");
    this.#commit = database.prepare("COMMIT");
  }

  append(first: number): void {
    this.#begin.run();
    for (let i = 0; i < this.#batch; i++) {
      this.#insert.run(first + i, record(first + i));
    }
    this.#commit.run();
  }

  async close(): Promise<{ records: number }> {
    this.#database.close();
    const database = await this.#open();
    let count = 0;
    for (
      const row of database.prepare("SELECT record FROM log ORDER BY number")
        .iterate()
    ) {
      check(count++, row.record);
    }
    database.close();
    return { records: count };
  }
}

interface Lmdb {
  put(key: number, value: Uint8Array): Promise<boolean>;
  readonly flushed: PromiseLike<unknown>;
  getRange(): Iterable<{ key: number; value: Uint8Array }>;
  close(): Promise<void>;
}

/** lmdb-js: one transaction a batch, awaited until it is flushed. */
class LmdbSide implements Side {
  #path = "";
  #database!: Lmdb;
  #batch = 0;

  #open(): Lmdb {
    const { open } = require("lmdb") as { open(options: unknown): Lmdb };
    return open({
      path: this.#path,
      encoding: "binary",
      keyEncoding: "uint32",
    });
  }

  open(directory: string, batch: number): Promise<void> {
    mkdirSync(directory);
    this.#path = join(directory, "log.mdb");
    this.#batch = batch;
    this.#database = this.#open();
    return Promise.resolve();
  }

  async append(first: number): Promise<void> {
    const database = this.#database;
    let stored: Promise<boolean> | undefined;
    for (let i = 0; i < this.#batch; i++) {
      stored = database.put(first + i, record(first + i));
    }
    await stored;
    await database.flushed;
  }

  async close(): Promise<{ records: number }> {
    await this.#database.close();
    const database = this.#open();
    let count = 0;
    for (const { key, value } of database.getRange()) {
      if (key !== count) throw new Error(`record ${count} is missing`);
      check(count++, value);
    }
    await database.close();
    return { records: count };
  }
}

interface Level {
  open(): Promise<void>;
  batch(operations: unknown[], options: { sync: boolean }): Promise<void>;
  values(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** classic-level: one synced batch write. Keys are the numbers, as 4 bytes, big-endian. */
class LevelSide implements Side {
  #directory = "";
  #database!: Level;
  #operations: { type: "put"; key: Uint8Array; value: Uint8Array }[] = [];

  async #open(): Promise<Level> {
    const { ClassicLevel } = require("classic-level");
    const database = new ClassicLevel(this.#directory, {
      keyEncoding: "view",
      valueEncoding: "view",
    }) as Level;
    await database.open();
    return database;
  }

  async open(directory: string, batch: number): Promise<void> {
    this.#directory = directory;
    this.#operations = Array.from({ length: batch }, () => ({
      type: "put",
      key: new Uint8Array(4),
      value: records[0],
    }));
    this.#database = await this.#open();
  }

  append(first: number): Promise<void> {
    const operations = this.#operations;
    for (let i = 0; i < operations.length; i++) {
      const { key } = operations[i];
      const number = first + i;
      key[0] = number >>> 24;
      key[1] = number >>> 16;
      key[2] = number >>> 8;
      key[3] = number;
      operations[i].value = record(number);
    }
    return this.#database.batch(operations, { sync: true });
  }

  async close(): Promise<{ records: number }> {
    await this.#database.close();
    const database = await this.#open();
    let count = 0;
    for await (const value of database.values()) check(count++, value);
    await database.close();
    return { records: count };
  }
}

interface Sonic {
  write(data: Uint8Array): boolean;
  on(event: "error", listener: (error: Error) => void): void;
  once(event: "close", listener: () => void): void;
  end(): void;
}

/**
 * sonic-boom: a file, one write and one fsync a batch (`fsync`, with `minLength` of a batch), blocking,
 * which is its fastest way that syncs.
 */
class SonicSide implements Side {
  #file = "";
  #batch = 0;
  #sonic!: Sonic;
  #failure: unknown;
  #bytes = 0;

  open(directory: string, batch: number): Promise<void> {
    mkdirSync(directory);
    this.#file = join(directory, "log");
    this.#batch = batch;
    const { SonicBoom } = require("sonic-boom") as {
      SonicBoom: new (options: unknown) => Sonic;
    };
    this.#sonic = new SonicBoom({
      dest: this.#file,
      sync: true,
      fsync: true,
      contentMode: "buffer",
      minLength: batch * RECORD_BYTES,
      maxWrite: 2 * batch * RECORD_BYTES,
    });
    this.#sonic.on("error", (error) => this.#failure ??= error);
    return Promise.resolve();
  }

  append(first: number): void {
    for (let i = 0; i < this.#batch; i++) this.#sonic.write(record(first + i));
    if (this.#failure !== undefined) throw this.#failure;
    this.#bytes += this.#batch * RECORD_BYTES;
  }

  async close(): Promise<{ records: number }> {
    // What the last batch left unwritten would be written only now: then it was not durable before.
    if (statSync(this.#file).size !== this.#bytes) {
      throw new Error("a batch was not written at once");
    }
    const closed = new Promise<void>((resolve) => this.#sonic.once("close", resolve));
    this.#sonic.end();
    await closed;
    const bytes = readFileSync(this.#file);
    const count = bytes.length / RECORD_BYTES;
    for (let i = 0; i < count; i++) {
      check(i, bytes.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES));
    }
    this.#bytes = 0;
    return { records: count };
  }
}

const SIDES: Readonly<Record<string, () => Side>> = {
  wal: () => new OwnSide(false, 1),
  "wal-recycled": () => new OwnSide(true, 1),
  "wal-window": () => new OwnSide(false, WINDOW),
  sqlite: () => new SqliteSide(),
  lmdb: () => new LmdbSide(),
  level: () => new LevelSide(),
  sonic: () => new SonicSide(),
};

const make = SIDES[process.argv[2]];
if (make === undefined) {
  throw new Error(`there is no ${process.argv[2]}: ${Object.keys(SIDES)}`);
}
const side = make();
let batch = 0;
let appended = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...rest] = line.split(" ");
  if (verb === "open") {
    const [directory, size] = rest;
    if (existsSync(directory)) throw new Error(`${directory} exists`);
    batch = Number(size);
    appended = 0;
    await side.open(directory, batch);
    console.log("{}");
  } else if (verb === "run") {
    const [millis, most] = rest.map(Number);
    const first = appended;
    const start = performance.now();
    const end = start + millis;
    while (performance.now() < end && appended - first < most) {
      const stored = side.append(appended);
      // A turn of the queue for nothing would be charged to those that block.
      if (stored !== undefined) await stored;
      appended += batch;
    }
    await side.settle?.();
    const seconds = (performance.now() - start) / 1000;
    console.log(JSON.stringify({ records: appended - first, seconds }));
  } else if (verb === "close") {
    console.log(JSON.stringify(await side.close()));
  } else throw new Error(`no such command: ${line}`);
}
