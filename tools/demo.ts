/**
 * The main job on a real file: lines go into a log, the writer is killed in the middle, and every line
 * that it had acknowledged must be there, byte for byte. `./dev demo [FILE] [--runtime bun|deno] [--seed N]`
 *
 * The writer is the command `uring append --acks`, in a process of its own, under the runtime that runs
 * this program. It is killed by SIGKILL when it acknowledges a random line between 20% and 80% of the
 * file. Status 1 means that a line was lost, changed or invented.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  createWriteStream,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Wal } from "../wal.ts";
import { someLog } from "./some_log.ts";

const ROOT = join(import.meta.dirname!, "..");
const LEAST_BYTES = 10_000_000;
const CHUNK_BYTES = 65_536;
/** Small, so that the log goes over several files. */
const SEGMENT_BYTES = 4 << 20;
const KILL_FROM = 0.2;
const KILL_TO = 0.8;
/** Share of the lines that may wait for their acknowledgement: the kill comes before the end. */
const AHEAD = 0.1;
/** After a kill the log is free when the last write in flight has ended. */
const LOCK_TIMEOUT_MILLIS = 30_000;
const LF = 10;

/** The demonstration failed: what was promised did not hold. */
class DemoError extends Error {}

const number = (value: number) => Math.round(value).toLocaleString("en-US");
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
const say = (what: string, text: string) => console.log(`${what.padEnd(9)} ${text}`);

/** A file of lines, as the log is to hold them. */
interface Lines {
  path: string;
  bytes: number;
  count: number;
}

/** Whole pieces of a file. The bytes hold until the next piece. */
function* pieces(path: string, from = 0): Generator<Uint8Array> {
  const file = openSync(path, "r");
  try {
    const bytes = new Uint8Array(CHUNK_BYTES);
    for (let at = from;;) {
      const got = readSync(file, bytes, 0, bytes.length, at);
      if (got === 0) return;
      at += got;
      yield bytes.subarray(0, got);
    }
  } finally {
    closeSync(file);
  }
}

function countLines(piece: Uint8Array): number {
  let count = 0;
  for (let at = piece.indexOf(LF); at >= 0; at = piece.indexOf(LF, at + 1)) count++;
  return count;
}

/** The lines of a file, one after the other. Each holds until the next one. */
function* linesOf(path: string): Generator<Uint8Array> {
  let rest = new Uint8Array(0);
  for (const piece of pieces(path)) {
    let start = 0;
    for (let end = piece.indexOf(LF); end >= 0; end = piece.indexOf(LF, start)) {
      const line = piece.subarray(start, end);
      yield rest.length === 0 ? line : joined(rest, line);
      rest = new Uint8Array(0);
      start = end + 1;
    }
    rest = joined(rest, piece.subarray(start));
  }
  if (rest.length > 0) yield rest;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The file itself, or a larger one made of it in `folder`. */
async function prepare(path: string, folder: string): Promise<Lines> {
  if (!statSync(path).isFile()) throw new DemoError(`${path} is no file: name another one`);
  let count = 0;
  let last = LF;
  let bytes = 0;
  for (const piece of pieces(path)) {
    count += countLines(piece);
    last = piece[piece.length - 1];
    bytes += piece.length;
  }
  if (last !== LF) count++;
  if (count === 0) throw new DemoError(`${path} is empty: name another file`);
  if (bytes >= LEAST_BYTES) {
    say("file", `${path}: ${number(count)} lines, ${megabytes(bytes)}`);
    return { path, bytes, count };
  }
  const larger = join(folder, "lines");
  const output = createWriteStream(larger);
  const failed = new Promise<never>((_, reject) => output.on("error", reject));
  let repeats = 0;
  let total = 0;
  let written = 0;
  // Ends when it is large enough: each turn adds a line's number at least.
  while (written < LEAST_BYTES) {
    repeats++;
    const parts: Uint8Array[] = [];
    for (const line of linesOf(path)) {
      const numbered = joined(new TextEncoder().encode(`${++total} `), line);
      const ended = joined(numbered, new Uint8Array([LF]));
      parts.push(ended);
      written += ended.length;
    }
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    await Promise.race([
      new Promise<void>((resolve) => output.write(all, () => resolve())),
      failed,
    ]);
  }
  await Promise.race([new Promise<void>((resolve) => output.end(() => resolve())), failed]);
  say(
    "file",
    `${path}: ${number(count)} lines, ${megabytes(bytes)}; repeated ${
      number(repeats)
    } times with a ` +
      `line number in front: ${number(total)} lines, ${megabytes(written)}`,
  );
  return { path: larger, bytes: written, count: total };
}

/** What runs a program of this checkout under the runtime that runs this one. */
function command(args: string[]): [string, string[]] {
  const bun = (process.versions as Record<string, string | undefined>).bun !== undefined;
  const flags = bun
    ? [`--config=${join(ROOT, "bunfig.toml")}`]
    : ["run", "--quiet", "--allow-all", "--no-check", "--no-remote", "--cached-only"];
  return [process.execPath, [...flags, join(ROOT, "cli.ts"), ...args]];
}

const running = new Set<ChildProcess>();

interface Ended {
  code: number | null;
  signal: string | null;
  errors: string;
}

/** Starts `uring` and collects what it says on standard error. */
function start(
  args: string[],
  standardInput: "pipe" | "ignore",
): { child: ChildProcess; ended: Promise<Ended> } {
  const [program, all] = command(args);
  const child = spawn(program, all, { stdio: [standardInput, "pipe", "pipe"] });
  running.add(child);
  let errors = "";
  child.stderr!.on("data", (data: Uint8Array) => errors += new TextDecoder().decode(data));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      running.delete(child);
      resolve({ code, signal, errors: errors.trim() });
    });
  });
  return { child, ended };
}

