/**
 * Driving a ring from the event loop: appends durable lines to a file while a timer goes on.
 *
 * Run it: `bun examples/ring_events.ts FILE`, or
 * `deno run --allow-ffi --allow-env --allow-read examples/ring_events.ts FILE`
 */
import process from "node:process";
import { errnoName, OPEN_FLAG, Ring, RW_FLAG } from "../ring.ts";

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error("usage: ring_events.ts FILE");
  process.exit(2);
}
using ring = Ring.open();

/** Waits, without blocking the event loop, for the one operation that was prepared. */
async function result(prepared: boolean): Promise<number> {
  if (!prepared) throw new Error("the queue is full");
  await ring.drain();
  const res = ring.completions.res[0];
  if (res < 0) throw new Error(errnoName(-res));
  return res;
}

const flags = OPEN_FLAG.WRONLY | OPEN_FLAG.CREAT | OPEN_FLAG.TRUNC;
const file = ring.file(await result(ring.prepOpenat(path, flags, 0o644, 0)));
const buffer = ring.buffers.acquire()!;
const encoder = new TextEncoder();
let turns = 0;
const timer = setInterval(() => turns++, 1);

const LINES = 200;
let offset = 0;
const start = performance.now();
for (let i = 0; i < LINES; i++) {
  const { written } = encoder.encodeInto(`line ${i}\n`, buffer.bytes);
  let done = 0;
  while (done < written) {
    const rest = written - done;
    done += await result(
      ring.prepWriteFixed(file, buffer, done, rest, offset + done, i, RW_FLAG.DSYNC),
    );
  }
  offset += written;
}
const millis = performance.now() - start;
clearInterval(timer);
buffer.release();
console.log(
  `${LINES} durable lines, ${(millis / LINES).toFixed(2)} ms each; the timer ran ${turns} times`,
);
