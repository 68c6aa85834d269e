/**
 * A log over `node:fs`: what it acknowledged survives a kill, its locks exclude everybody, and without
 * locks it is refused. The rest of its promises are in log.test.ts.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs, { mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { openIo, SyncIo, UringIo } from "../../io.ts";
import { Wal, WalLockedError, WalOptionsError, WalView } from "../../wal.ts";
import { IoError } from "../../src/io/io.ts";
import { leavesDoubt } from "../../src/wal/doubt.ts";
import { commandOf } from "../cli/support.ts";
import { inScratch, skipRing } from "../support/ring.ts";
import { SMALL } from "./support.ts";

async function records(wal: Wal): Promise<string[]> {
  const out: string[] = [];
  for await (const batch of wal.read()) {
    for (let i = 0; i < batch.length; i++) out.push(batch.text(i));
  }
  return out;
}

/** Runs a writer until it has acknowledged so much, and kills it; gives the last LSN that it said. */
function killedWriter(log: string, untilLsn: number): Promise<number> {
  const [program, args] = commandOf("tests/wal/sync_writer.ts", [log]);
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (data: Uint8Array) => {
      said += new TextDecoder().decode(data);
      const last = Number(said.slice(0, said.lastIndexOf("\n")).split("\n").at(-1));
      if (last >= untilLsn) child.kill("SIGKILL");
    });
    child.on("error", reject);
    child.on("close", (status, signal) => {
      if (signal !== "SIGKILL") reject(new Error(`the writer ended with ${status}, ${signal}`));
      resolve(Number(said.slice(0, said.lastIndexOf("\n")).split("\n").at(-1)));
    });
  });
}

test("what was acknowledged survives SIGKILL, again and again", () =>
  inScratch(async (directory) => {
    const log = join(directory, "log");
    let last = 0;
    for (let round = 1; round <= 3; round++) {
      const acknowledged = await killedWriter(log, last + 300);
      const wal = await Wal.open(log, { ...SMALL, lockTimeoutMillis: 2000, io: SyncIo.open() });
      const got = await records(wal);
      assert.ok(got.length >= acknowledged, `${got.length} records, ${acknowledged} acknowledged`);
      got.forEach((text, i) => assert.ok(text.startsWith(`record ${i + 1} `), text));
      last = got.length;
      await wal.close();
    }
  }));

test(
  "a log of one backend is read and continued by the other",
  { skip: skipRing },
  () =>
    inScratch(async (directory) => {
      const log = join(directory, "log");
      const expected: string[] = [];
      for (const [i, io] of [SyncIo.open(), UringIo.open(), SyncIo.open()].entries()) {
        await using wal = await Wal.open(log, { ...SMALL, io });
        assert.deepEqual(await records(wal), expected);
        assert.equal(wal.recovery.tail, "clean");
        wal.append(`by ${io.backend} ${i}`);
        expected.push(`by ${io.backend} ${i}`);
        await wal.flush();
      }
    }),
);

test("the lock excludes another Io of this process, of any backend, and through a symlink", () =>
  inScratch(async (directory) => {
    const log = join(directory, "real");
    mkdirSync(log);
    symlinkSync(log, join(directory, "link"));
    const wal = await Wal.open(log, { ...SMALL, io: SyncIo.open() });
    for (const path of [log, join(directory, "link")]) {
      for (const io of [SyncIo.open(), openIo()]) {
        await assert.rejects(Wal.open(path, { ...SMALL, io }), (error: Error) => {
          assert.ok(error instanceof WalLockedError, String(error));
          assert.ok(error.message.includes(String(process.pid)), error.message);
          return true;
        });
      }
    }
    await wal.close();
    await (await Wal.open(log, { ...SMALL, io: openIo() })).close();
  }));

test("without locks a log is refused, unless the program says that it does without", () =>
  inScratch(async (directory) => {
    const log = join(directory, "log");
    const io = SyncIo.open();
    io.driver.lock = () => -95; // EOPNOTSUPP, as under Node.js
    await assert.rejects(Wal.open(log, { ...SMALL, io }), (error: Error) => {
      assert.ok(error instanceof WalOptionsError, String(error));
      assert.match(error.message, /cannot be locked.*unsafeNoLock: true/);
      return true;
    });
    const wal = await Wal.open(log, { ...SMALL, io, unsafeNoLock: true });
    wal.append("a");
    await wal.close();
    await assert.rejects(
      Wal.open(log, { ...SMALL, io, unsafeNoLock: "yes" as unknown as boolean }),
      /unsafeNoLock must be true or false/,
    );
  }));

