/** CRC32C against the vectors of RFC 3720, and against a bitwise definition. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "../../src/io/crc32c.ts";
import { Prng } from "../../src/io/prng.ts";

function bitwise(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

const READ_PDU = Uint8Array.from([
  ...[0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0],
  ...[0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0],
]);

test("the vectors of RFC 3720, appendix B.4", () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
  assert.equal(crc32c(READ_PDU), 0xd9963a56);
  assert.equal(crc32c(new Uint8Array(0)), 0);
});

test("every length and start agrees with the definition", () => {
  const bytes = new Uint8Array(100);
  new Prng(1).fill(bytes);
  for (let start = 0; start < 10; start++) {
    for (let end = start; end <= bytes.length; end++) {
      assert.equal(crc32c(bytes, 0, start, end), bitwise(bytes.subarray(start, end)));
    }
  }
});

test("a seed continues from what stands before", () => {
  const bytes = new Uint8Array(1000);
  new Prng(2).fill(bytes);
  for (let cut = 0; cut <= bytes.length; cut += 7) {
    assert.equal(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), crc32c(bytes));
  }
});
