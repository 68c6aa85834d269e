/**
 * Random images and random calls over the library's functions themselves, past everything that `src/ring`
 * checks: `_abi_program.ts SEED SESSIONS MILLIS`. It belongs into a file system of its own (`_abi.ts`).
 *
 * A session opens a ring of random size over pieces of one SharedArrayBuffer, with canaries between them,
 * writes images straight into staging, ticks, calls exports with arguments of about the right kind, closes,
 * and goes on calling with the number that is no more. In two of three sessions a worker rewrites staging
 * and parameters meanwhile, and tries the ring's number. What must hold is what `shim/fuzz_submit.zig` says.
 */
import { strict as assert } from "node:assert";
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Worker } from "node:worker_threads";
import {
  ABI_VERSION,
  BAD_REASON,
  CONTROL,
  CQE_FLAG,
  ERRNO,
  EXPORTS,
  FILE_NONE,
  IMAGE,
  LADDER,
  MESSAGES_MAX,
  OPEN_PARAMETERS,
  OPERATIONS,
  RESULT_BYTES,
  SETUP_FLAG,
} from "../../src/abi/generated.ts";
import { Prng } from "../../src/io/prng.ts";
import { library } from "../../src/native/library.ts";
import { Images, type World } from "./_abi_images.ts";
import { ORDER, ORDER_WORDS } from "./_abi_worker.ts";

const [seed, sessions, millis] = process.argv.slice(2).map(Number);
const { functions } = library();

const PAGE = 4096;
const ENTRIES_MAX = 64;
const SLOTS_MAX = 128;
const PARAMETER_BYTES_MAX = 8192;
const ARENA_PAGES_MAX = 32;
const GAP = 256;
const CANARY = 0xc5;
const STEPS_MAX = 40;
const CLOSE_MILLIS = 60_000;
/** With SQPOLL there are operations that nothing cancels but the end of the ring (`shim/ring.zig`). */
const CLOSE_MILLIS_POLLED = 500;
const TRANSFERS = ["read", "write", "read_fixed", "write_fixed"];
const HELD_BY_RUNTIME_MAX = 16;

const counts = {
  runtime: "Deno" in globalThis ? "deno" : "bun",
  abi: ABI_VERSION,
  sessions: 0,
  refusedOpens: 0,
  ticks: 0,
  images: 0,
  submitted: 0,
  refused: 0,
  completions: 0,
  calls: 0,
  succeeded: {} as Record<string, number>,
};

// One buffer for everything that is shared, so that what lies between is ours to look at.
const shared = new SharedArrayBuffer(1 << 18);
const bytes = new Uint8Array(shared);
const orders = new Int32Array(new SharedArrayBuffer(4 * ORDER_WORDS));
// Memory that nobody shares.
const heap = Array.from(
  { length: 64 },
  (_, i) => new Uint8Array(new ArrayBuffer(16 << (i % 12))).fill(CANARY),
);
const scratch = new Uint8Array(new ArrayBuffer(PAGE));
const DECOY = "DECOY";
writeFileSync(DECOY, "not for rings".repeat(1000));
const decoyText = readFileSync(DECOY, "utf8");
const decoys = Array.from({ length: 24 }, () => openSync(DECOY, "r+"));

const worker = new Worker(join(import.meta.dirname!, "_abi_worker.ts"), {
  workerData: { shared, orders, seed },
});
await new Promise<void>((resolve, reject) => {
  worker.once("message", () => resolve());
  worker.once("error", reject);
});

/** An operation that was submitted. */
interface Flying {
  operation: number;
  file: number;
  generation: number;
  length: number;
}

class Session {
  readonly rng: Prng;
  readonly world: World;
  readonly race: boolean;
  readonly number: number;
  readonly flying: (Flying | undefined)[] = [];
  readonly files: number[] = [FILE_NONE];
  readonly images: Images;
  inFlight = 0;
  left = 0;
  slot = 0;

  private readonly entries: number;
  private readonly sliced: boolean;
  private readonly polled: boolean;
  private readonly staging: Uint8Array;
  private readonly area: Uint8Array;
  private readonly columns: Uint8Array;
  private readonly control: DataView;
  private readonly pieces: Uint8Array[] = [];

