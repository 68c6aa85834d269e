/**
 * Kills `uring append --acks` with SIGKILL while it takes the lines of a real log from a pipe, at random
 * moments, again and again on the same log: each line that it had acknowledged must be there, byte for
 * byte, and nothing that it was not given.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { openIo } from "../../src/io/open_io.ts";
import type { Io } from "../../src/io/io.ts";
import { Prng } from "../../src/io/prng.ts";
import { someLog } from "../../tools/some_log.ts";
import { Broken, commandOf, viewOfTheDead } from "./_history.ts";
import { same } from "./_records.ts";

/** What a campaign did. */
export interface LineCounts {
  kills: number;
  /** Killed before the first acknowledgement. */
  early: number;
  /** Lines that were acknowledged, and lines that were compared. */
  acknowledged: number;
  compared: number;
  /** Acknowledged, and not there. */
  lost: number;
  torn: number;
  ambiguous: number;
  clean: number;
  logs: number;
}

export interface LineOptions {
  directory: string;
  seed: number;
  kills: number;
  /** Milliseconds of `performance.now()`. */
  until?: number;
  /** After each kill. */
  progress?: (counts: LineCounts) => void;
}

/** A log is left for a new one when it has so many lines. */
const LINES_MAX = 100_000;
const FEED_LINES = 500;
const START_MILLIS_MAX = 150;
const DELAY_MILLIS_MAX = 8;
const PATIENCE_MILLIS = 20_000;
/** Least that the command takes: several segments a log. */
const SEGMENT_BYTES = 2 << 20;
const LF = 10;

const later = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis));

/** The lines of a real log, each with its number in front, so that no two are alike. */
class RealLines {
  readonly path: string = someLog();
  readonly #lines: Uint8Array[] = [];

  constructor() {
    const bytes = readFileSync(this.path);
    for (let from = 0, end = bytes.indexOf(LF); end >= 0 && this.#lines.length < LINES_MAX;) {
      this.#lines.push(bytes.subarray(from, end));
      from = end + 1;
      end = bytes.indexOf(LF, from);
    }
  }

  /** What record `lsn` is to be. */
  record(lsn: number): Uint8Array {
    const line = this.#lines[(lsn - 1) % this.#lines.length];
    const number = new TextEncoder().encode(`${lsn} `);
    const record = new Uint8Array(number.length + line.length);
    record.set(number);
    record.set(line, number.length);
    return record;
  }
}

/** One `uring append --acks`. */
class Append {
  readonly #child: ChildProcess;
  readonly #lines: RealLines;
  #next: number;
  #text = "";
  #errors = "";
  #over = false;
  #changed: (() => void) | undefined;
  readonly acks: number[] = [];
  readonly ended: Promise<string | null>;

