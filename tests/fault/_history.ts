/**
 * What a writer (`_writer.ts`) reported, what the log must therefore hold, and the checks of a log that
 * its writer left behind.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import process from "node:process";
import type { Io } from "../../src/io/io.ts";
import type { RecordBatch } from "../../src/wal/records.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { WalView } from "../../src/wal/view.ts";
import { Wal } from "../../src/wal/wal.ts";
import { RUNTIME } from "./_arguments.ts";
import type { Shown } from "./_follower.ts";
import { Owners, same } from "./_records.ts";
import type { Orders } from "./_writer.ts";

export const ROOT: string = join(import.meta.dirname!, "../..");
const RUNTIME_FLAGS = RUNTIME === "bun"
  ? [`--config=${join(ROOT, "bunfig.toml")}`]
  : ["run", "--quiet", "--allow-all", "--no-check", "--no-remote", "--cached-only"];

/** Program and arguments that run a file of this checkout under the runtime that runs this. */
export function commandOf(file: string, ...args: string[]): [string, string[]] {
  return [process.execPath, [...RUNTIME_FLAGS, join(ROOT, file), ...args]];
}

const LOCK_PATIENCE_MILLIS = 20_000;
const LOCK_RETRY_MILLIS = 3;

/** A promise of the log was broken. */
export class Broken extends Error {
  override readonly name: string = "Broken";
}

function check(holds: boolean, message: () => string): asserts holds {
  if (!holds) throw new Broken(message());
}

/** How a writer ended. */
export interface Ended {
  signal: string | null;
  status: number | null;
  errors: string;
  /** It said `failed`, and why. */
  failed: string | undefined;
}

/** Program and arguments of the writer. */
export const writerCommand = (): [string, string[]] => commandOf("tests/fault/_writer.ts");

/** A writer that has loaded everything and waits for its orders. */
export class WriterProcess {
  readonly #child;
  readonly #group: boolean;
  readonly ended: Promise<Ended>;
  #text = "";
  #lines: string[] = [];
  #waiting: (() => void) | undefined;
  #over = false;

  /** @param machine What runs the writer, when it is not this machine; it is killed with its children. */
  constructor(machine?: [program: string, args: string[]]) {
    const [program, args] = machine ?? writerCommand();
    this.#group = machine !== undefined;
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], detached: this.#group });
    let errors = "";
    this.#child.stdin.on("error", () => {}); // it is killed at any moment
    this.#child.stderr.on("data", (data: Uint8Array) => errors += new TextDecoder().decode(data));
    this.#child.stdout.on("data", (data: Uint8Array) => {
      this.#text += new TextDecoder().decode(data);
      const lines = this.#text.split("\n");
      this.#text = lines.pop()!;
      this.#lines.push(...lines);
      this.#waiting?.();
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (status, signal) => {
        this.#over = true;
        this.#waiting?.();
        const failed = this.#lines.find((line) => line.startsWith("failed "))?.slice(7);
        resolve({ status, signal, errors, failed });
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What it reported so far, line by line. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  start(orders: Orders): void {
    this.#child.stdin.write(JSON.stringify(orders) + "\n");
  }

  /** Resolves when `count` lines begin with `word`, or it has ended; false when it had not in time. */
  async until(word: string, count: number, patienceMillis: number): Promise<boolean> {
    const deadline = performance.now() + patienceMillis;
    for (;;) {
      if (this.#lines.filter((line) => line.startsWith(word)).length >= count || this.#over) {
        return true;
      }
      const left = deadline - performance.now();
      if (left <= 0) return false;
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
    }
  }

  kill(): Promise<Ended> {
    if (!this.#group) this.#child.kill("SIGKILL");
    else if (!this.#over) process.kill(-this.pid, "SIGKILL");
    return this.ended;
  }
}

/** A killed writer's lock is free when its last write has ended; until then it is seen as alive. */
export async function viewOfTheDead(directory: string, io: Io): Promise<WalView> {
  const deadline = performance.now() + LOCK_PATIENCE_MILLIS;
  for (;;) {
    const view = await WalView.open(directory, io);
    if (!(await view.verify()).live) return view;
    await view.close();
    check(performance.now() < deadline, () => "the lock of a killed writer is never free");
    await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MILLIS));
  }
}

/** What is known of one log over all its writers. */
export class History {
  readonly owners: Owners;
  /** LSN up to which the log must reach. */
  acknowledged = 0;
  /** First LSN: truncated to for certain, and asked for. */
  first = 1;
  firstAsked = 1;
  /** Since somebody said what the log holds a writer had retention, which removes what it will. */
  #retaining = false;

