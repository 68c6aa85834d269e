/**
 * The simulated file system under `MemoryIo`: what is stored, what of it is durable, and what a power
 * cut leaves. No time and no operations in flight here; the fault model stands in `memory.ts`.
 *
 * Of each file the newest contents are kept whole, and beside them a list of effects that were not
 * synced, each with what it replaced. Undoing all of them gives what is durable; a crash undoes them
 * and does again those that it lets survive.
 *
 * @module
 */

import { ERRNO } from "../abi/generated.ts";
import type { Prng } from "./prng.ts";
import { BLOCK_BYTES, SparseBytes } from "./sparse_bytes.ts";

const NAME_BYTES_MAX = 255;
const PAGE_BYTES = 4096;

/** What a crash does with effects that were not synced. */
export type Survival = "random" | "none" | "all";

/** A change of a file's contents or size that no sync has covered yet. */
interface FileEffect {
  readonly kind: "write" | "truncate" | "extend";
  /** Rises over all effects of a disk: a sync covers those before its submission. */
  readonly sequence: number;
  readonly offset: number;
  readonly length: number;
  readonly sizeBefore: number;
  readonly sizeAfter: number;
  /** Went through the page cache: a failed sync may lose it. */
  readonly buffered: boolean;
  /** Durable already, but an older effect before it is not. */
  durable: boolean;
  /** What a write replaced, `undefined` for zeros; of a truncate the whole contents before. */
  before: Uint8Array | SparseBytes | undefined;
}

/** A regular file. */
export class FileNode {
  readonly kind = "file";
  readonly number: number;
  content = new SparseBytes();
  size = 0;
  blocks = 0;
  effects: FileEffect[] = [];
  /** Pages whose cached contents differ from the device (after a failed sync), by page number. */
  readonly cached = new Map<number, Uint8Array>();
  /** Names that it has. */
  links = 0;
  /** Descriptions that are open. */
  opens = 0;
  modifiedMillis = 0;
  /** The description that holds the lock, or those that share it. */
  holder: object | undefined;
  readonly sharers = new Set<object>();

  constructor(number: number) {
    this.number = number;
  }
}

/** A directory: entries as programs see them, and as they are durable. */
export class DirectoryNode {
  readonly kind = "directory";
  readonly number: number;
  readonly entries = new Map<string, Node>();
  readonly durable = new Map<string, Node>();
  modifiedMillis = 0;

  constructor(number: number) {
    this.number = number;
  }
}

export type Node = FileNode | DirectoryNode;

interface EntryChange {
  readonly directory: DirectoryNode;
  readonly name: string;
  /** `undefined`: the name goes. */
  readonly node: Node | undefined;
}

/** A change of names that no directory sync has covered yet; it happens as a whole or not at all. */
interface EntryEffect {
  readonly sequence: number;
  readonly changes: readonly EntryChange[];
}

/** Where a path leads: its directory, its last name, and what is there. */
interface Place {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly node: Node | undefined;
}

/** A simulated disk with its file system and page cache. All operations happen at once. */
export class MemoryDisk {
  readonly root: DirectoryNode;
  readonly sectorBytes: number;
  readonly totalBlocks: number;
  /** Blocks that its user may have; fewer than all of them are a quota. */
  readonly quotaBlocks: number;
  usedBlocks = 0;
  /** Of the newest effect. */
  sequence = 0;
  /** Milliseconds since 1970, for time stamps; set by the owner. */
  clockMillis = 0;
  #nextNumber = 2;
  #entryEffects: EntryEffect[] = [];

  constructor(sectorBytes: number, totalBytes: number, quotaBytes: number) {
    this.sectorBytes = sectorBytes;
    this.totalBlocks = Math.floor(totalBytes / BLOCK_BYTES);
    this.quotaBlocks = Math.floor(Math.min(quotaBytes, totalBytes) / BLOCK_BYTES);
    this.root = new DirectoryNode(1);
  }

  // Names

  /** What a path leads to, or a negative errno. The path is absolute and normal. */
  find(path: string): Node | number {
    if (path === "/") return this.root;
    const place = this.#locate(path);
    if (typeof place === "number") return place;
    return place.node ?? -ERRNO.ENOENT;
  }