  constructor(seed: number) {
    const rng = this.rng = new Prng(seed);
    this.race = !rng.oneIn(3);
    const entries = this.entries = rng.between(1, ENTRIES_MAX);
    const slots = rng.between(entries, SLOTS_MAX);
    const parameterBytes = rng.below(PARAMETER_BYTES_MAX);
    const arenaBytes = PAGE * rng.between(1, ARENA_PAGES_MAX);
    bytes.fill(CANARY);
    this.staging = this.piece(entries * IMAGE.bytes, 8);
    this.area = this.piece(parameterBytes + slots * RESULT_BYTES, 8);
    this.columns = this.piece(slots * 16, 8);
    const control = this.piece(CONTROL.bytes, 8);
    this.control = new DataView(control.buffer, control.byteOffset, control.length);
    const arena = this.piece(arenaBytes + PAGE, 8);
    for (let i = 0; i < parameterBytes; i++) this.area[i] = letter(rng);

    const words = new Uint8Array(new SharedArrayBuffer(OPEN_PARAMETERS.bytes));
    const parameters = new DataView(words.buffer);
    const put = (at: number, value: number) => parameters.setUint32(at, value, true);
    put(OPEN_PARAMETERS.entries, entries);
    put(OPEN_PARAMETERS.slots, slots);
    put(OPEN_PARAMETERS.files, rng.below(17));
    put(OPEN_PARAMETERS.arenaBytes, arenaBytes);
    put(OPEN_PARAMETERS.arenaSlack, PAGE);
    put(OPEN_PARAMETERS.stagingBytes, this.staging.length);
    put(OPEN_PARAMETERS.parameterBytes, parameterBytes);
    put(OPEN_PARAMETERS.rung, rng.below(LADDER.length));
    put(OPEN_PARAMETERS.sqpollCpu, FILE_NONE);
    put(OPEN_PARAMETERS.sqpollIdleMillis, 1);
    const setup = (flag: number, n: number) => rng.oneIn(n) ? flag : 0;
    const disabled = setup(SETUP_FLAG.R_DISABLED, 16);
    const polled = setup(SETUP_FLAG.SQPOLL, 16);
    this.polled = polled !== 0;
    const flags = polled | setup(SETUP_FLAG.IOPOLL, 32) | disabled;
    put(OPEN_PARAMETERS.setupFlags, flags);
    // So few that the queue overflows.
    put(OPEN_PARAMETERS.completionEntries, rng.oneIn(4) ? rng.between(entries, slots) : 0);
    this.sliced = rng.oneIn(6);
    put(OPEN_PARAMETERS.bufferSlices, this.sliced ? arenaBytes / PAGE : 0);
    this.number = functions.uring_open(
      words,
      this.staging,
      this.area,
      this.columns,
      control,
      arena,
    );
    if (this.number < 0) {
      counts.refusedOpens++;
      assert.notEqual(parameters.getUint32(OPEN_PARAMETERS.failedStep, true), 0);
    }
    if (this.number > 0 && disabled !== 0 && !rng.oneIn(8)) {
      for (let i = 0; i < scratch.length; i++) scratch[i] = rng.oneIn(8) ? 0 : 1;
      const rows = rng.oneIn(2) ? 0 : OPERATIONS.length;
      assert.equal(functions.uring_enable(this.number, scratch, rows), 0);
    }
    this.world = {
      slots,
      parameterBytes,
      arenaBytes,
      files: this.files,
      rings: [this.number, 7],
      area: this.area.subarray(0, parameterBytes),
    };
    this.images = new Images(this.staging, rng, this.world);
    if (this.number > 0 && this.race) {
      Atomics.store(orders, ORDER.number, this.number);
      Atomics.store(orders, ORDER.staging, this.staging.byteOffset);
      Atomics.store(orders, ORDER.entries, entries);
      Atomics.store(orders, ORDER.area, this.area.byteOffset);
      Atomics.store(orders, ORDER.areaBytes, parameterBytes);
      Atomics.store(orders, ORDER.slots, slots);
      Atomics.store(orders, ORDER.state, 1);
      Atomics.notify(orders, ORDER.state);
    }
  }

  /** The next piece of what is shared. */
  private piece(length: number, alignment: number): Uint8Array {
    const last = this.pieces.at(-1);
    const end = last === undefined ? 0 : last.byteOffset + last.length;
    const at = Math.ceil((end + GAP) / alignment) * alignment;
    assert.ok(at + length + GAP <= bytes.length, "the shared buffer is large enough");
    const piece = bytes.subarray(at, at + length).fill(0);
    this.pieces.push(piece);
    return piece;
  }

