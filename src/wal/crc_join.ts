/**
 * CRC32C of bytes that were checksummed in parts, from the checksums of the parts: a shift by `n` bytes
 * of zeros is a multiplication by x^(8n) modulo the polynomial, which costs the same for any `n`.
 *
 * @module
 */

/** The polynomial 0x1edc6f41, its lowest power in the highest bit. */
const POLYNOMIAL = 0x82f63b78;
const ONE = 0x8000_0000;
const X = 0x4000_0000;
/** Powers x^(2^i) for lengths below 2^53 bytes. */
const POWERS = 56;

/** The product of two polynomials, modulo the one of CRC32C. */
function multiply(a: number, b: number): number {
  let product = 0;
  // At most once a bit.
  for (let bit = ONE; (a & bit) !== 0 || bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) {
      product ^= b;
      if ((a & (bit - 1)) === 0) break;
    }
    b = (b & 1) !== 0 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1;
  }
  return product >>> 0;
}

let powers: Uint32Array | undefined;

function makePowers(): Uint32Array {
  const made = new Uint32Array(POWERS);
  made[0] = X;
  for (let i = 1; i < POWERS; i++) made[i] = multiply(made[i - 1], made[i - 1]);
  return made;
}

/** `crc` behind which `bytes` bytes of zeros went through the register, without its inversions. */
function shift(crc: number, bytes: number): number {
  if (bytes === 0 || crc === 0) return crc;
  const table = powers ??= makePowers();
  let power = ONE;
  let left = bytes;
  // Once a bit of `bytes`.
  for (let i = 3; left > 0; i++) {
    if (left % 2 === 1) power = multiply(table[i], power);
    left = Math.floor(left / 2);
  }
  return multiply(power, crc);
}

/** CRC of A and B side by side, from `crc(A)`, `crc(B)` and the bytes of B. */
export function joinCrc(a: number, b: number, bytes: number): number {
  return (shift(a, bytes) ^ b) >>> 0;
}

/** What `crc(data, seed)` would be, from `crc(data, otherSeed)` over the same `bytes` bytes. */
export function reseedCrc(crc: number, otherSeed: number, seed: number, bytes: number): number {
  return (crc ^ shift((seed ^ otherSeed) >>> 0, bytes)) >>> 0;
}

/** `crc(zeros, seed)` of `bytes` zeros. */
export function zerosCrc(seed: number, bytes: number): number {
  return ~shift(~seed >>> 0, bytes) >>> 0;
}
