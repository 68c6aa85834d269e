/**
 * Transfers past the page cache through `Ring`, against fio's io_uring engine on the same file with the
 * same settings, in rounds that alternate: random ones of 4 KiB by operations a second and by CPU for
 * each, sequential ones by bandwidth. Both sides are held to one processor: where the device interrupts
 * a certain one, it matters by a fifth on which one a side happens to run.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { OPEN_FLAG, type RegisteredBuffer, Ring, type RingFile } from "../../ring.ts";
import { host } from "../../src/host/host.ts";
import { fill, type Pattern, SUBMIT_BATCH, transfer, type Transferred } from "./fio.ts";
import { median, report } from "./report.ts";

const KIB = 1 << 10;
const RANDOM_BYTES = 4 * KIB;
const DEPTHS = [1, 8, 32];
const LEAST_OPERATIONS = 0.95;
const MOST_CPU = 1.25;
const LEAST_BANDWIDTH = 0.97;
/** A device whose deepest queue is not quicker than the shallowest by this has no use for depth. */
const PARALLEL = 4;
const DEEPEST = DEPTHS.at(-1)!;
/** Compilers need their time: rounds of half a second that do not count. */
const WARM_UP_SECONDS = 0.5;
/** Iterations between two looks at the clock. */
const STRIDE = 16;
export const DEVICE_ROUNDS = 7;

const DIRECTIONS = [{ verb: "read", write: false }, { verb: "write", write: true }] as const;
const SEQUENTIAL = [
  { name: "128k", blockBytes: 128 * KIB, depth: 8 },
  { name: "1m", blockBytes: 1024 * KIB, depth: 4 },
] as const;

/** The names of all cases here. */
export const DEVICE_CASES: readonly string[] = [
  ...DIRECTIONS.flatMap(({ verb }) =>
    DEPTHS.flatMap((depth) => [`iops-rand-${verb}-${depth}`, `cpu-rand-${verb}-${depth}`])
  ),
  ...DIRECTIONS.flatMap(({ verb }) => SEQUENTIAL.map(({ name }) => `seq-${verb}-${name}`)),
];

/** A file that fio filled. */
export interface Target {
  readonly path: string;
  /** A power of two, below 2 GiB. */
  readonly bytes: number;
}

/** One pattern through a ring of its own, as fast as the device takes it. */
class Ours implements Disposable {
  readonly #pattern: Pattern;
  readonly #bytes: number;
  readonly #ring: Ring;
  readonly #file: RingFile;
  readonly #buffers: readonly RegisteredBuffer[];
  /** Of the random numbers, or where the next block is. */
  #state = 1;

  constructor({ path, bytes }: Target, pattern: Pattern) {
    this.#pattern = pattern;
    this.#bytes = bytes;
    this.#ring = Ring.open({ bufferBytes: pattern.blockBytes });
    const flags = (pattern.write ? OPEN_FLAG.WRONLY : OPEN_FLAG.RDONLY) | OPEN_FLAG.DIRECT;
    this.#ring.prepOpenat(path, flags, 0, 0);
    this.#ring.submitAndWait(1);
    this.#ring.reap();
    this.#file = this.#ring.file(this.#ring.completions.res[0]);
    this.#buffers = Array.from({ length: pattern.depth }, () => this.#ring.buffers.acquire()!);
    for (const { bytes } of this.#buffers) for (let i = 0; i < bytes.length; i++) bytes[i] = i * 31;
  }

  /** Keeps as many in flight as the pattern says, for so long. */
  run(seconds: number): Transferred {
    const { write, random, blockBytes, depth } = this.#pattern;
    const ring = this.#ring;
    const file = this.#file;
    const buffers = this.#buffers;
    const mask = this.#bytes - 1 & -blockBytes;
    const { userData, res } = ring.completions;
    let state = this.#state;
    let operations = 0;
    let free = depth;
    const cpu = process.cpuUsage();
    const start = performance.now();
    const end = start + seconds * 1000;
    // The first ones stand in the columns as if they had just completed.
    for (let i = 0; i < depth; i++) userData[i] = i;
    for (let turn = 0, running = true; running || free < depth; turn++) {
      if ((turn & STRIDE - 1) === 0 && performance.now() >= end) running = false;
      if (running) {
        for (let i = 0; i < free; i++) {
          let offset = state;
          if (random) {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >>> 17;
            state ^= state << 5;
          } else {
            offset = (state - 1) * blockBytes;
            state = (state & (mask / blockBytes)) + 1;
          }
          offset &= mask;
          const index = userData[i];
          if (write) ring.prepWriteFixed(file, buffers[index], 0, blockBytes, offset, index);
          else ring.prepReadFixed(file, buffers[index], 0, blockBytes, offset, index);
          if (ring.staged === SUBMIT_BATCH) ring.submit();
        }
        free = 0;
      }
      ring.submitAndWait(1);
      const count = ring.reap();
      for (let i = 0; i < count; i++) {
        if (res[i] !== blockBytes) throw new Error(`a transfer gave ${res[i]}`);
      }
      operations += count;
      free = running ? count : free + count;
    }
    const elapsed = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    this.#state = state;
    return {
      operationsPerSecond: operations / elapsed,
      cpuNanos: (user + system) * 1000 / operations,
    };
  }

  [Symbol.dispose](): void {
    this.#ring.close();
  }
}

/** Holds this thread to the last processor that it may run on. */
class Pin implements Disposable {
  readonly processor: string;
  readonly #allowed: string;

  constructor() {
    this.#allowed = /^Cpus_allowed_list:\s+(\S+)$/m.exec(
      readFileSync("/proc/self/status", "latin1"),
    )![1];
    this.processor = this.#allowed.split(/[-,]/).at(-1)!;
    pinTo(this.processor);
  }

