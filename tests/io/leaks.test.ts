/**
 * What is taken is given back: operations, buffers, files and descriptors, also when things fail; and no
 * process is kept alive by what is idle, or ends before what is pending.
 */
import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, test } from "node:test";
import { CompletionArray, File, type Io, type IoFile, SyncIo, UringIo } from "../../io.ts";
import { PositionedFile } from "../../storage.ts";
import { run as command } from "../fault/_mounts.ts";
import { storageOn } from "../storage/support.ts";
import { runProgram } from "../support/program.ts";
import { inScratch, isDeno, ROOT, skipRing } from "../support/ring.ts";
import { openFile, run } from "./support.ts";

const RW = { read: true, write: true, create: true };
const bytes = (words: string) => new TextEncoder().encode(words);

const DISKS = [
  { name: "uring", skip: skipRing, open: () => UringIo.open({ arenaBytes: 4 << 20, files: 16 }) },
  { name: "sync", skip: false, open: () => SyncIo.open() },
] as const;

/** What this process has open now: eventfds, and everything else. */
function descriptors(): { wakes: number; others: number } {
  const links = readdirSync("/proc/self/fd").flatMap((number) => {
    try {
      return [readlinkSync(`/proc/self/fd/${number}`)];
    } catch {
      // The one that lists them.
      return [];
    }
  });
  const wakes = links.filter((link) => link === "anon_inode:[eventfd]").length;
  return { wakes, others: links.length - wakes };
}

