/**
 * From the kernel's completion to the program: an operation that ends after about 50 µs, and one after
 * about 5 ms, waited for without blocking (`await ring.drain()`), and by the call that blocks
 * (`submitAndWait`), in rounds that alternate.
 *
 * The operation is a read of a pipe. A thread beside writes into it, at a time that was set, and what
 * it writes is the time (bench/ring.c).
 *
 * @module
 */
import { OPEN_FLAG, type RegisteredBuffer, Ring, type RingFile } from "../../ring.ts";
import { host } from "../../src/host/host.ts";
import { cString } from "./reference.ts";
import { median, report } from "./report.ts";
import type { RingReference } from "./ring_reference.ts";

const STAMP_BYTES = 8;
const MOST_OF_BLOCKING = 1.3;
/** Operations before those that count: compilers need their time, and the ring learns the latency. */
const WARM_UP_OPERATIONS = 20;
export const WAKE_ROUNDS = 5;

/** How long the operation takes, microseconds, by case. */
export const WAKES: Readonly<Record<string, number>> = { "wake-50us": 50, "wake-5ms": 5000 };

/** What one side took. */
interface Waits {
  /** From the kernel's completion to the program, microseconds, of each operation. */
  readonly micros: number[];
  /** CPU for each operation, microseconds, of each round. */
  readonly cpuMicros: number[];
}

/** Measures these cases. @param path Of a pipe to make. */
export async function measureWakes(
  names: readonly string[],
  path: string,
  rounds: number,
  seconds: number,
  reference: RingReference,
): Promise<void> {
  const opened = reference.pulse_open(cString(path));
  if (opened < 0) throw new Error(`the pipe did not open: errno ${-opened}`);
  try {
    using pulses = new Pulses(path, reference);
    for (const name of names) {
      const blocking: Waits = { micros: [], cpuMicros: [] };
      const adaptive: Waits = { micros: [], cpuMicros: [] };
      for (let round = 0; round < rounds; round++) {
        await pulses.run(WAKES[name], seconds, blocking, true);
        await pulses.run(WAKES[name], seconds, adaptive, false);
      }
      reportWake(name, adaptive, blocking);
    }
  } finally {
    reference.pulse_close();
  }
}

/** Reads of the pipe. */
class Pulses implements Disposable {
  readonly #reference: RingReference;
  readonly #ring = Ring.open({ bufferBytes: 4096 });
  readonly #file: RingFile;
  readonly #buffer: RegisteredBuffer;
  readonly #number = new Float64Array(new ArrayBuffer(8));
  readonly #clocks = new Float64Array(new ArrayBuffer(16));

  constructor(path: string, reference: RingReference) {
    this.#reference = reference;
    this.#ring.prepOpenat(path, OPEN_FLAG.RDWR, 0, 0);
    this.#ring.submitAndWait(1);
    this.#ring.reap();
    this.#file = this.#ring.file(this.#ring.completions.res[0]);
    this.#buffer = this.#ring.buffers.acquire()!;
  }

  /** One operation after the other, for so long. */
  async run(delayMicros: number, seconds: number, out: Waits, blocking: boolean): Promise<void> {
    const ring = this.#ring;
    const { res } = ring.completions;
    const { bytes } = this.#buffer;
    const number = this.#number;
    let start = 0;
    let cpu = 0;
    for (let i = -WARM_UP_OPERATIONS;; i++) {
      if (i === 0) [start, cpu] = this.#look();
      ring.prepRead(this.#file, this.#buffer, 0, STAMP_BYTES, 0, i);
      ring.submit();
      this.#reference.pulse_after(delayMicros);
      if (blocking) {
        ring.submitAndWait(1);
        ring.reap();
      } else {
        await ring.drain();
      }
      this.#reference.pulse_since(bytes, number);
      if (ring.completions.length !== 1 || res[0] !== STAMP_BYTES) {
        throw new Error(`${ring.completions.length} completions, res ${res[0]}`);
      }
      if (i < 0) continue;
      out.micros.push(number[0] / 1000);
      const [now, cpuNow] = this.#look();
      if (now - start < seconds * 1e9) continue;
      out.cpuMicros.push((cpuNow - cpu) / (i + 1) / 1000);
      return;
    }
  }

  /** The time, and the CPU time of this process without the thread that writes; nanoseconds. */
  #look(): [now: number, cpu: number] {
    this.#reference.pulse_clocks(this.#clocks);
    return [this.#clocks[0], this.#clocks[1]];
  }

  [Symbol.dispose](): void {
    this.#ring.close();
  }
}

function reportWake(name: string, adaptive: Waits, blocking: Waits): void {
  const value = quantile(adaptive.micros, 0.5);
  const referenceValue = quantile(blocking.micros, 0.5);
  const ratio = value / referenceValue;
  report({
    bench: "ring",
    case: name,
    runtime: host().name,
    value,
    unit: "µs from completion, p50",
    reference: "a blocking wait",
    referenceValue,
    ratio,
    bar: `at most ${MOST_OF_BLOCKING}`,
    holds: ratio <= MOST_OF_BLOCKING,
    p99: quantile(adaptive.micros, 0.99),
    referenceP99: quantile(blocking.micros, 0.99),
    cpuMicrosPerOperation: median(adaptive.cpuMicros),
    referenceCpuMicrosPerOperation: median(blocking.cpuMicros),
    operations: adaptive.micros.length,
  });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
