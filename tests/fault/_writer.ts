/**
 * The program that is killed: appends records that follow from their LSNs (`_records.ts`) until it is
 * ended from outside, truncates behind itself, closes and opens now and then.
 *
 * Standard input: one line of JSON, {@linkcode Orders}; it waits for that with everything loaded. Standard
 * output, each line written before the program goes on:
 *
 *     opening         it opens the log
 *     open LAST FIRST what it found
 *     d LSN           records up to LSN are durable
 *     t LSN           it is about to truncate before LSN
 *     T LSN           it has
 *     closed          the log was closed
 *     failed MESSAGE  the log failed (a disk that fails or goes away), and it ends
 */
import { spawnSync } from "node:child_process";
import { readSync, writeSync } from "node:fs";
import process from "node:process";
import { openIo } from "../../src/io/open_io.ts";
import { Prng } from "../../src/io/prng.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";
import { recordOf } from "./_records.ts";

/** What it is told. */
export interface Orders {
  directory: string;
  seed: number;
  run: number;
  options: WalOptions;
  /** Records that are kept when it truncates. */
  keep: number;
  /** A program with its arguments, run with each line that has an LSN before that is told. */
  mark?: string[];
}

let mark: string[] | undefined;

function say(line: string): void {
  if (mark !== undefined && /^[dtT] /.test(line)) {
    const { status, stderr } = spawnSync(mark[0], [...mark.slice(1), line.replace(" ", "-")]);
    if (status !== 0) throw new Error(`the mark: ${stderr}`);
  }
  writeSync(1, line + "\n");
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function ordersFromInput(): Orders | undefined {
  const bytes = new Uint8Array(65_536);
  let text = "";
  // Ends with the line, or with the input: then nobody needs this writer.
  while (!text.includes("\n")) {
    const got = readSync(0, bytes);
    if (got === 0) return undefined;
    text += new TextDecoder().decode(bytes.subarray(0, got));
  }
  return JSON.parse(text);
}

async function main(): Promise<void> {
  const io = openIo({ backend: "uring", arenaBytes: 2 << 20 });
  const orders = ordersFromInput();
  if (!orders) return;
  const { directory, seed, run, options, keep } = orders;
  mark = orders.mark;
  const rng = new Prng(seed + run);
  const open = async () => {
    say("opening");
    const wal = await Wal.open(directory, { ...options, io });
    say(`open ${wal.recovery.lastLsn} ${wal.recovery.firstLsn}`);
    return wal;
  };
  let wal = await open();
  let told = wal.durableLsn;
  const tell = () => {
    if (wal.durableLsn === told) return;
    told = wal.durableLsn;
    say(`d ${told}`);
  };
  // Until it is killed.
  for (;;) {
    for (let count = rng.between(1, rng.oneIn(4) ? 200 : 10); count > 0; count--) {
      const record = recordOf(seed, run, wal.appendedLsn + 1);
      while (wal.tryAppend(record) === undefined) {
        tell();
        await wal.ready();
      }
      tell();
    }
    switch (rng.below(6)) {
      case 0:
        await turn();
        break;
      case 1:
        wal.waitDurable(wal.appendedLsn);
        break;
      case 2:
        // So long that a mark is written.
        if (rng.oneIn(30)) await new Promise((resolve) => setTimeout(resolve, 15));
        break;
      case 3:
        if (wal.durableLsn - wal.firstLsn > 2 * keep) {
          const lsn = wal.durableLsn - keep;
          say(`t ${lsn}`);
          await wal.truncateBefore(lsn);
          say(`T ${lsn}`);
        }
        break;
      case 4:
        if (rng.oneIn(60)) {
          await wal.close();
          tell();
          say("closed");
          wal = await open();
        }
        break;
      default:
        await wal.durable(wal.appendedLsn);
    }
    tell();
  }
}

try {
  await main();
} catch (error) {
  say(`failed ${(error as Error).message}`);
  process.exit(1);
}
