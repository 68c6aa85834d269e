/**
 * One seed, one history: programs with faults, crashes and several operations in flight are run twice
 * and compared; a checksum over all of it stands here, so that both runtimes are compared too. A
 * change of the simulation changes it: then write the new one down, when both runtimes agree.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "../../src/io/crc32c.ts";
import { Prng } from "../../src/io/prng.ts";
import { DSYNC, File, type IoBuffer, type IoFile } from "../../io.ts";
import { MemoryIo } from "../../testing.ts";
import { filled, openFile } from "./support.ts";

const CHECKSUM = 304764563;

/** A program with 16 operations in flight, over several lives of one machine. */
async function history(seed: number): Promise<string[]> {
  const random = new Prng(seed);
  const lines: string[] = [];
  let io = MemoryIo.create({
    seed,
    history: true,
    shortChance: 0.05,
    interruptChance: 0.05,
    diskBytes: 1 << 21,
  });
  for (let life = 0; life < 4; life++) {
    io.fail({ operation: "fdatasync", nth: 5, errno: 5 });
    io.fail({ operation: "write", nth: 30, errno: 5 });
    const files: IoFile[] = ["/a", "/b"].map((path) => openFile(io, path));
    files.push(openFile(io, "/c", { direct: true }));
    const buffers: IoBuffer[] = Array.from({ length: 16 }, () => io.acquireBuffer(8192)!);
    const idle = buffers.map((_, i) => i);
    for (let i = 0; i < 300; i++) {
      while (idle.length > 0) {
        const handle = idle.pop()!;
        const file = files[random.below(3)];
        const offset = random.below(100) * 4096;
        const kind = random.below(10);
        if (kind === 0) io.fdatasync(file, handle);
        else if (kind === 1) io.truncate(file, offset, handle);
        else if (kind === 2) io.rename("/b", "/e", handle);
        else if (kind === 3) io.rename("/e", "/b", handle);
        else if (kind === 4) io.syncDirectory("/", handle);
        else if (kind < 7) io.readAt(file, buffers[handle], 0, 8192, offset, handle);
        else {
          buffers[handle].bytes.fill(random.next());
          io.writeAt(file, buffers[handle], 0, 8192, offset, random.oneIn(2) ? DSYNC : 0, handle);
        }
      }
      if (random.oneIn(3)) await io.wait();
      else if (random.oneIn(2)) io.park();
      io.poll();
      const { userData, length } = io.completions;
      for (let row = 0; row < length; row++) idle.push(userData[row]);
      io.completions.clear();
      const bytes = new Uint8Array(4);
      io.random(bytes);
      lines.push(`${io.now()} ${bytes}`);
    }
    lines.push(...io.history);
    const next = random.oneIn(4) ? io.kill() : io.crash(random.next());
    for (const [path, bytes] of next.image()) lines.push(`${path} ${crc32c(bytes)}`);
    io = next;
  }
  return lines;
}

test("the same seed gives the same history, another one another", async () => {
  const all: string[] = [];
  for (let seed = 1; seed <= 10; seed++) {
    const lines = await history(seed);
    assert.deepEqual(await history(seed), lines, `seed ${seed}`);
    assert.notDeepEqual(await history(seed + 1000), lines);
    all.push(...lines);
  }
  assert.equal(crc32c(new TextEncoder().encode(all.join("\n"))), CHECKSUM);
});

/** Files on an `Io` of which another client has nearly all operations; the program takes its time. */
async function crowded(spinMillis: number): Promise<string[]> {
  const io = MemoryIo.create({ seed: 5, history: true, capacity: 4 });
  const file = await File.open("/a", { read: true, write: true, create: true }, io);
  const other = io.client("other");
  const buffers = [0, 1, 2].map(() => other.acquireBuffer()!);
  let left = 100;
  const writes = Promise.all(
    Array.from(
      { length: left },
      (_, i) => file.writeAt(filled(100, i), i * 100).then(() => left--),
    ),
  );
  while (left > 0) {
    for (let i = 0; i < buffers.length && other.available > 0; i++) {
      other.writeAt(file.ioFile, buffers[i], 0, 4096, 65536 + 4096 * i, 0, i);
    }
    while (other.inFlight > 0) {
      await other.wait();
      other.poll();
      other.completions.clear();
    }
    const until = performance.now() + spinMillis;
    while (performance.now() < until);
    // The file has all of them now and then, and goes on by itself: in turns of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writes;
  buffers.forEach((buffer) => other.releaseBuffer(buffer));
  await file.close();
  return [...io.history, String(io.now())];
}

test("how long a program takes in real time changes nothing, also where files wait for room", async () => {
  assert.deepEqual(await crowded(0.5), await crowded(0));
});
