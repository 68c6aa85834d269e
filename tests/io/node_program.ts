/**
 * What has no native part, under plain Node.js: bundled and run by node.bun.test.ts. Prints in one line of
 * JSON what came of it. Arguments: a directory, and how many random programs.
 */
import process from "node:process";
import { CompletionArray, File, openIo, SyncIo } from "../../io.ts";
import { PositionedFile, SyncStorageIo } from "../../storage.ts";
import { Wal } from "../../wal.ts";
import { diskSide, sameForAll } from "./programs.ts";

const RW = { read: true, write: true, create: true };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (words: string) => new TextEncoder().encode(words);
const [directory, programs] = process.argv.slice(2);
const said: Record<string, unknown> = {};

{
  const io = openIo();
  said.io = [io.backend, io.reason];
  const file = io.open(`${directory}/lock`, RW, 1);
  io.park();
  said.lock = [io.take(1), io.lock(file)];
  said.identity = io.identity().pid === process.pid;
  io[Symbol.dispose]();
}
{
  using side = diskSide("node", SyncIo.open(), directory, [
    "allocate",
    "direct",
    "advice",
    "lock by description",
  ]);
  sameForAll(side, Number(programs), 11);
  said.programs = Number(programs);
}
{
  const file = await File.open(`${directory}/file`, RW);
  await file.writeAt(bytes("hello world"), 0, { dsync: true });
  const into = new Uint8Array(5);
  said.file = [await file.readAt(into, 6), text(into)];
  await file.close();
}
{
  using storage = SyncStorageIo.open();
  const fd = storage.registerFd(await File.open(`${directory}/storage`, RW, storage.io));
  storage.submitAppend(fd, bytes("one "));
  storage.submitAppend(fd, bytes("two"));
  storage.submitDatasync(fd);
  const out = new CompletionArray(8);
  while (storage.pendingCount > 0) {
    await storage.wait();
    storage.pollCompletions(out);
  }
  said.storage = Array.from(out.res.slice(0, out.length));
}
{
  using file = PositionedFile.open(`${directory}/storage`, { read: true });
  const into = new Uint8Array(7);
  file.preadAt(0, into);
  said.positioned = text(into);
}
// The log needs Node.js 22.
if ("withResolvers" in Promise) {
  const refused = await Wal.open(`${directory}/log`).then(() => "opened", (error) => error.name);
  const wal = await Wal.open(`${directory}/log`, { unsafeNoLock: true });
  await wal.durable(wal.append("a record"));
  const records: string[] = [];
  for await (const batch of wal.read()) records.push(batch.text(0));
  await wal.close();
  said.log = [refused, ...records];
}
console.log(JSON.stringify(said));
