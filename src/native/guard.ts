/**
 * Between TypeScript and the functions of the library: an address goes over with the length that its
 * memory really has. The library believes what it is told of a buffer, and `length` is a property like any
 * other, which a subclass or `Object.defineProperty` makes say anything.
 *
 * @module
 */

import { CONTROL, type EXPORTS, OPEN_PARAMETERS, RESULT_BYTES } from "../abi/generated.ts";

type Entry = (typeof EXPORTS)[number];
type Argument<S> = S extends "buffer" ? ArrayBufferView : number;
type Arguments<T extends readonly unknown[]> = { -readonly [K in keyof T]: Argument<T[K]> };
/** The functions of the library; those that block return a promise in Deno. */
export type Functions = {
  readonly [E in Entry as E["name"]]: (
    ...args: Arguments<E["arguments"]>
  ) => E["blocking"] extends true ? number | Promise<number> : number;
};
/** Those that take a buffer: each of them must have its guard. */
type Guarded = {
  readonly [
    E in Entry as "buffer" extends E["arguments"][number] ? E["name"] : never
  ]: Functions[E["name"]];
};

/** Bytes of a row of completions: four words. */
const COLUMNS_BYTES = 16;
const WORD_BYTES = 4;

// Taken at load, before anything can put others in their place.
const Words = Uint32Array;
const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const byteLengthOf = getter<number>(typedArray, "byteLength");
const byteOffsetOf = getter<number>(typedArray, "byteOffset");
const bufferOf = getter<ArrayBufferLike>(typedArray, "buffer");
const sharedBytesOf = getter<number>(SharedArrayBuffer.prototype, "byteLength");

function getter<T>(prototype: object, name: string): (of: unknown) => T {
  const { get } = Object.getOwnPropertyDescriptor(prototype, name)!;
  return Function.prototype.call.bind(get!);
}

/**
 * The length that a caller gives for a buffer, if it has so much.
 * @throws {TypeError} when it is no typed array.
 * @throws {RangeError} when it has less.
 */
function claim(buffer: ArrayBufferView, bytes: number): number {
  const length = byteLengthOf(buffer);
  if (typeof bytes !== "number" || bytes >>> 0 !== bytes || bytes > length) {
    throw new RangeError(`a buffer of ${length} bytes does not have ${String(bytes)}`);
  }
  return bytes;
}

/** Memory that cannot go away while the library has its address: it is shared, and long enough. */
function lasting(buffer: ArrayBufferView, least: number): void {
  const length = byteLengthOf(buffer);
  sharedBytesOf(bufferOf(buffer));
  if (length < least) throw new RangeError(`a buffer of ${length} bytes must have ${least}`);
}

/**
 * Functions that are safe to call with anything. Memory of an open ring is kept here until the kernel and the
 * library know it no more.
 *
 * @param raw The library's own. Nothing else may keep them.
 */
export function guard(raw: Functions): Functions {
  const kept = new Map<number, readonly ArrayBufferView[]>();
  const leaked: unknown[] = [];
  // A number can be an object that does something when it is asked for its value: it is asked first.
  const guarded: Guarded = {
    uring_abi: (out, bytes) => raw.uring_abi(out, claim(out, bytes)),
    uring_open: (parameters, staging, area, columns, control, arena) => {
      // The library reads what was checked, and not what another thread makes of it meanwhile.
      const count = OPEN_PARAMETERS.bytes / WORD_BYTES;
      claim(parameters, OPEN_PARAMETERS.bytes);
      const words = new Words(new SharedArrayBuffer(OPEN_PARAMETERS.bytes));
      const theirs = new Words(bufferOf(parameters), byteOffsetOf(parameters), count);
      for (let i = 0; i < count; i++) words[i] = theirs[i];
      const word = (at: number) => words[at / WORD_BYTES];
      const slots = word(OPEN_PARAMETERS.slots);
      lasting(staging, word(OPEN_PARAMETERS.stagingBytes));
      lasting(area, word(OPEN_PARAMETERS.parameterBytes) + slots * RESULT_BYTES);
      lasting(columns, slots * COLUMNS_BYTES);
      lasting(control, CONTROL.bytes);
      lasting(arena, word(OPEN_PARAMETERS.arenaBytes) + word(OPEN_PARAMETERS.arenaSlack));
      const number = raw.uring_open(words, staging, area, columns, control, arena);
      for (let i = 0; i < count; i++) theirs[i] = words[i];
      if (number > 0) kept.set(number, [staging, area, columns, control, arena]);
      return number;
    },
    uring_probe: (ring, out, bytes) => raw.uring_probe(ring >>> 0, out, claim(out, bytes)),
    uring_update_files: (ring, updates, bytes) =>
      raw.uring_update_files(ring >>> 0, updates, claim(updates, bytes)),
    uring_enable: (ring, operations, bytes) =>
      raw.uring_enable(ring >>> 0, operations, claim(operations, bytes)),
    uring_workers: (ring, limits, bytes) =>
      raw.uring_workers(ring >>> 0, limits, claim(limits, bytes)),
    uring_fstatfs: (ring, file, out, bytes) =>
      raw.uring_fstatfs(ring >>> 0, file >>> 0, out, claim(out, bytes)),
    uring_list_directory: (path, pathBytes, out, outBytes, skip) => {
      const first = skip >>> 0;
      return raw.uring_list_directory(
        path,
        claim(path, pathBytes),
        out,
        claim(out, outBytes),
        first,
      );
    },
    uring_crc32c: (seed, data, bytes) => raw.uring_crc32c(seed >>> 0, data, claim(data, bytes)),
    uring_find_byte: (data, bytes, value, base, out, outBytes) => {
      const wanted = value >>> 0;
      const first = base >>> 0;
      return raw.uring_find_byte(
        data,
        claim(data, bytes),
        wanted,
        first,
        out,
        claim(out, outBytes),
      );
    },
    uring_system: (out, bytes) => raw.uring_system(out, claim(out, bytes)),
  };
  const { uring_close } = raw;
  return Object.freeze({
    ...raw,
    ...guarded,
    uring_close: (ring: number, deadlineMillis: number) => {
      const number = ring >>> 0;
      const left = uring_close(number, deadlineMillis);
      if (left > 0) leaked.push(kept.get(number));
      if (left >= 0) kept.delete(number);
      return left;
    },
  });
}
