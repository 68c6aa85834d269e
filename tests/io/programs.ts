/**
 * Programs of `Io` operations as data: random ones, run on any backend and on the model of model.ts, and
 * compared result by result. A program that shows a difference is shrunk, and printed so that it can be
 * pasted into a test.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { DSYNC, type Io, type IoAdvice, IoError, type IoFile, IoUsageError } from "../../io.ts";
import type { IoStat, OpenOptions } from "../../io.ts";
import { Prng } from "../../src/io/prng.ts";
import { MemoryIo } from "../../testing.ts";
import { Model, type ModelFile, type ModelStat } from "./model.ts";
import type { Lack } from "./support.ts";

/** One step. `file` is one of a few places for an open file; paths lie below the program's directory. */
export type Step =
  | { do: "open"; file: number; path: string; options: OpenOptions }
  | { do: "close"; file: number }
  | {
    do: "write";
    file: number;
    offset: number;
    size: number;
    fill: number;
    /** Submitted and polled, durably, or by `pwrite` and `pread`. */
    way?: "durable" | "now";
  }
  | { do: "read"; file: number; offset: number; size: number; way?: "now" }
  /** Side by side from `offset` on, and in flight together. */
  | { do: "writes"; file: number; offset: number; sizes: number[]; fill: number }
  | { do: "reads"; file: number; offset: number; sizes: number[] }
  | { do: "truncate"; file: number; size: number }
  | { do: "allocate"; file: number; offset: number; size: number }
  | { do: "sync"; file: number; dataOnly: boolean }
  | { do: "advise"; file: number; advice: IoAdvice }
  | { do: "lock"; file: number }
  | { do: "stat of file"; file: number }
  | { do: "stat" | "remove" | "syncDirectory"; path: string }
  | { do: "createDirectories" | "listDirectory"; path: string }
  | { do: "rename" | "link"; from: string; to: string };

/** Results, one for each step, then one for each name that is there at the end. */
export type Results = string[];

const EISDIR = 21, EINVAL = 22;
const FILES = 3;
/** What a step that names a file that was never opened gives, on every side. */
const NOTHING = "nothing is open there";
/** What a mistake of the program gives: an `IoUsageError`. */
const MISUSE = "misuse";
const LEFT_OUT = "left out: the backend lacks it";
/** Direct files are used in multiples of this. */
const DIRECT_BYTES = 4096;
const TOGETHER_MAX = 4;
const SIZE_MAX = 9000;
const BUFFER_BYTES = 12288;

// Random programs

const NAMES = ["a", "b", "dir", "dir/a", "dir/b", "dir/dir", "none/a", "a/b"];
/** 254 and 256 bytes: the longest name of a file has 255. */
const LONG_NAMES = [`dir/${"é".repeat(127)}`, "é".repeat(128)];

const fileOf = fc.nat({ max: FILES - 1 });
const nameOf = fc.constantFrom(...NAMES);
const anyName = fc.constantFrom(...NAMES, ...NAMES, ...NAMES, ".", ...LONG_NAMES);
/** Around what matters to a page cache, and anywhere. */
const offsetOf = fc.oneof(
  fc.nat({ max: 64 }),
  fc.constantFrom(0, 511, 512, 4095, 4096, 4097, 8192, 12288),
  fc.nat({ max: 20_000 }),
);
const sizeOf = fc.oneof(
  fc.nat({ max: 300 }),
  fc.constantFrom(0, 1, 4095, 4096, 4097, 8192),
  fc.nat({ max: SIZE_MAX }),
);
const sizesOf = fc.array(sizeOf, { minLength: 2, maxLength: TOGETHER_MAX });
const fillOf = fc.integer({ min: 1, max: 255 });