/** Writes to a child, and waits until it has room again; a child that is gone takes everything. */
function feed(child: ChildProcess, bytes: Uint8Array): Promise<void> {
  // The piece's memory is used again, and the stream may still hold it.
  return new Promise((resolve) => child.stdin!.write(bytes.slice(), () => resolve()));
}

/** After `child.kill` Deno reports that signal, whatever the end; so it goes by the pid. */
function killHard(child: ChildProcess): void {
  try {
    process.kill(child.pid!, "SIGKILL");
  } catch { /* it has ended, which its status tells */ }
}

interface Feeding {
  /** Lines that were written to the child. */
  fed: number;
  /** Its last acknowledgement. */
  acknowledged: number;
  /** Lines and milliseconds from the first acknowledgement to the last. */
  timed: number;
  millis: number;
  ended: Ended;
}

/**
 * Feeds the file from byte `from` on to `uring append --acks`; `from` is behind line `before`. Kills it
 * when it acknowledges line `killAt`.
 */
async function appendLines(
  lines: Lines,
  log: string,
  from: number,
  before: number,
  killAt: number,
): Promise<Feeding> {
  const { child, ended } = start(
    ["append", log, "--acks", "--segment-bytes", String(SEGMENT_BYTES), "--lock-timeout", "30"],
    "pipe",
  );
  child.stdin!.on("error", () => {}); // it is being killed
  let acknowledged = before;
  let firstAt = 0;
  let firstLine = 0;
  let lastAt = 0;
  let killed = false;
  let wrong: string | undefined;
  let over = false;
  let advanced: (() => void) | undefined;
  let text = "";
  child.stdout!.on("data", (data: Uint8Array) => {
    text += new TextDecoder().decode(data);
    const end = text.lastIndexOf("\n");
    if (end < 0) return;
    for (const line of text.slice(0, end).split("\n")) {
      const lsn = Number(line);
      if (!/^[0-9]+$/.test(line) || lsn <= acknowledged || lsn > lines.count) {
        wrong ??=
          `uring append acknowledged "${line}" after line ${acknowledged} of ${lines.count}`;
        killHard(child);
        return;
      }
      acknowledged = lsn;
    }
    text = text.slice(end + 1);
    lastAt = performance.now();
    if (firstAt === 0) [firstAt, firstLine] = [lastAt, acknowledged];
    if (acknowledged >= killAt && !killed) {
      killed = true;
      killHard(child);
    }
    advanced?.();
  });
  void ended.then(() => {
    over = true;
    advanced?.();
  });
  let fed = before;
  const aheadMax = Math.ceil(lines.count * AHEAD);
  for (const piece of pieces(lines.path, from)) {
    // Ends with the child at the latest.
    while (killAt !== Infinity && fed - acknowledged > aheadMax && !over) {
      await new Promise<void>((resolve) => advanced = resolve);
    }
    if (killed || over) break;
    await feed(child, piece);
    fed += countLines(piece);
  }
  if (!killed) child.stdin!.end();
  const end = await ended;
  if (wrong !== undefined) throw new DemoError(wrong);
  return {
    fed,
    acknowledged,
    timed: acknowledged - firstLine,
    millis: lastAt - firstAt,
    ended: end,
  };
}

