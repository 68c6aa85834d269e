/**
 * Driving a ring by hand: copies a file with eight reads and writes in flight, and makes the copy durable.
 *
 * Run it: `bun examples/ring.ts FROM TO`, or
 * `deno run --allow-ffi --allow-env --allow-read examples/ring.ts FROM TO`
 */
import process from "node:process";
import { errnoName, OPEN_FLAG, Ring, type RingFile, StatxResult } from "../ring.ts";

const DEPTH = 8;

function copy(ring: Ring, from: RingFile, to: RingFile, size: number): void {
  const buffers = Array.from({ length: DEPTH }, () => ring.buffers.acquire()!);
  const slice = buffers[0].length;
  // What each buffer is at: where in the file, how much of it was read, how much of that was written.
  const offsets = new Float64Array(DEPTH);
  const lengths = new Float64Array(DEPTH);
  const written = new Float64Array(DEPTH);
  let next = 0;
  const startRead = (i: number): boolean => {
    if (next >= size) return false;
    offsets[i] = next;
    lengths[i] = 0;
    next += slice;
    return ring.prepReadFixed(from, buffers[i], 0, slice, offsets[i], i);
  };
  for (let i = 0; i < DEPTH; i++) startRead(i);

  while (ring.inFlight > 0) {
    ring.submitAndWait(1);
    const count = ring.reap();
    for (let row = 0; row < count; row++) {
      const i = ring.completions.userData[row];
      const res = ring.completions.res[row];
      if (res < 0) throw new Error(`${errnoName(-res)} at ${offsets[i]}`);
      if (lengths[i] === 0) {
        // A read ended. Its data is the next thing to write; a file that shrank has none.
        lengths[i] = res;
        written[i] = 0;
      } else {
        written[i] += res;
      }
      if (written[i] < lengths[i]) {
        const rest = lengths[i] - written[i];
        ring.prepWriteFixed(to, buffers[i], written[i], rest, offsets[i] + written[i], i);
      } else {
        startRead(i);
      }
    }
  }
  for (const buffer of buffers) buffer.release();
}

const [source, target] = process.argv.slice(2);
if (target === undefined) {
  console.error("usage: ring.ts FROM TO");
  process.exit(2);
}
using ring = Ring.open();
const { RDONLY, WRONLY, CREAT, TRUNC } = OPEN_FLAG;
const status = new StatxResult();
ring.prepOpenat(source, RDONLY, 0, 0);
ring.prepOpenat(target, WRONLY | CREAT | TRUNC, 0o644, 1);
ring.prepStatx(source, status, 2);
ring.submitAndWait(3);
ring.reap();
const references = new Int32Array(3);
for (let row = 0; row < 3; row++) {
  references[ring.completions.userData[row]] = ring.completions.res[row];
}
const to = ring.file(references[1]);
copy(ring, ring.file(references[0]), to, status.size);
ring.prepFsync(to, 0);
ring.submitAndWait(1);
ring.reap();
const res = ring.completions.res[0];
if (res < 0) throw new Error(`the copy is not durable: ${errnoName(-res)}`);
const { submissions, enters } = ring.stats();
console.log(`${status.size} bytes in ${submissions} operations and ${enters} calls of the kernel`);
