/** Appends to a log by `node:fs` until it is killed, and says what is durable: `LSN` a line. */
import process from "node:process";
import { SyncIo } from "../../io.ts";
import { Wal } from "../../wal.ts";
import { SMALL } from "./support.ts";

const io = SyncIo.open();
const wal = await Wal.open(process.argv[2], { ...SMALL, io });
for (let i = wal.appendedLsn + 1;; i++) {
  while (wal.tryAppend(`record ${i} ${"x".repeat(i % 300)}`) === undefined) await wal.ready();
  if (i % 10 === 0) process.stdout.write(`${await wal.durable(i)}\n`);
}