/** Compares the records of an open log with the lines of the file; gives the byte behind the last. */
async function compare(wal: Wal, lines: Lines): Promise<number> {
  const expected = linesOf(lines.path);
  let bytes = 0;
  let next = 1;
  for await (const batch of wal.read()) {
    for (let i = 0; i < batch.length; i++) {
      const line = expected.next();
      if (batch.firstLsn + i !== next || line.done || !equal(batch.bytes(i), line.value)) {
        throw new DemoError(`record ${batch.firstLsn + i} is not line ${next} of the file`);
      }
      bytes += line.value.length + 1;
      next++;
    }
  }
  expected.return(undefined);
  if (next - 1 !== wal.recovery.lastLsn) {
    throw new DemoError(
      `${next - 1} records can be read, recovery promised ${wal.recovery.lastLsn}`,
    );
  }
  return bytes;
}

async function uring(args: string[]): Promise<string> {
  const { child, ended } = start(args, "ignore");
  let output = "";
  child.stdout!.on("data", (data: Uint8Array) => output += new TextDecoder().decode(data));
  const { code, signal, errors } = await ended;
  if (code !== 0) {
    throw new DemoError(`uring ${args[0]} ended with ${signal ?? `status ${code}`}: ${errors}`);
  }
  return output;
}

async function demo(file: string | undefined, seed: number, folder: string): Promise<void> {
  const lines = await prepare(file ?? someLog(), folder);
  const log = join(folder, "log");
  const part = KILL_FROM + (KILL_TO - KILL_FROM) * ((Math.imul(seed, 0x9e3779b1) >>> 0) / 2 ** 32);
  const killAt = Math.max(1, Math.round(lines.count * part));
  const percent = (count: number) => `${(100 * count / lines.count).toFixed(1)}%`;
  say(
    "seed",
    `${seed}: the writer is killed when it acknowledges line ${number(killAt)} or the ` +
      `first one behind it (${percent(killAt)})`,
  );

  const first = await appendLines(lines, log, 0, 0, killAt);
  if (first.ended.signal !== "SIGKILL") {
    throw new DemoError(
      `uring append ended by itself, with status ${first.ended.code}: ${first.ended.errors}`,
    );
  }
  say(
    "kill -9",
    `${number(first.acknowledged)} lines were acknowledged (${percent(first.acknowledged)}), ${
      number(first.fed)
    } had been written to it`,
  );

  const opening = performance.now();
  let from: number;
  let recovered: number;
  {
    await using wal = await Wal.open(log, {
      segmentBytes: SEGMENT_BYTES,
      lockTimeoutMillis: LOCK_TIMEOUT_MILLIS,
    });
    const { tail, lastLsn, droppedFrom, droppedTo } = wal.recovery;
    recovered = lastLsn;
    const { backend, mode, modeReason } = wal.stats();
    say(
      "recovery",
      `${tail}, ${number(lastLsn)} records, ${number(droppedTo - droppedFrom)} cut, in ${
        (performance.now() - opening).toFixed(0)
      } ms; backend ${backend}, ${mode} writes (${modeReason}), durability ${wal.durability}`,
    );
    if (lastLsn < first.acknowledged) {
      throw new DemoError(
        `lost: ${first.acknowledged} lines were acknowledged, ${lastLsn} are there`,
      );
    }
    if (lastLsn > first.fed) {
      throw new DemoError(`invented: ${lastLsn} records of ${first.fed} lines`);
    }
    from = await compare(wal, lines);
  }
  say(
    "compare",
    `all ${number(first.acknowledged)} acknowledged lines are there, byte for byte, and ` +
      `${number(recovered - first.acknowledged)} more that were on their way`,
  );

  const rest = await appendLines(lines, log, from, recovered, Infinity);
  if (rest.ended.code !== 0 || rest.acknowledged !== lines.count) {
    throw new DemoError(
      `the rest: uring append ended with ${
        rest.ended.signal ?? `status ${rest.ended.code}`
      } at line ` +
        `${rest.acknowledged} of ${lines.count}: ${rest.ended.errors}`,
    );
  }
  say("append", `the other ${number(lines.count - recovered)} lines, all acknowledged`);

  const report = JSON.parse(await uring(["verify", log, "--json"]));
  if (report.state !== "clean" || !report.sealed || report.last !== lines.count) {
    throw new DemoError(`uring verify says ${JSON.stringify(report)}`);
  }
  say("verify", `clean and sealed, records ${report.first} to ${number(report.last)}`);
  {
    await using wal = await Wal.open(log, { segmentBytes: SEGMENT_BYTES });
    await compare(wal, lines);
    if (wal.recovery.lastLsn !== lines.count) throw new DemoError("the log has another length");
  }
  say("compare", `the whole log is the file, byte for byte: ${number(lines.count)} lines`);

  const seconds = (first.millis + rest.millis) / 1000;
  const share = lines.bytes / lines.count;
  const timed = first.timed + rest.timed;
  say(
    "speed",
    `${number(timed / seconds)} lines/s through a pipe, ${
      megabytes(timed * share / seconds)
    }/s, each acknowledged only when it was durable (${
      (process.versions as Record<string, string | undefined>).bun ? "Bun" : "Deno"
    })`,
  );
}