  constructor(seed: number) {
    this.owners = new Owners(seed);
  }

  /** Somebody opened the log, and says what it found. */
  found(lastLsn: number, firstLsn: number): void {
    check(
      lastLsn >= this.acknowledged,
      () => `record ${this.acknowledged} was acknowledged, and the log ends with ${lastLsn}`,
    );
    const most = this.#retaining ? Math.max(this.firstAsked, lastLsn + 1) : this.firstAsked;
    check(
      firstLsn >= this.first && firstLsn <= most,
      () => `the log begins with ${firstLsn}, not ${this.first} to ${most}`,
    );
    this.acknowledged = lastLsn;
    this.first = this.firstAsked = firstLsn;
    this.#retaining = false;
  }

  /**
   * Takes over what a writer reported; `retained` says that it had retention. Lines from `binding` on tell
   * what it tried, and promise nothing.
   */
  reported(
    run: number,
    lines: readonly string[],
    { retained = false, binding = lines.length }: { retained?: boolean; binding?: number } = {},
  ): void {
    // Already while it opened, before it said what it found.
    this.#retaining ||= retained;
    const promised = { acknowledged: this.acknowledged, first: this.first };
    lines.forEach((line, index) => {
      if (index === binding) Object.assign(promised, this.#promises());
      const [word, ...numbers] = line.split(" ");
      const [lsn, first] = numbers.map(Number);
      switch (word) {
        case "open":
          this.found(lsn, first);
          this.#retaining = retained;
          this.owners.next(lsn, run);
          break;
        case "d":
          check(lsn > this.acknowledged, () => `acknowledged ${lsn} after ${this.acknowledged}`);
          this.acknowledged = lsn;
          break;
        case "t":
          this.firstAsked = lsn;
          break;
        case "T":
          this.first = lsn;
          break;
      }
    });
    if (binding < lines.length) Object.assign(this, promised);
  }

  #promises(): { acknowledged: number; first: number } {
    return { acknowledged: this.acknowledged, first: this.first };
  }

  /** Readers beside the writer were shown these records: they are durable, and stay. */
  shown(records: readonly Shown[]): void {
    for (const { lsn, bytes } of records) {
      const expected = this.owners.record(lsn);
      check(expected !== undefined, () => `a reader was shown record ${lsn}, which nobody wrote`);
      check(same(bytes, expected), () => `a reader was shown another record ${lsn}`);
      this.acknowledged = Math.max(this.acknowledged, lsn);
    }
  }

  /** Every record of a log, in order, against what it must be; gives their hashes when asked to. */
  async compare(
    batches: AsyncIterable<RecordBatch>,
    first: number,
    last: number,
    hashes?: string[],
  ): Promise<number> {
    let lsn = first;
    for await (const batch of batches) {
      check(batch.firstLsn === lsn, () => `a batch begins with ${batch.firstLsn}, not ${lsn}`);
      for (let i = 0; i < batch.length; i++, lsn++) {
        const expected = this.owners.record(lsn);
        check(expected !== undefined, () => `record ${lsn} was invented`);
        check(same(batch.bytes(i), expected), () => `record ${lsn} is not what was appended`);
        hashes?.push(createHash("sha256").update(expected).digest("hex"));
      }
    }
    check(lsn === last + 1, () => `reading ended before record ${lsn}, not ${last + 1}`);
    return last - first + 1;
  }

