/**
 * What the log offers beside appending and reading, over every backend: following, snapshots, retention,
 * events, group commit by time, submitting, repair. The corner cases of each are in a file of its own, on
 * a simulated machine.
 */

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { Io } from "../../src/io/io.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import { SyncIo } from "../../src/io/sync.ts";
import { UringIo } from "../../src/io/uring.ts";
import type { ClosedSegment } from "../../src/wal/segments.ts";
import { repair } from "../../src/wal/repair.ts";
import { WalView } from "../../src/wal/view.ts";
import { Wal } from "../../src/wal/wal.ts";
import { crc } from "../format/build.ts";
import { skipRing } from "../support/ring.ts";
import { patch, readFile, records, SMALL } from "./support.ts";

const ARENA_BYTES = 4 << 20;
const DISK = mkdtempSync(join(tmpdir(), "uring-backends-"));
after(() => rmSync(DISK, { recursive: true, force: true }));

const MACHINES: Record<string, { open: () => Io; skip: string | false }> = {
  memory: { open: () => MemoryIo.create({ seed: 1, arenaBytes: ARENA_BYTES }), skip: false },
  uring: { open: () => UringIo.open({ arenaBytes: ARENA_BYTES }), skip: skipRing },
  sync: { open: () => SyncIo.open({ arenaBytes: ARENA_BYTES }), skip: false },
};
let directories = 0;

/** One record a commit, until the log has begun `count` segments more. */
async function fill(wal: Wal, count: number): Promise<void> {
  const until = wal.stats().segmentsBegun + count;
  // Each record takes a part of a segment.
  while (wal.stats().segmentsBegun < until) await wal.durable(wal.append("r".repeat(3000)));
}

