/**
 * What the cases of `bench/wal.ts` have in common.
 *
 * @module
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { host } from "../../src/host/host.ts";
import { median, report } from "./report.ts";
import type { Scratch } from "./scratch.ts";

export const MIB = 1 << 20;
/** Rounds of a reference that differ by more say that others use the machine too. */
const STEADY = 1.5;

/** How the cases are to be run. */
export interface WalBench {
  readonly scratch: Scratch;
  readonly rounds: number;
  /** Of one side in one round. */
  readonly seconds: number;
  /** Segments that a stream goes through at least, in all its rounds. */
  readonly segmentsMin: number;
  /** Of logs whose segments go round. */
  readonly segmentBytes: number;
}

/** What a case must reach: `value` over `referenceValue`, or `value` itself. Without a number: nothing. */
export interface Bar {
  readonly least?: number;
  readonly most?: number;
}

/** Whether rounds of a reference differ much; for a result's `note`. */
export function steadiness(references: readonly number[]): { note?: string } {
  return Math.max(...references) > STEADY * Math.min(...references)
    ? { note: "unsteady: the rounds of the reference differ much" }
    : {};
}

/** Reports the medians of both sides' rounds; `bar` is about their ratio. */
export function tell(
  name: string,
  unit: string,
  values: readonly number[],
  reference: string,
  references: readonly number[],
  { least, most }: Bar,
  further: Readonly<Record<string, unknown>> = {},
): void {
  const value = median(values);
  const referenceValue = median(references);
  const ratio = value / referenceValue;
  const none = least === undefined && most === undefined;
  report({
    bench: "wal",
    case: name,
    runtime: host().name,
    value,
    unit,
    reference,
    referenceValue,
    ratio,
    bar: none
      ? "none"
      : least !== undefined
      ? `at least ${least.toFixed(2)}`
      : `at most ${most!.toFixed(2)}`,
    holds: none ? null : least !== undefined ? ratio >= least : ratio <= most!,
    ...(none ? { note: "reported only" } : steadiness(references)),
    rounds: values,
    referenceRounds: references,
    ...further,
  });
}

/** The paths of a log's segments, in order. */
export function segmentPaths(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^\d+\.wal$/.test(name))
    .sort()
    .map((name) => join(directory, name));
}

/** Removes a log of a benchmark. */
export function removeLog(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}
