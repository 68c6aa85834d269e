/**
 * A ring in a worker that is ended with all kinds of operations in flight: opens, closes, statx, names,
 * attributes, polls, time-outs, and messages to the parent's ring. None of them was reaped.
 */
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { LOCK_FLAG, OPEN_FLAG, POLL_FLAG, Ring, SQE_FLAG, StatxResult } from "../../ring.ts";
import { finish, openFile } from "../support/ring.ts";

const { directory, address, rung } = workerData as {
  directory: string;
  address: number;
  rung: number;
};
const ring = Ring.open({ bufferBytes: 4096, arenaBytes: 65536, entries: 128, firstRung: rung });
const lock = openFile(ring, join(directory, "LOCK"));
const locked = ring.flock(lock, LOCK_FLAG.EXCLUSIVE | LOCK_FLAG.NONBLOCK);
const fifo = openFile(ring, join(directory, "fifo"), OPEN_FLAG.RDWR);
const files = Array.from({ length: 8 }, (_, i) => openFile(ring, join(directory, `file${i}`)));
const { RDWR, CREAT } = OPEN_FLAG;
if (finish(ring, ring.prepNop(0)) !== 0) throw new Error("no ring");
let prepared = 0;
const count = (staged: boolean) => {
  if (!staged) throw new Error("not prepared");
  prepared++;
};
for (let i = 0; i < 8; i++) {
  const path = join(directory, `new${i}`);
  // By threads of the kernel, so that they are under way or waiting for their turn.
  for (const flags of [0, SQE_FLAG.ASYNC]) {
    ring.nextFlags(flags);
    count(ring.prepOpenat(path, RDWR | CREAT, 0o600, i));
    ring.nextFlags(flags);
    count(ring.prepStatx(path, new StatxResult(), i));
    ring.nextFlags(flags);
    count(ring.prepMsgRing(address, i, i, i));
  }
  ring.nextFlags(SQE_FLAG.ASYNC);
  count(ring.prepFstatx(lock, new StatxResult(), i));
  ring.nextFlags(SQE_FLAG.ASYNC);
  count(ring.prepClose(files[i], i));
  count(ring.prepGetxattr(path, "user.a", ring.buffers.acquire()!, 0, 16, i));
  count(ring.prepPollAdd(fifo, POLL_FLAG.IN, i));
  count(ring.prepTimeout(60_000_000, 0, i));
}
ring.submit();
parentPort!.postMessage({ locked, prepared });
