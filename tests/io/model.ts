/**
 * A file system as the manual pages describe it (open(2), pread(2), rename(2), link(2), unlink(2),
 * ftruncate(2), fallocate(2), mkdir(2), flock(2)), plain and slow: one flat table of paths, and the bytes
 * of a file in one array that is made anew by every change. It shares no line with `MemoryIo`, and knows
 * nothing of caches, time or crashes. Paths are absolute and normal; results are those of `Io`: a
 * negative errno is a value.
 */

/** Numbers of Linux, from errno(3). */
const errno = {
  EPERM: 1,
  ENOENT: 2,
  EBADF: 9,
  EAGAIN: 11,
  EEXIST: 17,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENAMETOOLONG: 36,
  ENOTEMPTY: 39,
} as const;

const NAME_BYTES_MAX = 255;

interface Inode {
  bytes: Uint8Array;
  lockedBy: ModelFile | undefined;
}

/** An open file description. */
export interface ModelFile {
  readonly inode: Inode;
  readonly reads: boolean;
  readonly writes: boolean;
  readonly appends: boolean;
}

/** What an open is asked for. */
export interface ModelOpen {
  read?: boolean;
  write?: boolean;
  create?: boolean;
  createNew?: boolean;
  truncate?: boolean;
  append?: boolean;
}

/** What stat says. */
export interface ModelStat {
  size: number;
  isFile: boolean;
  isDirectory: boolean;
}

const DIRECTORY = "directory";

/** The file system: empty but for its root. */
export class Model {
  readonly #at = new Map<string, Inode | typeof DIRECTORY>([["/", DIRECTORY]]);

