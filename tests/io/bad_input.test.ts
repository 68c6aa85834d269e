/**
 * Bad input, over every method of `Io` and every argument of it: a clear error before anything is
 * changed. The table of methods is held to the class, so that a new one has to be entered.
 */
import assert from "node:assert/strict";
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from "node:fs";
import { readFileSync, readSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { test } from "node:test";
import {
  errnoName,
  File,
  type Io,
  type IoBuffer,
  IoClosedError,
  type IoFile,
  type IoStat,
  IoUsageError,
  type OpenOptions,
  SyncIo,
  UringIo,
} from "../../io.ts";
import { PositionedFile } from "../../storage.ts";
import { MemoryIo } from "../../testing.ts";
import { inScratch, skipRing } from "../support/ring.ts";
import { isNonsense, OPTION_NAMES } from "./programs.ts";
import { BACKENDS, filled, openFile, readText, run, writeBytes } from "./support.ts";

/** What the calls are made with. */
interface Scene {
  readonly io: Io;
  readonly directory: string;
  readonly file: IoFile;
  readonly buffer: IoBuffer;
}

/** Kinds of arguments: one that is good, and those that are not, each with what it is. */
interface Kind {
  good: (scene: Scene) => unknown;
  bad: (scene: Scene) => [what: string, value: unknown][];
}

const named = (values: unknown[]): [string, unknown][] =>
  values.map((value) => [
    typeof value === "string" && value.length > 20
      ? `${value.slice(0, 20)}…`
      : `${typeof value === "object" ? JSON.stringify(value) : String(value)} (${typeof value})`,
    value,
  ]);
const NO_OFFSETS = [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 53, "0", null, undefined, 1n, {}, true];

const KINDS: Record<string, Kind> = {
  file: {
    good: ({ file }) => file,
    bad: ({ io, directory }) => {
      const closed = openFile(io, `${directory}/closed`);
      run(io, (h) => io.close(closed, h));
      let failed!: IoFile;
      run(io, (h) => failed = io.open(`${directory}/none`, { read: true }, h));
      const elsewhere = openFile(MemoryIo.create({ arenaBytes: 4096 }), "/a");
      return [
        ...named([null, undefined, 3, {}, { path: "/a", options: {} }]),
        ["a closed file", closed],
        ["a file whose open has failed", failed],
        ["a file of another Io", elsewhere],
      ];
    },
  },
  buffer: {
    good: ({ buffer }) => buffer,
    bad: ({ io }) => {
      const released = io.acquireBuffer()!;
      io.releaseBuffer(released);
      return [
        ...named([null, undefined, {}]),
        ["plain memory", new Uint8Array(10)],
        ["something like a buffer", { bytes: new Uint8Array(10), length: 10 }],
        ["a released buffer", released],
        ["a buffer of another Io", MemoryIo.create({ arenaBytes: 4096 }).acquireBuffer()],
      ];
    },
  },
  offset: { good: () => 0, bad: () => named(NO_OFFSETS) },
  bufferOffset: { good: () => 0, bad: ({ buffer }) => named([...NO_OFFSETS, buffer.length]) },
  length: {
    good: () => 1,
    bad: ({ buffer }) => named([...NO_OFFSETS, buffer.length + 1, 2 ** 31, 2 ** 32 + 1]),
  },
  size: { good: () => 0, bad: () => named(NO_OFFSETS) },
  flags: { good: () => 0, bad: () => named([1, 3, -1, 0.5, NaN, "2", null, undefined, 2n]) },
  advice: { good: () => "normal", bad: () => named(["", "soon", "NORMAL", null, undefined, 0]) },
  handle: {
    good: () => 77,
    bad: () => named([0.5, NaN, Infinity, 2 ** 53, "1", null, undefined, 1n, {}]),
  },
  path: {
    good: ({ directory }) => `${directory}/path`,
    bad: () => named(["", "a\0b", "\0", `/${"a/".repeat(2048)}`, null, undefined, 5, {}, ["a"]]),
  },
  options: {
    good: () => ({ read: true, write: true, create: true }),
    bad: () =>
      named([
        null,
        undefined,
        "r",
        5,
        {},
        { read: 1 },
        { read: "true" },
        { read: true, reads: true },
        { write: null },
        [],
      ]),
  },
  bytes: {
    good: () => new Uint8Array(10),
    bad: () => [
      ...named([null, undefined, 5, "text", {}, [1]]),
      ["plain memory without a view", new ArrayBuffer(8)],
    ],
  },
  seed: { good: () => 0, bad: () => named([-1, 0.5, NaN, 2 ** 32, "0", null, 1n]) },
  count: { good: () => 1, bad: () => named([0, -1, 0.5, NaN, 2 ** 53, "1", null, 1n]) },
  reserve: { good: () => 0, bad: () => named([-1, 0.5, NaN, 1e6, "1", null, 1n]) },
  micros: { good: () => 0, bad: () => named([-1, NaN, "0", null, 1n]) },
  callback: { good: () => () => {}, bad: () => named([null, undefined, 5, "text", {}]) },
  descriptor: { good: () => 0, bad: () => named([-1, 0.5, NaN, 2 ** 31, "0", null, undefined]) },
};

/** The methods of `Io` that can be misused, and the kinds of their arguments. */
const METHODS: Record<string, (keyof typeof KINDS)[]> = {
  client: ["name", "reserve"],
  after: ["micros", "callback"],
  random: ["bytes"],
  crc32c: ["bytes", "seed"],
  crc32cBuffer: ["buffer", "bufferOffset", "length", "seed"],
  acquireBuffer: ["count"],
  releaseBuffer: ["buffer"],
  open: ["path", "options", "handle"],
  adoptFd: ["descriptor", "handle"],
  close: ["file", "handle"],
  readAt: ["file", "buffer", "bufferOffset", "length", "offset", "handle"],
  writeAt: ["file", "buffer", "bufferOffset", "length", "offset", "flags", "handle"],
  pread: ["file", "buffer", "bufferOffset", "length", "offset"],
  pwrite: ["file", "buffer", "bufferOffset", "length", "offset"],
  fsync: ["file", "handle"],
  fdatasync: ["file", "handle"],
  stat: ["file", "handle"],
  truncate: ["file", "size", "handle"],
  allocate: ["file", "offset", "size", "handle"],
  advise: ["file", "offset", "size", "advice", "handle"],
  rename: ["path", "path", "handle"],
  link: ["path", "path", "handle"],
  remove: ["path", "handle"],
  syncDirectory: ["path", "handle"],
  lock: ["file"],
  statFs: ["file"],
  alignment: ["file"],
  noCopyOnWrite: ["file"],
  listDirectory: ["path"],
  createDirectories: ["path"],
  park: ["micros"],
};
KINDS.name = { good: () => "name", bad: () => [] };

/** They take nothing, or anything. */
const WITHOUT = ["now", "wallClock", "statistics", "identity", "poll", "wait", "take"];

/** What must be the same before and after a call that was refused. */
function stateOf({ io, directory, file, buffer }: Scene): unknown {
  return {
    inFlight: io.inFlight,
    available: io.available,
    free: io.arenaFreeBytes,
    names: io.listDirectory(directory).map(({ name }) => name).sort(),
    text: readText(io, file, 0, 100),
    bytes: buffer.bytes.slice(0, 16),
  };
}

test("every method of Io is in the table", () => {
  const io = MemoryIo.create({ arenaBytes: 4096 });
  const all = new Set<string>();
  for (let type = Object.getPrototypeOf(io); type !== null; type = Object.getPrototypeOf(type)) {
    if (type === Object.prototype) break;
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(type))) {
      if (typeof value === "function" && !name.startsWith("_")) all.add(name);
    }
  }
  // Of the simulated machine, and of backends.
  const others = ["constructor", "enqueue", "sibling", "crash", "ifCrashed", "kill", "fail"];
  for (const name of [...others, "rot", "image"]) all.delete(name);
  assert.deepEqual([...all].sort(), [...Object.keys(METHODS), ...WITHOUT].sort());
});

