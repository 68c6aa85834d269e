/**
 * bench/ring.c in this process.
 *
 * @module
 */
import { buildReference } from "./reference.ts";

/** Its functions. They return a negative errno when they fail. */
export type RingReference = ReturnType<typeof loadRingReference>;

/** Builds and loads it. */
export function loadRingReference() {
  return buildReference("ring", {
    reference_open: { arguments: ["buffer"], result: "i32" },
    reference_nop: { arguments: ["u32", "u32"], result: "i32" },
    reference_read_fixed: { arguments: ["u32", "u32"], result: "i32" },
    reference_close: { arguments: [], result: "i32" },
    pulse_open: { arguments: ["buffer"], result: "i32" },
    pulse_after: { arguments: ["u32"], result: "i32" },
    pulse_clocks: { arguments: ["buffer"], result: "i32" },
    pulse_since: { arguments: ["buffer", "buffer"], result: "i32" },
    pulse_close: { arguments: [], result: "i32" },
  });
}