  constructor(directory: string, lines: RealLines, next: number, mode: string) {
    this.#lines = lines;
    this.#next = next;
    const args = ["append", directory, "--acks", "--segment-bytes", String(SEGMENT_BYTES)];
    const [program, all] = commandOf("cli.ts", ...args, "--mode", mode, "--lock-timeout", "20");
    this.#child = spawn(program, all, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdin!.on("error", () => {}); // it is killed at any moment
    this.#child.stdout!.on("data", (data: Uint8Array) => {
      this.#text += new TextDecoder().decode(data);
      const words = this.#text.split("\n");
      // What a kill cut off promises nothing.
      this.#text = words.pop()!;
      for (const word of words) this.acks.push(Number(word));
      this.#changed?.();
    });
    this.#child.stderr!.on(
      "data",
      (data: Uint8Array) => this.#errors += new TextDecoder().decode(data),
    );
    this.ended = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (_, signal) => {
        this.#over = true;
        this.#changed?.();
        resolve(signal);
      });
    });
    this.#feed();
  }

  /** Lines that it was given, or may have been. */
  get given(): number {
    return this.#next - 1;
  }

  get errors(): string {
    return this.#errors;
  }

  #feed(): void {
    while (!this.#over) {
      const parts: Uint8Array[] = [];
      for (let i = 0; i < FEED_LINES; i++) {
        parts.push(this.#lines.record(this.#next++), new Uint8Array([LF]));
      }
      if (!this.#child.stdin!.write(Buffer.concat(parts))) {
        this.#child.stdin!.once("drain", () => this.#feed());
        return;
      }
    }
  }

  /** Resolves with the acknowledgement of that number, or when it has ended or takes too long. */
  async until(acks: number): Promise<void> {
    const deadline = performance.now() + PATIENCE_MILLIS;
    while (this.acks.length < acks && !this.#over && performance.now() < deadline) {
      await Promise.race([new Promise<void>((resolve) => this.#changed = resolve), later(1000)]);
    }
  }

  kill(): Promise<string | null> {
    // Not by the child's own method: Deno's closes the pipes first, and the end of the input ends a line.
    process.kill(this.#child.pid!, "SIGKILL");
    return this.ended;
  }
}

/** Throws {@linkcode Broken} when a promise was. */
export async function lineCampaign(options: LineOptions): Promise<LineCounts> {
  const { seed, kills, until = Infinity } = options;
  const rng = new Prng(seed);
  const lines = new RealLines();
  const counts: LineCounts = {
    ...{ kills: 0, early: 0, acknowledged: 0, compared: 0, lost: 0 },
    ...{ torn: 0, ambiguous: 0, clean: 0, logs: 0 },
  };
  const io = openIo({ backend: "uring", arenaBytes: 2 << 20 });
  let directory = "";
  let last = LINES_MAX;
  let warning = "";
  try {
    while (counts.kills < kills && performance.now() < until) {
      if (last >= LINES_MAX) {
        if (directory !== "") await compared(directory, io, lines, 1, last);
        if (directory !== "") rmSync(directory, { recursive: true });
        directory = join(options.directory, `log-${++counts.logs}`);
        mkdirSync(directory);
        last = 0;
        warning = "";
      }
      const append = new Append(directory, lines, last + 1, rng.oneIn(2) ? "direct" : "buffered");
      if (rng.oneIn(5)) await later(rng.below(START_MILLIS_MAX));
      else {
        await append.until(rng.between(1, rng.oneIn(8) ? 30 : 5));
        if (rng.oneIn(2)) await later(rng.below(DELAY_MILLIS_MAX));
      }
      const signal = await append.kill();
      const { errors } = append;
      // It says what it cut of the end that the kill before had left, and nothing else.
      const begun = warning.slice(0, errors.length) === errors;
      const whole = warning !== "" && errors.startsWith(warning) && /\.bin\n$/.test(errors);
      if (signal !== "SIGKILL" || !(begun || whole)) {
        throw new Broken(`${signal}, and it said: ${errors} (expected: ${warning})`);
      }
      counts.kills++;
      const { acks, given } = append;
      let acknowledged = last;
      for (const ack of acks) {
        if (!(ack > acknowledged)) throw new Broken(`${ack} acknowledged behind ${acknowledged}`);
        acknowledged = ack;
      }
      if (acks.length === 0) counts.early++;
      counts.acknowledged += acknowledged - last;
      const [found, cut] = await left(directory, io, counts);
      warning = cut;
      if (found < acknowledged) {
        counts.lost += acknowledged - found;
        throw new Broken(`line ${acknowledged} was acknowledged, and ${found} is the last one`);
      }
      if (found > given) throw new Broken(`${given} lines were given, and ${found} are there`);
      counts.compared += await compared(directory, io, lines, last + 1, found);
      last = found;
      options.progress?.(counts);
    }
    if (directory !== "") await compared(directory, io, lines, 1, last);
  } catch (error) {
    (error as Error).message = `seed ${seed}, kill ${counts.kills}: ${(error as Error).message}`;
    throw error;
  } finally {
    io[Symbol.dispose]();
  }
  return counts;
}

/**
 * The last line of the log that a killed command left, and how the next one's warning begins: a write
 * through the page cache that the kill ended in its middle leaves a frame whose header counts records.
 */
async function left(directory: string, io: Io, counts: LineCounts): Promise<[number, string]> {
  try {
    await using view = await viewOfTheDead(directory, io);
    const { state, first, last, dropped, error } = await view.verify();
    if (error !== undefined) throw new Broken(error.message);
    if (first !== 1) throw new Broken(`the log begins with ${first}`);
    counts[state as "clean" | "torn" | "ambiguous"]++;
    if (dropped === 0) return [last, ""];
    const records = dropped === 1 ? "1 record" : `${dropped} records`;
    const end = `the end of the log was ${state}: ${records} behind ${last}`;
    return [last, `uring append: warning: ${end}, not acknowledged for certain, `];
  } catch (error) {
    // Killed before there was a log.
    if ((error as { code?: string }).code === "WalMissing") return [0, ""];
    throw error;
  }
}

/** Lines `from` to `to`, byte for byte; gives their number. */
async function compared(
  directory: string,
  io: Io,
  lines: RealLines,
  from: number,
  to: number,
): Promise<number> {
  if (to < from) return 0;
  await using view = await viewOfTheDead(directory, io);
  let lsn = from;
  for await (const batch of view.read({ from, to: to + 1 })) {
    for (let i = 0; i < batch.length; i++, lsn++) {
      if (batch.firstLsn + i !== lsn) throw new Broken(`${batch.firstLsn + i} stands for ${lsn}`);
      if (!same(batch.bytes(i), lines.record(lsn))) {
        throw new Broken(`line ${lsn} is not what was given`);
      }
    }
  }
  if (lsn !== to + 1) throw new Broken(`reading ended before line ${lsn}, not ${to + 1}`);
  return to - from + 1;
}
