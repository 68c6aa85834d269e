/**
 * The encoders against docs/FORMAT.md, byte for byte: offsets and values are written out here, not
 * taken from the code. CRC32C comes from RFC 3720's vectors.
 */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { crc32c } from "../../src/io/crc32c.ts";
import {
  decodeFrameHeader,
  decodeHeader,
  decodeMeta,
  encodeFrameHeader,
  encodeHeader,
  encodeMeta,
  frameBytes,
  frameChain,
  frameSeed,
  getUint64,
  KIND_DATA,
  newFrameHeader,
  segmentName,
  segmentSequence,
  setUint64,
  uuidText,
} from "../../src/wal/format.ts";

const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test("a segment's name is its sequence, and nothing else is one", () => {
  assert.equal(segmentName(1), "0000000000000001.wal");
  assert.equal(segmentSequence("0000000000000012.wal"), 12);
  for (const name of ["1.wal", "0000000000000000.wal", "000000000000000a.wal", "META", "x"]) {
    assert.equal(segmentSequence(name), undefined, name);
  }
  assert.equal(segmentSequence(segmentName(9_007_199_254_740_991)), 9_007_199_254_740_991);
  assert.equal(segmentSequence("9999999999999999.wal"), undefined);
});

test("64-bit numbers: little-endian, safe, and NaN beyond", () => {
  const view = new DataView(new ArrayBuffer(8));
  setUint64(view, 0, 0x0001_0203_0405_0607);
  assert.deepEqual([...new Uint8Array(view.buffer)], [7, 6, 5, 4, 3, 2, 1, 0]);
  assert.equal(getUint64(view, 0), 0x0001_0203_0405_0607);
  view.setUint32(4, 0x0020_0000, true);
  assert.ok(Number.isNaN(getUint64(view, 0)));
});

test("META with a good checksum and impossible numbers is no slot", () => {
  const meta = {
    ...{ uuid, counter: 1, epoch: 1, sealed: false, activated: 5, lowWaterLsn: 1 },
    ...{ lowWaterSequence: 1, sealedLsn: 0, sealedOffset: 0, sealedChain: 0 },
  };
  const slot = new Uint8Array(4096);
  const decoded = (change: Partial<typeof meta>) => {
    encodeMeta(slot, { ...meta, ...change }, crc32c);
    return decodeMeta(slot, crc32c);
  };
  assert.ok("meta" in decoded({}));
  assert.ok("meta" in decoded({ activated: 0 }));
  const beyond = 2 ** 53;
  const changes: Partial<typeof meta>[] = [
    { lowWaterLsn: 0 },
    { lowWaterSequence: 0 },
    { lowWaterSequence: 6 },
    { activated: 2 ** 24 + 1 },
    ...([
      "counter",
      "activated",
      "lowWaterLsn",
      "lowWaterSequence",
      "sealedLsn",
      "sealedOffset",
    ] as const)
      .map((name) => ({ [name]: beyond })),
  ];
  for (const change of changes) {
    const found = decoded(change);
    assert.ok("damage" in found && /impossible/.test(found.damage), JSON.stringify(change));
  }
});

test("META: every field at its place, and any flipped bit is refused", () => {
  const slot = new Uint8Array(4096).fill(0xaa);
  const meta = {
    uuid,
    counter: 0x11,
    epoch: 0x22,
    sealed: true,
    activated: 0x33,
    lowWaterLsn: 0x44,
    lowWaterSequence: 0x25,
    sealedLsn: 0x66,
    sealedOffset: 0x77,
    sealedChain: 0x88,
  };
  encodeMeta(slot, meta, crc32c);
  assert.equal(text(slot.subarray(0, 8)), "URINGMET");
  const at = (offset: number) => new DataView(slot.buffer).getUint32(offset, true);
  assert.deepEqual(
    [8, 32, 40, 44, 48, 56, 64, 72, 80, 88].map(at),
    [1, 0x11, 0x22, 1, 0x33, 0x44, 0x25, 0x66, 0x77, 0x88],
  );
  const zeroed = slot.slice(0, 128);
  zeroed.fill(0, 12, 16);
  assert.equal(at(12), crc32c(zeroed));
  assert.ok(slot.subarray(92).every((byte) => byte === 0));
  const decoded = decodeMeta(slot, crc32c);
  assert.ok("meta" in decoded);
  assert.deepEqual(decoded.meta, meta);
  for (let bit = 0; bit < 128 * 8; bit++) {
    const flipped = slot.slice(0, 128);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    assert.ok("damage" in decodeMeta(flipped, crc32c), `bit ${bit}`);
  }
});

