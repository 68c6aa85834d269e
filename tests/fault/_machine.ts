/**
 * Machines whose power can be cut: User-mode Linux over this machine's own files (read-only), with the
 * disk in an image. Killing its process group takes everything that it had not given to that disk.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import process from "node:process";
import { skipUnless } from "../support/skip.ts";
import type { FileSystem } from "./_mounts.ts";

const LINUX = "/usr/bin/linux.uml";
const MODULES = "/usr/lib/uml/modules";
const MEMORY_MEGABYTES = 512;

/** A quoted word of a shell. */
const word = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** What a machine is made of. */
export interface MachineOptions {
  /** Where its first program is written to. */
  folder: string;
  fileSystem: FileSystem;
  /** The disk. */
  image: string;
  /** A second disk that records, in order, what reached the first one (device mapper's log-writes). */
  logImage?: string;
  /** What runs in it, reading the console and writing to it. */
  program: string;
  args: readonly string[];
}

/**
 * Program and arguments that boot the machine, mount its disk at {@linkcode MACHINE_DISK}, and run the
 * program.
 */
export function machineOf(options: MachineOptions): [string, string[]] {
  const { folder, fileSystem, image, logImage, program, args } = options;
  const command = [program, ...args].map(word).join(" ");
  const device = logImage === undefined ? "/dev/ubda" : "/dev/mapper/disk";
  const script = `${folder}/init`;
  writeFileSync(
    script,
    `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /mnt
mount -t tmpfs tmpfs /run
stty raw -echo
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run DENO_DIR=/run/deno DENO_NO_UPDATE_CHECK=1
mkdir ${MACHINE_DISK}
${
      logImage === undefined ? "" : `
insmod ${module("dm-mod")} && insmod ${module("dm-log-writes")} || exit 1
dmsetup create disk --noudevsync --table \\
  "0 $(blockdev --getsz /dev/ubda) log-writes /dev/ubda /dev/ubdb" && dmsetup mknodes || exit 1
dmsetup message disk 0 mark mount
`
    }
mount -t ${fileSystem} ${device} ${MACHINE_DISK} || exit 1
cd /run
exec ${command}
`,
  );
  chmodSync(script, 0o755);
  return [LINUX, [
    `mem=${MEMORY_MEGABYTES}M`,
    "root=/dev/root",
    "rootfstype=hostfs",
    "rootflags=/",
    "ro",
    `init=${script}`,
    `ubd0=${image}`,
    ...(logImage === undefined ? [] : [`ubd1=${logImage}`]),
    "con=null",
    "con0=fd:0,fd:1",
    "quiet",
    "loglevel=0",
  ]];
}

/** Where the disk is in the machine. */
export const MACHINE_DISK = "/mnt/disk";

/** Run in a machine with a `logImage`, and with a text, it puts that into the log of the disk. */
export const MACHINE_MARK: string[] = ["dmsetup", "message", "disk", "0", "mark"];

/** A module of the machine's kernel. */
function module(name: string): string {
  const [version] = readdirSync(MODULES);
  return `${MODULES}/${version}/kernel/drivers/md/${name}.ko`;
}

/** Why no such machine boots here, or `undefined`. */
function missing(recording: boolean): string | undefined {
  if (process.getuid?.() !== 0) return "mounting the image of a machine's disk needs root";
  if (!existsSync(LINUX)) return "User-mode Linux is not installed (./dev setup full brings it)";
  if (!recording) return undefined;
  const { error } = spawnSync("dmsetup", ["--version"]);
  if (error) return "dmsetup is not installed (./dev setup full brings it)";
  return existsSync(module("dm-log-writes")) ? undefined : "no dm-log-writes for User-mode Linux";
}

/** For the `skip` of a test that boots machines, `recording` with a log of their disk. */
export function skipMachines(recording: boolean): string | false {
  const reason = missing(recording);
  return skipUnless(reason === undefined, `${reason}`);
}
