/**
 * A directory of a benchmark, on a real disk, removed at its end.
 *
 * @module
 */
import { mkdtempSync, realpathSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const MEMORY_FILE_SYSTEMS: Record<number, string> = {
  0x0102_1994: "tmpfs",
  0x8584_58f6: "ramfs",
};

const memoryFileSystem = (directory: string) =>
  MEMORY_FILE_SYSTEMS[Number(statfsSync(directory).type)];

/** A directory of its own, removed when it is disposed of, and when the program is interrupted. */
export class Scratch implements Disposable {
  readonly path: string;
  readonly #ended = () => {
    this[Symbol.dispose]();
    process.exit(130);
  };

  /**
   * @param parent Where to make it; by default the temporary directory, and where that is in memory the
   * working directory.
   * @param bytes Room that is needed.
   */
  constructor(parent: string | undefined, bytes: number) {
    const chosen = [parent ?? tmpdir(), ...(parent === undefined ? [process.cwd()] : [])]
      .find((directory) => memoryFileSystem(directory) === undefined);
    if (chosen === undefined) {
      throw new Error(
        `${parent ?? process.cwd()} is in memory (${memoryFileSystem(parent ?? process.cwd())}): ` +
          `name a directory on a disk with --dir`,
      );
    }
    const { bavail, bsize } = statfsSync(chosen);
    const free = Number(bavail) * Number(bsize);
    if (free < bytes) {
      throw new Error(
        `${chosen} has ${mebibytes(free)} free, and ${mebibytes(bytes)} are needed: ` +
          `free space, or name another directory with --dir`,
      );
    }
    this.path = mkdtempSync(join(realpathSync(chosen), "uring-bench-"));
    process.on("SIGINT", this.#ended);
    process.on("SIGTERM", this.#ended);
  }

  join(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    process.off("SIGINT", this.#ended);
    process.off("SIGTERM", this.#ended);
    rmSync(this.path, { recursive: true, force: true });
  }
}

const mebibytes = (bytes: number) => `${Math.floor(bytes / 1_048_576)} MiB`;
