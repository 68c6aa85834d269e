/**
 * Random images in TypeScript, from the generated table of operations: what `shim/fuzz_images.zig` does in
 * Zig. A row that is added is covered by itself.
 */
import {
  FILE_NONE,
  IMAGE,
  OPEN_FLAG,
  OPERATIONS,
  SQE_FLAG,
  VALUE_BYTES_MAX,
} from "../../src/abi/generated.ts";
import type { Prng } from "../../src/io/prng.ts";

/** What images can name. */
export interface World {
  slots: number;
  arenaBytes: number;
  parameterBytes: number;
  /** File references of any age, at least one. */
  files: readonly number[];
  /** Numbers of rings, at least one. */
  rings: readonly number[];
  /** The incoming part of the parameter area. */
  area: Uint8Array;
}

/** Without a byte that is a slash or a dot, which a path could read. */
function harmless(number: number): number {
  let out = 0;
  for (let shift = 0; shift < 32; shift += 8) {
    const byte = number >>> shift & 0xff;
    out |= (byte === 0x2e || byte === 0x2f ? 0 : byte) << shift;
  }
  return out >>> 0;
}

const LINKS = SQE_FLAG.IO_LINK | SQE_FLAG.IO_HARDLINK;

function needsFile(operation: number): boolean {
  const { file } = OPERATIONS[operation];
  return file === "fixed" || file === "real";
}

function oneOf(rng: Prng, numbers: readonly number[]): number {
  return numbers[rng.below(numbers.length)];
}

/** Writes images into staging. */
export class Images {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #rng: Prng;
  readonly #world: World;

  constructor(staging: Uint8Array, rng: Prng, world: World) {
    this.#bytes = staging;
    this.#view = new DataView(staging.buffer, staging.byteOffset, staging.length);
    this.#rng = rng;
    this.#world = world;
  }