  /** The node of a file that is opened, made when `create` says so; or a negative errno. */
  openFile(path: string, create: boolean, createNew: boolean): FileNode | number {
    if (path === "/") return -ERRNO.EISDIR;
    const place = this.#locate(path);
    if (typeof place === "number") return place;
    let { node } = place;
    if (node !== undefined) {
      if (createNew) return -ERRNO.EEXIST;
      if (node.kind === "directory") return -ERRNO.EISDIR;
    } else {
      if (!create && !createNew) return -ERRNO.ENOENT;
      node = new FileNode(this.#nextNumber++);
      node.modifiedMillis = this.clockMillis;
      this.#change([{ directory: place.directory, name: place.name, node }]);
    }
    return node;
  }

  makeDirectory(path: string): number {
    if (path === "/") return -ERRNO.EEXIST;
    const place = this.#locate(path);
    if (typeof place === "number") return place;
    if (place.node !== undefined) return -ERRNO.EEXIST;
    const node = new DirectoryNode(this.#nextNumber++);
    node.modifiedMillis = this.clockMillis;
    this.#change([{ directory: place.directory, name: place.name, node }]);
    return 0;
  }

  rename(from: string, to: string): number {
    if (from === "/" || to === "/") return -ERRNO.EBUSY;
    // In the order of the kernel's own checks, so that the same mistake gives the same errno.
    const source = this.#locate(from);
    if (typeof source === "number") return source;
    const target = this.#locate(to);
    if (typeof target === "number") return target;
    if (source.node === undefined) return -ERRNO.ENOENT;
    if (to.startsWith(`${from}/`)) return -ERRNO.EINVAL;
    if (from.startsWith(`${to}/`)) return -ERRNO.ENOTEMPTY;
    if (target.node === source.node) return 0;
    if (source.node.kind === "directory") {
      if (target.node?.kind === "file") return -ERRNO.ENOTDIR;
      if (target.node !== undefined && target.node.entries.size > 0) return -ERRNO.ENOTEMPTY;
    } else if (target.node?.kind === "directory") {
      return -ERRNO.EISDIR;
    }
    this.#change([
      { directory: source.directory, name: source.name, node: undefined },
      { directory: target.directory, name: target.name, node: source.node },
    ]);
    return 0;
  }

  link(from: string, to: string): number {
    const node = this.find(from);
    if (typeof node === "number") return node;
    if (to === "/") return -ERRNO.EEXIST;
    const target = this.#locate(to);
    if (typeof target === "number") return target;
    if (target.node !== undefined) return -ERRNO.EEXIST;
    if (node.kind === "directory") return -ERRNO.EPERM;
    this.#change([{ directory: target.directory, name: target.name, node }]);
    return 0;
  }

  remove(path: string): number {
    if (path === "/") return -ERRNO.EISDIR;
    const place = this.#locate(path);
    if (typeof place === "number") return place;
    if (place.node === undefined) return -ERRNO.ENOENT;
    if (place.node.kind === "directory") return -ERRNO.EISDIR;
    this.#change([{ directory: place.directory, name: place.name, node: undefined }]);
    return 0;
  }

  /**
   * Makes the changes of names in a directory durable, up to `sequence`, and with them the older
   * changes in other directories that they build on.
   */
  syncDirectory(path: string, sequence: number): number {
    const directory = this.find(path);
    if (typeof directory === "number") return directory;
    if (directory.kind === "file") return -ERRNO.ENOTDIR;
    const needed = new Set<string>();
    const synced: EntryEffect[] = [];
    const left: EntryEffect[] = [];
    for (let i = this.#entryEffects.length - 1; i >= 0; i--) {
      const effect = this.#entryEffects[i];
      const covered = effect.changes.some((change) =>
        (change.directory === directory && effect.sequence <= sequence) ||
        needed.has(keyOf(change))
      );
      if (covered) {
        for (const change of effect.changes) needed.add(keyOf(change));
        synced.push(effect);
      } else {
        left.push(effect);
      }
    }
    for (const { changes } of synced.reverse()) for (const change of changes) makeDurable(change);
    this.#entryEffects = left.reverse();
    return 0;
  }

