/**
 * `./dev fault full`: every limit that a disk or a process can meet: full file systems, a quota, a largest
 * file, a read-only mount, few descriptors, no locked memory, little memory. The program is held back, or
 * told by name; the log is undamaged, holds what was acknowledged, and goes on when there is room again.
 * `--full` tries every number of descriptors and more sizes.
 */
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { Broken } from "./_history.ts";
import { checkLimited, LIMITS_OPTIONS, type LimitsLaunch, runLimited } from "./_limits.ts";
import type { LimitsOrders } from "./_limits_program.ts";
import { ImageMount, run as command } from "./_mounts.ts";

const { seed, full } = campaignOf("full");
const BACKENDS = ["uring", "sync"] as const;
const MEMORY_CGROUP = "/sys/fs/cgroup/memory";
const folder = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-full-"));
let runs = 0;
let failures = 0;

interface Expected {
  /** Errno by name that holds it back. */
  held?: string;
  /** Codes of an error that may end it, or keep it from beginning. */
  failed?: string[];
  /** It may also get through. */
  orWorks?: boolean;
  /** It may be killed. */
  orKilled?: boolean;
}

const orders = (directory: string, backend: LimitsOrders["backend"], records: number) => ({
  directory,
  backend,
  seed,
  run: 1,
  records,
  options: LIMITS_OPTIONS,
});

/** Runs the program at a limit, judges what it saw, lifts the limit, and checks the log. */
async function meets(
  name: string,
  order: LimitsOrders,
  launch: LimitsLaunch,
  expected: Expected,
  lift: () => void = () => {},
): Promise<void> {
  runs++;
  try {
    const outcome = await runLimited(order, launch);
    const { report, acknowledged, signal, errors } = outcome;
    let seen: string;
    if (report === undefined) {
      seen = signal === null ? `did not begin: ${errors.trim().split("\n").at(-1)}` : signal;
      if (signal === null ? !expected.failed : !expected.orKilled) throw new Broken(seen);
    } else if (report.held !== undefined) {
      seen = `held back by ${report.held}`;
      if (report.held !== expected.held) throw new Broken(seen);
    } else if (report.failed !== undefined) {
      const { code, cause, message } = report.failed;
      seen = `${code}${cause === undefined ? "" : ` (${cause})`}: ${message}`;
      if (!expected.failed?.includes(code) && !expected.failed?.includes(`${cause}`)) {
        throw new Broken(seen);
      }
    } else {
      seen = `got through, ${report.backend}`;
      if (!expected.orWorks) throw new Broken(seen);
    }
    lift();
    const last = await checkLimited(
      order,
      acknowledged,
      report?.found === undefined ? undefined : report.appended,
    );
    console.log(`ok     ${name}: ${seen}; ${acknowledged} acknowledged, ${last - 2} there`);
  } catch (error) {
    failures++;
    console.log(`FAILED ${name}: ${(error as Error).message}`);
  }
}

async function fullDisks(): Promise<void> {
  const sizes = { ext4: [24, 64], xfs: [320], btrfs: [128], tmpfs: [16] };
  for (const [fileSystem, megabytes] of Object.entries(sizes)) {
    for (const size of full ? megabytes : megabytes.slice(0, 1)) {
      for (const backend of BACKENDS) {
        using disk = fileSystem === "tmpfs"
          ? new MemoryMount(size)
          : new ImageMount(fileSystem as "ext4", size);
        // Large disks are filled by somebody else first.
        const filler = join(disk.point, "filler");
        fill(filler, 6 << 20, disk.point);
        const order = orders(join(disk.point, "log"), backend, 1e6);
        await meets(
          `${fileSystem} of ${size} MB full, ${backend}`,
          order,
          {},
          { held: "ENOSPC", failed: ["ENOSPC"] },
          () => rmSync(filler),
        );
      }
    }
  }
}

/** Takes all of a file system but `leave` bytes. */
function fill(path: string, leave: number, point: string): void {
  const [free] = command("df", "--output=avail", "-B1", point).trim().split("\n").slice(-1);
  const bytes = Math.max(4096, Math.floor((Number(free) - leave) / 4096) * 4096);
  try {
    command("fallocate", "-l", String(bytes), path);
  } catch {
    writeFileSync(path, new Uint8Array(bytes));
  }
}

class MemoryMount implements Disposable {
  readonly point: string = mkdtempSync(join(folder, "memory-"));
  constructor(megabytes: number) {
    command("mount", "-t", "tmpfs", "-o", `size=${megabytes}m`, "uring-full", this.point);
  }
  [Symbol.dispose](): void {
    command("umount", this.point);
  }
}