for (const backend of BACKENDS) {
  const row = (name: string, body: (scene: Scene) => void) =>
    test(`${backend.name}: ${name}`, { skip: backend.skip }, () => {
      const { io, directory, remove } = backend.open({ arenaBytes: 1 << 17, capacity: 32 });
      try {
        const file = openFile(io, `${directory}/a`);
        assert.equal(writeBytes(io, file, "contents", 0), 8);
        const buffer = io.acquireBuffer(8192)!;
        body({ io, directory, file, buffer });
        io.releaseBuffer(buffer);
        assert.deepEqual(io.leaks, []);
        io[Symbol.dispose]();
      } finally {
        remove();
      }
    });

  for (const [method, kinds] of Object.entries(METHODS)) {
    row(`${method}(${kinds.join(", ")}) refuses what is not good, and changes nothing`, (scene) => {
      // deno-lint-ignore no-explicit-any
      const call = (scene.io as any)[method] as (...args: unknown[]) => unknown;
      kinds.forEach((kind, i) => {
        // What can be left out has a default.
        const optional = ["seed", "count", "reserve", "micros"].includes(kind);
        for (const [what, value] of KINDS[kind].bad(scene)) {
          if (optional && value === undefined) continue;
          const before = stateOf(scene);
          const args = kinds.map((other, j) => i === j ? value : KINDS[other].good(scene));
          assert.throws(() => call.apply(scene.io, args), (error) => {
            // The language itself does not mix them with numbers.
            if (typeof value === "bigint" && error instanceof TypeError) return true;
            assert.ok(error instanceof IoUsageError, `${kind} ${what}: ${error}`);
            assert.equal(error.code, "IoUsage");
            assert.ok(error.message.length > 10);
            return true;
          }, `${method}: ${kind} is ${what}`);
          assert.deepEqual(stateOf(scene), before, `${method}: ${kind} is ${what}`);
        }
      });
    });
  }

  row("after the end of the Io every method says that it is closed", ({ directory }) => {
    const { io, remove } = backend.open();
    const scene = {
      io,
      directory,
      file: openFile(io, `${directory}/b`),
      buffer: io.acquireBuffer()!,
    };
    io.releaseBuffer(scene.buffer);
    io[Symbol.dispose]();
    for (const [method, kinds] of Object.entries(METHODS)) {
      // Clocks and checksums need nothing of it.
      if (["after", "crc32c"].includes(method)) continue;
      const args = kinds.map((kind) => KINDS[kind].good(scene));
      // deno-lint-ignore no-explicit-any
      const call = () => (io as any)[method](...args);
      assert.throws(call, (error) =>
        // A buffer that was released says so.
        error instanceof IoClosedError ||
        (method === "crc32cBuffer" && error instanceof IoUsageError), method);
    }
    remove();
  });

  row("one buffer in two operations, and one handle twice, are refused", (scene) => {
    const { io, file, buffer } = scene;
    io.writeAt(file, buffer, 0, 10, 100, 0, 1);
    const half = buffer.length / 2;
    for (
      const call of [
        () => io.readAt(file, buffer, 0, 10, 0, 2),
        // Apart from each other, but one buffer.
        () => io.readAt(file, buffer, half, 10, 0, 2),
        () => io.writeAt(file, buffer, half, 10, 0, 0, 2),
        () => io.pread(file, buffer, half, 10, 0),
        () => io.pwrite(file, buffer, half, 10, 0),
        () => io.releaseBuffer(buffer),
        () => io.fsync(file, 1),
        () => io.stat(file, 1),
        () => io.close(file, 2),
      ]
    ) assert.throws(call, IoUsageError);
    assert.equal(io.inFlight, 1);
    io.park();
    assert.equal(io.take(1), 10);
  });
}