/** Where the user says, else on a disk, where there is a choice: what lies in memory shows nothing. */
function scratchFolder(): string {
  for (const parent of [process.env.TMPDIR, "/var/tmp", tmpdir()]) {
    if (parent === undefined || parent === "") continue;
    try {
      return mkdtempSync(join(parent, "uring-demo-"));
    } catch { /* not there, or not for us */ }
  }
  throw new DemoError(`no folder for scratch files: neither /var/tmp nor ${tmpdir()} can be used`);
}

async function main(): Promise<number> {
  let file: string | undefined;
  let seed = Math.floor(Math.random() * 1e9);
  try {
    const { values, positionals } = parseArgs({
      args: process.argv.slice(2),
      options: { seed: { type: "string" } },
      allowPositionals: true,
    });
    if (positionals.length > 1) throw new Error(`${positionals[1]} is one argument too many`);
    file = positionals[0];
    if (values.seed !== undefined) seed = Number(values.seed);
    if (!Number.isSafeInteger(seed) || seed < 0) throw new Error("--seed is a number from 0 on");
  } catch (error) {
    console.error(`demo: ${(error as Error).message}`);
    console.error("usage: ./dev demo [FILE] [--runtime bun|deno] [--seed N]");
    return 2;
  }
  let folder: string | undefined;
  const clean = () => {
    for (const child of running) child.kill("SIGKILL");
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  };
  for (const [signal, value] of [["SIGINT", 2], ["SIGTERM", 15]] as const) {
    process.on(signal, () => {
      clean();
      process.exit(128 + value);
    });
  }
  try {
    folder = scratchFolder();
    await demo(file, seed, folder);
    return 0;
  } catch (error) {
    console.error(
      `demo: ${error instanceof DemoError ? "FAILED: " : ""}${(error as Error).message}`,
    );
    return 1;
  } finally {
    clean();
  }
}

process.exit(await main());