  /** A description of the file was closed. */
  closeFile(node: FileNode): void {
    node.opens--;
    this.#freeUnused(node);
  }

  /** Names and nodes of everything that is a file, in the order of their paths. */
  files(): [path: string, node: FileNode][] {
    const found: [string, FileNode][] = [];
    const visit = (directory: DirectoryNode, prefix: string) => {
      for (const [name, node] of directory.entries) {
        if (node.kind === "directory") visit(node, `${prefix}${name}/`);
        else found.push([`${prefix}${name}`, node]);
      }
    };
    visit(this.root, "/");
    return found.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  }

  #locate(path: string): Place | number {
    const names = path.split("/");
    let directory = this.root;
    for (let i = 1; i < names.length - 1; i++) {
      const next = directory.entries.get(names[i]);
      if (next === undefined) return -ERRNO.ENOENT;
      if (next.kind === "file") return -ERRNO.ENOTDIR;
      directory = next;
    }
    const name = names[names.length - 1];
    // Three bytes a UTF-16 code unit at most: only long names are counted.
    if (
      name.length * 3 > NAME_BYTES_MAX && new TextEncoder().encode(name).length > NAME_BYTES_MAX
    ) {
      return -ERRNO.ENAMETOOLONG;
    }
    return { directory, name, node: directory.entries.get(name) };
  }

  #change(changes: EntryChange[]): void {
    // First the new names: a file that is renamed is never without one.
    for (const { node } of changes) if (node?.kind === "file") node.links++;
    for (const { directory, name, node } of changes) {
      const old = directory.entries.get(name);
      if (node === undefined) directory.entries.delete(name);
      else directory.entries.set(name, node);
      directory.modifiedMillis = this.clockMillis;
      if (old?.kind === "file") {
        old.links--;
        this.#freeUnused(old);
      }
    }
    this.#entryEffects.push({ sequence: ++this.sequence, changes });
  }

  #freeUnused(node: FileNode): void {
    // A crash may bring the file back: then the blocks are counted anew.
    if (node.links === 0 && node.opens === 0) {
      this.usedBlocks -= node.blocks;
      node.blocks = 0;
    }
  }

  // Contents

  /** Reads what programs see; `direct` reads what the device has. Returns the bytes read. */
  read(
    node: FileNode,
    offset: number,
    target: Uint8Array,
    targetOffset: number,
    length: number,
    direct: boolean,
  ): number {
    const size = Math.min(length, node.size - offset);
    if (size <= 0) return 0;
    node.content.read(offset, target, targetOffset, size);
    if (node.cached.size > 0 && !direct) {
      for (let page = Math.floor(offset / PAGE_BYTES); page * PAGE_BYTES < offset + size; page++) {
        const bytes = node.cached.get(page);
        if (bytes === undefined) continue;
        const from = Math.max(offset, page * PAGE_BYTES);
        const to = Math.min(offset + size, (page + 1) * PAGE_BYTES);
        target.set(
          bytes.subarray(from - page * PAGE_BYTES, to - page * PAGE_BYTES),
          targetOffset + from - offset,
        );
      }
    }
    return size;
  }

  /**
   * Writes, durably when `durable` says so. Returns the bytes written, fewer when the disk gets full,
   * or -ENOSPC, or -EDQUOT.
   */
  write(
    node: FileNode,
    offset: number,
    source: Uint8Array,
    sourceOffset: number,
    length: number,
    direct: boolean,
    durable: boolean,
  ): number {
    if (length === 0) return 0;
    const room = this.quotaBlocks - this.usedBlocks;
    let size = length;
    if (room * BLOCK_BYTES < length && node.content.missingBlocks(offset, length) > room) {
      size = this.#fitting(node, offset, length, room);
      if (size === 0) return this.#full;
    }
    if (node.cached.size > 0) this.#beforeWrite(node, offset, size, direct);
    const sizeAfter = Math.max(node.size, offset + size);
    // A durable write takes changes of the size with it; with no other write unsynced before it, it
    // leaves nothing to undo.
    if (durable && !node.effects.some((effect) => effect.kind === "write" && !effect.durable)) {
      node.effects.length = 0;
    } else {
      node.effects.push({
        kind: "write",
        sequence: ++this.sequence,
        offset,
        length: size,
        sizeBefore: node.size,
        sizeAfter,
        buffered: !direct,
        durable,
        before: offset < node.size ? node.content.slice(offset, size) : undefined,
      });
    }
    const allocated = node.content.write(offset, source, sourceOffset, size);
    node.blocks += allocated;
    this.usedBlocks += allocated;
    node.size = sizeAfter;
    node.modifiedMillis = this.clockMillis;
    return size;
  }

  truncate(node: FileNode, size: number): number {
    if (size === node.size) return 0;
    const shrinks = size < node.size;
    node.effects.push({
      kind: "truncate",
      sequence: ++this.sequence,
      offset: size,
      length: 0,
      sizeBefore: node.size,
      sizeAfter: size,
      buffered: true,
      durable: false,
      before: shrinks ? node.content.fork() : undefined,
    });
    if (shrinks) {
      const freed = node.content.cut(size);
      node.blocks -= freed;
      this.usedBlocks -= freed;
      for (const page of node.cached.keys()) {
        if ((page + 1) * PAGE_BYTES > size) node.cached.delete(page);
      }
    }
    node.size = size;
    node.modifiedMillis = this.clockMillis;
    return 0;
  }

  /** What a write gets that finds no room. */
  get #full(): number {
    return this.quotaBlocks < this.totalBlocks ? -ERRNO.EDQUOT : -ERRNO.ENOSPC;
  }

  /** Reserves blocks, all of them or none, and extends the file. */
  allocate(node: FileNode, offset: number, length: number): number {
    if (length === 0) return -ERRNO.EINVAL;
    const missing = node.content.missingBlocks(offset, length);
    if (missing > this.quotaBlocks - this.usedBlocks) return this.#full;
    node.content.allocate(offset, length);
    node.blocks += missing;
    this.usedBlocks += missing;
    if (offset + length > node.size) {
      node.effects.push({
        kind: "extend",
        sequence: ++this.sequence,
        offset: node.size,
        length: 0,
        sizeBefore: node.size,
        sizeAfter: offset + length,
        buffered: true,
        durable: false,
        before: undefined,
      });
      node.size = offset + length;
    }
    return 0;
  }

  /** Drops cached pages that are clean: the next read sees the device. A length of 0: to the end. */
  dropCache(node: FileNode, offset: number, length: number): void {
    const end = length === 0 ? Infinity : offset + length;
    for (const page of node.cached.keys()) {
      // A page that is not wholly in the range stays, as with POSIX_FADV_DONTNEED.
      if (page * PAGE_BYTES >= offset && (page + 1) * PAGE_BYTES <= end) node.cached.delete(page);
    }
  }

  /** Makes the effects up to `sequence` durable. */
  sync(node: FileNode, sequence: number): void {
    const { effects } = node;
    let covered = 0;
    while (
      covered < effects.length &&
      (effects[covered].durable || effects[covered].sequence <= sequence)
    ) covered++;
    if (covered === effects.length) effects.length = 0;
    else if (covered > 0) effects.splice(0, covered);
  }

  /**
   * A sync failed: cached pages count as clean from now on, and of what they hold the device has got
   * some sectors or none. Cached reads do not notice.
   */
  loseUnsynced(node: FileNode, sequence: number, random: Prng): void {
    const lost = (effect: FileEffect) =>
      effect.kind === "write" && effect.buffered && !effect.durable && effect.sequence <= sequence;
    if (!node.effects.some(lost)) return;
    const pages = new Map<number, Uint8Array>();
    for (const effect of node.effects.filter(lost)) {
      const last = Math.ceil((effect.offset + effect.length) / PAGE_BYTES);
      for (let page = Math.floor(effect.offset / PAGE_BYTES); page < last; page++) {
        if (pages.has(page)) continue;
        const bytes = new Uint8Array(PAGE_BYTES);
        this.read(node, page * PAGE_BYTES, bytes, 0, PAGE_BYTES, false);
        pages.set(page, bytes);
      }
    }
    const size = node.size;
    const cached = [...node.cached];
    node.cached.clear();
    const undone = this.#undo(node);
    const share = random.below(3) === 0 ? 0.5 : 0;
    for (const { effect, after } of undone) {
      if (lost(effect)) {
        const sectors = this.#sectors(effect, () => random.chance(share));
        for (const [from, to] of sectors) {
          this.write(node, from, after!, from - effect.offset, to - from, false, false);
        }
      } else if (effect.kind === "write") {
        this.write(
          node,
          effect.offset,
          after!,
          0,
          effect.length,
          !effect.buffered,
          effect.durable,
        );
      } else if (effect.kind === "truncate" || effect.sizeAfter > node.size) {
        this.truncate(node, effect.sizeAfter);
      }
    }
    // The size is metadata, and still dirty: it is as before, and a later sync makes it durable.
    this.truncate(node, size);
    for (const [page, bytes] of cached) node.cached.set(page, bytes);
    for (const [page, bytes] of pages) node.cached.set(page, bytes);
    // Taking truncations back has moved whole contents about.
    const blocks = node.content.countBlocks();
    this.usedBlocks += blocks - node.blocks;
    node.blocks = blocks;
  }

  /** A write failed: of its sectors within the file none, some or all are new now, durable or not. */
  tearWrite(
    node: FileNode,
    offset: number,
    source: Uint8Array,
    sourceOffset: number,
    length: number,
    direct: boolean,
    random: Prng,
  ): void {
    const size = Math.min(length, node.size - offset);
    if (size <= 0) return;
    const effect = { offset, length: size };
    const share = random.below(3) / 2;
    for (const [from, to] of this.#sectors(effect, () => random.chance(share))) {
      this.write(node, from, source, sourceOffset + from - offset, to - from, direct, false);
    }
  }

  /** Puts back `old` into some sectors of a write that was done. */
  untear(
    node: FileNode,
    offset: number,
    old: Uint8Array,
    length: number,
    direct: boolean,
    durable: boolean,
    random: Prng,
  ): void {
    for (const [from, to] of this.#sectors({ offset, length }, () => random.oneIn(2))) {
      this.write(node, from, old, from - offset, to - from, direct, durable);
    }
  }

  /** Flips one bit on the device, durably; the page is no longer cached. */
  rot(node: FileNode, offset: number, bit: number): void {
    node.cached.delete(Math.floor(offset / PAGE_BYTES));
    const byte = new Uint8Array(1);
    node.content.read(offset, byte, 0, 1);
    byte[0] ^= 1 << bit;
    node.content.write(offset, byte, 0, 1);
    // What an effect replaced lies on the device until a sync covers it: it comes back by a crash.
    for (const effect of node.effects) {
      const { kind, before } = effect;
      if (before instanceof SparseBytes) {
        before.read(offset, byte, 0, 1);
        byte[0] ^= 1 << bit;
        before.write(offset, byte, 0, 1);
      } else if (
        kind === "write" && offset >= effect.offset && offset < effect.offset + effect.length
      ) {
        effect.before = before ?? new Uint8Array(effect.length);
        effect.before[offset - effect.offset] ^= 1 << bit;
      }
    }
  }

  /** Bytes of a range that can be written with `room` free blocks. */
  #fitting(node: FileNode, offset: number, length: number, room: number): number {
    let left = room;
    let size = 0;
    while (size < length) {
      const at = offset + size;
      const step = Math.min(length - size, BLOCK_BYTES - at % BLOCK_BYTES);
      const missing = node.content.missingBlocks(at, step);
      if (missing > left) break;
      left -= missing;
      size += step;
    }
    return size;
  }

  /** Cached pages that a write touches: it makes them dirty as a whole, or drops them when direct. */
  #beforeWrite(node: FileNode, offset: number, length: number, direct: boolean): void {
    for (let page = Math.floor(offset / PAGE_BYTES); page * PAGE_BYTES < offset + length; page++) {
      const bytes = node.cached.get(page);
      if (bytes === undefined) continue;
      node.cached.delete(page);
      const size = Math.min(PAGE_BYTES, node.size - page * PAGE_BYTES);
      if (!direct && size > 0) {
        this.write(node, page * PAGE_BYTES, bytes, 0, size, false, false);
      }
    }
  }

  // Crash

  /**
   * What a power cut leaves: a disk of its own, with nothing unsynced. `before` is called with the
   * copy, to let operations in flight have their effect or not. This disk is not changed.
   */
  crash(
    random: Prng,
    survival: Survival,
    before: (disk: MemoryDisk, copy: CopyNode) => void,
  ): MemoryDisk {
    const { disk, copy } = this.#copy();
    before(disk, copy);
    disk.#settle(random, survival);
    return disk;
  }

  #copy(): { disk: MemoryDisk; copy: CopyNode } {
    const disk = new MemoryDisk(
      this.sectorBytes,
      this.totalBlocks * BLOCK_BYTES,
      this.quotaBlocks * BLOCK_BYTES,
    );
    disk.sequence = this.sequence;
    disk.clockMillis = this.clockMillis;
    disk.#nextNumber = this.#nextNumber;
    disk.usedBlocks = this.usedBlocks;
    const copies = new Map<Node, Node>();
    copies.set(this.root, disk.root);
    const fill = (from: DirectoryNode, to: DirectoryNode) => {
      to.modifiedMillis = from.modifiedMillis;
      for (const [name, node] of from.entries) to.entries.set(name, copy(node));
      for (const [name, node] of from.durable) to.durable.set(name, copy(node));
    };
    const copy = <T extends Node>(node: T): T => {
      const known = copies.get(node);
      if (known !== undefined) return known as T;
      if (node.kind === "directory") {
        const made = new DirectoryNode(node.number);
        copies.set(node, made);
        fill(node, made);
        return made as T;
      }
      const made = new FileNode(node.number);
      made.content = node.content.fork();
      made.size = node.size;
      made.blocks = node.blocks;
      made.effects = node.effects.map((effect) => ({ ...effect }));
      made.links = node.links;
      made.modifiedMillis = node.modifiedMillis;
      copies.set(node, made);
      return made as Node as T;
    };
    fill(this.root, disk.root);
    disk.#entryEffects = this.#entryEffects.map(({ sequence, changes }) => ({
      sequence,
      changes: changes.map(({ directory, name, node }) => ({
        directory: copy(directory),
        name,
        node: node === undefined ? undefined : copy(node),
      })),
    }));
    return { disk, copy };
  }

  /** Decides about everything unsynced. */
  #settle(random: Prng, survival: Survival): void {
    // Machines that keep nearly all, or nearly nothing, find other mistakes than those in between.
    const style = survival === "none" ? 0 : survival === "all" ? 1 : random.below(4) / 3;
    const lost = new Set<string>();
    for (const { changes } of this.#entryEffects) {
      const keys = changes.map(keyOf);
      // What builds on a change that was lost is lost too.
      if (keys.some((key) => lost.has(key)) || !random.chance(style)) {
        for (const key of keys) lost.add(key);
      } else {
        for (const change of changes) makeDurable(change);
      }
    }
    this.#entryEffects = [];
    this.usedBlocks = 0;
    const seen = new Set<FileNode>();
    const visit = (directory: DirectoryNode) => {
      directory.entries.clear();
      for (const [name, node] of directory.durable) {
        directory.entries.set(name, node);
        if (node.kind === "directory") {
          visit(node);
          continue;
        }
        if (!seen.has(node)) {
          seen.add(node);
          node.links = 0;
          this.#settleFile(node, random, style);
          node.blocks = node.content.countBlocks();
          this.usedBlocks += node.blocks;
        }
        node.links++;
      }
    };
    visit(this.root);
  }

  #settleFile(node: FileNode, random: Prng, style: number): void {
    if (node.effects.length === 0) return;
    const undone = this.#undo(node);
    // A sector on the medium is one of the versions it has had: once an effect did not reach it, no
    // later one did, unless that one is durable; then all before it in that sector are too.
    const durableUntil = new Map<number, number>();
    let resizedUntil = -1;
    undone.forEach(({ effect }, i) => {
      if (!effect.durable) return;
      resizedUntil = i;
      this.#eachSector(effect, (sector) => durableUntil.set(sector, i));
    });
    const stopped = new Set<number>();
    for (let i = 0; i < undone.length; i++) {
      const { effect, after } = undone[i];
      if (effect.kind !== "write") {
        if (i > resizedUntil && !random.chance(style)) continue;
        if (effect.sizeAfter > node.size) {
          const share = i <= resizedUntil ? 1 : style;
          node.size = this.#sizeBetween(node.size, effect.sizeAfter, share, random);
        } else if (effect.kind === "truncate") {
          node.content.cut(effect.sizeAfter);
          node.size = effect.sizeAfter;
        }
        continue;
      }
      // A write survives wholly, partly or not at all.
      const share = effect.durable || random.chance(style) ? 1 : random.below(2) === 0 ? 0 : style;
      const end = effect.offset + effect.length;
      if (end > node.size) {
        // The size may have got out without the data, and the other way round.
        node.size = this.#sizeBetween(node.size, end, effect.durable ? 1 : style, random);
      }
      for (
        const [from, to] of this.#sectors(effect, (sector) => {
          if (i <= (durableUntil.get(sector) ?? -1)) return true;
          if (stopped.has(sector)) return false;
          if (random.chance(share)) return true;
          stopped.add(sector);
          return false;
        })
      ) {
        const length = Math.min(to, node.size) - from;
        if (length > 0) node.content.write(from, after!, from - effect.offset, length);
      }
    }
  }

  #sizeBetween(old: number, size: number, style: number, random: Prng): number {
    if (style === 1 || random.chance(style)) return size;
    if (style === 0 || random.below(2) === 0) return old;
    return old + random.below(Math.min(size - old, 0xffffffff) + 1);
  }

  /** Takes all effects back; gives them in their order, each with what it had written. */
  #undo(node: FileNode): { effect: FileEffect; after: Uint8Array | undefined }[] {
    const undone: { effect: FileEffect; after: Uint8Array | undefined }[] = [];
    for (let i = node.effects.length - 1; i >= 0; i--) {
      const effect = node.effects[i];
      let after: Uint8Array | undefined;
      if (effect.kind === "write") {
        after = new Uint8Array(effect.length);
        node.content.read(effect.offset, after, 0, effect.length);
        if (effect.before === undefined) node.content.zero(effect.offset, effect.length);
        else node.content.write(effect.offset, effect.before as Uint8Array, 0, effect.length);
      } else if (effect.before !== undefined) {
        node.content = (effect.before as SparseBytes).fork();
      }
      node.size = effect.sizeBefore;
      undone.push({ effect, after });
    }
    node.effects = [];
    return undone.reverse();
  }

  #eachSector(range: { offset: number; length: number }, use: (sector: number) => void): void {
    const last = Math.ceil((range.offset + range.length) / this.sectorBytes);
    for (let sector = Math.floor(range.offset / this.sectorBytes); sector < last; sector++) {
      use(sector);
    }
  }

  /** The parts of a range whose sectors `choose` takes, neighbours joined. */
  #sectors(
    range: { offset: number; length: number },
    choose: (sector: number) => boolean,
  ): [from: number, to: number][] {
    const chosen: [number, number][] = [];
    const end = range.offset + range.length;
    this.#eachSector(range, (sector) => {
      if (!choose(sector)) return;
      const from = Math.max(range.offset, sector * this.sectorBytes);
      const to = Math.min(end, (sector + 1) * this.sectorBytes);
      const before = chosen.at(-1);
      if (before !== undefined && before[1] === from) before[1] = to;
      else chosen.push([from, to]);
    });
    return chosen;
  }
}

/** Gives the copy of a node. */
export type CopyNode = <T extends Node>(node: T) => T;

function keyOf({ directory, name }: EntryChange): string {
  return `${directory.number}/${name}`;
}

function makeDurable({ directory, name, node }: EntryChange): void {
  if (node === undefined) directory.durable.delete(name);
  else directory.durable.set(name, node);
}
