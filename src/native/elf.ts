/**
 * Whether a file is a shared library of this machine, by the first bytes of it.
 *
 * @module
 */

/** Bytes that `elfProblem` looks at. */
export const ELF_HEADER_BYTES = 64;

const MACHINES: Record<string, number> = { x64: 62, arm64: 183 };
const TYPE_SHARED = 3;

/**
 * What is wrong with a file as a library for `arch`; `undefined` when nothing is. A file that was cut off
 * must not get as far as the loader: mapping it kills the process.
 *
 * @param start The first bytes of it.
 * @param size All bytes of it.
 */
export function elfProblem(start: Uint8Array, size: number, arch: string): string | undefined {
  if (
    start.length < 4 ||
    !(start[0] === 0x7f && start[1] === 69 && start[2] === 76 && start[3] === 70)
  ) {
    return start.length === 0 ? "it is empty" : "it is no ELF file";
  }
  if (start.length < ELF_HEADER_BYTES) return "it is cut off within its header";
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  if (start[4] !== 2 || start[5] !== 1) return "it is no 64-bit little-endian ELF file";
  if (view.getUint16(16, true) !== TYPE_SHARED) return "it is no shared library";
  const machine = view.getUint16(18, true);
  if (machine !== MACHINES[arch]) {
    const name = Object.keys(MACHINES).find((key) => MACHINES[key] === machine);
    return `it is for ${name ?? `machine ${machine}`}, and this is ${arch}`;
  }
  // The table of sections stands behind everything else.
  const sectionsEnd = Number(view.getBigUint64(40, true)) +
    view.getUint16(58, true) * view.getUint16(60, true);
  if (sectionsEnd > size) return `it is cut off: it has ${size} of ${sectionsEnd} bytes`;
  return undefined;
}