  /** An image in which nothing is wrong on purpose. */
  make(place: number, slot: number): void {
    const rng = this.#rng;
    const world = this.#world;
    const at = place * IMAGE.bytes;
    const view = this.#view;
    this.#bytes.fill(0, at, at + IMAGE.bytes);
    const put32 = (field: number, value: number) => view.setUint32(at + field, value >>> 0, true);
    const put64 = (field: number, value: bigint) => view.setBigUint64(at + field, value, true);
    let operation = rng.below(OPERATIONS.length);
    // Where there is no file yet, one is opened first, as a rule.
    while (world.files.length < 2 && needsFile(operation) && !rng.oneIn(8)) {
      operation = rng.below(OPERATIONS.length);
    }
    const row = OPERATIONS[operation];
    view.setUint8(at + IMAGE.operation, operation);
    put32(IMAGE.slot, slot);
    put32(IMAGE.generation, rng.next());
    if (rng.oneIn(4)) view.setUint8(at + IMAGE.flags, rng.next() & row.sqeFlags & ~LINKS);
    if (rng.oneIn(4)) put32(IMAGE.opFlags, rng.next() & rng.next() & row.opFlags);
    if (row.opValues.length > 0) put32(IMAGE.opFlags, oneOf(rng, row.opValues));
    if (row.name.startsWith("open")) {
      put32(IMAGE.opFlags, (OPEN_FLAG.CREAT | OPEN_FLAG.RDWR) & row.opFlags);
    }
    if (row.file === "ring") put32(IMAGE.file, oneOf(rng, world.rings));
    else if (row.file === "directory" && !rng.oneIn(4)) put32(IMAGE.file, FILE_NONE);
    else if (needsFile(operation) || row.file === "directory") {
      put32(IMAGE.file, oneOf(rng, world.files));
    }
    const labels = new Map(row.fields);
    const path = () => rng.oneIn(16) ? rng.below(300) : rng.between(1, 3);
    const parameter = () => rng.below(Math.max(1, world.parameterBytes - 8));
    const small = () =>
      rng.oneIn(2) ? rng.below(9) : Number(this.#number(world.arenaBytes) & 0xffff_ffffn);
    const address = rng.below(world.arenaBytes + 1);
    const room = rng.below(world.arenaBytes - address + 1);
    for (const [field, label] of row.fields) {
      switch (label) {
        case "vectors": {
          const count = Math.min(rng.below(5), Math.floor(world.parameterBytes / 8));
          put32(IMAGE.addr, this.#vectors(count));
          put32(IMAGE.length, count);
          break;
        }
        case "path":
          put32(IMAGE.addr, parameter());
          put32(IMAGE.length, path());
          break;
        case "path2":
        case "name":
          put32(IMAGE.addr2, parameter());
          put32(IMAGE.length2, path());
          break;
        case "value":
          put32(IMAGE.offset, address);
          put32(IMAGE.extra, Math.min(room, VALUE_BYTES_MAX));
          break;
        case "target":
          put32(IMAGE.addr, rng.below(world.slots));
          put32(IMAGE.addr + 4, rng.next());
          break;
        case "mode":
          put32(IMAGE.extra, rng.below(0o10000));
          break;
        case "resolve":
          put32(IMAGE.offset, rng.below(64));
          break;
        case "addr":
          put32(IMAGE.addr, labels.has("length") ? address : small());
          break;
        case "length":
          // Of a path, it is set already.
          if (labels.get("addr") !== "path") {
            put32(IMAGE.length, labels.has("addr") ? room : small());
          }
          break;
        case "offset":
        case "seconds":
          put64(IMAGE.offset, rng.oneIn(8) ? 2n ** 64n - 1n : this.#number(world.arenaBytes));
          break;
        case "count":
        case "length2":
        case "bytes":
          break;
        default:
          put32(IMAGE[field], small());
      }
    }
    if (row.second !== "none") put32(IMAGE.extra, oneOf(rng, world.files));
  }

  /** Pairs of arena offset and bytes in the parameter area: in bytes that are no letters of a way out. */
  #vectors(count: number): number {
    const rng = this.#rng;
    const world = this.#world;
    const at = rng.below(world.parameterBytes - 8 * count + 1);
    const pairs = new DataView(world.area.buffer, world.area.byteOffset + at, 8 * count);
    for (let i = 0; i < count; i++) {
      const offset = rng.below(world.arenaBytes);
      const bytes = rng.oneIn(8) ? rng.next() : rng.below(world.arenaBytes - offset);
      pairs.setUint32(8 * i, harmless(offset), true);
      pairs.setUint32(8 * i + 4, harmless(bytes), true);
    }
    return at;
  }

  /** And then something is off. */
  spoil(place: number): void {
    const rng = this.#rng;
    const world = this.#world;
    const at = place * IMAGE.bytes;
    const bytes = this.#bytes;
    const put32 = (field: number, value: bigint) =>
      this.#view.setUint32(at + field, Number(value & 0xffff_ffffn), true);
    switch (rng.below(8)) {
      case 0:
      case 1:
        bytes[at + rng.below(IMAGE.bytes)] ^= 1 << rng.below(8);
        break;
      case 2:
        bytes[at + rng.below(IMAGE.bytes)] = rng.next();
        break;
      case 3:
        bytes[at + IMAGE.flags] |= SQE_FLAG.IO_LINK;
        break;
      case 4:
        this.#view.setBigUint64(at + IMAGE.addr, this.#number(world.arenaBytes), true);
        break;
      case 5:
        this.#view.setBigUint64(at + IMAGE.offset, this.#number(world.arenaBytes), true);
        break;
      case 6: {
        const fields = [IMAGE.length, IMAGE.file, IMAGE.addr2, IMAGE.length2, IMAGE.slot];
        put32(fields[rng.below(fields.length)], this.#number(world.slots));
        break;
      }
      default:
        bytes[at + IMAGE.operation] = rng.below(OPERATIONS.length + 1);
    }
  }

  /** Around zero, around the limit, around a power of two, or anything: 64 bits. */
  #number(limit: number): bigint {
    const rng = this.#rng;
    const near = BigInt(rng.below(9) - 4);
    const any = () => BigInt(rng.next() >>> 0) << 32n | BigInt(rng.next() >>> 0);
    const kinds = [
      () => near,
      () => BigInt(limit) + near,
      () => (1n << BigInt(rng.below(64))) + near,
      any,
      () => BigInt(rng.below(limit + 1)),
      () => BigInt(rng.below(limit + 1)),
    ];
    return BigInt.asUintN(64, kinds[rng.below(kinds.length)]());
  }
}