async function quota(): Promise<void> {
  for (const backend of BACKENDS) {
    using disk = new ImageMount("btrfs", 256);
    command("btrfs", "quota", "enable", disk.point);
    const volume = join(disk.point, "volume");
    command("btrfs", "subvolume", "create", volume);
    command("btrfs", "qgroup", "limit", "12M", volume);
    await meets(
      `quota of btrfs, ${backend}`,
      orders(join(volume, "log"), backend, 1e6),
      {},
      { held: "EDQUOT", failed: ["EDQUOT"] },
      () => command("btrfs", "qgroup", "limit", "none", volume),
    );
  }
}

async function largestFile(): Promise<void> {
  // SIGXFSZ would end the program; a service has it ignored.
  const ignoring = "import os,signal,sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " +
    "os.execvp(sys.argv[1], sys.argv[1:])";
  for (const backend of BACKENDS) {
    for (const bytes of full ? [4096, 65_536, 300_000, 524_288, 1_000_000] : [300_000]) {
      const directory = join(folder, `largest-${backend}-${bytes}`);
      await meets(
        `largest file ${bytes}, ${backend}`,
        orders(directory, backend, 20_000),
        { launcher: ["python3", "-c", ignoring, "prlimit", `--fsize=${bytes}`] },
        { held: "EFBIG", failed: ["EFBIG"] },
      );
    }
  }
}

async function readOnly(): Promise<void> {
  for (const backend of BACKENDS) {
    using disk = new ImageMount("ext4", 32);
    const order = orders(join(disk.point, "log"), backend, 200);
    await meets(`before it is read-only, ${backend}`, order, {}, { orWorks: true });
    command("mount", "-o", "remount,ro", disk.point);
    await meets(
      `read-only, ${backend}`,
      { ...order, records: 400 },
      {},
      { failed: ["EROFS"] },
      () => command("mount", "-o", "remount,rw", disk.point),
    );
  }
}

async function descriptors(): Promise<void> {
  for (const backend of BACKENDS) {
    for (let limit = full ? 12 : 14; limit <= 64; limit += full ? 1 : 10) {
      const directory = join(folder, `descriptors-${backend}-${limit}`);
      await meets(
        `${limit} descriptors, ${backend}`,
        orders(directory, backend, 5000),
        { launcher: ["prlimit", `--nofile=${limit}:${limit}`] },
        {
          held: "EMFILE",
          // A runtime that has none at all fails in its own way.
          failed: ["EMFILE", "RingUnavailable"],
          orWorks: true,
          orKilled: true,
        },
      );
    }
  }
}

async function memory(): Promise<void> {
  for (const backend of BACKENDS) {
    for (const megabytes of full ? [64, 96, 128, 192, 256] : [96, 256]) {
      const group = join(MEMORY_CGROUP, `uring-${process.pid}-${backend}-${megabytes}`);
      try {
        mkdirSync(group);
        writeFileSync(join(group, "memory.limit_in_bytes"), `${megabytes << 20}`);
      } catch (error) {
        console.log(`skipped a memory limit: no cgroup v1 here (${(error as Error).message})`);
        return;
      }
      try {
        await meets(
          `${megabytes} MB of memory, ${backend}`,
          orders(join(folder, `memory-${backend}-${megabytes}`), backend, 100_000),
          { launcher: ["sh", "-c", `echo $$ > ${group}/cgroup.procs; exec "$@"`, "sh"] },
          { orWorks: true, orKilled: true, failed: ["ENOMEM"] },
        );
      } finally {
        rmdirSync(group);
      }
    }
  }
}

async function lockedMemory(): Promise<void> {
  const { asUser } = await import("../support/program.ts");
  for (const bytes of [0, 65_536, 8 << 20]) {
    const home = join(folder, `home-${bytes}`);
    mkdirSync(home, { mode: 0o777 });
    command("chmod", "777", folder, home);
    await meets(
      `${bytes} bytes of locked memory`,
      orders(join(home, "log"), "auto", 5000),
      { launcher: [...asUser(bytes)], env: { HOME: home, DENO_DIR: join(home, "deno") } },
      { orWorks: true },
    );
  }
}

console.log(`full (${RUNTIME}): seed ${seed}`);
for (const part of [fullDisks, quota, largestFile, readOnly, descriptors, memory, lockedMemory]) {
  try {
    await part();
  } catch (error) {
    failures++;
    console.log(`FAILED ${part.name}: ${(error as Error).message}`);
  }
}
rmSync(folder, { recursive: true, force: true });
console.log(`full (${RUNTIME}): ${runs} runs, ${failures} failures`);
process.exit(failures > 0 ? 1 : 0);
