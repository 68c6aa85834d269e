/**
 * File systems of their own, in a file on a loop device, for what cannot be done to a real one.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { skipUnless } from "../support/skip.ts";

/** On a device. */
export type FileSystem = "ext4" | "xfs" | "btrfs";
/** Or in memory. */
export type Mountable = FileSystem | "tmpfs";

/** The smallest image that its mkfs takes, or close to it; of a tmpfs its size. */
const MEGABYTES_MIN: Record<Mountable, number> = { ext4: 8, xfs: 320, btrfs: 128, tmpfs: 1 };

const MOUNT_TRIES = 5;
const UNMOUNT_TRIES = 400;
const UNMOUNT_PAUSE_MILLIS = 25;

const sleeper = new Int32Array(new SharedArrayBuffer(4));
const pause = (millis: number) => void Atomics.wait(sleeper, 0, 0, millis);

/** Runs a program of the system; gives its output, or throws what it said. */
export function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (error) {
    throw (error as { code?: string }).code === "ENOENT"
      ? new Error(`${program} is missing`)
      : error;
  }
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: status ${status}: ${stderr}`);
  return stdout;
}

function unmount(point: string): void {
  for (let tries = 0;; tries++) {
    try {
      run("umount", point);
      return;
    } catch (error) {
      if (tries >= UNMOUNT_TRIES) throw error;
      pause(UNMOUNT_PAUSE_MILLIS);
    }
  }
}

/**
 * What runs a command with mounts of its own: as root the file systems alone are the process's own, else its
 * users, too. What is unmounted outside goes there as well: a copy of a mount would keep its file system
 * alive, so that it could not be mounted anew after a shutdown.
 */
export const OWN_MOUNTS: readonly string[] = [
  ...["unshare", "--propagation", "slave"],
  ...(process.getuid?.() === 0 ? ["-m"] : ["-r", "-m"]),
];

/** A mounted image; a tmpfs needs none. */
export class ImageMount implements Disposable {
  readonly folder: string;
  readonly image: string;
  /** Where it is mounted. */
  readonly point: string;
  readonly #options: string[];
  #mounted = false;
  readonly #ownFolder: boolean;
  /** The folder is mounted on itself: what is mounted in there is shared from its first moment. */
  #shared = false;

  /** @param folder Where the image lies, which then stays; default a new one, removed at the end. */
  constructor(
    fileSystem: Mountable,
    megabytes: number,
    { folder, mkfs = [] }: { folder?: string; mkfs?: string[] } = {},
  ) {
    this.#ownFolder = folder === undefined;
    this.folder = folder ??
      mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-image-"));
    this.image = join(this.folder, "image");
    this.point = join(this.folder, "mount");
    const inMemory = fileSystem === "tmpfs";
    this.#options = ["-t", fileSystem, "-o", inMemory ? `size=${megabytes}m` : "loop"];
    try {
      run("mount", "--bind", "--make-shared", this.folder, this.folder);
      this.#shared = true;
      mkdirSync(this.point);
      if (!inMemory) this.#makeImage(fileSystem, megabytes, mkfs);
      this.mount();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #makeImage(fileSystem: FileSystem, megabytes: number, mkfs: readonly string[]): void {
    closeSync(openSync(this.image, "w"));
    truncateSync(this.image, megabytes * 1024 * 1024);
    const quiet = fileSystem === "ext4"
      ? ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
      : ["-q", "-f"];
    run(`mkfs.${fileSystem}`, ...quiet, ...mkfs, this.image);
  }

  /** Again and again for a moment: others may take the loop device between finding it and using it. */
  mount(): void {
    for (let tries = 1; !this.#mounted; tries++) {
      try {
        run("mount", ...this.#options, this.image, this.point);
        this.#mounted = true;
      } catch (error) {
        if (tries >= MOUNT_TRIES) throw error;
        pause(UNMOUNT_PAUSE_MILLIS);
      }
    }
  }

  /** Waits until nobody has a file open there: what a killed process had in flight may hold one. */
  unmount(): void {
    if (this.#mounted) unmount(this.point);
    this.#mounted = false;
  }

  [Symbol.dispose](): void {
    this.unmount();
    if (this.#shared) unmount(this.folder);
    this.#shared = false;
    if (this.#ownFolder) rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * An ext4 file system on a device that can be made to fail: its image lies in a tmpfs. When that is full,
 * every block that holds only zeros is gone for writing.
 */
export class FailingMount implements Disposable {
  readonly #folder: string;
  readonly #disk: ImageMount;
  readonly #filler: string;

  constructor(megabytes: number) {
    this.#folder = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-failing-"));
    const memory = join(this.#folder, "memory");
    this.#filler = join(memory, "filler");
    mkdirSync(memory);
    run("mount", "-t", "tmpfs", "-o", `size=${megabytes + 8}m`, "uring-test", memory);
    try {
      // Without a journal only what a test writes can fail. Blocks are pages of the tmpfs: a loop
      // device takes a write of its file that is cut short for whole, so it must fail at its first page.
      this.#disk = new ImageMount("ext4", megabytes, {
        folder: memory,
        mkfs: ["-O", "^has_journal", "-b", "4096"],
      });
    } catch (error) {
      run("umount", memory);
      rmSync(this.#folder, { recursive: true, force: true });
      throw error;
    }
  }

  get point(): string {
    return this.#disk.point;
  }

  /** From now on writes to blocks of zeros fail with EIO. */
  fail(): void {
    run("sync", "-f", this.point);
    run("fallocate", "--dig-holes", this.#disk.image);
    const file = openSync(this.#filler, "w");
    try {
      const piece = new Uint8Array(1 << 16);
      for (;;) writeSync(file, piece);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  /** The device works again. */
  mend(): void {
    rmSync(this.#filler, { force: true });
  }

  /** Everything that is cached is forgotten. */
  remount(): void {
    this.#disk.unmount();
    this.#disk.mount();
  }

  [Symbol.dispose](): void {
    this.mend();
    const memory = this.#disk.folder;
    this.#disk[Symbol.dispose]();
    run("umount", memory);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Why no image of this kind can be mounted here, or `undefined`. */
function missing(fileSystem: Mountable): string | undefined {
  if (process.getuid?.() !== 0) return "mounting a loop device needs root";
  try {
    new ImageMount(fileSystem, MEGABYTES_MIN[fileSystem])[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return `no ${fileSystem} can be mounted here (${(error as Error).message.trim()})`;
  }
}

/** For the `skip` of a test that mounts images. */
export function skipUnmountable(fileSystem: Mountable): string | false {
  const reason = missing(fileSystem);
  return skipUnless(reason === undefined, `${reason}`);
}
