/**
 * Memory of callers.
 *
 * @module
 */

import { IoUsageError } from "../io/io.ts";
import { asBytes } from "../io/typed_array.ts";

/** The bytes of a typed array or DataView, as they lie. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  // Its length is measured: a subclass can claim any.
  const bytes = asBytes(view);
  if (bytes === undefined && !ArrayBuffer.isView(view)) {
    throw new IoUsageError(`data is a typed array or a DataView, not ${String(view)}`);
  }
  if ((view.buffer as { detached?: boolean }).detached === true) {
    throw new IoUsageError("the memory of this typed array was transferred away");
  }
  return bytes ?? new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Checks an offset in a file, with what is transferred there. */
export function checkOffset(offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(offset + length)) return;
  throw new IoUsageError(
    `an offset in a file, and where its transfer ends, are safe integers, 0 or more, not ${
      String(offset)
    } with ${length} bytes`,
  );
}