  /** What lies in the way of a path: a negative errno, or 0. Its last name need not exist. */
  #walk(path: string): number {
    const names = path.split("/").slice(1);
    for (let i = 0; i < names.length; i++) {
      const above = i === 0 ? "/" : `/${names.slice(0, i).join("/")}`;
      const found = this.#at.get(above);
      if (found === undefined) return -errno.ENOENT;
      if (found !== DIRECTORY) return -errno.ENOTDIR;
      if (new TextEncoder().encode(names[i]).length > NAME_BYTES_MAX) return -errno.ENAMETOOLONG;
    }
    return 0;
  }

  open(path: string, options: ModelOpen): ModelFile | number {
    const inTheWay = this.#walk(path);
    if (inTheWay < 0) return inTheWay;
    let found = this.#at.get(path);
    if (found !== undefined && options.createNew) return -errno.EEXIST;
    if (found === DIRECTORY) return -errno.EISDIR;
    if (found === undefined) {
      if (!options.create && !options.createNew) return -errno.ENOENT;
      found = { bytes: new Uint8Array(0), lockedBy: undefined };
      this.#at.set(path, found);
    }
    if (options.truncate) found.bytes = new Uint8Array(0);
    return {
      inode: found,
      reads: options.read === true,
      writes: options.write === true,
      appends: options.append === true,
    };
  }

  close(file: ModelFile): number {
    if (file.inode.lockedBy === file) file.inode.lockedBy = undefined;
    return 0;
  }

  read(file: ModelFile, length: number, offset: number): Uint8Array | number {
    if (!file.reads) return -errno.EBADF;
    return file.inode.bytes.slice(offset, offset + length);
  }

  write(file: ModelFile, bytes: Uint8Array, offset: number): number {
    if (!file.writes) return -errno.EBADF;
    if (bytes.length === 0) return 0;
    const at = file.appends ? file.inode.bytes.length : offset;
    const after = new Uint8Array(Math.max(file.inode.bytes.length, at + bytes.length));
    after.set(file.inode.bytes);
    after.set(bytes, at);
    file.inode.bytes = after;
    return bytes.length;
  }

  truncate(file: ModelFile, size: number): number {
    if (!file.writes) return -errno.EINVAL;
    const after = new Uint8Array(size);
    after.set(file.inode.bytes.slice(0, size));
    file.inode.bytes = after;
    return 0;
  }

  allocate(file: ModelFile, offset: number, length: number): number {
    if (length === 0) return -errno.EINVAL;
    if (!file.writes) return -errno.EBADF;
    if (offset + length > file.inode.bytes.length) return this.truncate(file, offset + length);
    return 0;
  }

  stat(target: ModelFile | string): ModelStat | number {
    let found: Inode | typeof DIRECTORY | undefined;
    if (typeof target === "string") {
      const inTheWay = this.#walk(target);
      if (inTheWay < 0 && target !== "/") return inTheWay;
      found = this.#at.get(target);
      if (found === undefined) return -errno.ENOENT;
    } else found = target.inode;
    if (found === DIRECTORY) return { size: 0, isFile: false, isDirectory: true };
    return { size: found.bytes.length, isFile: true, isDirectory: false };
  }

  rename(from: string, to: string): number {
    const fromInTheWay = this.#walk(from);
    if (fromInTheWay < 0) return fromInTheWay;
    const toInTheWay = this.#walk(to);
    if (toInTheWay < 0) return toInTheWay;
    const source = this.#at.get(from);
    const target = this.#at.get(to);
    if (source === undefined) return -errno.ENOENT;
    if (to.startsWith(`${from}/`)) return -errno.EINVAL;
    if (from.startsWith(`${to}/`)) return -errno.ENOTEMPTY;
    // Two names of one file: nothing happens.
    if (from === to || (source !== DIRECTORY && source === target)) return 0;
    if (source === DIRECTORY && target !== undefined) {
      if (target !== DIRECTORY) return -errno.ENOTDIR;
      if (this.#below(to).length > 0) return -errno.ENOTEMPTY;
    }
    if (source !== DIRECTORY && target === DIRECTORY) return -errno.EISDIR;
    const moved = [from, ...this.#below(from)];
    for (const path of moved) {
      const node = this.#at.get(path)!;
      this.#at.delete(path);
      this.#at.set(to + path.slice(from.length), node);
    }
    return 0;
  }

  link(from: string, to: string): number {
    const fromInTheWay = this.#walk(from);
    if (fromInTheWay < 0) return fromInTheWay;
    const source = this.#at.get(from);
    if (source === undefined) return -errno.ENOENT;
    const toInTheWay = this.#walk(to);
    if (toInTheWay < 0) return toInTheWay;
    if (this.#at.has(to)) return -errno.EEXIST;
    if (source === DIRECTORY) return -errno.EPERM;
    this.#at.set(to, source);
    return 0;
  }

  remove(path: string): number {
    const inTheWay = this.#walk(path);
    if (inTheWay < 0) return inTheWay;
    const found = this.#at.get(path);
    if (found === undefined) return -errno.ENOENT;
    if (found === DIRECTORY) return -errno.EISDIR;
    this.#at.delete(path);
    return 0;
  }

  syncDirectory(path: string): number {
    const stat = this.stat(path);
    if (typeof stat === "number") return stat;
    return stat.isDirectory ? 0 : -errno.ENOTDIR;
  }

  /** The directories that were made, or what is thrown for. */
  createDirectories(path: string): string[] | number {
    const made: string[] = [];
    const names = path.split("/").slice(1);
    for (let i = 1; i <= names.length; i++) {
      const one = `/${names.slice(0, i).join("/")}`;
      const found = this.#at.get(one);
      if (found === undefined) {
        this.#at.set(one, DIRECTORY);
        made.push(one);
      } else if (found !== DIRECTORY) {
        return i === names.length ? -errno.EEXIST : -errno.ENOTDIR;
      }
    }
    return made;
  }

  /** The names in a directory, in order; those of directories with a slash behind. */
  listDirectory(path: string): string[] | number {
    const code = this.syncDirectory(path);
    if (code < 0) return code;
    return this.#below(path)
      .map((one) => one.slice(path === "/" ? 1 : path.length + 1))
      .filter((name) => !name.includes("/"))
      .map((name) =>
        this.#at.get(`${path === "/" ? "" : path}/${name}`) === DIRECTORY ? `${name}/` : name
      )
      .sort();
  }

  lock(file: ModelFile): number {
    const { lockedBy } = file.inode;
    if (lockedBy !== undefined && lockedBy !== file) return -errno.EAGAIN;
    file.inode.lockedBy = file;
    return 0;
  }

  #below(path: string): string[] {
    const prefix = path === "/" ? "/" : `${path}/`;
    return [...this.#at.keys()].filter((one) => one !== "/" && one.startsWith(prefix));
  }
}