  [Symbol.dispose](): void {
    pinTo(this.#allowed);
  }
}

/** The thread that runs this program has the number of its process. */
function pinTo(processors: string): void {
  execFileSync("taskset", ["-pc", processors, String(process.pid)], { stdio: "ignore" });
}

/** Both sides of one pattern, round by round. */
interface Measured {
  readonly pattern: Pattern;
  readonly ours: Transferred[];
  readonly theirs: Transferred[];
}

/** Measures these cases. */
export async function measureDevice(
  names: readonly string[],
  target: Target,
  rounds: number,
  seconds: number,
): Promise<void> {
  await fill(target.path, target.bytes);
  using pin = new Pin();
  for (const { verb, write } of DIRECTIONS) {
    const depths = DEPTHS.filter((depth) =>
      names.includes(`iops-rand-${verb}-${depth}`) || names.includes(`cpu-rand-${verb}-${depth}`)
    );
    // Whether depth counts here is told by fio's shallowest and deepest.
    const scaled = DEPTHS.some((depth) =>
      depth > 1 && names.includes(`iops-rand-${verb}-${depth}`)
    );
    const others = scaled ? [1, DEEPEST].filter((depth) => !depths.includes(depth)) : [];
    const pattern = (depth: number) => ({ write, random: true, blockBytes: RANDOM_BYTES, depth });
    const measured = await alternate(
      target,
      depths.map(pattern),
      others.map(pattern),
      rounds,
      seconds,
      pin,
    );
    for (const one of depths) {
      const { ours, theirs } = measured.find(({ pattern: { depth } }) => depth === one)!;
      const bound = one > 1 && scaled && !parallel(measured);
      if (names.includes(`iops-rand-${verb}-${one}`)) {
        reportRate(
          `iops-rand-${verb}-${one}`,
          "operations/s",
          1,
          LEAST_OPERATIONS,
          bound,
          ours,
          theirs,
        );
      }
      if (names.includes(`cpu-rand-${verb}-${one}`)) {
        reportCpu(`cpu-rand-${verb}-${one}`, ours, theirs);
      }
    }
  }
  for (const { verb, write } of DIRECTIONS) {
    for (const { name, blockBytes, depth } of SEQUENTIAL) {
      const full = `seq-${verb}-${name}`;
      if (!names.includes(full)) continue;
      const pattern = { write, random: false, blockBytes, depth };
      const [{ ours, theirs }] = await alternate(target, [pattern], [], rounds, seconds, pin);
      reportRate(full, "bytes/s", blockBytes, LEAST_BANDWIDTH, false, ours, theirs);
    }
  }
}

/** All patterns in each round, on both sides; of `references` fio's only. */
async function alternate(
  target: Target,
  patterns: readonly Pattern[],
  references: readonly Pattern[],
  rounds: number,
  seconds: number,
  { processor }: Pin,
): Promise<Measured[]> {
  using opened = new DisposableStack();
  const sides = patterns.map((pattern) => opened.use(new Ours(target, pattern)));
  for (const side of sides) side.run(Math.min(WARM_UP_SECONDS, seconds));
  const measured: Measured[] = [...patterns, ...references].map((pattern) => ({
    pattern,
    ours: [],
    theirs: [],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, { pattern, ours, theirs }] of measured.entries()) {
      // Each side begins as often as the other: a disk may give bursts to who comes first.
      if (i < sides.length && round % 2 === 0) ours.push(sides[i].run(seconds));
      theirs.push(await transfer(target.path, target.bytes, pattern, seconds, processor));
      if (i < sides.length && round % 2 === 1) ours.push(sides[i].run(seconds));
    }
  }
  return measured;
}

const rates = (side: readonly Transferred[]) =>
  side.map(({ operationsPerSecond }) => operationsPerSecond);
const cpu = (side: readonly Transferred[]) => side.map(({ cpuNanos }) => cpuNanos);

/** Whether this device does more at once: fio's deepest against its shallowest. */
function parallel(measured: readonly Measured[]): boolean {
  const at = (one: number) =>
    median(rates(measured.find(({ pattern: { depth } }) => depth === one)!.theirs));
  return at(DEEPEST) >= PARALLEL * at(1);
}

function reportRate(
  name: string,
  unit: string,
  unitBytes: number,
  least: number,
  deviceBound: boolean,
  ours: readonly Transferred[],
  theirs: readonly Transferred[],
): void {
  const value = median(rates(ours)) * unitBytes;
  const referenceValue = median(rates(theirs)) * unitBytes;
  const ratio = value / referenceValue;
  report({
    bench: "ring",
    case: name,
    runtime: host().name,
    value,
    unit,
    reference: "fio, io_uring",
    referenceValue,
    ratio,
    bar: `at least ${least}`,
    holds: deviceBound ? null : ratio >= least,
    ...(deviceBound ? { note: "device-bound" } : {}),
    cpuNanosPerOperation: median(cpu(ours)),
    referenceCpuNanosPerOperation: median(cpu(theirs)),
    rounds: rates(ours).map((rate) => rate * unitBytes),
    referenceRounds: rates(theirs).map((rate) => rate * unitBytes),
  });
}

function reportCpu(
  name: string,
  ours: readonly Transferred[],
  theirs: readonly Transferred[],
): void {
  const value = median(cpu(ours));
  const referenceValue = median(cpu(theirs));
  const ratio = value / referenceValue;
  report({
    bench: "ring",
    case: name,
    runtime: host().name,
    value,
    unit: "ns of CPU/op",
    reference: "fio, io_uring",
    referenceValue,
    ratio,
    bar: `at most ${MOST_CPU}`,
    holds: ratio <= MOST_CPU,
    rounds: cpu(ours),
    referenceRounds: cpu(theirs),
  });
}
