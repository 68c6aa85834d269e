/**
 * A ring in a worker: does what its `workerData` says, and tells the parent when it is there. The arenas
 * are small enough for four workers and 8 MiB of memlock.
 */
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { LOCK_FLAG, OPEN_FLAG, Ring } from "../../ring.ts";
import { ERRNO } from "../../src/abi/generated.ts";
import { library } from "../../src/native/library.ts";

const { task, directory, number } = workerData as {
  task: "hang" | "run" | "wait" | "foreign";
  directory: string;
  number: number;
};
const say = (answer: unknown) => parentPort!.postMessage(answer);

function open(ring: Ring, path: string) {
  ring.prepOpenat(path, OPEN_FLAG.RDWR | OPEN_FLAG.CREAT, 0o644, 0);
  ring.submitAndWait(1);
  ring.reap();
  return ring.file(ring.completions.res[0]);
}

switch (task) {
  // 64 operations in flight, half of which never end; a lock; then nothing any more.
  case "hang": {
    const ring = Ring.open({ bufferBytes: 16384, arenaBytes: 64 * 16384 });
    const lock = open(ring, join(directory, "LOCK"));
    const locked = ring.flock(lock, LOCK_FLAG.EXCLUSIVE | LOCK_FLAG.NONBLOCK);
    const fifo = open(ring, join(directory, "fifo"));
    const file = open(ring, join(directory, "data"));
    for (let i = 0; i < 32; i++) {
      ring.prepRead(fifo, ring.buffers.acquire()!, 0, 10, 0, i);
      const buffer = ring.buffers.acquire()!;
      buffer.bytes.fill(i + 1);
      ring.prepWriteFixed(file, buffer, 0, buffer.length, i * buffer.length, 100 + i);
    }
    ring.submit();
    say({ locked, inFlight: ring.inFlight });
    break;
  }
  case "run": {
    using ring = Ring.open({ arenaBytes: 1 << 18 });
    let sum = 0;
    for (let i = 0; i < 1000; i++) {
      for (let j = 0; j < 32; j++) ring.prepNop(j);
      ring.submitAndWait(32);
      sum += ring.reap();
    }
    say(sum);
    break;
  }
  case "wait": {
    using ring = Ring.open({ arenaBytes: 1 << 18 });
    const fifo = open(ring, join(directory, `fifo${number}`));
    const buffer = ring.buffers.acquire()!;
    ring.prepRead(fifo, buffer, 0, 10, 0, number);
    say("waiting");
    await ring.drain();
    say(ring.completions.userData[0]);
    break;
  }
  // The parent's ring, by its number.
  case "foreign": {
    const { functions } = library();
    const answers = [
      functions.uring_tick(number, 0, 0, 0),
      functions.uring_close(number, 0),
      functions.uring_adopt(number, 0),
    ];
    say(answers.every((answer) => answer === -ERRNO.EXDEV) ? "refused" : answers);
  }
}