  /**
   * Checks the log that a writer left behind: looked at, opened, and opened again it is the same, holds
   * all that it must, and nothing else. With `judges`, `uring verify` and the independent reader have to
   * agree. Gives what the end of the log was, and the number of records.
   */
  async check(
    directory: string,
    io: Io,
    options: WalOptions,
    judges: boolean,
  ): Promise<{ tail: string; records: number }> {
    const hashes: string[] | undefined = judges ? [] : undefined;
    let seen: { state: string; first: number; last: number } | undefined;
    try {
      await using view = await viewOfTheDead(directory, io);
      const report = await view.verify();
      check(report.error === undefined, () => `verify: ${report.error!.message}`);
      seen = { state: report.state, first: report.first, last: report.last };
      this.found(report.last, report.first);
      await this.compare(view.read(), report.first, report.last, hashes);
    } catch (error) {
      // Killed before there was a log.
      if ((error as { code?: string }).code !== "WalMissing" || this.acknowledged > 0) throw error;
    }
    if (judges && seen) await this.#judge(directory, seen, hashes!);
    let tail = "";
    for (const opening of ["first", "second"]) {
      const wal = await Wal.open(directory, { ...options, io });
      try {
        const { recovery } = wal;
        if (opening === "first") tail = recovery.tail;
        else check(recovery.tail === "clean", () => `closed, and then ${recovery.tail}`);
        const { lastLsn, firstLsn } = recovery;
        if (seen) {
          check(
            lastLsn === seen.last && firstLsn === seen.first,
            () =>
              `the ${opening} opening found ${firstLsn} to ${lastLsn}, and ${seen!.first} to ` +
              `${seen!.last} had been seen`,
          );
          const state = opening === "first" ? seen.state : "clean";
          check(recovery.tail === state, () => `the end is ${recovery.tail}, and was ${state}`);
        }
        this.found(lastLsn, firstLsn);
        await this.compare(wal.read(), firstLsn, lastLsn);
      } finally {
        await wal.close();
      }
    }
    return { tail, records: this.acknowledged - this.first + 1 };
  }

  /** What the command line and the independent reader say. */
  async #judge(
    directory: string,
    seen: { state: string; first: number; last: number },
    hashes: string[],
  ): Promise<void> {
    const [program, args] = commandOf("cli.ts", "verify", directory, "--json");
    // Not `spawnSync`: this process has a ring whose completions others may wait for.
    const verify = await new Promise<string>((resolve, reject) => {
      const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      let errors = "";
      child.stdout.on("data", (data: Uint8Array) => output += new TextDecoder().decode(data));
      child.stderr.on("data", (data: Uint8Array) => errors += new TextDecoder().decode(data));
      child.on("error", reject);
      child.on("close", (status) => {
        if (status === 0) resolve(output);
        else reject(new Broken(`uring verify ended with ${status}: ${output}${errors}`));
      });
    });
    const { state, first, last } = JSON.parse(verify);
    check(
      state === seen.state && first === seen.first && last === seen.last,
      () => `uring verify says ${verify}, and ${JSON.stringify(seen)} was seen`,
    );
    const reader = join(ROOT, "tests/format/read_log.py");
    const { stdout, stderr, status } = spawnSync("python3", [reader, directory], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    check(status === 0, () => `read_log.py ended with ${status}: ${stderr}`);
    const read = JSON.parse(stdout);
    check(
      read.state === seen.state && read.first === seen.first && read.last === seen.last,
      () =>
        `read_log.py says ${read.state}, ${read.first} to ${read.last}: ${JSON.stringify(seen)}`,
    );
    check(
      read.records.length === hashes.length &&
        read.records.every((hash: string, i: number) => hash === hashes[i]),
      () => "read_log.py reads other records",
    );
  }
}