// Every combination of options, against open(2) as node:fs calls it.

const RUN_FLAGS: Record<(typeof OPTION_NAMES)[number], number> = {
  read: 0,
  write: 0,
  create: constants.O_CREAT,
  createNew: constants.O_CREAT | constants.O_EXCL,
  truncate: constants.O_TRUNC,
  append: constants.O_APPEND,
  // Without a trace in what follows.
  direct: 0,
  dsync: constants.O_DSYNC,
};

/** What open(2) and what follows it give: errnos, sizes, and what can be read and written. */
function byNode(path: string, options: OpenOptions): string {
  const flags = OPTION_NAMES.reduce(
    (sum, name) => options[name] ? sum | RUN_FLAGS[name] : sum,
    options.read && options.write
      ? constants.O_RDWR
      : options.write
      ? constants.O_WRONLY
      : constants.O_RDONLY,
  );
  const code = (body: () => unknown): string => {
    try {
      return `${body()}`;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  let fd = -1;
  const opened = code(() => (fd = openSync(path, flags, 0o666)) >= 0 && 0);
  if (fd < 0) return opened;
  const size = fstatSync(fd).size;
  // A position would win over O_APPEND where node:fs is not Linux'.
  const at = options.append ? null : 0;
  const written = code(() => writeSync(fd, filled(4096, 66), 0, 4096, at));
  const read = code(() => readSync(fd, new Uint8Array(4096), 0, 4096, 0));
  const cut = code(() => ftruncateSync(fd, 4096) ?? 0);
  closeSync(fd);
  return [opened, size, written, read, cut].join();
}

function byIo(io: Io, path: string, options: OpenOptions): string {
  const said = (res: number) => res < 0 ? errnoName(-res) : `${res}`;
  let file!: IoFile;
  const opened = run(io, (h) => file = io.open(path, options, h));
  if (opened < 0) return said(opened);
  const buffer = io.acquireBuffer(4096)!;
  buffer.bytes.fill(66);
  let stat!: IoStat;
  run(io, (h) => stat = io.stat(file, h));
  const { size } = stat;
  const written = said(run(io, (h) => io.writeAt(file, buffer, 0, 4096, 0, 0, h)));
  const read = said(run(io, (h) => io.readAt(file, buffer, 0, 4096, 0, h)));
  const cut = said(run(io, (h) => io.truncate(file, 4096, h)));
  run(io, (h) => io.close(file, h));
  io.releaseBuffer(buffer);
  return [said(opened), size, written, read, cut].join();
}

for (
  const [name, skip, open] of [
    ["uring", skipRing, () => UringIo.open()],
    ["sync", false, () => SyncIo.open()],
    ["memory", false, () => MemoryIo.create()],
  ] as const
) {
  test(
    `${name}: all 256 combinations of options do what open(2) does, or are nonsense`,
    { skip },
    () =>
      inScratch((directory) => {
        using io: Io = open();
        const there = 8192;
        for (let bits = 0; bits < 256; bits++) {
          const options: OpenOptions = {};
          OPTION_NAMES.forEach((option, i) => {
            if (bits & 1 << i) options[option] = true;
          });
          const text = JSON.stringify(options);
          for (const what of ["missing", "file", "directory"]) {
            const path = what === "directory" ? directory : `${directory}/${what}`;
            const reset = (onDisk: boolean) => {
              if (what === "directory") return;
              if (onDisk) {
                rmSync(path, { force: true });
                if (what === "file") writeFileSync(path, filled(there, 65));
                return;
              }
              if (io.backend !== "memory") return reset(true);
              io.createDirectories(directory);
              run(io, (h) => io.remove(path, h));
              if (what === "file") {
                const file = openFile(io, path);
                writeBytes(io, file, filled(there, 65), 0);
                run(io, (h) => io.close(file, h));
              }
            };
            reset(false);
            if (isNonsense(options)) {
              assert.throws(() => io.open(path, options, 1), IoUsageError, text);
              continue;
            }
            const got = byIo(io, path, options);
            if (options.direct && io.backend === "sync") {
              assert.equal(got, "EINVAL", text);
              continue;
            }
            if (what === "directory") {
              // open(2) may take it to read; there is nothing that Io could do with it. Direct, some file
              // systems refuse it before that can be seen.
              const code = options.createNew ? "EEXIST" : "EISDIR";
              assert.ok(got === code || (options.direct && got === "EINVAL"), `${text}: ${got}`);
              continue;
            }
            const bytes = io.backend === "memory" || got === "ENOENT"
              ? undefined
              : readFileSync(path);
            reset(true);
            assert.equal(got, byNode(path, options), `${what} ${text}`);
            if (bytes !== undefined) assert.deepEqual(readFileSync(path), bytes, `${what} ${text}`);
          }
        }
      }),
  );
}

// Memory of the program

test("memory that was transferred away, and what is no memory, is refused above the Io", () =>
  inScratch(async (directory) => {
    const RW = { read: true, write: true, create: true };
    const gone = new Uint8Array(8);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    using io: Io = SyncIo.open();
    await using file = await File.open(`${directory}/a`, RW, io);
    using positioned = PositionedFile.open(`${directory}/a`, RW, io);
    const bad = [gone, null, undefined, "text", 5, {}, [1], new ArrayBuffer(8)] as Uint8Array[];
    for (const bytes of bad) {
      await assert.rejects(file.readAt(bytes, 0), IoUsageError);
      await assert.rejects(file.writeAt(bytes, 0), IoUsageError);
      assert.throws(() => positioned.preadAt(0, bytes), IoUsageError);
      assert.throws(() => positioned.pwriteAt(0, bytes), IoUsageError);
      assert.throws(() => positioned.preadBatch([{ offset: 0, bytes }]), {
        name: "IoUsageError",
        index: 0,
      });
    }
    assert.equal((await file.stat()).size, 0);
  }));
