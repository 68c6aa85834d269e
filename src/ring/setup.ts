/**
 * Opening: the memory of a ring, its parameters, and what the kernel made of them.
 *
 * @module
 */

import { errnoName } from "../abi/errno.ts";
import { FEATURE_FLAG, HUGE_PAGE_BYTES, OPEN_PARAMETERS, SETUP_FLAG } from "../abi/generated.ts";
import { library } from "../native/library.ts";
import type { SystemInfo } from "../native/system.ts";
import { IMAGE_WORDS } from "./layout.ts";
import { type ResolvedOptions, SLICE_ALIGNMENT_BYTES } from "./options.ts";
import { INCOMING_BYTES, parameterBytes } from "./parameters.ts";
import { unavailable } from "./unavailable.ts";

/** What the kernel gave a ring. */
export interface RingFeatures {
  /** IORING_SETUP_* that the ring was made with. */
  readonly setupFlags: number;
  /** Their names. */
  readonly setup: readonly string[];
  /** IORING_FEAT_* of this kernel, `FEATURE_FLAG`. */
  readonly features: number;
  /** Their names. */
  readonly featureNames: readonly string[];
  /** Entries of the kernel's submission queue. */
  readonly entries: number;
  /** Entries of the kernel's completion queue. */
  readonly completionEntries: number;
  /** The rung of set-up flags that the kernel took: 0 is the best. */
  readonly rung: number;
  /** Whether the arena is registered (pinned); with `sparseBuffers`, whether parts of it can be. */
  readonly registered: boolean;
  /** Why it is not, an errno's name; empty when it is. */
  readonly registerError: string;
  /**
   * Whether the ring itself is registered with its thread, which saves the look-up of its descriptor in
   * each call. A thread has sixteen places for that; further rings do without.
   */
  readonly ringRegistered: boolean;
}

/** Memory that the kernel or the shim know by its address. */
export interface RingMemory {
  readonly staging: Uint8Array<SharedArrayBuffer>;
  readonly parameters: Uint8Array<SharedArrayBuffer>;
  readonly columns: Uint8Array<SharedArrayBuffer>;
  readonly control: Uint8Array<SharedArrayBuffer>;
  /** With slack before and behind what the ring uses. */
  readonly arena: Uint8Array<SharedArrayBuffer>;
}

/** A ring as the shim made it. */
export interface RingSetup {
  /** Its number there. */
  readonly number: number;
  readonly memory: RingMemory;
  /** Where the arena begins in its memory, bytes. */
  readonly arenaOffset: number;
  readonly features: RingFeatures;
}

/**
 * Makes a ring: from here on the shim has it.
 *
 * @param attach The number of the ring whose threads it shares; 0 for none.
 * @throws {RingUnavailableError} when the kernel refuses.
 */
export function setUp(
  options: ResolvedOptions,
  attach: number,
  system: () => SystemInfo,
): RingSetup {
  const shared = (bytes: number) => new Uint8Array(new SharedArrayBuffer(bytes));
  const staging = shared(options.entries * IMAGE_WORDS * 4);
  const parameterArea = shared(parameterBytes(options.slots));
  const columns = shared(options.slots * 16);
  const control = shared(64);
  const slack = options.arenaBytes < HUGE_PAGE_BYTES ? SLICE_ALIGNMENT_BYTES : HUGE_PAGE_BYTES;
  const arena = shared(options.arenaBytes + slack);
  const { host, functions } = library();
  const parameters = shared(OPEN_PARAMETERS.bytes);
  const view = new DataView(parameters.buffer);
  const put = (at: number, value: number) => view.setUint32(at, value, true);
  const got = (at: number) => view.getUint32(at, true);
  put(OPEN_PARAMETERS.entries, options.entries);
  put(OPEN_PARAMETERS.slots, options.slots);
  put(OPEN_PARAMETERS.files, options.files);
  put(OPEN_PARAMETERS.arenaBytes, options.arenaBytes);
  put(OPEN_PARAMETERS.stagingBytes, staging.length);
  put(OPEN_PARAMETERS.parameterBytes, INCOMING_BYTES);
  put(OPEN_PARAMETERS.setupFlags, options.setupFlags);
  put(OPEN_PARAMETERS.sqpollIdleMillis, options.sqpollIdleMillis);
  put(OPEN_PARAMETERS.sqpollCpu, options.sqpollCpu);
  put(OPEN_PARAMETERS.inWorker, host.isWorker() ? 1 : 0);
  put(OPEN_PARAMETERS.rung, options.firstRung);
  put(OPEN_PARAMETERS.completionEntries, options.completionEntries);
  put(OPEN_PARAMETERS.attach, attach);
  put(OPEN_PARAMETERS.bufferSlices, options.bufferSlices);
  put(OPEN_PARAMETERS.arenaSlack, slack);
  const number = functions.uring_open(parameters, staging, parameterArea, columns, control, arena);
  if (number < 0) throw unavailable(-number, got(OPEN_PARAMETERS.failedStep), system(), options);
  const registered = got(OPEN_PARAMETERS.registered) === 1;
  const setupFlags = got(OPEN_PARAMETERS.gotSetupFlags);
  const registerErrno = got(OPEN_PARAMETERS.registerErrno);
  const features = got(OPEN_PARAMETERS.features);
  const made: RingFeatures = {
    setupFlags,
    setup: namesOf(SETUP_FLAG, setupFlags),
    features,
    featureNames: namesOf(FEATURE_FLAG, features),
    entries: got(OPEN_PARAMETERS.gotEntries),
    completionEntries: got(OPEN_PARAMETERS.gotCompletionEntries),
    rung: got(OPEN_PARAMETERS.gotRung),
    registered,
    registerError: registered || registerErrno === 0 ? "" : errnoName(registerErrno),
    ringRegistered: got(OPEN_PARAMETERS.ringRegistered) === 1,
  };
  return {
    number,
    memory: { staging, parameters: parameterArea, columns, control, arena },
    arenaOffset: got(OPEN_PARAMETERS.arenaOffset),
    features: made,
  };
}

function namesOf(flags: Readonly<Record<string, number>>, value: number): string[] {
  return Object.keys(flags).filter((name) => (value & flags[name]) !== 0);
}