for (const [backend, { open, skip }] of Object.entries(MACHINES)) {
  describe(backend, () => {
    const row = (name: string, body: (io: Io, directory: string) => Promise<void>) =>
      test(name, { skip, timeout: 60_000 }, async () => {
        const io = open();
        try {
          await body(io, backend === "memory" ? "/log" : join(DISK, `${backend}-${++directories}`));
        } finally {
          io[Symbol.dispose]();
        }
      });

    row(
      "tail: what is there, then each record when it is durable, until the log closes",
      async (io, directory) => {
        const wal = await Wal.open(directory, { ...SMALL, io });
        for (let i = 1; i <= 3; i++) wal.append(`record ${i}`);
        const seen: string[] = [];
        const following = (async () => {
          for await (const batch of wal.tail()) {
            assert.ok(batch.firstLsn + batch.length - 1 <= wal.durableLsn, "it is durable");
            for (let i = 0; i < batch.length; i++) seen.push(batch.text(i));
            if (seen.length >= 50) return;
          }
        })();
        for (let i = 4; i <= 50; i++) await wal.durable(wal.append(`record ${i}`));
        await following;
        assert.deepEqual(seen, Array.from({ length: 50 }, (_, i) => `record ${i + 1}`));
        const last = wal.tail({ from: 51 }).next();
        await wal.close();
        assert.equal((await last).done, true);
      },
    );

    row(
      "tail from outside: the records of a log that another one writes",
      async (io, directory) => {
        const wal = await Wal.open(directory, { ...SMALL, io, idleMarkMillis: 1 });
        wal.append("one");
        await wal.flush();
        const view = await WalView.open(directory, io);
        const seen: string[] = [];
        for await (const batch of view.tail()) {
          for (let i = 0; i < batch.length; i++) seen.push(batch.text(i));
          if (seen.length === 3) break;
          wal.append(`after ${seen.length}`);
          await wal.flush();
        }
        assert.deepEqual(seen, ["one", "after 1", "after 2"]);
        await view.close();
        await wal.close();
      },
    );

    row("snapshot: a log of its own, taken while records come", async (io, directory) => {
      const wal = await Wal.open(directory, { ...SMALL, io });
      await fill(wal, 2);
      const copy = `${directory}-copy`;
      const taking = wal.snapshot(copy);
      for (let i = 0; i < 20; i++) await wal.durable(wal.append(`meanwhile ${i}`));
      const manifest = await taking;
      await wal.close();
      const view = await WalView.open(copy, io);
      const report = await view.verify();
      assert.deepEqual([report.state, report.sealed], ["clean", true]);
      assert.deepEqual([report.first, report.last], [manifest.first, manifest.last]);
      await view.close();
      const original = await Wal.open(directory, { ...SMALL, io });
      const again = await Wal.open(copy, { ...SMALL, io });
      const expected = [...(await records(original))].slice(0, manifest.last);
      assert.deepEqual([...(await records(again))], expected);
      await again.close();
      await original.close();
    });

    row(
      "retention by segments: the oldest go, and what is left can be read",
      async (io, directory) => {
        const wal = await Wal.open(directory, { ...SMALL, io, retention: { maxSegments: 2 } });
        await fill(wal, 6);
        // It may be under way.
        for (let i = 0; i < 500 && wal.stats().segments > 2; i++) {
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        assert.equal(wal.stats().segments, 2);
        assert.ok(wal.firstLsn > 1);
        assert.equal([...(await records(wal)).keys()][0], wal.firstLsn);
        const { firstLsn, durableLsn } = wal;
        await wal.close();
        const again = await Wal.open(directory, { ...SMALL, io });
        assert.deepEqual([again.firstLsn, again.durableLsn], [firstLsn, durableLsn]);
        await again.close();
      },
    );

    row(
      "segmentClosed: name, records, bytes, and the CRC32C of what is on the disk",
      async (io, directory) => {
        const wal = await Wal.open(directory, { ...SMALL, io });
        const closed: ClosedSegment[] = [];
        wal.addEventListener("segmentClosed", ({ detail }) => void closed.push(detail));
        await fill(wal, 3);
        // Told from a microtask.
        await new Promise((resolve) => setTimeout(resolve, 5));
        assert.deepEqual(closed.map(({ sequence }) => sequence), [1, 2, 3]);
        for (const { path, bytes, crc32c, firstLsn, lastLsn, name } of closed) {
          assert.ok(path.endsWith(name) && firstLsn <= lastLsn);
          assert.equal(crc32c, crc((await readFile(io, path)).subarray(0, bytes)));
        }
        await wal.close();
      },
    );

    row("group commit: records wait for company, and go out together", async (io, directory) => {
      const commit = { maxBytes: 8192, maxInFlight: 3, maxDelayMicros: 30_000 };
      const wal = await Wal.open(directory, { ...SMALL, io, commit });
      const before = wal.stats().frames;
      wal.append("one");
      await new Promise<void>((resolve) => io.after(1000, resolve));
      const last = wal.append("two");
      await wal.durable(last);
      assert.equal(wal.stats().frames - before, 1);
      wal.append("three");
      wal.submitPending();
      assert.equal(wal.stats().frames - before, 2, "it does not wait any more");
      await wal.flush();
      await wal.close();
    });

    row("repair: what stands before the damage can be kept", async (io, directory) => {
      const wal = await Wal.open(directory, { ...SMALL, io });
      for (let i = 1; i <= 5; i++) await wal.durable(wal.append(`record ${i}`));
      await wal.close();
      const segment = `${directory}/0000000000000001.wal`;
      await patch(io, segment, (bytes) => {
        const unit = new DataView(bytes.buffer).getUint32(56, true);
        bytes[5 * unit + 70] ^= 1;
      });
      await assert.rejects(Wal.open(directory, { ...SMALL, io }), { code: "WalCorruption" });
      const report = await repair(directory, { io, keep: "before" });
      assert.deepEqual([report.kept, report.before?.last], ["before", 3]);
      const again = await Wal.open(directory, { ...SMALL, io });
      assert.deepEqual([...(await records(again)).values()], ["record 1", "record 2", "record 3"]);
      assert.equal(again.append("record 4, again"), 4);
      await again.close();
    });
  });
}
