/** A disk that is slow for some processes. */
import { existsSync, mkdirSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { inScratch } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const GROUPS = "/sys/fs/cgroup/blkio";
export const SLOW_BYTES_PER_SECOND = 4 << 20;
const REMOVE_TRIES = 100;
const REMOVE_PAUSE_MILLIS = 20;

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** A control group whose members write slowly to the device under `directory`. */
export class SlowGroup implements Disposable {
  readonly #path = join(GROUPS, `uring-test-${process.pid}`);

  constructor(directory: string) {
    const { dev } = statSync(directory);
    const device = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
    mkdirSync(this.#path);
    try {
      const limit = join(this.#path, "blkio.throttle.write_bps_device");
      writeFileSync(limit, `${device} ${SLOW_BYTES_PER_SECOND}`);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  add(pid: number): void {
    writeFileSync(join(this.#path, "cgroup.procs"), String(pid));
  }

  /** When its last member, killed perhaps a moment ago, is gone. */
  [Symbol.dispose](): void {
    for (let tries = 1;; tries++) {
      try {
        rmdirSync(this.#path);
        return;
      } catch (error) {
        if ((error as { code?: string }).code !== "EBUSY" || tries >= REMOVE_TRIES) throw error;
        Atomics.wait(sleeper, 0, 0, REMOVE_PAUSE_MILLIS);
      }
    }
  }
}

/** Why no disk can be made slow here, or `undefined`. */
export async function slowMissing(): Promise<string | undefined> {
  if (!existsSync(join(GROUPS, "cgroup.procs"))) {
    return "slowing a disk down needs the blkio control group (v1)";
  }
  try {
    await inScratch((directory) => new SlowGroup(directory)[Symbol.dispose]());
    return undefined;
  } catch (error) {
    return `the disk cannot be slowed down (${(error as Error).message})`;
  }
}

/** For the `skip` of a test that needs it. */
export async function skipSlow(): Promise<string | false> {
  const reason = await slowMissing();
  return skipUnless(reason === undefined, `${reason}`);
}
