/**
 * One line for each SQE and CQE, with names instead of numbers.
 *
 * @module
 */

import { errnoName } from "../abi/errno.ts";
import { FILE_NONE, OPERATIONS, SQE_FLAG } from "../abi/generated.ts";
import {
  FLAGS_SHIFT,
  IMAGE_WORDS,
  WORD_ADDR,
  WORD_ADDR2,
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

/** `sqe read_fixed userData=3 file=0x10 offset=4096 addr=0 length=4096` */
export function traceSubmission(images: Int32Array, at: number, userData: number): string {
  const image = new Uint32Array(images.buffer, images.byteOffset + 4 * at, IMAGE_WORDS);
  const head = image[WORD_HEAD];
  const row = OPERATIONS[head & 0xff];
  let line = `sqe ${row.name} userData=${userData}`;
  const add = (name: string, value: number, wanted: boolean) => {
    if (wanted) line += ` ${name}=${value}`;
  };
  if (row.file !== "none" && row.file !== "cwd" && image[WORD_FILE] !== FILE_NONE) {
    line += ` file=0x${image[WORD_FILE].toString(16)}`;
  }
  const offset = image[WORD_OFFSET] + image[WORD_OFFSET_HIGH] * 0x1_0000_0000;
  add("offset", offset, row.offset === "number");
  add("addr", image[WORD_ADDR], row.addr === "arena" || row.addr === "number");
  add("target", image[WORD_ADDR], row.addr === "target");
  add("path", image[WORD_ADDR], row.addr === "path");
  add("length", image[WORD_LENGTH], row.length === "number" || row.addr === "path");
  add("path2", image[WORD_ADDR2], row.addr2 === "path");
  add("length2", image[WORD_LENGTH2], row.addr2 === "path");
  add("extra", image[WORD_EXTRA], row.extra === "number");
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