test("direct I/O is refused by name", () =>
  inScratch(async (directory) => {
    const options = { ...SMALL, mode: "direct", io: SyncIo.open() } as const;
    await assert.rejects(Wal.open(join(directory, "log"), options), (error: Error) => {
      assert.ok(error instanceof WalOptionsError, String(error));
      assert.match(error.message, /direct I\/O is not possible.*sync backend/);
      return true;
    });
  }));

test("after a failed sync a log is not opened over node:fs before the machine is restarted", () =>
  inScratch(async (directory) => {
    const log = join(directory, "log");
    const io = SyncIo.open();
    const options = { ...SMALL, mode: "buffered", io } as const;
    const wal = await Wal.open(log, options);
    await wal.durable(wal.append("durable"));
    const real = fs.fdatasyncSync;
    fs.fdatasyncSync = () => {
      throw Object.assign(new Error("input/output error"), { code: "EIO", errno: -5 });
    };
    try {
      await assert.rejects(wal.durable(wal.append("in the cache only")), { code: "WalPoisoned" });
    } finally {
      fs.fdatasyncSync = real;
    }
    await wal.close();
    const doubts = () => readdirSync(log).filter((name) => name.startsWith("DOUBT-"));
    const [doubt] = doubts();
    assert.match(doubt, /^DOUBT-[0-9a-f-]{36}$/);
    const refused = (error: Error) => {
      assert.match(error.message, /a write or sync failed since this machine was started/);
      assert.ok(error.message.includes(join(log, doubt)), error.message);
      return (error as { code?: string }).code === "WalPoisoned";
    };
    await assert.rejects(Wal.open(log, options), refused);
    await assert.rejects(WalView.open(log, io), refused);
    // Of another boot of the machine: its cache is gone.
    renameSync(join(log, doubt), join(log, "DOUBT-5b1f8c1e-0000-4000-8000-000000000000"));
    const again = await Wal.open(log, options);
    assert.deepEqual(doubts(), []);
    assert.ok((await records(again)).includes("durable"));
    await again.close();
  }));

test(
  "what opening could not sync leaves a doubt, which io_uring looks past",
  { skip: skipRing },
  () =>
    inScratch(async (directory) => {
      const log = join(directory, "log");
      const io = SyncIo.open();
      const options = { ...SMALL, mode: "buffered", io } as const;
      const wal = await Wal.open(log, options);
      await wal.durable(wal.append("durable"));
      await wal.close();
      const real = fs.fsyncSync;
      fs.fsyncSync = (descriptor) => {
        if (fs.fstatSync(descriptor).isFile()) {
          throw Object.assign(new Error("input/output error"), { code: "EIO", errno: -5 });
        }
        return real(descriptor);
      };
      try {
        await assert.rejects(Wal.open(log, options), { code: "EIO" });
      } finally {
        fs.fsyncSync = real;
      }
      await assert.rejects(Wal.open(log, options), { code: "WalPoisoned" });
      await (await Wal.open(log, { ...SMALL, io: openIo() })).close();
      await (await Wal.open(log, options)).close();
    }),
);

test("a full disk that refuses a spare leaves no doubt, a write or sync of the log does", () => {
  const io = SyncIo.open();
  const failed = (operation: string, path: string) =>
    leavesDoubt(io, new IoError("failed", "ENOSPC", 28, operation, path));
  assert.equal(failed("write", "/log/0000000000000002.wal.tmp"), false);
  assert.equal(failed("fsync", "/log/META.tmp"), false);
  assert.equal(failed("rename", "/log/META"), false);
  for (const operation of ["write", "fsync", "fdatasync"]) {
    assert.equal(failed(operation, "/log/0000000000000002.wal"), true, operation);
  }
  io[Symbol.dispose]();
});
