/**
 * How benchmarks tell what they found: one object a line with `--json`, else a sentence.
 *
 * @module
 */
import process from "node:process";

/** One line of `--json`. A benchmark may add fields of its own. */
export interface Result {
  readonly bench: string;
  readonly case: string;
  readonly runtime: string;
  readonly value: number;
  readonly unit: string;
  readonly reference: string;
  readonly referenceValue: number;
  /** `value` over `referenceValue`, or the median of that over the rounds. */
  readonly ratio: number;
  /** In words: which way it must lie. */
  readonly bar: string;
  /** `null` where the machine cannot tell. */
  readonly holds: boolean | null;
  readonly note?: string;
  readonly [further: string]: unknown;
}

const json = process.argv.includes("--json");

const STANDARD = new Set([
  ...["bench", "case", "runtime", "value", "unit", "reference", "referenceValue", "ratio", "bar"],
  ...["holds", "note"],
]);

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Prints a result, one object a line with `--json`. A bar that was missed makes the exit status 1. */
export function report(result: Result): void {
  if (result.holds === false) process.exitCode = 1;
  console.log(json ? JSON.stringify(result) : sentence(result));
}

function sentence(result: Result): string {
  const { value, referenceValue, unit, reference, ratio, bar, holds, note } = result;
  const verdict = holds === null ? "cannot be told here" : holds ? "holds" : "MISSED";
  const further = Object.entries(result)
    .filter(([name]) => !STANDARD.has(name))
    .map(([name, value]) => `\n    ${name}: ${several(value)}`);
  return `${result.bench} ${result.case.padEnd(12)} ${result.runtime.padEnd(5)} ` +
    `${number(value)} ${unit}, ${reference} ${number(referenceValue)}: ` +
    `ratio ${ratio.toFixed(3)} (${bar}) ${verdict}${note === undefined ? "" : `; ${note}`}` +
    further.join("");
}

const several = (value: unknown): string =>
  Array.isArray(value)
    ? value.map(several).join(" ")
    : typeof value === "number"
    ? number(value)
    : String(value);

function number(value: number): string {
  if (Math.abs(value) >= 1e4) return Math.round(value).toLocaleString("en").replaceAll(",", " ");
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}
