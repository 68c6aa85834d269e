/**
 * What the transfers of files do when the `Io` is short of something, or the memory of a caller goes away
 * under them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { File, type Io, IoUsageError, type OpenOptions } from "../../io.ts";
import { type BackendOptions, type BackendRow, BACKENDS, filled } from "../io/support.ts";

const RW: OpenOptions = { read: true, write: true, create: true };

/** Operations that hold no buffer. */
const WITHOUT_BUFFER: Record<string, (file: File) => Promise<unknown>> = {
  "a stat": (file) => file.stat(),
  "a sync": (file) => file.sync(),
  "a truncation": (file) => file.truncate(5000),
};

for (const backend of BACKENDS) suite(backend);

function suite(backend: BackendRow): void {
  const row = (
    name: string,
    body: (io: Io, directory: string) => Promise<void>,
    options?: BackendOptions,
  ) =>
    test(`${backend.name}: ${name}`, { skip: backend.skip }, async () => {
      const { io, directory, remove } = backend.open(options);
      try {
        await body(io, directory);
        assert.deepEqual(io.leaks, []);
        assert.equal(io.arenaFreeBytes, io.arenaBytes, "buffers were given back");
        io[Symbol.dispose]();
      } finally {
        remove();
      }
    });

  for (const [what, start] of Object.entries(WITHOUT_BUFFER)) {
    row(`operations wait for buffers also when ${what} ends first`, async (io, d) => {
      await using file = await File.open(`${d}/a`, RW, io);
      await file.writeAt(filled(5000, 7), 0);
      const into = Array.from({ length: 40 }, () => new Uint8Array(5000));
      const [, ...got] = await Promise.all([
        start(file),
        ...into.map((bytes) => file.readAt(bytes, 0)),
      ]);
      assert.deepEqual(got, into.map(() => 5000));
      for (const bytes of into) assert.deepEqual(bytes, filled(5000, 7));
    }, { arenaBytes: 16 * 1024 });
  }

  row("nobody has a buffer to give: the operation says so", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    const taken = io.acquireBuffer(16 * 1024)!;
    await assert.rejects(file.writeAt(filled(10, 1), 0), /no buffer is free/);
    io.releaseBuffer(taken);
    assert.equal(await file.writeAt(filled(10, 1), 0), 10);
  }, { arenaBytes: 16 * 1024 });

  row("memory that goes away under a read or write: that operation rejects", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    await file.writeAt(filled(300_000, 3), 0);
    const takers: ((length: number) => { bytes: Uint8Array; take(): void })[] = [
      (length) => {
        const bytes = new Uint8Array(new ArrayBuffer(length));
        return {
          bytes,
          take: () => void structuredClone(bytes.buffer, { transfer: [bytes.buffer] }),
        };
      },
      (length) => {
        const memory = new ArrayBuffer(length, { maxByteLength: length });
        return { bytes: new Uint8Array(memory), take: () => memory.resize(10) };
      },
      (length) => {
        const memory = new ArrayBuffer(length, { maxByteLength: length });
        return { bytes: new Uint8Array(memory, 0, length), take: () => memory.resize(10) };
      },
    ];
    for (const make of takers) {
      const read = make(300_000);
      const write = make(300_000);
      const other = new Uint8Array(300_000);
      const running = [
        file.readAt(read.bytes, 0),
        file.writeAt(write.bytes, 400_000),
        file.readAt(other, 0),
      ];
      read.take();
      write.take();
      await assert.rejects(running[0], IoUsageError);
      await assert.rejects(running[1], IoUsageError);
      assert.equal(await running[2], 300_000);
      assert.deepEqual(other, filled(300_000, 3));
    }
  });
}
