/**
 * Published durable logs against this project's `Wal`, each by its own durable setting, in rounds that
 * alternate.
 *
 * Everybody does the same: a closed loop that appends B records of 256 bytes, makes them durable, and
 * only then appends the next; one after the other, nothing else in flight. Each side is a child process
 * that stays, and is told whose turn it is. A round gives each side one slice of time; their order
 * rotates. At the end each log is closed, opened again, and its records are read, checked and counted.
 *
 * | side | what it is | a batch of B |
 * |---|---|---|
 * | `wal` | `Wal` with its defaults; keeps everything | B `append`, `await durable` |
 * | `wal-window` | the same | B `append`, `await durable` of the batch three before |
 * | `wal-recycled` | as `wal`, in segments of 8 MiB, the oldest removed and used again | as `wal` |
 * | `sqlite` | `bun:sqlite`, under Deno `node:sqlite`; WAL, synchronous = FULL | one transaction of B inserts |
 * | `lmdb` | lmdb-js | B `put`, awaited, then `flushed` |
 * | `level` | classic-level | one `batch` with `sync: true` |
 * | `sonic` | sonic-boom, `fsync: true`, blocking | B `write` that become one write and one fsync |
 * | `etcd` | etcd's `wal` (Go) | one `Save` of B entries |
 * | `raftwal` | hashicorp's raft-wal (Go) | one `StoreLogs` of B logs |
 * | `okaywal` | okaywal (Rust); files of 1 MiB, used again once checkpointed | one entry of B chunks |
 *
 * The ratio is the median of the ratios of the rounds: disks change between a fast and a slow way of
 * working from one second to the next, and both sides of a round see the same.
 *
 * Cases `PEER-B`; the `Wal` that does as the peer does is held against it: `wal-recycled` against
 * okaywal, which keeps no more than its last megabytes, `wal` against all others. `best-B` is the peer
 * with the lowest ratio. `window-B` has no bar: `Wal` with four batches of B in flight, against the
 * fastest peer in its closed loop.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { host } from "../src/host/host.ts";
import { GO_PROGRAM, isPrepared, prepare, RUST_PROGRAM, type ToolName } from "./peers/tools.ts";
import { underThisRuntime } from "./support/child.ts";
import { median, report } from "./support/report.ts";
import { Scratch } from "./support/scratch.ts";
import { RECORD_BYTES } from "./support/stream.ts";

const BATCHES = [1, 32, 256, 1024];
const PEERS: Readonly<
  Record<string, { tool?: ToolName; against: "wal" | "wal-recycled" }>
> = {
  sqlite: { against: "wal" },
  lmdb: { tool: "npm", against: "wal" },
  level: { tool: "npm", against: "wal" },
  sonic: { tool: "npm", against: "wal" },
  etcd: { tool: "go", against: "wal" },
  raftwal: { tool: "go", against: "wal" },
  okaywal: { tool: "cargo", against: "wal-recycled" },
};
const BEST = "best";
const WINDOW = "window";
const LEAST_OF_PEER = 1.1;
/** Of a record at a time: a device's latency and nothing else. */
const LEAST_OF_PEER_SINGLE = 0.9;
/** Of the best, from this many records a commit. */
const BEST_BATCH = 256;
const LEAST_OF_BEST = 2;
/** Rounds of the reference that differ by more say that others use the disk too. */
const STEADY = 1.5;
/** Records of a slice at most: the disk is not filled by a fast one. */
const SLICE_RECORDS = 1 << 20;
/** Before the first slice that counts, of each side. */
const WARM_UP_MILLIS = 50;
const ANSWER_MILLIS_MAX = 120_000;

const NAMES = [...Object.keys(PEERS), BEST, WINDOW]
  .flatMap((name) => BATCHES.map((batch) => `${name}-${batch}`));
