/**
 * What statx and fstatfs tell, in objects that are filled in.
 *
 * @module
 */

import { FILE_SYSTEM_INFO, STATX, STATX_TIME } from "../abi/generated.ts";

/**
 * Filled in when the completion of its statx was reaped with a `res` of 0. Make one, pass it to
 * `prepStatx` or `prepFstatx`, and use it again as often as you like, one operation at a time.
 *
 * Numbers above 2^53 (only inode numbers can be so large) are rounded.
 */
export class StatxResult {
  /** STATX_* of the fields that the kernel filled in. */
  mask = 0;
  /** S_IF* and permission bits. */
  mode = 0;
  /** Names that the file has. */
  nlink = 0;
  /** User that owns it. */
  uid = 0;
  /** Group that owns it. */
  gid = 0;
  /** Inode number. */
  ino = 0;
  /** Bytes. */
  size = 0;
  /** Blocks of 512 bytes that are allocated. */
  blocks = 0;
  /** Preferred size of I/O, bytes. */
  blksize = 0;
  /** Device that it lies on. */
  devMajor = 0;
  /** Device that it lies on. */
  devMinor = 0;
  /** Device that it is, where it is one. */
  rdevMajor = 0;
  /** Device that it is, where it is one. */
  rdevMinor = 0;
  /** Last read, milliseconds since 1970 with fractions. */
  atimeMillis = 0;
  /** Made, as above. */
  btimeMillis = 0;
  /** Last change of the inode, as above. */
  ctimeMillis = 0;
  /** Last change of the contents, as above. */
  mtimeMillis = 0;
  /** Alignment of memory for direct I/O, bytes; 0 when unknown or when there is no direct I/O. */
  dioMemAlign = 0;
  /** Alignment of offsets and lengths for direct I/O, bytes; 0 as above. */
  dioOffsetAlign = 0;

  /** An ordinary file. */
  get isFile(): boolean {
    return (this.mode & 0xf000) === 0x8000;
  }

  /** A directory. */
  get isDirectory(): boolean {
    return (this.mode & 0xf000) === 0x4000;
  }

  /** A symbolic link. */
  get isSymlink(): boolean {
    return (this.mode & 0xf000) === 0xa000;
  }

  /** @internal */
  fill(view: DataView, at: number): void {
    this.mask = view.getUint32(at + STATX.mask, true);
    this.mode = view.getUint16(at + STATX.mode, true);
    this.nlink = view.getUint32(at + STATX.nlink, true);
    this.uid = view.getUint32(at + STATX.uid, true);
    this.gid = view.getUint32(at + STATX.gid, true);
    this.ino = wide(view, at + STATX.ino);
    this.size = wide(view, at + STATX.size);
    this.blocks = wide(view, at + STATX.blocks);
    this.blksize = view.getUint32(at + STATX.blksize, true);
    this.devMajor = view.getUint32(at + STATX.devMajor, true);
    this.devMinor = view.getUint32(at + STATX.devMinor, true);
    this.rdevMajor = view.getUint32(at + STATX.rdevMajor, true);
    this.rdevMinor = view.getUint32(at + STATX.rdevMinor, true);
    this.atimeMillis = millis(view, at + STATX.atime);
    this.btimeMillis = millis(view, at + STATX.btime);
    this.ctimeMillis = millis(view, at + STATX.ctime);
    this.mtimeMillis = millis(view, at + STATX.mtime);
    this.dioMemAlign = view.getUint32(at + STATX.dioMemAlign, true);
    this.dioOffsetAlign = view.getUint32(at + STATX.dioOffsetAlign, true);
  }
}

/** Filled in by `ring.fstatfs`. */
export class FileSystemResult {
  /** Magic number of the kind of file system: 0xef53 is ext4. */
  type = 0;
  /** Bytes of one block. */
  blockBytes = 0;
  /** Blocks in all. */
  blocks = 0;
  /** Blocks that are free. */
  blocksFree = 0;
  /** Blocks that an ordinary user may still use. */
  blocksAvailable = 0;

  /** @internal */
  fill(view: DataView): void {
    this.type = wide(view, FILE_SYSTEM_INFO.type);
    this.blockBytes = wide(view, FILE_SYSTEM_INFO.blockBytes);
    this.blocks = wide(view, FILE_SYSTEM_INFO.blocks);
    this.blocksFree = wide(view, FILE_SYSTEM_INFO.blocksFree);
    this.blocksAvailable = wide(view, FILE_SYSTEM_INFO.blocksAvailable);
  }
}

function wide(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

/** Times before 1970 are negative. */
function millis(view: DataView, at: number): number {
  const seconds = view.getInt32(at + STATX_TIME.seconds + 4, true) * 0x1_0000_0000 +
    view.getUint32(at + STATX_TIME.seconds, true);
  return seconds * 1000 + view.getUint32(at + STATX_TIME.nanoseconds, true) / 1e6;
}
