/**
 * Goal: `tryAppendParts` stores the same records as one append for each part. Method: random parts,
 * through frames that they fill and overfill, compared after reading back from a simulated machine.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MemoryIo } from "../../src/io/memory.ts";
import { WalRecordTooLargeError } from "../../src/wal/errors.ts";
import { Wal } from "../../src/wal/wal.ts";

const FRAME_BYTES = 8192;
const BETWEEN = new TextEncoder().encode("between");
const OPTIONS = { segmentBytes: 262_144, commit: { maxBytes: FRAME_BYTES } };

/** Parts as one run of bytes with a byte between them, from `from` on. */
function run(parts: readonly Uint8Array[], from: number) {
  const bytes = new Uint8Array(from + parts.reduce((sum, part) => sum + part.length + 1, 0));
  const ends = new Int32Array(parts.length);
  let at = from;
  for (const [i, part] of parts.entries()) {
    bytes.set(part, at);
    at += part.length;
    ends[i] = at;
    bytes[at++] = 0xee;
  }
  return { bytes, ends };
}

async function append(wal: Wal, parts: readonly Uint8Array[], from: number): Promise<void> {
  const { bytes, ends } = run(parts, from);
  const copy = bytes.slice();
  for (let done = 0, start = from; done < parts.length;) {
    const appended = wal.tryAppendParts(bytes, start, ends, done, parts.length);
    assert.ok(appended >= 0 && appended <= parts.length - done);
    if (appended === 0) await wal.ready();
    else start = ends[(done += appended) - 1] + 1;
  }
  assert.deepEqual(bytes, copy, "the caller's bytes were changed");
}

async function recordsOf(wal: Wal): Promise<Uint8Array[]> {
  await wal.flush();
  const records: Uint8Array[] = [];
  for await (const batch of wal.read()) {
    for (let i = 0; i < batch.length; i++) records.push(batch.bytes(i).slice());
  }
  return records;
}

const part = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.uint8Array({ minLength: 200, maxLength: 300 }),
  fc.uint8Array({ minLength: 7000, maxLength: FRAME_BYTES - 68 }),
);

test("the same records as one append for each part", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ parts: fc.array(part, { maxLength: 200 }), from: fc.nat(9) }), {
        maxLength: 4,
      }),
      async (runs) => {
        const io = MemoryIo.create();
        const wal = await Wal.open("/log", { ...OPTIONS, io });
        for (const { parts, from } of runs) {
          await append(wal, parts, from);
          await append(wal, [BETWEEN], 0);
        }
        const expected = runs.flatMap((
          { parts },
        ) => [...parts, BETWEEN]);
        assert.deepEqual(await recordsOf(wal), expected);
        assert.equal(wal.stats().records, expected.length);
        await wal.close();
        io[Symbol.dispose]();
      },
    ),
    { numRuns: 60 },
  );
});

test("a part that is too large: those before it, then an error", async () => {
  const io = MemoryIo.create();
  for (const limit of [undefined, 100]) {
    const options = limit === undefined ? {} : { maxRecordBytes: limit };
    await using wal = await Wal.open(`/log-${limit}`, { ...OPTIONS, ...options, io });
    const parts = [10, 20, wal.maxRecordBytes, wal.maxRecordBytes + 1, 5].map((n) =>
      new Uint8Array(n)
    );
    const { bytes, ends } = run(parts, 0);
    let done = 0;
    const rest = () =>
      wal.tryAppendParts(bytes, done && ends[done - 1] + 1, ends, done, parts.length);
    while (done < 3) {
      const appended = rest();
      if (appended === 0) await wal.ready();
      done += appended;
    }
    assert.equal(done, 3);
    assert.throws(rest, WalRecordTooLargeError);
    assert.equal((await recordsOf(wal)).length, 3);
  }
});