const { values: options } = parseArgs({
  options: {
    json: { type: "boolean" },
    dir: { type: "string" },
    case: { type: "string", multiple: true, default: NAMES },
    rounds: { type: "string", default: "15" },
    // Of one slice.
    seconds: { type: "string", default: "0.1" },
    // Measures what was brought before, and skips everything else.
    offline: { type: "boolean", default: false },
  },
});
for (const name of options.case) {
  if (!NAMES.includes(name)) {
    throw new Error(`there is no case ${name}: ${NAMES.join(", ")}`);
  }
}
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const runtime = host().name;

/** A child process with one side in it. */
class Side {
  readonly name: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #said = "";

  constructor(name: string) {
    this.name = name;
    const tool = PEERS[name]?.tool;
    const [program, ...rest] = tool === "go"
      ? [GO_PROGRAM, name]
      : tool === "cargo"
      ? [RUST_PROGRAM]
      : [
        ...underThisRuntime(join(import.meta.dirname!, "peers/child.ts")),
        name,
      ];
    this.#child = spawn(program, rest);
    this.#child.stderr.on("data", (data) => this.#said += data);
    // It is noticed by the answer that does not come.
    this.#child.on("error", (error) => this.#said += error.message);
    this.#child.stdin.on("error", () => {});
    this.#lines = createInterface({ input: this.#child.stdout })
      [Symbol.asyncIterator]();
  }

  async ask(command: string): Promise<Record<string, number>> {
    const late = setTimeout(
      () => this.#child.kill("SIGKILL"),
      ANSWER_MILLIS_MAX,
    );
    this.#child.stdin.write(`${command}\n`);
    const { value, done } = await this.#lines.next();
    clearTimeout(late);
    if (done) {
      throw new Error(
        `${this.name} gave no answer to "${command}": ${this.#said.trim()}`,
      );
    }
    return JSON.parse(value);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      return;
    }
    const closed = once(this.#child, "close");
    this.#child.stdin.end();
    const late = setTimeout(
      () => this.#child.kill("SIGKILL"),
      ANSWER_MILLIS_MAX,
    );
    await closed;
    clearTimeout(late);
  }
}

/** What one side did with one batch size. */
interface Measured {
  readonly rates: number[];
  records: number;
  /** Records that were still in the log at the end, and were read. */
  read: number;
}

const wants = (name: string, batch: number) => options.case.includes(`${name}-${batch}`);
const wantsAll = (batch: number) => wants(BEST, batch) || wants(WINDOW, batch);
const wanted = Object.keys(PEERS).filter((name) =>
  BATCHES.some((batch) => wants(name, batch) || wantsAll(batch))
);
/** By peer: why it is not measured. */
const missing = new Map<string, string>();
const tools = new Set(
  wanted.map((name) => PEERS[name].tool).filter((tool) => tool !== undefined),
);
for (const tool of tools) {
  const why = options.offline
    ? isPrepared(tool) ? undefined : "not brought yet: run without --offline"
    : await prepare(tool);
  if (why === undefined) continue;
  for (const name of wanted) {
    if (PEERS[name].tool === tool) missing.set(name, why);
  }
}

for (const batch of BATCHES) {
  const peers = wanted.filter((name) => wants(name, batch) || wantsAll(batch));
  if (peers.length === 0) continue;
  const here = peers.filter((name) => !missing.has(name));
  const own = [
    ...new Set<string>(here.map((name) => PEERS[name].against)),
    ...(wants(WINDOW, batch) ? ["wal-window"] : []),
  ];
  reportBatch(batch, peers, await measure(batch, [...own, ...here]));
}

