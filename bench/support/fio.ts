/**
 * fio as the reference: durable overwriting and random blocks by its io_uring engine.
 *
 * @module
 */
import { runWell } from "./child.ts";

/** What one run of fio reached. */
export interface FioResult {
  readonly bytesPerSecond: number;
  /** User and system time, nanoseconds a byte. */
  readonly cpuNanosPerByte: number;
}

/** Writes a whole file, so that what follows only overwrites. */
export async function fill(file: string, bytes: number): Promise<void> {
  await runWell([
    ...["fio", "--name=fill", `--filename=${file}`, `--size=${bytes}`, "--rw=write", "--bs=1m"],
    ...["--ioengine=psync", "--direct=1", "--end_fsync=1", "--output-format=json"],
  ]);
}

/** Overwrites a file that {@linkcode fill} wrote, durably, from its start to its end and again. */
export async function overwriteDurably(
  file: string,
  bytes: number,
  blockBytes: number,
  depth: number,
  seconds: number,
): Promise<FioResult> {
  const { stdout } = await runWell([
    ...["fio", "--name=overwrite", `--filename=${file}`, `--size=${bytes}`, "--rw=write"],
    ...[`--bs=${blockBytes}`, `--iodepth=${depth}`, "--ioengine=io_uring", "--fixedbufs=1"],
    ...["--registerfiles=1", "--direct=1", "--sync=dsync", "--overwrite=1"],
    ...["--time_based=1", `--runtime=${Math.round(seconds * 1000)}ms`, "--output-format=json"],
  ]);
  // Warnings may stand before the report.
  const [job] = JSON.parse(stdout.slice(stdout.indexOf("{"))).jobs;
  if (job.error !== 0) throw new Error(`fio failed with error ${job.error}`);
  const bytesPerSecond = job.write.bw_bytes;
  const cpu = (job.usr_cpu + job.sys_cpu) / 100;
  return { bytesPerSecond, cpuNanosPerByte: cpu * 1e9 / bytesPerSecond };
}

/**
 * Operations that both sides submit together at the most. With all that are free in one call, the device
 * gets them in one piece, and idles until the program has the next one ready: a fifth fewer at depth 32.
 */
export const SUBMIT_BATCH = 8;

/**
 * Fills a new file with zeros, syncs it, and overwrites it durably, block by block: bytes a second of the
 * file, in the time that both take.
 */
export async function fillAndOverwrite(
  file: string,
  bytes: number,
  blockBytes: number,
  depth: number,
): Promise<number> {
  const { stdout } = await runWell([
    ...["fio", `--filename=${file}`, `--size=${bytes}`, "--rw=write", `--bs=${blockBytes}`],
    ...[`--iodepth=${depth}`, "--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1"],
    ...["--direct=1", "--output-format=json", "--name=zeros", "--zero_buffers", "--end_fsync=1"],
    ...["--fallocate=none", "--name=overwrite", "--stonewall", "--sync=dsync", "--overwrite=1"],
  ]);
  let millis = 0;
  for (const job of JSON.parse(stdout.slice(stdout.indexOf("{"))).jobs) {
    if (job.error !== 0) throw new Error(`fio failed with error ${job.error}`);
    millis += job.job_runtime;
  }
  return bytes / millis * 1000;
}

/** Transfers of one kind and size, so many in flight. */
export interface Pattern {
  readonly write: boolean;
  readonly random: boolean;
  readonly blockBytes: number;
  readonly depth: number;
}

/** What a side reached with a {@linkcode Pattern}. */
export interface Transferred {
  readonly operationsPerSecond: number;
  /** User and system time of the process, nanoseconds for each operation; start-up excluded. */
  readonly cpuNanos: number;
}

/**
 * Transfers past the page cache, with registered buffers and a registered file, in a file that
 * {@linkcode fill} wrote. Submits and reaps together what it can, as `Ring` does, and leaves out what it
 * would do beside: a clock for each operation, a map of what was visited, changes in what is written.
 *
 * @param processor The only one that it may run on.
 */
export async function transfer(
  file: string,
  bytes: number,
  pattern: Pattern,
  seconds: number,
  processor?: string,
): Promise<Transferred> {
  const { write, random, blockBytes, depth } = pattern;
  const { stdout } = await runWell([
    ...["fio", "--name=transfer", `--filename=${file}`, `--size=${bytes}`, "--direct=1"],
    ...[`--rw=${random ? "rand" : ""}${write ? "write" : "read"}`, `--bs=${blockBytes}`],
    ...["--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1", "--nonvectored=1"],
    ...[`--iodepth=${depth}`, `--iodepth_batch_submit=${Math.min(depth, SUBMIT_BATCH)}`],
    ...["--iodepth_batch_complete_min=1", `--iodepth_batch_complete_max=${depth}`],
    ...["--norandommap=1", "--randrepeat=0", "--gtod_reduce=1", "--scramble_buffers=0"],
    ...(processor === undefined ? [] : [`--cpus_allowed=${processor}`]),
    ...["--time_based=1", `--runtime=${Math.round(seconds * 1000)}ms`, "--output-format=json"],
  ]);
  const [job] = JSON.parse(stdout.slice(stdout.indexOf("{"))).jobs;
  if (job.error !== 0) throw new Error(`fio failed with error ${job.error}`);
  const operationsPerSecond = (write ? job.write : job.read).iops;
  const cpu = (job.usr_cpu + job.sys_cpu) / 100;
  return { operationsPerSecond, cpuNanos: cpu * 1e9 / operationsPerSecond };
}
