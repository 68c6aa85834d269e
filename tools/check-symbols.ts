/**
 * Holds the built library to its promise: it needs no other library and no symbol from outside, and
 * exports nothing but `uring_*`. Reads the ELF tables itself, so no binutils are needed.
 */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";

const SECTION_DYNAMIC = 6;
const SECTION_DYNAMIC_SYMBOLS = 11;
const TAG_NEEDED = 1n;

/** What is wrong with the ELF file in `bytes`, one sentence each. */
export function checkLibrary(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 64 || view.getUint32(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
    return ["is no 64-bit little-endian ELF file"];
  }
  const problems: string[] = [];
  let exported = 0;
  const sectionsAt = Number(view.getBigUint64(40, true));
  const sectionBytes = view.getUint16(58, true);
  const sectionCount = view.getUint16(60, true);
  const section = (index: number) => {
    const at = sectionsAt + index * sectionBytes;
    return {
      type: view.getUint32(at + 4, true),
      offset: Number(view.getBigUint64(at + 24, true)),
      size: Number(view.getBigUint64(at + 32, true)),
      link: view.getUint32(at + 40, true),
    };
  };
  const text = (at: number) => new TextDecoder().decode(bytes.subarray(at, bytes.indexOf(0, at)));
  for (let index = 0; index < sectionCount; index++) {
    const { type, offset, size, link } = section(index);
    if (type === SECTION_DYNAMIC) {
      const names = section(link).offset;
      for (let at = offset; at < offset + size; at += 16) {
        if (view.getBigUint64(at, true) !== TAG_NEEDED) continue;
        problems.push(`needs ${text(names + Number(view.getBigUint64(at + 8, true)))}`);
      }
    }
    if (type === SECTION_DYNAMIC_SYMBOLS) {
      const names = section(link).offset;
      // The first symbol is the empty one.
      for (let at = offset + 24; at < offset + size; at += 24) {
        const name = text(names + view.getUint32(at, true));
        if (view.getUint16(at + 6, true) === 0) problems.push(`undefined symbol ${name}`);
        else if (!name.startsWith("uring_")) problems.push(`exports ${name}, which is no uring_*`);
        else exported++;
      }
    }
  }
  if (exported === 0) problems.push("exports no uring_*");
  return problems;
}

if (import.meta.main) {
  const root = join(import.meta.dirname!, "..");
  const file = join(root, process.argv[2] ?? "build/liburing-io.so");
  const problems = checkLibrary(readFileSync(file));
  for (const problem of problems) console.error(`${relative(root, file)}: ${problem}`);
  if (problems.length > 0) process.exit(1);
}
