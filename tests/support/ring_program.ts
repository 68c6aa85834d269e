/**
 * Opens a ring and uses it, and says in one line of JSON what became of it: what the tests run under
 * launchers that refuse or disturb something. Arguments: a scratch directory, and options of the ring as
 * JSON; with `inWorker` it does so in a worker.
 */
import process from "node:process";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { OPEN_FLAG, Ring, RingImageError, RingUnavailableError } from "../../ring.ts";

const [directory, optionsText = "{}"] = process.argv.slice(2);
const { inWorker = false, task = "use", ...options } = JSON.parse(optionsText);

function use(ring: Ring): Record<string, unknown> {
  const { rung, registered, registerError, setup } = ring.features;
  // NOPs in many batches, each with its userData once.
  const seen = new Uint8Array(2000);
  let next = 0;
  let delivered = 0;
  while (delivered < seen.length) {
    while (next < seen.length && ring.staged < 32 && ring.prepNop(next)) next++;
    ring.submitAndWait(1);
    const count = ring.reap();
    for (let i = 0; i < count; i++) {
      if (ring.completions.res[i] !== 0) throw new Error(`res ${ring.completions.res[i]}`);
      seen[ring.completions.userData[i]]++;
    }
    delivered += count;
  }
  const one = (prepared: boolean): number => {
    if (!prepared) throw new Error("not prepared");
    while (ring.reap() === 0) ring.submitAndWait(1);
    return ring.completions.res[0];
  };
  const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT;
  const file = ring.file(one(ring.prepOpenat(`${directory}/data`, flags, 0o644, 1)));
  const buffer = ring.buffers.acquire()!;
  buffer.bytes.fill(65, 0, 4096);
  const written = one(ring.prepWriteFixed(file, buffer, 0, 4096, 0, 2));
  const synced = one(ring.prepFsync(file, 3));
  buffer.bytes.fill(0);
  const read = one(ring.prepReadFixed(file, buffer, 0, 8192, 0, 4));
  const good = buffer.bytes.subarray(0, 4096).every((byte) => byte === 65);
  const once = seen.every((times) => times === 1);
  const { stale, enters } = ring.stats();
  return {
    rung,
    registered,
    registerError,
    setup,
    written,
    synced,
    read,
    good,
    once,
    stale,
    enters,
  };
}

/** Writes from a buffer before and after it is registered. */
function useSparse(ring: Ring): Record<string, unknown> {
  const run = (prepared: boolean): number | string => {
    if (!prepared) throw new Error("not prepared");
    try {
      ring.submitAndWait(1);
    } catch (error) {
      if (!(error instanceof RingImageError)) throw error;
      return error.reason;
    }
    ring.reap();
    return ring.completions.res[0];
  };
  const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT;
  const file = ring.file(run(ring.prepOpenat(`${directory}/data`, flags, 0o644, 1)) as number);
  const buffer = ring.buffers.acquire()!;
  new TextEncoder().encodeInto("hello", buffer.bytes);
  const before = run(ring.prepWrite(file, buffer, 0, 5, 0, 2));
  ring.registerBuffers([buffer]);
  const after = run(ring.prepWrite(file, buffer, 0, 5, 0, 3));
  run(ring.prepRead(file, buffer, 100, 5, 0, 4));
  return { before, after, read: new TextDecoder().decode(buffer.bytes.slice(100, 105)) };
}

function report(): string {
  try {
    using ring = Ring.open(options);
    return JSON.stringify(task === "sparse" ? useSparse(ring) : use(ring));
  } catch (error) {
    if (!(error instanceof RingUnavailableError)) throw error;
    const { reason, code, message, detail, wayOut } = error;
    return JSON.stringify({ reason, code, message, detail, wayOut });
  }
}

if (!isMainThread) {
  parentPort!.postMessage(report());
} else if (inWorker) {
  const worker = new Worker(import.meta.filename!, {
    argv: [directory, JSON.stringify({ ...options, task })],
  });
  worker.once("message", (line) => {
    console.log(line);
    void worker.terminate();
  });
} else {
  console.log(report());
}