  async run(): Promise<void> {
    if (this.number < 0) return;
    for (let steps = this.rng.below(STEPS_MAX); steps > 0; steps--) {
      if (this.rng.oneIn(5)) await this.call();
      else this.ticks();
    }
    if (this.rng.oneIn(2)) {
      for (let i = 0; i < 5 && this.inFlight > 0; i++) this.tick(0, 4, 500, 0);
    }
    const left = functions.uring_close(
      this.number,
      this.polled ? CLOSE_MILLIS_POLLED : CLOSE_MILLIS,
    );
    if (!this.polled) assert.equal(left, 0, "closing drains");
    if (this.race) {
      Atomics.store(orders, ORDER.state, 0);
      while (Atomics.load(orders, ORDER.busy) !== 0);
    }
    assert.equal(functions.uring_tick(this.number, 1, 0, 0), -ERRNO.EBADF);
    assert.equal(functions.uring_close(this.number, 0), -ERRNO.EBADF);
    for (let i = 0; i < 3; i++) await this.call();
    this.canaries();
  }

  private canaries(): void {
    let at = 0;
    for (const piece of [...this.pieces, bytes.subarray(bytes.length)]) {
      for (; at < piece.byteOffset; at++) {
        if (bytes[at] !== CANARY) throw new Error(`shared byte ${at} was written to`);
      }
      at = piece.byteOffset + piece.length;
    }
    for (const one of heap) {
      if (!one.every((byte) => byte === CANARY)) throw new Error("private memory was written to");
    }
  }

  private ticks(): void {
    const { rng } = this;
    const wanted = rng.below(rng.oneIn(4) ? this.entries + 1 : Math.min(4, this.entries) + 1);
    const count = Math.max(wanted, this.left);
    for (let place = this.left; place < count; place++) {
      for (let i = 0; i < this.world.slots; i++) {
        this.slot = (this.slot + 1) % this.world.slots;
        if (this.flying[this.slot] === undefined) break;
      }
      this.images.make(place, this.slot);
      counts.images++;
    }
    if (count > this.left && rng.oneIn(3)) this.images.spoil(rng.between(this.left, count - 1));
    if (this.world.parameterBytes > 0) {
      this.area[rng.below(this.world.parameterBytes)] = letter(rng);
    }
    const staged = rng.oneIn(64) ? rng.next() >>> 0 : count;
    this.tick(staged, rng.below(4), rng.oneIn(2) ? 0 : rng.below(300), count);
  }

  private tick(staged: number, wait: number, micros: number, written: number): void {
    const copy = this.staging.slice(0, written * IMAGE.bytes);
    const view = new DataView(copy.buffer, copy.byteOffset, copy.length);
    this.control.setUint32(CONTROL.messageRoom, this.rng.below(MESSAGES_MAX), true);
    const rc = functions.uring_tick(this.number, staged, wait, micros);
    counts.ticks++;
    this.left = 0;
    assert.ok(rc <= this.world.slots);
    assert.ok(rc !== -ERRNO.EBADF && rc !== -ERRNO.EXDEV, "the ring is there");
    const word = (at: number) => this.control.getUint32(at, true);
    const consumed = word(CONTROL.consumed);
    if (word(CONTROL.badIndex) !== 0xffff_ffff) {
      assert.equal(rc, -ERRNO.EINVAL);
      assert.equal(consumed, 0);
      assert.notEqual(word(CONTROL.badReason), BAD_REASON.none);
      counts.refused++;
      return;
    }
    counts.submitted += consumed;
    this.inFlight += consumed;
    for (let place = 0; place < Math.min(consumed, written) && !this.race; place++) {
      const at = place * IMAGE.bytes;
      const slot = view.getUint32(at + IMAGE.slot, true);
      assert.equal(this.flying[slot], undefined, "a slot has one operation");
      this.flying[slot] = {
        operation: view.getUint8(at + IMAGE.operation),
        file: view.getUint32(at + IMAGE.file, true),
        generation: view.getUint32(at + IMAGE.generation, true),
        length: view.getUint32(at + IMAGE.length, true),
      };
    }
    if (rc >= 0 && consumed < written && staged === written) {
      this.staging.set(copy.subarray(consumed * IMAGE.bytes));
      this.left = written - consumed;
    }
    if (rc <= 0) return;
    const columns = new DataView(this.columns.buffer, this.columns.byteOffset, this.columns.length);
    const { slots } = this.world;
    for (let i = 0; i < rc; i++) {
      this.completed(
        columns.getUint32(4 * i, true),
        columns.getUint32(4 * (slots + i), true),
        columns.getInt32(4 * (2 * slots + i), true),
        columns.getUint32(4 * (3 * slots + i), true),
      );
    }
    assert.equal(word(CONTROL.inFlight), this.inFlight);
  }

