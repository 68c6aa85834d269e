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

/** Random blocks, direct, of a file that {@linkcode fill} wrote: operations a second. */
export async function randomBlocks(
  file: string,
  bytes: number,
  rw: "randread" | "randwrite",
  blockBytes: number,
  depth: number,
  seconds: number,
): Promise<number> {
  const { stdout } = await runWell([
    ...["fio", "--name=random", `--filename=${file}`, `--size=${bytes}`, `--rw=${rw}`],
    ...[`--bs=${blockBytes}`, `--iodepth=${depth}`, "--ioengine=io_uring", "--fixedbufs=1"],
    ...["--registerfiles=1", "--direct=1", "--overwrite=1", "--norandommap=1"],
    ...["--time_based=1", `--runtime=${Math.round(seconds * 1000)}ms`, "--output-format=json"],
  ]);
  const [job] = JSON.parse(stdout.slice(stdout.indexOf("{"))).jobs;
  if (job.error !== 0) throw new Error(`fio failed with error ${job.error}`);
  return (rw === "randread" ? job.read : job.write).iops;
}
