/**
 * The program whose system calls fail: opens a log on the sync backend, fills some segments, truncates,
 * closes, opens again. Standard output as `_writer.ts`, and `a LSN` before the records up to LSN are
 * appended. An error of the log ends it, with status 0: that is what it is for.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { openIo } from "../../src/io/open_io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { CALL_RUN, CALL_SEED } from "./_every_call.ts";
import { recordOf } from "./_records.ts";

const OPTIONS = {
  segmentBytes: 131_072,
  commit: { maxBytes: 16_384 },
  mode: "buffered",
  idleMarkMillis: Infinity,
} as const;
const COMMITS = 12;
const RECORDS = 20;

const say = (line: string) => writeSync(1, line + "\n");

async function main(directory: string): Promise<void> {
  const io = openIo({ backend: "sync" });
  let wal = await Wal.open(directory, { ...OPTIONS, io });
  for (let commit = 1; commit <= COMMITS; commit++) {
    say(`a ${wal.appendedLsn + RECORDS}`);
    for (let i = 0; i < RECORDS; i++) {
      const record = recordOf(CALL_SEED, CALL_RUN, wal.appendedLsn + 1);
      while (wal.tryAppend(record) === undefined) {
        // Held back: by a disk that is full it says why.
        await Promise.race([wal.ready(), new Promise((resolve) => setTimeout(resolve, 20))]);
      }
    }
    await wal.durable(wal.appendedLsn);
    say(`d ${wal.durableLsn}`);
    if (commit === COMMITS / 2) {
      await wal.truncateBefore(wal.durableLsn - RECORDS);
      await wal.close();
      wal = await Wal.open(directory, { ...OPTIONS, io });
    }
  }
  await wal.close();
  io[Symbol.dispose]();
}

try {
  await main(process.argv[2]);
} catch (error) {
  say(`failed ${(error as Error).message}`);
}
process.exit(0);
