/** What the tests of the log share: files of an Io as bytes, and logs of a known shape. */

import type { Io } from "../../src/io/io.ts";
import { Pump } from "../../src/io/pump.ts";
import { Disk } from "../../src/wal/disk.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import type { Wal } from "../../src/wal/wal.ts";

export const SMALL: WalOptions = {
  segmentBytes: 131_072,
  commit: { maxBytes: 8192, maxInFlight: 3 },
  lockTimeoutMillis: 0,
};

const PIECE_BYTES = 65_536;

/** Whole contents of a file. */
export async function readFile(io: Io, path: string): Promise<Uint8Array> {
  const client = io.client("test");
  const disk = new Disk(new Pump(client));
  const buffer = client.acquireBuffer(PIECE_BYTES)!;
  const file = await disk.pump.run(disk.open(path, { read: true }));
  const { size } = await disk.pump.run(disk.stat(file));
  const bytes = new Uint8Array(size);
  for (let offset = 0; offset < size; offset += PIECE_BYTES) {
    const got = await disk.pump.run(disk.read(file, buffer, 0, PIECE_BYTES, offset));
    bytes.set(buffer.bytes.subarray(0, got), offset);
  }
  await disk.pump.run(disk.close(file));
  client.releaseBuffer(buffer);
  client[Symbol.dispose]();
  return bytes;
}

/** Replaces the contents of a file, durably. */
export async function writeFile(io: Io, path: string, bytes: Uint8Array): Promise<void> {
  const client = io.client("test");
  const disk = new Disk(new Pump(client));
  const buffer = client.acquireBuffer(PIECE_BYTES)!;
  const file = await disk.pump.run(
    disk.open(path, { write: true, create: true, truncate: true }),
  );
  for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
    const piece = bytes.subarray(offset, offset + PIECE_BYTES);
    buffer.bytes.set(piece);
    await disk.pump.run(disk.write(file, buffer, 0, piece.length, offset, 0));
  }
  await disk.pump.run(disk.fsync(file));
  await disk.pump.run(disk.close(file));
  await disk.pump.run(disk.syncDirectory(path.slice(0, path.lastIndexOf("/")) || "/"));
  client.releaseBuffer(buffer);
  client[Symbol.dispose]();
}

/** Changes a file in place. */
export async function patch(
  io: Io,
  path: string,
  change: (bytes: Uint8Array) => Uint8Array | void,
): Promise<void> {
  const bytes = await readFile(io, path);
  await writeFile(io, path, change(bytes) ?? bytes);
}

export async function removeFile(io: Io, path: string): Promise<void> {
  const client = io.client("test");
  const disk = new Disk(new Pump(client));
  await disk.pump.run(disk.remove(path));
  client[Symbol.dispose]();
}

/** All files of a directory. */
export async function readDirectory(io: Io, path: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const { name } of io.listDirectory(path).sort((a, b) => a.name < b.name ? -1 : 1)) {
    files.set(name, await readFile(io, `${path}/${name}`));
  }
  return files;
}

/** All records as text, by LSN. */
export async function records(wal: Wal): Promise<Map<number, string>> {
  const out = new Map<number, string>();
  for await (const batch of wal.read()) {
    for (let i = 0; i < batch.length; i++) out.set(batch.firstLsn + i, batch.text(i));
  }
  return out;
}

/** Appends `count` records one commit each, so that every one has a frame (a commit unit) of its own. */
export async function appendOneByOne(wal: Wal, count: number, text = "record"): Promise<void> {
  for (let i = 0; i < count; i++) {
    const lsn = wal.append(`${text} ${wal.appendedLsn + 1}`);
    await wal.durable(lsn);
  }
}
