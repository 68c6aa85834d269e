/**
 * Follows a log that another process writes, and remembers how far it got: after a restart it goes on
 * there. Records come in order, each when it is durable, and again only when this program ended before it
 * had written down its position.
 *
 *     bun examples/follow.ts DIRECTORY POSITION-FILE
 *     deno run -A examples/follow.ts DIRECTORY POSITION-FILE
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { openIo } from "../io.ts";
import { LsnTooOldError, WalView } from "../wal.ts";

const [directory, position] = process.argv.slice(2);
if (position === undefined) {
  console.error("usage: follow.ts DIRECTORY POSITION-FILE");
  process.exit(2);
}

let from: number | undefined;
try {
  from = Number(readFileSync(position, "utf8"));
} catch { /* the first time */ }

const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
process.once("SIGTERM", () => controller.abort());
const { signal } = controller;

using io = openIo();
await using log = await WalView.open(directory, io);
try {
  for await (const batch of log.tail(from === undefined ? { signal } : { from, signal })) {
    for (let i = 0; i < batch.length; i++) console.log(`${batch.firstLsn + i} ${batch.text(i)}`);
    writeFileSync(position, String(batch.firstLsn + batch.length));
  }
} catch (error) {
  if (error instanceof LsnTooOldError) {
    console.error(`${error.message}: records are missing here`);
    process.exitCode = 1;
  } else if (!signal.aborted) throw error;
}
