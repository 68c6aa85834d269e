/**
 * The JavaScript heap after a collection.
 *
 * @module
 */
import process from "node:process";
import { underThisRuntime } from "./child.ts";

const COLLECTIONS = 3;
const bun = process.versions.bun !== undefined;

/** The command that runs a program so that it can measure its heap: V8 collects only when it is told so. */
export function withCollector(file: string, further = ""): string[] {
  return underThisRuntime(file, bun ? "" : `--expose-gc${further}`);
}

/** Whether this process can measure its heap. */
// deno-lint-ignore no-explicit-any
export const canMeasure: boolean = bun || typeof (globalThis as any).gc === "function";

/** Bytes that are alive, with what they hold outside of the heap. */
export async function liveBytes(): Promise<number> {
  for (let i = 0; i < COLLECTIONS; i++) {
    collect();
    // What a collection leaves to finalizers is gone after a turn.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  if (bun) {
    const { heapStats } = await import("bun:jsc");
    const { heapSize, extraMemorySize } = heapStats();
    return heapSize + extraMemorySize;
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function collect(): void {
  // deno-lint-ignore no-explicit-any
  const global = globalThis as any;
  if (bun) global.Bun.gc(true);
  else global.gc();
}
