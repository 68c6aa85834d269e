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

/** Ticks 100 times with 20 NOPs each, then reaps by hand what a thread of the kernel submitted, if there is one. */
function countEnters(ring: Ring): Record<string, unknown> {
  const polled = ring.features.setup.includes("SQPOLL");
  // A thread of the kernel that has never had work sleeps.
  if (polled) ring.prepNop(0);
  for (ring.submit(); ring.inFlight > 0;) ring.reap();
  const before = ring.stats().enters;
  for (let i = 0; i < 100; i++) {
    for (let j = 0; j < 20; j++) if (!ring.prepNop(j)) throw new Error("not prepared");
    if (polled) ring.submit();
    else ring.submitAndWait(20);
    for (let reaped = 0; reaped < 20;) reaped += ring.reap();
  }
  const { enters } = ring.stats();
  return { enters, counted: enters - before };
}

/** Waits in the event loop for what the kernel may not take at once. */
async function drain(ring: Ring): Promise<Record<string, unknown>> {
  let done = 0;
  for (let i = 0; i < 20; i++) {
    ring.prepNop(i);
    done += await ring.drain();
  }
  return { done };
}

/** Lets the thread of the kernel fall asleep again and again. */
async function wakeOften(ring: Ring): Promise<Record<string, unknown>> {
  let done = 0;
  for (let i = 0; i < 20; i++) {
    ring.prepNop(i);
    ring.submit();
    for (; ring.inFlight > 0; await sleep(1)) done += ring.reap();
    await sleep(5);
  }
  return { done };
}

/** Writes up to the limit of a file's size, 1 GiB, and past it. */
function writeShort(ring: Ring): Record<string, unknown> {
  const run = (prepared: boolean): number => {
    if (!prepared) throw new Error("not prepared");
    ring.submitAndWait(1);
    ring.reap();
    return ring.completions.res[0];
  };
  const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT;
  const file = ring.file(run(ring.prepOpenat(`${directory}/data`, flags, 0o644, 1)));
  const buffer = ring.buffers.acquire()!;
  const end = 1 << 30;
  const first = run(ring.prepWriteFixed(file, buffer, 0, 4096, end - 6000, 2));
  const second = run(ring.prepWriteFixed(file, buffer, 0, 4096, end - 6000 + first, 3));
  return { first, second };
}

/** Ends the process with reads that never end, writes that do, and no close. */
function exitAtOnce(ring: Ring): never {
  const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT;
  for (const path of ["fifo", "data"]) ring.prepOpenat(`${directory}/${path}`, flags, 0o644, 0);
  ring.submitAndWait(2);
  ring.reap();
  const files = [...ring.completions.res.subarray(0, 2)].map((res) => ring.file(res));
  for (let i = 0; i < 16; i++) {
    ring.prepRead(files[0], ring.buffers.acquire()!, 0, 10, 0, i);
    ring.prepWriteFixed(files[1], ring.buffers.acquire()!, 0, 65536, i * 65536, 100 + i);
  }
  ring.submit();
  console.log(JSON.stringify({ inFlight: ring.inFlight }));
  process.exit(0);
}

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis));
const tasks: Record<
  string,
  (ring: Ring) => Record<string, unknown> | Promise<Record<string, unknown>>
> = {
  use,
  drain,
  sparse: useSparse,
  enters: countEnters,
  wake: wakeOften,
  short: writeShort,
  exit: exitAtOnce,
};

async function report(): Promise<string> {
  try {
    using ring = Ring.open(options);
    return JSON.stringify(await tasks[task](ring));
  } catch (error) {
    if (!(error instanceof RingUnavailableError)) throw error;
    const { reason, code, message, detail, wayOut } = error;
    return JSON.stringify({ reason, code, message, detail, wayOut });
  }
}

if (!isMainThread) {
  parentPort!.postMessage(await report());
} else if (inWorker) {
  const worker = new Worker(import.meta.filename!, {
    argv: [directory, JSON.stringify({ ...options, task })],
  });
  worker.once("message", (line) => {
    console.log(line);
    void worker.terminate();
  });
} else {
  console.log(await report());
}
