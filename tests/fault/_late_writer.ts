/**
 * Opens the log that its first argument names, says `ready`, waits for a line, puts four frames of a
 * mebibyte in flight, says `sent`, and waits to be killed.
 */
import { readSync, writeSync } from "node:fs";
import process from "node:process";
import { openIo } from "../../src/io/open_io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { LATE_OPTIONS, lateRecord } from "./_late.ts";

const io = openIo({ backend: "uring", arenaBytes: 8 << 20 });
const wal = await Wal.open(process.argv[2], { ...LATE_OPTIONS, io });
await wal.durable(wal.append(lateRecord(1)));
writeSync(1, "ready\n");
readSync(0, new Uint8Array(16));
for (let lsn = 2; lsn <= 5; lsn++) {
  // One frame each: it goes out before the next one fills.
  wal.append(lateRecord(lsn));
  wal.submitPending();
}
writeSync(1, `sent ${wal.stats().framesInFlight} ${wal.durableLsn}\n`);
setInterval(() => {}, 1000);