async function measure(
  batch: number,
  names: string[],
): Promise<Map<string, Measured>> {
  const measured = new Map<string, Measured>();
  const sides: Side[] = [];
  const lost = (name: string, error: unknown) => {
    // A peer that fails is named and left out; the log itself must not.
    if (name.startsWith("wal")) throw error;
    missing.set(name, (error as Error).message);
    measured.delete(name);
  };
  // Nobody has more than its slices; the zeroed segments and the trees of the others come on top.
  using scratch = new Scratch(
    options.dir,
    (rounds + 1) * SLICE_RECORDS * RECORD_BYTES,
  );
  try {
    for (const name of names) {
      const side = new Side(name);
      sides.push(side);
      measured.set(name, { rates: [], records: 0, read: 0 });
      try {
        await side.ask(`open ${scratch.join(name)} ${batch}`);
        const { records } = await side.ask(
          `run ${WARM_UP_MILLIS} ${SLICE_RECORDS}`,
        );
        measured.get(name)!.records += records;
      } catch (error) {
        lost(name, error);
      }
    }
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < sides.length; i++) {
        const side = sides[(i + round) % sides.length];
        const mine = measured.get(side.name);
        if (mine === undefined) continue;
        try {
          const slice = await side.ask(
            `run ${seconds * 1000} ${SLICE_RECORDS}`,
          );
          mine.records += slice.records;
          mine.rates.push(slice.records / slice.seconds);
        } catch (error) {
          lost(side.name, error);
        }
      }
    }
    for (const side of sides) {
      const mine = measured.get(side.name);
      if (mine === undefined) continue;
      try {
        const { records, read } = await side.ask("close");
        if (records !== mine.records) {
          throw new Error(
            `${side.name} has ${records} records, and ${mine.records} were appended`,
          );
        }
        mine.read = read ?? records;
      } catch (error) {
        lost(side.name, error);
      }
      rmSync(scratch.join(side.name), { recursive: true, force: true });
    }
  } finally {
    for (const side of sides) await side.end();
  }
  return measured;
}

function reportBatch(
  batch: number,
  peers: readonly string[],
  measured: ReadonlyMap<string, Measured>,
): void {
  const rate = (name: string) => median(measured.get(name)!.rates);
  const ratio = (name: string, ours: string = PEERS[name].against) => {
    const { rates } = measured.get(name)!;
    return median(measured.get(ours)!.rates.map((rate, round) => rate / rates[round]));
  };
  const line = (
    name: string,
    peer: string,
    least: number | undefined,
    ours: string = PEERS[peer].against,
  ) => {
    const theirs = measured.get(peer)!;
    const unsteady = Math.max(...theirs.rates) > STEADY * Math.min(...theirs.rates);
    report({
      bench: "peers",
      case: `${name}-${batch}`,
      runtime,
      value: rate(ours),
      unit: "records/s",
      reference: name === peer ? peer : `best: ${peer}`,
      referenceValue: rate(peer),
      ratio: ratio(peer, ours),
      bar: least === undefined ? "none" : `at least ${least.toFixed(1)}`,
      holds: least === undefined ? null : ratio(peer, ours) >= least,
      side: ours,
      rounds: measured.get(ours)!.rates,
      referenceRounds: theirs.rates,
      readBack: measured.get(ours)!.read,
      referenceReadBack: theirs.read,
      ...(unsteady ? { note: "unsteady: the rounds of the reference differ much" } : {}),
    });
  };
  const skipped = (name: string, why: string) =>
    report({
      bench: "peers",
      case: `${name}-${batch}`,
      runtime,
      value: 0,
      unit: "records/s",
      reference: name,
      referenceValue: 0,
      ratio: 0,
      bar: "none",
      holds: null,
      note: `skipped ${name}: ${why}`,
    });
  const least = batch === 1 ? LEAST_OF_PEER_SINGLE : LEAST_OF_PEER;
  for (const name of peers) {
    if (!wants(name, batch)) continue;
    if (measured.has(name)) line(name, name, least);
    else skipped(name, missing.get(name)!);
  }
  const present = peers.filter((name) => measured.has(name));
  if (wants(BEST, batch)) {
    const [nearest] = present.toSorted((a, b) => ratio(a) - ratio(b));
    if (nearest === undefined) skipped(BEST, "no peer could be measured");
    else line(BEST, nearest, batch >= BEST_BATCH ? LEAST_OF_BEST : undefined);
  }
  if (wants(WINDOW, batch)) {
    const [fastest] = present.toSorted((a, b) => rate(b) - rate(a));
    if (fastest === undefined) skipped(WINDOW, "no peer could be measured");
    else line(WINDOW, fastest, undefined, "wal-window");
  }
}

// A reader of the exit status learns whether every bar was held.
process.exitCode ??= 0;
