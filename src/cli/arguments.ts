/**
 * What the commands have in common in their arguments. `citty` parses and prints help; it lets unknown
 * options and missing values pass, which are mistakes here.
 *
 * @module
 */

import { stripVTControlCharacters } from "node:util";
import { type ArgsDef, type CommandDef, parseArgs, renderUsage } from "citty";

/** The command line is wrong: status 2. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** Values of a command line by the names of their definitions. */
export type Values = Readonly<Record<string, string | boolean | undefined>>;

/** One command of `uring`. */
export interface Command {
  readonly name: string;
  readonly description: string;
  readonly args: ArgsDef;
  /** Gives the exit status; throws `UsageError` before anything is touched. */
  run(values: Values): Promise<number>;
}

/** The directory of a log, in every command that has one. */
export const DIRECTORY = {
  type: "positional",
  description: "Directory of the log",
  required: true,
} as const;

/** `--json`, in every command. */
export const JSON_FLAG = { type: "boolean", description: "Print JSON, one object a line" } as const;

/** `--lock-timeout`, in every command that locks a log. */
export const LOCK_TIMEOUT = {
  type: "string",
  valueHint: "SECONDS",
  description: "How long to wait for another writer to end (5)",
} as const;
const LOCK_TIMEOUT_SECONDS_MAX = 86_400;

/** Its value in milliseconds. */
export function lockTimeoutOf(values: Values): number | undefined {
  const bounds = { least: 0, most: LOCK_TIMEOUT_SECONDS_MAX, whole: false };
  const seconds = numberOf(values, "lock-timeout", bounds);
  return seconds === undefined ? undefined : Math.round(seconds * 1000);
}

const camelCase = (name: string) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());

/** Parses the arguments behind a command's name. */
export function parse(command: Command, raw: string[]): Values {
  let parsed: Record<string, unknown> & { _: string[] };
  try {
    parsed = parseArgs(raw, command.args) as Record<string, unknown> & { _: string[] };
  } catch (error) {
    throw new UsageError(stripVTControlCharacters((error as Error).message));
  }
  const names = Object.keys(command.args);
  const known = new Set(["_", ...names, ...names.map(camelCase)]);
  for (const name of Object.keys(parsed)) {
    if (!known.has(name)) {
      throw new UsageError(`there is no option ${name.length === 1 ? "-" : "--"}${name}`);
    }
  }
  refuseValues(command, raw);
  const values: Record<string, string | boolean | undefined> = {};
  let positionals = 0;
  for (const name of names) {
    const { type } = command.args[name];
    const value = parsed[name];
    if (type === "positional") {
      positionals++;
    } else if (type !== "boolean" && value !== undefined && (value === "" || value === false)) {
      throw new UsageError(`--${name} needs a value`);
    }
    if (type === "positional" && value === "") throw new UsageError(`${name} is empty`);
    values[name] = value as string | boolean | undefined;
  }
  if (parsed._.length > positionals) {
    throw new UsageError(`${parsed._[positionals]} is one argument too many`);
  }
  return values;
}

/** `--acks=banana` is no wish for acknowledgements, and was none against them. */
function refuseValues(command: Command, raw: readonly string[]): void {
  for (const argument of raw) {
    if (argument === "--") return;
    const name = /^--?([^=]+)=/.exec(argument)?.[1];
    if (name !== undefined && command.args[name]?.type === "boolean") {
      throw new UsageError(`--${name} takes no value`);
    }
  }
}

/** A number of an option, between two bounds. */
export function numberOf(
  values: Values,
  name: string,
  what: { least: number; most: number; whole: boolean },
): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const value = /^[0-9]+(\.[0-9]+)?$/.test(String(text)) ? Number(text) : NaN;
  if (!(value >= what.least && value <= what.most) || (what.whole && !Number.isInteger(value))) {
    throw new UsageError(
      `--${name} is ${
        what.whole ? "an integer" : "a number"
      } from ${what.least} to ${what.most}, ` +
        `not ${text}`,
    );
  }
  return value;
}

/** Help of one command. */
export async function usageOf(command: Command, version: string): Promise<string> {
  return plain(
    await renderUsage(
      { meta: { name: command.name, description: command.description }, args: command.args },
      { meta: { name: "uring", version } },
    ),
  );
}

/** Help of all of them. */
export async function usageOfAll(
  description: string,
  commands: readonly Command[],
  version: string,
): Promise<string> {
  const subCommands: Record<string, CommandDef> = {};
  for (const { name, description } of commands) {
    subCommands[name] = { meta: { name, description } };
  }
  return plain(await renderUsage({ meta: { name: "uring", version, description }, subCommands }));
}

/** Without colours, wherever it goes. */
const plain = (text: string) =>
  stripVTControlCharacters(text).split("\n").map((line) => line.trimEnd()).join("\n") + "\n";
