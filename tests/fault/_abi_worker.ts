/**
 * The other thread of `_abi_program.ts`: rewrites staging and parameters of the session that runs, and
 * tries to use its ring.
 */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { ERRNO, IMAGE } from "../../src/abi/generated.ts";
import { Prng } from "../../src/io/prng.ts";
import { library } from "../../src/native/library.ts";
import { Images } from "./_abi_images.ts";

/** Words of the memory by which the main thread gives orders. */
export const ORDER = {
  /** 0: nothing to do, 1: a session runs, 2: end. */
  state: 0,
  /** 1 while the worker writes. */
  busy: 1,
  number: 2,
  staging: 3,
  entries: 4,
  area: 5,
  areaBytes: 6,
  slots: 7,
} as const;
export const ORDER_WORDS = 8;

const BURST = 32;

function rewrite(shared: SharedArrayBuffer, orders: Int32Array, seed: number): void {
  const rng = new Prng(~seed >>> 0);
  const { functions } = library();
  const refusals = [-ERRNO.EXDEV, -ERRNO.EBADF];
  let wrong = 0;
  parentPort!.postMessage("ready");
  for (;;) {
    const state = Atomics.load(orders, ORDER.state);
    if (state === 2) break;
    if (state === 0) {
      Atomics.wait(orders, ORDER.state, 0, 1000);
      continue;
    }
    Atomics.store(orders, ORDER.busy, 1);
    if (Atomics.load(orders, ORDER.state) === 1) {
      const entries = orders[ORDER.entries];
      const staging = new Uint8Array(shared, orders[ORDER.staging], entries * IMAGE.bytes);
      const area = new Uint8Array(shared, orders[ORDER.area], orders[ORDER.areaBytes]);
      const images = new Images(staging, rng, {
        slots: orders[ORDER.slots],
        arenaBytes: 4096,
        parameterBytes: area.length,
        files: [1 << 12, 1 << 12 | 1, 1 << 13],
        rings: [orders[ORDER.number]],
        area,
      });
      for (let i = 0; i < BURST; i++) {
        const place = rng.below(entries);
        const kind = rng.below(8);
        if (kind < 4) images.make(place, rng.below(orders[ORDER.slots]));
        else if (kind === 4) images.spoil(place);
        else if (kind === 5) staging[rng.below(staging.length)] = rng.next();
        if (area.length > 0) area[rng.below(area.length)] = rng.between(0x61, 0x64);
      }
      const number = orders[ORDER.number];
      const answers = [functions.uring_tick(number, 1, 0, 0), functions.uring_close(number, 0)];
      for (const answer of answers) if (!refusals.includes(answer)) wrong++;
    }
    Atomics.store(orders, ORDER.busy, 0);
  }
  parentPort!.postMessage(wrong);
}

if (!isMainThread && parentPort !== null && workerData?.orders !== undefined) {
  rewrite(workerData.shared, workerData.orders, workerData.seed);
}
