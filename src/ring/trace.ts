/**
 * One line for each SQE and CQE, with names instead of numbers.
 *
 * @module
 */

import { errnoName } from "../abi/errno.ts";
import { FILE_NONE, type ImageField, OPERATIONS, SQE_FLAG } from "../abi/generated.ts";
import {
  FLAGS_SHIFT,
  IMAGE_WORDS,
  WORD_ADDR,
  WORD_ADDR2,
  WORD_ADDR_HIGH,
  WORD_EXTRA,
  WORD_FILE,
  WORD_HEAD,
  WORD_LENGTH,
  WORD_LENGTH2,
  WORD_OFFSET,
  WORD_OFFSET_HIGH,
  WORD_OP_FLAGS,
} from "./layout.ts";

/** Gets each line of a trace, without its end. */
export type TraceSink = (line: string) => void;

/** The word of each field, and its high word where there is one. */
const WORDS: Readonly<Record<ImageField, readonly [number, number?]>> = {
  offset: [WORD_OFFSET, WORD_OFFSET_HIGH],
  addr: [WORD_ADDR, WORD_ADDR_HIGH],
  length: [WORD_LENGTH],
  addr2: [WORD_ADDR2],
  length2: [WORD_LENGTH2],
  extra: [WORD_EXTRA],
};

/** `sqe read_fixed userData=3 file=0x10 offset=4096 addr=0 length=4096` */
export function traceSubmission(images: Int32Array, at: number, userData: number): string {
  const image = new Uint32Array(images.buffer, images.byteOffset + 4 * at, IMAGE_WORDS);
  const head = image[WORD_HEAD];
  const row = OPERATIONS[head & 0xff];
  let line = `sqe ${row.name} userData=${userData}`;
  if (row.file !== "none" && row.file !== "cwd" && image[WORD_FILE] !== FILE_NONE) {
    line += ` ${row.file === "ring" ? "ring" : "file"}=0x${image[WORD_FILE].toString(16)}`;
  }
  for (const [field, label] of row.fields) {
    const low = image[WORDS[field][0]];
    const high = WORDS[field][1];
    // Of another operation the slot says enough; a message has 31 bits in its low word.
    const unit = label === "message" ? 0x8000_0000 : 0x1_0000_0000;
    const more = high === undefined || label === "target" ? 0 : image[high] * unit;
    line += ` ${label}=${label === "file2" ? `0x${low.toString(16)}` : low + more}`;
  }
  const opFlags = image[WORD_OP_FLAGS];
  if (opFlags !== 0) line += ` op_flags=0x${opFlags.toString(16)}`;
  const sqeFlags = head >>> FLAGS_SHIFT;
  if (sqeFlags !== 0) line += ` flags=${flagNames(sqeFlags)}`;
  return line;
}

/** `cqe userData=3 res=4096`, `cqe userData=4 res=-28 ENOSPC` */
export function traceCompletion(userData: number, res: number, flags: number): string {
  let line = `cqe userData=${userData} res=${res}`;
  if (res < 0) line += ` ${errnoName(-res)}`;
  if (flags !== 0) line += ` flags=0x${flags.toString(16)}`;
  return line;
}

function flagNames(flags: number): string {
  return Object.entries(SQE_FLAG).filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name).join("|");
}