  private completed(slot: number, generation: number, res: number, flags: number): void {
    counts.completions++;
    if ((flags & CQE_FLAG.MESSAGE) !== 0) return;
    const more = (flags & CQE_FLAG.MORE) !== 0;
    assert.ok(this.inFlight > 0, "nothing completes that was not submitted");
    if (!more) this.inFlight--;
    const one = this.flying[slot];
    const name = one === undefined ? "an operation" : OPERATIONS[one.operation].name;
    // A slice of the arena can be taken back before an operation that waits gets at it.
    if (!this.sliced) assert.notEqual(res, -ERRNO.EFAULT, `${name} gave EFAULT`);
    assert.notEqual(res, -ERRNO.EROFS, `${name} gave EROFS`);
    if (this.race) {
      if (res > PAGE) this.remember(res);
      return;
    }
    assert.ok(one !== undefined, `slot ${slot} completed twice`);
    assert.equal(one.generation, generation);
    if (!more) this.flying[slot] = undefined;
    if (res >= 0) counts.succeeded[name] = (counts.succeeded[name] ?? 0) + 1;
    if (TRANSFERS.includes(name)) assert.ok(res <= one.length, name);
    if (name.startsWith("open")) this.remember(res);
    if (name === "close" && !this.rng.oneIn(4)) {
      const place = this.files.indexOf(one.file);
      if (place >= 0 && this.files.length > 1) this.files.splice(place, 1);
    }
  }

  private remember(file: number): void {
    if (file <= 0) return;
    if (this.files.length < 32) this.files.push(file);
    else this.files[this.rng.below(32)] = file;
  }

  /** Any export but those that have their own place, with arguments of about the right kind. */
  private async call(): Promise<void> {
    const { rng } = this;
    const one = EXPORTS[rng.below(EXPORTS.length)];
    if (["uring_open", "uring_close", "uring_tick", "uring_adopt"].includes(one.name)) return;
    for (let i = 0; i < scratch.length; i++) scratch[i] = letter(rng);
    const kinds: readonly string[] = one.arguments;
    const args = kinds.map((kind, i) => {
      if (kind === "buffer") return scratch;
      if (kind === "i32") return -1;
      if (kinds[i - 1] === "buffer") return rng.below(scratch.length + 1);
      // Milliseconds.
      const waits = one.blocking || one.name === "uring_cancel_sync";
      if (waits && i === kinds.length - 1) return rng.below(2);
      if (i === 0) return rng.oneIn(8) ? rng.next() >>> 0 : Math.max(0, this.number);
      if (rng.oneIn(4)) return rng.next() >>> 0;
      if (rng.oneIn(4)) return PAGE * rng.below(9);
      return rng.oneIn(4) ? rng.below(9) : this.files[rng.below(this.files.length)];
    });
    counts.calls++;
    await (functions[one.name] as (...args: unknown[]) => unknown)(...args);
  }
}

/** Names of files: few, so that operations meet, and none that leads out of the directory. */
function letter(rng: Prng): number {
  return rng.oneIn(64) ? 0 : rng.between(0x61, 0x64);
}

const held = () => readdirSync("/proc/self/fd").length;
const until = performance.now() + millis;
let before = 0;
let session = seed;
try {
  for (; session < seed + sessions && performance.now() < until; session++) {
    await new Session(session).run();
    counts.sessions++;
    if (counts.sessions === 1) before = held();
  }
  assert.ok(counts.refusedOpens * 2 <= counts.sessions, "rings can be opened");
  const after = held();
  assert.ok(after <= before + HELD_BY_RUNTIME_MAX, `${before} descriptors, then ${after}`);
  for (const descriptor of decoys) closeSync(descriptor);
  assert.equal(readFileSync(DECOY, "utf8"), decoyText, "a file of nobody's ring was changed");
} catch (error) {
  console.error(`session ${session}: ${(error as Error).stack}`);
  process.exit(1);
}
Atomics.store(orders, ORDER.state, 2);
Atomics.notify(orders, ORDER.state);
const wrong = await new Promise((resolve) => worker.once("message", resolve));
if (wrong !== 0) {
  console.error(`another thread's ring was not refused: ${wrong}`);
  process.exit(1);
}
console.log(JSON.stringify(counts));
process.exit(0);
