/**
 * Finds the command, runs it, and turns what it throws into a line and a status: 0, 1 failed, 2 usage.
 *
 * @module
 */

import manifest from "../../package.json" with { type: "json" };
import { command as append } from "./append.ts";
import { type Command, parse, UsageError, usageOf, usageOfAll } from "./arguments.ts";
import { command as cat } from "./cat.ts";
import { command as doctor } from "./doctor.ts";
import { inWords } from "./failure.ts";
import { command as repair } from "./repair.ts";
import { OutputClosedError, say, STATUS_OUTPUT_CLOSED, writeOut } from "./terminal.ts";
import { command as tail } from "./tail.ts";
import { command as verify } from "./verify.ts";

const COMMANDS: readonly Command[] = [append, cat, tail, verify, repair, doctor];
const DESCRIPTION = "A log whose records survive a power cut";

/** Runs `uring` with these arguments, and gives its status. */
export async function main(raw: string[]): Promise<number> {
  const name = raw[0];
  let where = "uring";
  try {
    if (name === "--version" || name === "-v") {
      writeOut(manifest.version + "\n");
      return 0;
    }
    if (name === "--help" || name === "-h") {
      writeOut(await usageOfAll(DESCRIPTION, COMMANDS, manifest.version));
      return 0;
    }
    const command = COMMANDS.find((one) => one.name === name);
    if (command === undefined) {
      throw new UsageError(
        `${name === undefined ? "name a command" : `there is no command ${name}`}: ` +
          COMMANDS.map((one) => one.name).join(", "),
      );
    }
    where = `uring ${name}`;
    const rest = raw.slice(1);
    const options = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
    if (options.includes("--help") || options.includes("-h")) {
      writeOut(await usageOf(command, manifest.version));
      return 0;
    }
    return await command.run(parse(command, rest));
  } catch (error) {
    if (error instanceof OutputClosedError) return STATUS_OUTPUT_CLOSED;
    say(`${where}: ${inWords(error)}`);
    if (!(error instanceof UsageError)) return 1;
    say(`Try: ${where} --help`);
    return 2;
  }
}
