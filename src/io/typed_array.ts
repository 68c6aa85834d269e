/**
 * How many bytes a typed array has, whatever it says of itself: a subclass, or a property that was put over
 * the real one, can claim any length, and native code would believe it.
 *
 * @module
 */

const prototype = Object.getPrototypeOf(Uint8Array.prototype);

const getter = (name: PropertyKey): (this: unknown) => unknown =>
  Object.getOwnPropertyDescriptor(prototype, name)!.get!;

// Taken when this is loaded: what is put in their place later is not asked.
const tagOf = getter(Symbol.toStringTag);
const byteLengthOf = getter("byteLength") as (this: unknown) => number;
const byteOffsetOf = getter("byteOffset") as (this: unknown) => number;
const bufferOf = getter("buffer") as (this: unknown) => ArrayBufferLike;

/** The bytes that a Uint8Array really has; `undefined` for everything else, and for a proxy of one. */
export function bytesIn(value: unknown): number | undefined {
  return tagOf.call(value) === "Uint8Array" ? byteLengthOf.call(value) : undefined;
}

/** A typed array of any kind as the bytes that it really has, or `undefined` when it is none. */
export function asBytes(value: unknown): Uint8Array | undefined {
  const tag = tagOf.call(value);
  if (tag === undefined) return undefined;
  const length = byteLengthOf.call(value);
  if (tag === "Uint8Array" && (value as Uint8Array).length === length) return value as Uint8Array;
  return new Uint8Array(bufferOf.call(value), byteOffsetOf.call(value), length);
}
