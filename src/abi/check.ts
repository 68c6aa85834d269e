/**
 * Whether a library and this TypeScript speak of the same boundary.
 *
 * @module
 */

import { ABI_HASH, ABI_VERSION } from "./generated.ts";

/** Bytes of what `uring_abi` fills in: version, zero, SHA-256. */
export const ABI_BYTES = 40;

/** Compares what `uring_abi` filled in; `undefined` when all is well, else the difference in words. */
export function abiDifference(filled: Uint8Array): string | undefined {
  const version = new DataView(filled.buffer, filled.byteOffset, ABI_BYTES).getUint32(0, true);
  if (version !== ABI_VERSION) {
    return `it has version ${version} of the boundary, and this program version ${ABI_VERSION}`;
  }
  let hash = "";
  for (let i = 8; i < ABI_BYTES; i++) hash += filled[i].toString(16).padStart(2, "0");
  if (hash !== ABI_HASH) {
    return `its layouts hash to ${hash.slice(0, 12)}…, and this program's to ${
      ABI_HASH.slice(0, 12)
    }…`;
  }
  return undefined;
}
