/**
 * Bytes with holes, for simulated files: a log preallocates whole segments, and a crash copies them
 * all. Copies share their chunks until one side writes.
 *
 * @module
 */

const CHUNK_BYTES = 16 * 1024;
/** What a file system allocates at once; a chunk holds a bit for each. */
export const BLOCK_BYTES = 4096;
const BLOCKS = CHUNK_BYTES / BLOCK_BYTES;

interface Chunk {
  /** Who may change it in place. */
  owner: object;
  /** `undefined`: allocated, never written, reads as zeros. */
  bytes: Uint8Array | undefined;
  /** Blocks that are allocated, a bit each. */
  blocks: number;
}

/** A sparse array of bytes without an end: what was never written reads as zeros. */
export class SparseBytes {
  #chunks: Map<number, Chunk>;
  #owner: object = {};

  constructor() {
    this.#chunks = new Map();
  }

  /** A copy that shares memory with this one; both may be written from now on. */
  fork(): SparseBytes {
    const copy = new SparseBytes();
    copy.#chunks = new Map(this.#chunks);
    // From now on neither side owns what it has; the first write to a chunk copies it.
    this.#owner = {};
    return copy;
  }

  /** Blocks of {@linkcode BLOCK_BYTES} that are allocated. */
  countBlocks(): number {
    let count = 0;
    for (const { blocks } of this.#chunks.values()) count += bits(blocks);
    return count;
  }

  /** How many blocks of a range are not allocated yet. */
  missingBlocks(offset: number, length: number): number {
    let missing = 0;
    const end = offset + length;
    for (let at = offset; at < end;) {
      const index = Math.floor(at / CHUNK_BYTES);
      const next = Math.min(end, (index + 1) * CHUNK_BYTES);
      const wanted = blockMask(at - index * CHUNK_BYTES, next - index * CHUNK_BYTES);
      missing += bits(wanted & ~(this.#chunks.get(index)?.blocks ?? 0));
      at = next;
    }
    return missing;
  }

  /** Allocates the blocks of a range; what it reads as does not change. */
  allocate(offset: number, length: number): void {
    const end = offset + length;
    for (let at = offset; at < end;) {
      const index = Math.floor(at / CHUNK_BYTES);
      const next = Math.min(end, (index + 1) * CHUNK_BYTES);
      const wanted = blockMask(at - index * CHUNK_BYTES, next - index * CHUNK_BYTES);
      const chunk = this.#chunks.get(index);
      if (chunk === undefined) {
        this.#chunks.set(index, { owner: this.#owner, bytes: undefined, blocks: wanted });
      } else if ((chunk.blocks & wanted) !== wanted) {
        // `bytes` may be shared still; then the owner is not us, and stays so.
        this.#chunks.set(index, {
          owner: chunk.owner,
          bytes: chunk.bytes,
          blocks: chunk.blocks | wanted,
        });
      }
      at = next;
    }
  }

  /** Copies `length` bytes from `offset` on into `target`. */
  read(offset: number, target: Uint8Array, targetOffset: number, length: number): void {
    const end = offset + length;
    for (let at = offset; at < end;) {
      const index = Math.floor(at / CHUNK_BYTES);
      const from = at - index * CHUNK_BYTES;
      const size = Math.min(end - at, CHUNK_BYTES - from);
      const bytes = this.#chunks.get(index)?.bytes;
      const to = targetOffset + at - offset;
      if (bytes === undefined) target.fill(0, to, to + size);
      else target.set(bytes.subarray(from, from + size), to);
      at += size;
    }
  }

  /** A copy of a range, or `undefined` where nothing but zeros can be. */
  slice(offset: number, length: number): Uint8Array | undefined {
    let written = false;
    const last = Math.floor((offset + length - 1) / CHUNK_BYTES);
    for (let index = Math.floor(offset / CHUNK_BYTES); index <= last && !written; index++) {
      written = this.#chunks.get(index)?.bytes !== undefined;
    }
    if (!written) return undefined;
    const copy = new Uint8Array(length);
    this.read(offset, copy, 0, length);
    return copy;
  }

  /** Writes, allocating what is missing; returns how many blocks that were. */
  write(offset: number, source: Uint8Array, sourceOffset: number, length: number): number {
    let allocated = 0;
    const end = offset + length;
    for (let at = offset; at < end;) {
      const index = Math.floor(at / CHUNK_BYTES);
      const from = at - index * CHUNK_BYTES;
      const size = Math.min(end - at, CHUNK_BYTES - from);
      const chunk = this.#own(index);
      const wanted = blockMask(from, from + size);
      const missing = wanted & ~chunk.blocks;
      if (missing !== 0) {
        chunk.blocks |= missing;
        allocated += bits(missing);
      }
      const start = sourceOffset + at - offset;
      chunk.bytes!.set(source.subarray(start, start + size), from);
      at += size;
    }
    return allocated;
  }

  /** Makes everything from `offset` on read as zeros, and frees whole blocks; returns how many. */
  cut(offset: number): number {
    let freed = 0;
    for (const [index, chunk] of this.#chunks) {
      const from = Math.max(0, offset - index * CHUNK_BYTES);
      if (from >= CHUNK_BYTES) continue;
      if (from === 0) {
        freed += bits(chunk.blocks);
        this.#chunks.delete(index);
        continue;
      }
      const kept = chunk.blocks & blockMask(0, from);
      freed += bits(chunk.blocks & ~kept);
      const bytes = chunk.bytes === undefined ? undefined : this.#own(index).bytes!.fill(0, from);
      this.#chunks.set(index, { owner: this.#owner, bytes, blocks: kept });
    }
    return freed;
  }

  /** Makes a range read as zeros; blocks stay allocated. */
  zero(offset: number, length: number): void {
    const end = offset + length;
    for (let at = offset; at < end;) {
      const index = Math.floor(at / CHUNK_BYTES);
      const from = at - index * CHUNK_BYTES;
      const size = Math.min(end - at, CHUNK_BYTES - from);
      if (this.#chunks.get(index)?.bytes !== undefined) {
        this.#own(index).bytes!.fill(0, from, from + size);
      }
      at += size;
    }
  }

  #own(index: number): Chunk {
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) {
      chunk = { owner: this.#owner, bytes: new Uint8Array(CHUNK_BYTES), blocks: 0 };
      this.#chunks.set(index, chunk);
    } else if (chunk.owner !== this.#owner || chunk.bytes === undefined) {
      chunk = {
        owner: this.#owner,
        bytes: chunk.bytes?.slice() ?? new Uint8Array(CHUNK_BYTES),
        blocks: chunk.blocks,
      };
      this.#chunks.set(index, chunk);
    }
    return chunk;
  }
}

function blockMask(from: number, to: number): number {
  const first = Math.floor(from / BLOCK_BYTES);
  const last = Math.ceil(to / BLOCK_BYTES);
  return ((1 << last) - 1) & ~((1 << first) - 1) & ((1 << BLOCKS) - 1);
}

function bits(mask: number): number {
  let count = 0;
  for (let m = mask; m !== 0; m &= m - 1) count++;
  return count;
}