function header() {
  return {
    uuid,
    sequence: 7,
    firstLsn: 1001,
    salt: Uint8Array.of(9, 8, 7, 6, 5, 4, 3, 2),
    commitUnitBytes: 4096,
    windowBytes: 0x20000,
    segmentBytes: 0x100000,
    previousSequence: 6,
    previousLsn: 1000,
    previousChain: 0xdeadbeef,
    epoch: 3,
    activatedMillis: 0x123456789a,
    preallocated: true,
  };
}

test("a segment header: every field at its place, twice; any flipped bit spoils a copy", () => {
  const bytes = new Uint8Array(8192).fill(0xaa);
  encodeHeader(bytes, header(), crc32c);
  assert.equal(text(bytes.subarray(0, 8)), "URINGWAL");
  const at = (offset: number) => new DataView(bytes.buffer).getUint32(offset, true);
  assert.deepEqual(
    [8, 32, 40, 56, 60, 64, 72, 80, 88, 92, 96, 100, 104].map(at),
    [1, 7, 1001, 4096, 0x20000, 0x100000, 6, 1000, 0xdeadbeef, 3, 0x3456789a, 0x12, 1],
  );
  assert.deepEqual([...bytes.subarray(48, 56)], [9, 8, 7, 6, 5, 4, 3, 2]);
  assert.deepEqual(bytes.subarray(4096, 8192), bytes.subarray(0, 4096));
  const decoded = decodeHeader(bytes, crc32c);
  assert.ok("header" in decoded);
  assert.deepEqual(decoded.header, header());
  for (let bit = 0; bit < 128 * 8; bit++) {
    const flipped = bytes.slice(0, 128);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    assert.ok("damage" in decodeHeader(flipped, crc32c), `bit ${bit}`);
  }
});

test("a newer version is told from damage", () => {
  const bytes = new Uint8Array(8192);
  encodeHeader(bytes, header(), crc32c);
  new DataView(bytes.buffer).setUint32(8, 2, true);
  const zeroed = bytes.slice(0, 128).fill(0, 12, 16);
  new DataView(bytes.buffer).setUint32(12, crc32c(zeroed), true);
  assert.deepEqual(decodeHeader(bytes, crc32c), { version: 2 });
});

test("a frame: fields, seed, chain; any flipped bit of its header is refused", () => {
  const bytes = new Uint8Array(new ArrayBuffer(4096));
  const view = new DataView(bytes.buffer);
  const salt = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const seed = frameSeed(salt, 0x2000, crc32c);
  assert.equal(seed, crc32c(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 0, 0x20, 0, 0, 0, 0, 0, 0)));
  const frame = {
    ...newFrameHeader(),
    payloadCrc: 0xaabbccdd,
    payloadBytes: 9,
    recordCount: 1,
    kind: KIND_DATA,
    firstLsn: 500,
    durableMark: 499,
    epoch: 2,
    previousChain: 0x01020304,
    writtenMillis: 1234,
  };
  const chain = encodeFrameHeader(bytes, view, frame, seed, crc32c);
  assert.equal(text(bytes.subarray(0, 4)), "URF1");
  const at = (offset: number) => view.getUint32(offset, true);
  assert.deepEqual(
    [8, 12, 16, 20, 24, 32, 40, 44, 48, 52, 56].map(at),
    [0xaabbccdd, 9, 1, 0, 500, 499, 2, 0, 0x01020304, 0, 1234],
  );
  assert.equal(at(4), crc32c(bytes.slice(8, 64), seed));
  const link = new Uint8Array(8);
  new DataView(link.buffer).setUint32(0, at(4), true);
  new DataView(link.buffer).setUint32(4, 0x01020304, true);
  assert.equal(chain, crc32c(link));
  assert.equal(chain, frameChain(at(4), 0x01020304, crc32c));
  const into = newFrameHeader();
  assert.ok(decodeFrameHeader(bytes, view, 0, seed, crc32c, into));
  assert.deepEqual(into, { ...frame, headerCrc: at(4) });
  for (let bit = 0; bit < 64 * 8; bit++) {
    bytes[bit >> 3] ^= 1 << (bit & 7);
    assert.ok(!decodeFrameHeader(bytes, view, 0, seed, crc32c, into), `bit ${bit}`);
    bytes[bit >> 3] ^= 1 << (bit & 7);
  }
  assert.ok(!decodeFrameHeader(bytes, view, 0, frameSeed(salt, 0x3000, crc32c), crc32c, into));
});

test("a frame takes whole commit units", () => {
  assert.equal(frameBytes(0, 4096), 4096);
  assert.equal(frameBytes(4096 - 64, 4096), 4096);
  assert.equal(frameBytes(4096 - 63, 4096), 8192);
  assert.equal(frameBytes(1, 16384), 16384);
});

test("a UUID as text", () => {
  assert.equal(uuidText(uuid), "01020304-0506-0708-090a-0b0c0d0e0f10");
});