/** Something of everything: what succeeds, what fails, and what is left open for the end of the Io. */
async function work(io: Io, d: string): Promise<void> {
  const client = io.client("one");
  for (let i = 0; i < 30; i++) {
    run(client, (h) => client.open(`${d}/none`, { read: true }, h));
    run(client, (h) => client.open(d, { read: true }, h));
    run(client, (h) => client.open(`${d}/a/b`, { write: true, create: true }, h));
    run(client, (h) => client.syncDirectory(d, h));
    run(client, (h) => client.syncDirectory(`${d}/a`, h));
    run(client, (h) => client.stat(`${d}/none`, h));
    const file = openFile(client, `${d}/a`);
    assert.equal(client.lock(file), 0);
    run(client, (h) => client.truncate(file, 1 << 20, h));
    run(client, (h) => client.close(file, h));
    io.listDirectory(d);
    assert.throws(() => io.listDirectory(`${d}/none`), { code: "ENOENT" });
    assert.throws(() => io.createDirectories(`${d}/a/b`), { code: "ENOTDIR" });
    if (!isDeno) {
      const number = openSync(`${d}/a`, "r");
      let adopted!: IoFile;
      assert.equal(run(client, (h) => adopted = client.adoptFd(number, h)), 0);
      closeSync(number);
      run(client, (h) => client.close(adopted, h));
      // A number that is nobody's.
      assert.ok(run(client, (h) => client.adoptFd(99_999, h)) < 0);
    }
  }
  client[Symbol.dispose]();

  for (let i = 0; i < 3; i++) {
    await using file = await File.open(`${d}/file`, RW, io);
    await file.writeAt(new Uint8Array(300_000), 0);
    await assert.rejects(File.open(`${d}/none`, { read: true }, io));
    await assert.rejects(file.readAt(new Uint8Array(1), 0, { signal: AbortSignal.abort() }));
    using positioned = PositionedFile.open(`${d}/file`, RW, io);
    positioned.pwriteBatch([{ offset: 0, bytes: new Uint8Array(300_000) }]);
    assert.throws(() => positioned.preadAt(1e9, new Uint8Array(5)), { code: "UnexpectedEof" });
    assert.throws(() => PositionedFile.open(`${d}/none`, { read: true }, io), { code: "ENOENT" });
    const storage = storageOn(io);
    const fd = storage.registerFd(await File.open(`${d}/storage`, RW, io));
    storage.submitAppend(fd, bytes("text"));
    storage.submitDatasync(fd);
    const out = new CompletionArray(1);
    storage.pollCompletions(out);
    // Closed with completions that nobody polled, and with a file that nobody deregistered.
    storage.close();
  }
  // Files of a storage close in the event loop.
  for (let i = 0; i < 1000 && io.arenaFreeBytes < io.arenaBytes; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(io.arenaFreeBytes, io.arenaBytes, "buffers");
  assert.deepEqual([io.available, io.inFlight], [io.capacity, 0], "operations");
  assert.equal(io.statistics().queueDepth, 0);
}

for (const { name, skip, open } of DISKS) {
  test(
    `${name}: nothing is left after work that succeeds and fails`,
    { skip },
    () =>
      inScratch(async (directory) => {
        // What belongs to a thread is made once, and stays.
        const round = async (i: number) => {
          const d = join(directory, `${i}`);
          mkdirSync(d);
          const io = open();
          await work(io, d);
          if (io instanceof UringIo) assert.equal(io.ringStats().files, 0);
          // These are for the end of the Io to close.
          openFile(io, `${d}/open`);
          const locked = openFile(io, `${d}/locked`);
          assert.equal(io.lock(locked), 0);
          io[Symbol.dispose]();
          assert.deepEqual(io.leaks, []);
        };
        await round(0);
        const before = descriptors();
        for (let i = 1; i <= 4; i++) await round(i);
        const after = descriptors();
        assert.equal(after.others, before.others);
        // The one that wakes a thread is closed only when its last wait has returned.
        assert.ok(
          after.wakes <= before.wakes + 1,
          `${after.wakes} eventfds, ${before.wakes} before`,
        );
      }),
  );
}

// Processes

/** Programs that end by themselves although something is open. */
const IDLE: Record<string, string> = {
  "an Io": `const io = open(); io.stat("/", 1); await io.wait(); io.poll(); io.take(1);`,
  "an Io with a file that is locked":
    `const io = open(); io.open(path, RW, 1); await io.wait(); io.poll(); io.take(1);`,
  "a File": `const file = await File.open(path, RW, open()); await file.writeAt(data, 0);`,
  "a File without an Io": `const file = await File.open(path, RW); await file.datasync();`,
  "a PositionedFile": `const file = PositionedFile.open(path, RW, open()); file.pwriteAt(0, data);`,
  "a storage": `
    const io = open();
    const storage = new StoragePolicy(io, false, { buffers: 2 });
    const fd = storage.registerFd(await File.open(path, RW, io));
    storage.submitAppend(fd, data);
    while (storage.pendingCount > 0) {
      await storage.wait();
      storage.pollCompletions(new CompletionArray(4));
    }`,
  "a timer that was cancelled": `open().after(60e6, () => console.log("called")).cancel();`,
};

/** Programs that must not end before they have said so. */
const PENDING: Record<string, string> = {
  "a wait": `const io = open(); io.open(path, RW, 1);
    io.wait().then(() => { io.poll(); console.log("done", io.take(1)); });`,
  "a write of a File": `File.open(path, RW, open()).then((file) => file.writeAt(data, 0))
    .then((count) => console.log("done", count - 3));`,
  "a timer": `open().after(20_000, () => console.log("done 0"));`,
};

const programOf = (backend: string, path: string, body: string) => `
  import { CompletionArray, File, openIo } from "${ROOT}/io.ts";
  import { PositionedFile, StoragePolicy } from "${ROOT}/storage.ts";
  const path = ${JSON.stringify(path)};
  const RW = { read: true, write: true, create: true };
  const data = new Uint8Array(3);
  const open = () => openIo({ backend: "${backend}" });
  ${body}
  console.log("end of the program");`;

for (const backend of ["uring", "sync", "memory"]) {
  describe(`processes over ${backend}`, { skip: backend === "uring" && skipRing }, () => {
    const program = (body: string, onOutput?: (stdout: string) => void) =>
      inScratch(async (directory) => {
        const file = join(directory, "program.ts");
        const path = backend === "memory" ? "/a" : join(directory, "a");
        writeFileSync(file, programOf(backend, path, body));
        return await runProgram(file, [], onOutput === undefined ? {} : { onOutput });
      });

    it("what is idle keeps none alive", async () => {
      // One after the other in one process: what would keep it alive is kept by any of them.
      const bodies = Object.values(IDLE).map((body) => `{ ${body} }`);
      const { status, stdout, stderr } = await program(bodies.join("\n"));
      assert.deepEqual([stdout, stderr, status], ["end of the program\n", "", 0]);
    });

    for (const [what, body] of Object.entries(PENDING)) {
      it(`${what} keeps one alive until its end`, async () => {
        const { status, stdout, stderr } = await program(body);
        assert.deepEqual([stdout, stderr, status], ["end of the program\ndone 0\n", "", 0]);
      });
    }
  });
}

test("uring: a wait for what takes for ever keeps the process alive until it comes", {
  skip: skipRing,
}, () =>
  inScratch(async (directory) => {
    const fifo = join(directory, "fifo");
    command("mkfifo", fifo);
    const file = join(directory, "program.ts");
    const body = `const io = open(); io.open(path, { read: true }, 1); io.poll();
      io.wait().then(() => { io.poll(); console.log("done", io.take(1)); });`;
    writeFileSync(file, programOf("uring", fifo, body));
    let writer: number | undefined;
    const { status, stdout, stderr } = await runProgram(file, [], {
      onOutput: (said) => {
        if (!said.includes("end of the program") || writer !== undefined) return;
        // Opened both ways it waits for nobody: a process that has ended finds nothing more.
        writer = -1;
        setTimeout(() => writer = openSync(fifo, "r+"), 200);
      },
    });
    if (writer !== undefined && writer >= 0) closeSync(writer);
    assert.deepEqual([stdout, stderr, status], ["end of the program\ndone 0\n", "", 0]);
  }));
