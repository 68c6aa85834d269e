/**
 * Logs in every state that a reader may meet, made through the library.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Wal } from "../../wal.ts";
import { SMALL_WAL } from "./support.ts";

/**
 * Copies a log as it stands, under a writer too: what a crash of the machine would leave. A spare that is
 * being made is no part of it, and gets another name meanwhile.
 */
export function copyLog(from: string, to: string): void {
  mkdirSync(to);
  for (const name of readdirSync(from)) {
    if (!name.endsWith(".tmp")) copyFileSync(join(from, name), join(to, name));
  }
}

/** Flips a bit of a file. */
export function flip(file: string, offset: number): void {
  const bytes = readFileSync(file);
  bytes[offset] ^= 0x10;
  writeFileSync(file, bytes);
}

/** The segment that has the records of a log that never filled one; behind it there may be a spare. */
export function segmentOf(log: string): string {
  return join(log, "0000000000000001.wal");
}

/** Offset of a record's text in a file. */
export function offsetOf(file: string, text: string): number {
  const offset = readFileSync(file).indexOf(text);
  if (offset < 0) throw new Error(`${text} is not in ${file}`);
  return offset;
}

/** A closed log of these records, each in a frame of its own. */
export async function closedLog(log: string, records: readonly string[]): Promise<void> {
  await using wal = await Wal.open(log, SMALL_WAL);
  for (const record of records) await wal.durable(wal.append(record));
}

/** The same, as a crash leaves it: not closed, with no mark behind the last record. */
export async function unclosedLog(log: string, records: readonly string[]): Promise<void> {
  await using wal = await Wal.open(`${log}-live`, { ...SMALL_WAL, idleMarkMillis: Infinity });
  for (const record of records) await wal.durable(wal.append(record));
  copyLog(`${log}-live`, log);
}

/** A quick device may end the first of two writes before the second is built. */
const IN_FLIGHT_ATTEMPTS = 100;

/** Not closed, and the last two records in frames that were in flight together. */
export async function unclosedLogInFlight(log: string, records: readonly string[]): Promise<void> {
  const [first, second] = records.slice(-2);
  for (let attempt = 1; attempt <= IN_FLIGHT_ATTEMPTS; attempt++) {
    const live = `${log}-live-${attempt}`;
    await using wal = await Wal.open(live, { ...SMALL_WAL, idleMarkMillis: Infinity });
    for (const record of records.slice(0, -2)) await wal.durable(wal.append(record));
    const lsn = wal.append(first);
    wal.submitPending();
    wal.append(second);
    // The mark of the second frame is what is durable now.
    const together = wal.durableLsn < lsn;
    wal.submitPending();
    await wal.flush();
    if (together) {
      copyLog(live, log);
      return;
    }
  }
  throw new Error(`no two frames were in flight together in ${IN_FLIGHT_ATTEMPTS} attempts`);
}