/** Mostly sensible, sometimes nonsense: the contract says which are refused. */
const optionsOf: fc.Arbitrary<OpenOptions> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ read: true, write: true, create: true }) },
  {
    weight: 6,
    arbitrary: fc.constantFrom<OpenOptions>(
      { read: true },
      { write: true },
      { read: true, write: true, createNew: true },
      { read: true, write: true, create: true, append: true },
      { read: true, write: true, truncate: true },
      { read: true, write: true, create: true, direct: true },
      { read: true, write: true, create: true, dsync: true },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.nat({ max: 255 }).map((bits) => {
      const options: OpenOptions = {};
      OPTION_NAMES.forEach((name, i) => {
        if (bits & 1 << i) options[name] = true;
      });
      return options;
    }),
  },
);

/** The members of `OpenOptions`. */
export const OPTION_NAMES = [
  "read",
  "write",
  "create",
  "createNew",
  "truncate",
  "append",
  "direct",
  "dsync",
] as const;

const step = <S extends Step>(kind: S["do"], rest: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record({ do: fc.constant(kind), ...rest }) as unknown as fc.Arbitrary<Step>;

const steps = fc.oneof(
  { weight: 6, arbitrary: step("open", { file: fileOf, path: anyName, options: optionsOf }) },
  { weight: 1, arbitrary: step("close", { file: fileOf }) },
  {
    weight: 6,
    arbitrary: step("write", {
      file: fileOf,
      offset: offsetOf,
      size: sizeOf,
      fill: fillOf,
      way: fc.constantFrom(undefined, undefined, "durable", "now"),
    }),
  },
  {
    weight: 4,
    arbitrary: step("read", {
      file: fileOf,
      offset: offsetOf,
      size: sizeOf,
      way: fc.constantFrom(undefined, "now"),
    }),
  },
  {
    weight: 2,
    arbitrary: step("writes", { file: fileOf, offset: offsetOf, sizes: sizesOf, fill: fillOf }),
  },
  { weight: 2, arbitrary: step("reads", { file: fileOf, offset: offsetOf, sizes: sizesOf }) },
  { weight: 2, arbitrary: step("truncate", { file: fileOf, size: offsetOf }) },
  { weight: 2, arbitrary: step("allocate", { file: fileOf, offset: offsetOf, size: sizeOf }) },
  { weight: 1, arbitrary: step("sync", { file: fileOf, dataOnly: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: step("advise", {
      file: fileOf,
      advice: fc.constantFrom("normal", "sequential", "random", "willneed", "dontneed"),
    }),
  },
  { weight: 1, arbitrary: step("lock", { file: fileOf }) },
  { weight: 1, arbitrary: step("stat of file", { file: fileOf }) },
  { weight: 2, arbitrary: step("stat", { path: anyName }) },
  { weight: 2, arbitrary: step("remove", { path: anyName }) },
  { weight: 1, arbitrary: step("syncDirectory", { path: anyName }) },
  { weight: 1, arbitrary: step("createDirectories", { path: nameOf }) },
  { weight: 1, arbitrary: step("listDirectory", { path: anyName }) },
  { weight: 4, arbitrary: step("rename", { from: nameOf, to: nameOf }) },
  { weight: 2, arbitrary: step("link", { from: nameOf, to: nameOf }) },
);

/** Programs of up to `length` steps. */
export function programs(length = 24): fc.Arbitrary<Step[]> {
  return fc.array(steps, { minLength: 1, maxLength: length, size: "max" });
}

/** The program as it is pasted into a test, with a line for each step. */
export function pasted(program: readonly Step[]): string {
  const lines = program.map((one) => `    ${JSON.stringify(one).replace(/"(\w+)":/g, "$1: ")},`);
  return `  same(side, [\n${lines.join("\n")}\n  ]);`;
}

// What both sides do alike

/** The bytes of a write, told apart from its neighbours'. */
function pattern(size: number, fill: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = fill + i * 7 + (i >> 8);
  return bytes;
}

/** FNV-1a, so that a result has one word for its bytes. */
function digest(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return `${bytes.length} bytes ${(hash >>> 0).toString(16)}`;
}

/** As the contract has it, word by word: which options are nonsense. */
export function isNonsense(options: OpenOptions): boolean {
  const { read, write, create, createNew, truncate, append, dsync } = options;
  if (!read && !write) return true;
  if (!write && (create || createNew || truncate || append || dsync)) return true;
  return truncate === true && (append === true || createNew === true);
}

const blocks = (bytes: number, direct: boolean | undefined) =>
  direct ? Math.ceil(bytes / DIRECT_BYTES) * DIRECT_BYTES : bytes;

/** A step with offsets and sizes as the file needs them. */
function fitted<T extends { offset: number }>(one: T, direct: boolean | undefined): T {
  const fit: T & { size?: number; sizes?: number[] } = { ...one };
  fit.offset = blocks(one.offset, direct);
  if (fit.size !== undefined) fit.size = blocks(fit.size, direct);
  if (fit.sizes !== undefined) fit.sizes = fit.sizes.map((size) => blocks(size, direct));
  return fit;
}

function leftOut(one: Step, lacks: readonly Lack[]): boolean {
  return (one.do === "allocate" && lacks.includes("allocate")) ||
    (one.do === "lock" && lacks.includes("lock by description"));
}

const statOf = (stat: ModelStat | IoStat) =>
  `${stat.isFile ? "file" : ""}${stat.isDirectory ? "directory" : ""} ${
    stat.isFile ? stat.size : ""
  }`;

// On the model

interface Slot<F> {
  readonly file: F;
  readonly options: OpenOptions;
  closed: boolean;
}

/** What the manual says that a program gives. */
export function runOnModel(program: readonly Step[], lacks: readonly Lack[] = []): Results {
  const model = new Model();
  const at = (path: string) => path === "." ? "/p" : `/p/${path}`;
  model.createDirectories("/p/dir");
  const slots: (Slot<ModelFile> | undefined)[] = [];
  const bytesOf = (read: Uint8Array | number) =>
    typeof read === "number" ? `${read}` : digest(read);
  const one = (step: Step): string | number => {
    if (leftOut(step, lacks)) return LEFT_OUT;
    if (!("file" in step)) {
      switch (step.do) {
        case "stat": {
          const stat = model.stat(at(step.path));
          return typeof stat === "number" ? stat : statOf(stat);
        }
        case "remove":
          return model.remove(at(step.path));
        case "syncDirectory":
          return model.syncDirectory(at(step.path));
        case "createDirectories": {
          const made = model.createDirectories(at(step.path));
          return typeof made === "number" ? made : made.map((path) => path.slice(2)).join();
        }
        case "listDirectory": {
          const names = model.listDirectory(at(step.path));
          return typeof names === "number" ? names : names.join();
        }
        case "rename":
          return model.rename(at(step.from), at(step.to));
        default:
          return model.link(at(step.from), at(step.to));
      }
    }
    if (step.do === "open") {
      const before = slots[step.file];
      if (isNonsense(step.options)) return MISUSE;
      if (before !== undefined && !before.closed) model.close(before.file);
      const file = model.open(at(step.path), step.options);
      slots[step.file] = undefined;
      if (typeof file === "number") return file;
      slots[step.file] = { file, options: step.options, closed: false };
      return 0;
    }
    const slot = slots[step.file];
    if (slot === undefined) return NOTHING;
    if (slot.closed) return MISUSE;
    const { file, options } = slot;
    switch (step.do) {
      case "close":
        slot.closed = true;
        return model.close(file);
      case "write": {
        const { offset, size, fill } = fitted(step, options.direct);
        return model.write(file, pattern(size, fill), offset);
      }
      case "read": {
        const { offset, size } = fitted(step, options.direct);
        return bytesOf(model.read(file, size, offset));
      }
      case "writes": {
        let { offset, sizes, fill } = fitted(step, options.direct);
        return sizes.map((size) => {
          const res = model.write(file, pattern(size, fill++), offset);
          offset += size;
          return res;
        }).join();
      }
      case "reads": {
        let { offset, sizes } = fitted(step, options.direct);
        return sizes.map((size) => {
          const read = model.read(file, size, offset);
          offset += size;
          return bytesOf(read);
        }).join();
      }
      case "truncate":
        return model.truncate(file, step.size);
      case "allocate":
        return model.allocate(file, step.offset, step.size);
      case "lock":
        return model.lock(file);
      case "stat of file":
        return statOf(model.stat(file) as ModelStat);
      default:
        return 0;
    }
  };
  const results = program.map((step) => `${one(step)}`);
  const describe = (path: string): string[] =>
    (model.listDirectory(path) as string[]).flatMap((name) => {
      if (name.endsWith("/")) return [name, ...describe(`${path}/${name.slice(0, -1)}`)];
      const file = model.open(`${path}/${name}`, { read: true }) as ModelFile;
      return [`${name} ${bytesOf(model.read(file, Infinity, 0))}`];
    });
  return [...results, ...describe("/p")];
}

// On an Io

/** What a program gives on `io`, in a directory that exists and is empty. */
export function runOnIo(
  io: Io,
  directory: string,
  program: readonly Step[],
  lacks: readonly Lack[] = [],
): Results {
  const run = new Run(io, directory, lacks);
  try {
    return run.all(program);
  } finally {
    run.end();
  }
}

class Run {
  readonly #directory: string;
  readonly #lacks: readonly Lack[];
  /** Two users of the backend take turns: they share files, and nothing else. */
  readonly #users: readonly Io[];
  readonly #slots: (Slot<IoFile> | undefined)[] = [];
  readonly #buffers;
  #io: Io;
  #turn = 0;

  constructor(io: Io, directory: string, lacks: readonly Lack[]) {
    this.#directory = directory;
    this.#lacks = lacks;
    this.#users = [io.client("first"), io.client("second")];
    this.#io = this.#users[0];
    this.#io.createDirectories(`${directory}/dir`);
    this.#buffers = Array.from(
      { length: TOGETHER_MAX },
      () => this.#users[0].acquireBuffer(BUFFER_BYTES)!,
    );
  }

  end(): void {
    for (const slot of this.#slots) if (slot !== undefined && !slot.closed) this.#close(slot);
    for (const buffer of this.#buffers) this.#users[0].releaseBuffer(buffer);
    for (const user of this.#users) {
      const { leaks } = user;
      user[Symbol.dispose]();
      assert.deepEqual(leaks, []);
    }
  }

  all(program: readonly Step[]): Results {
    const results = program.map((step) => {
      this.#io = this.#users[++this.#turn % 2];
      try {
        return `${this.#one(step)}`;
      } catch (error) {
        if (error instanceof IoUsageError) return MISUSE;
        throw error;
      }
    });
    return [...results, ...this.#describe(this.#directory)];
  }

  #at(path: string): string {
    return path === "." ? this.#directory : `${this.#directory}/${path}`;
  }

  /** Waits for operations 0 to `count - 1`; gives their results. */
  #ended(count: number): number[] {
    const io = this.#io;
    const results: number[] = [];
    // By hand now and then: a poll, too, gets there.
    const polls = this.#turn % 5 === 0;
    while (io.inFlight > 0) {
      if (polls) io.poll();
      else io.park();
      for (let handle = 0; handle < count; handle++) {
        const res = io.take(handle);
        if (res !== undefined) results[handle] = res;
      }
    }
    return results;
  }

  #close(slot: Slot<IoFile>): number {
    slot.closed = true;
    this.#io.close(slot.file, 0);
    return this.#ended(1)[0];
  }

  #one(step: Step): string | number {
    if (leftOut(step, this.#lacks)) return LEFT_OUT;
    const io = this.#io;
    if (!("file" in step)) return this.#names(step);
    if (step.do === "open") return this.#open(step);
    const slot = this.#slots[step.file];
    if (slot === undefined) return NOTHING;
    const { file, options } = slot;
    switch (step.do) {
      case "close":
        if (!slot.closed) return this.#close(slot);
        io.close(file, 0);
        break;
      case "write": {
        const { offset, size, fill, way } = fitted(step, options.direct);
        this.#buffers[0].bytes.set(pattern(size, fill));
        if (way === "now") return io.pwrite(file, this.#buffers[0], 0, size, offset);
        const flags = way === "durable" ? DSYNC : 0;
        io.writeAt(file, this.#buffers[0], 0, size, offset, flags, 0);
        break;
      }
      case "read": {
        const { offset, size, way } = fitted(step, options.direct);
        if (way === "now") return this.#read(0, io.pread(file, this.#buffers[0], 0, size, offset));
        io.readAt(file, this.#buffers[0], 0, size, offset, 0);
        return this.#read(0, this.#ended(1)[0]);
      }
      case "writes": {
        let { offset, sizes, fill } = fitted(step, options.direct);
        const results: number[] = [];
        for (const [i, size] of sizes.entries()) {
          this.#buffers[i].bytes.set(pattern(size, fill++));
          io.writeAt(file, this.#buffers[i], 0, size, offset, 0, i);
          offset += size;
          // Appends in flight together have no order.
          if (options.append) results[i] = this.#ended(i + 1)[i];
        }
        return (options.append ? results : this.#ended(sizes.length)).join();
      }
      case "reads": {
        let { offset, sizes } = fitted(step, options.direct);
        for (const [i, size] of sizes.entries()) {
          io.readAt(file, this.#buffers[i], 0, size, offset, i);
          offset += size;
        }
        return this.#ended(sizes.length).map((res, i) => this.#read(i, res)).join();
      }
      case "truncate":
        io.truncate(file, step.size, 0);
        break;
      case "allocate":
        io.allocate(file, step.offset, step.size, 0);
        break;
      case "sync":
        if (step.dataOnly) io.fdatasync(file, 0);
        else io.fsync(file, 0);
        break;
      case "advise":
        io.advise(file, 0, 0, step.advice, 0);
        break;
      case "lock":
        return io.lock(file);
      default: {
        const stat = io.stat(file, 0);
        const [res] = this.#ended(1);
        return res === 0 ? statOf(stat) : res;
      }
    }
    return this.#ended(1)[0];
  }

  #open(step: Step & { do: "open" }): number {
    const { options } = step;
    const before = this.#slots[step.file];
    // Nonsense is refused, and then the file that was open there stays so.
    if (!isNonsense(options) && before !== undefined && !before.closed) this.#close(before);
    // Direct appends behind an end that is not aligned are for the file system to take or refuse.
    const lacking = options.direct && (this.#lacks.includes("direct") || options.append);
    const file = this.#io.open(
      this.#at(step.path),
      lacking ? { ...options, direct: false } : options,
      0,
    );
    this.#slots[step.file] = undefined;
    const [res] = this.#ended(1);
    // A directory may be refused for being direct before it is for being a directory.
    if (res === -EINVAL && options.direct && this.#isDirectory(step.path)) return -EISDIR;
    if (res === 0) this.#slots[step.file] = { file, options, closed: false };
    return res;
  }

  #isDirectory(path: string): boolean {
    const stat = this.#io.stat(this.#at(path), 0);
    return this.#ended(1)[0] === 0 && stat.isDirectory;
  }

  #names(step: Exclude<Step, { file: number }>): string | number {
    const io = this.#io;
    switch (step.do) {
      case "stat": {
        const stat = io.stat(this.#at(step.path), 0);
        const [res] = this.#ended(1);
        return res === 0 ? statOf(stat) : res;
      }
      case "remove":
        io.remove(this.#at(step.path), 0);
        break;
      case "syncDirectory":
        io.syncDirectory(this.#at(step.path), 0);
        break;
      case "createDirectories":
        return thrown(() =>
          io.createDirectories(this.#at(step.path))
            .map((path) => path.slice(this.#directory.length)).join()
        );
      case "listDirectory":
        return thrown(() => this.#list(this.#at(step.path)).join());
      case "rename":
        io.rename(this.#at(step.from), this.#at(step.to), 0);
        break;
      default:
        io.link(this.#at(step.from), this.#at(step.to), 0);
    }
    return this.#ended(1)[0];
  }

  #read(buffer: number, res: number): string {
    return res < 0 ? `${res}` : digest(this.#buffers[buffer].bytes.subarray(0, res));
  }

  #list(path: string): string[] {
    return this.#io.listDirectory(path)
      .map(({ name, isDirectory }) => isDirectory ? `${name}/` : name)
      .sort();
  }

  /** Every name below, files with their bytes. */
  #describe(path: string): string[] {
    return this.#list(path).flatMap((name) => {
      if (name.endsWith("/")) return [name, ...this.#describe(`${path}/${name.slice(0, -1)}`)];
      return [`${name} ${digest(this.#contents(`${path}/${name}`))}`];
    });
  }

  #contents(path: string): Uint8Array {
    const file = this.#io.open(path, { read: true }, 0);
    assert.deepEqual(this.#ended(1), [0]);
    const parts: number[] = [];
    for (;;) {
      this.#io.readAt(file, this.#buffers[0], 0, BUFFER_BYTES, parts.length, 0);
      const [res] = this.#ended(1);
      assert.ok(res >= 0, `reading ${path} gave ${res}`);
      if (res === 0) break;
      for (let i = 0; i < res; i++) parts.push(this.#buffers[0].bytes[i]);
    }
    this.#io.close(file, 0);
    assert.deepEqual(this.#ended(1), [0]);
    return Uint8Array.from(parts);
  }
}

/** What a blocking call gives: its answer, or the errno that it throws. */
function thrown(call: () => string): string | number {
  try {
    return call();
  } catch (error) {
    if (error instanceof IoError) return -error.errno;
    throw error;
  }
}

/** Throws where two runs of a program differ, naming the first step that does. */
export function compare(program: readonly Step[], got: Results, expected: Results): void {
  const at = got.findIndex((line, i) => line !== expected[i]);
  if (at < 0 && got.length === expected.length) return;
  const index = at < 0 ? got.length : at;
  const where = index < program.length
    ? `step ${index} (${JSON.stringify(program[index])})`
    : "what is there at the end";
  throw new Error(`${where}: ${got[index]}, and should be ${expected[index]}`);
}

// Sides: where programs run

/** Something that runs programs. */
export interface Side extends Disposable {
  readonly name: string;
  readonly lacks: readonly Lack[];
  run(program: readonly Step[]): Results;
}

/** Simulated machines, a new one for each program, of another seed and kind each time. */
export function memorySide(seed: number): Side {
  const random = new Prng(seed);
  return {
    name: "memory",
    lacks: [],
    run(program) {
      const io = MemoryIo.create({
        seed: random.next(),
        arenaBytes: BUFFER_BYTES * TOGETHER_MAX,
        capacity: TOGETHER_MAX,
        latencyMicros: random.oneIn(2) ? 0 : [1, 100],
        reorder: random.oneIn(2),
      });
      io.createDirectories("/p");
      const results = runOnIo(io, "/p", program);
      io[Symbol.dispose]();
      return results;
    },
    [Symbol.dispose]() {},
  };
}

/** One `Io`, and below `root` a new directory for each program. */
export function diskSide(name: string, io: Io, root: string, lacks: readonly Lack[]): Side {
  const above = mkdtempSync(join(root, "uring-programs-"));
  let count = 0;
  return {
    name,
    lacks,
    run(program) {
      const directory = join(above, `${count++}`);
      mkdirSync(directory);
      try {
        return runOnIo(io, directory, program, lacks);
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
    [Symbol.dispose]() {
      rmSync(above, { recursive: true, force: true });
      io[Symbol.dispose]();
    },
  };
}

/** One program on one side, against the model. */
export function same(side: Side, program: readonly Step[]): void {
  compare(program, side.run(program), runOnModel(program, side.lacks));
}

/** So many random programs, from `seed`; throws the shortest that differs, ready for a test. */
export function sameForAll(side: Side, count: number, seed: number): void {
  const property = fc.property(programs(), (program) => same(side, program));
  const { failed, counterexample, errorInstance } = fc.check(property, { numRuns: count, seed });
  if (!failed) return;
  const said = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
  const program = counterexample === null ? "" : `\n${pasted(counterexample[0])}`;
  throw new Error(`${side.name}, seed ${seed}: ${said}${program}`);
}
