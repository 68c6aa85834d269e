/**
 * Names and words of errno values, by number.
 *
 * @module
 */

import { ERRORS } from "./generated.ts";

const names = new Map<number, string>(ERRORS.map(([number, name]) => [number, name]));
const texts = new Map<number, string>(ERRORS.map(([number, , text]) => [number, text]));

/**
 * The name of an errno: `ENOSPC` for 28. One that has no name here is `E` and its number.
 *
 * @param errno Positive; of a `res` below zero it is `-res`.
 */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/** An errno in words: `no space left on device` for 28. */
export function errnoText(errno: number): string {
  return texts.get(errno) ?? `error ${errno}`;
}
