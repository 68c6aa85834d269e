/**
 * What an `Io` has done: counts by kind of operation, in columns made once, and latencies when they were
 * asked for.
 *
 * @module
 */

import { Histogram } from "./histogram.ts";
import type { IoLatency, IoOperationStatistics, IoStatistics } from "./io.ts";
import { Kind, KIND_NAMES } from "./operations.ts";

/** A histogram counts tenths of a microsecond, up to 214 s. */
const UNITS = 10;

/** Of one backend, over all of its clients. */
export class Statistics {
  readonly counts: Float64Array = new Float64Array(KIND_NAMES.length);
  readonly errors: Float64Array = new Float64Array(KIND_NAMES.length);
  readonly bytes: Float64Array = new Float64Array(KIND_NAMES.length);
  /** By slot: when it was submitted, microseconds; `undefined` unless latencies are recorded. */
  submittedMicros: Float64Array | undefined;
  /** By kind, made by the first operation of it. */
  private readonly _latencies: (Histogram | undefined)[] = [];

  /** Records latencies from now on, of so many slots. */
  recordLatencies(capacity: number): void {
    this.submittedMicros = new Float64Array(capacity);
  }

  /** An operation has ended, and was delivered. */
  ended(kind: number, res: number): void {
    this.counts[kind]++;
    if (res < 0) this.errors[kind]++;
    else if (kind === Kind.read || kind === Kind.write) this.bytes[kind] += res;
  }

  /** How long it took. */
  took(kind: number, micros: number): void {
    const histogram = this._latencies[kind] ??= new Histogram();
    histogram.record(micros * UNITS);
  }

  /** All of it, as programs see it. */
  report(queueDepth: number, queueDepthPeak: number): IoStatistics {
    const operations: Record<string, IoOperationStatistics> = {};
    for (let kind = 0; kind < KIND_NAMES.length; kind++) {
      if (this.counts[kind] === 0) continue;
      const latency = latencyOf(this._latencies[kind]);
      operations[KIND_NAMES[kind]] = {
        count: this.counts[kind],
        errors: this.errors[kind],
        bytes: this.bytes[kind],
        ...(latency === undefined ? {} : { latency }),
      };
    }
    return { queueDepth, queueDepthPeak, operations };
  }
}

function latencyOf(histogram: Histogram | undefined): IoLatency | undefined {
  if (histogram === undefined) return undefined;
  const { mean, p50, p90, p99, p999, most } = histogram.summary();
  return {
    meanMicros: mean / UNITS,
    p50Micros: p50 / UNITS,
    p90Micros: p90 / UNITS,
    p99Micros: p99 / UNITS,
    p999Micros: p999 / UNITS,
    maxMicros: most / UNITS,
  };
}
