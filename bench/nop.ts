/**
 * The crossing alone: the two cases of `ring` that say what TypeScript and the shim cost over C, in a few
 * seconds (`support/ring_loops.ts`).
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { LOOP_ROUNDS, LOOPS, measureLoops } from "./support/ring_loops.ts";
import { loadRingReference } from "./support/ring_reference.ts";
import { Scratch } from "./support/scratch.ts";

const NAMES = ["nop-32", "read-fixed"];

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean" },
    dir: { type: "string" },
    case: { type: "string", multiple: true, default: NAMES },
    rounds: { type: "string", default: String(LOOP_ROUNDS) },
  },
});
for (const name of options.case) {
  if (!(name in LOOPS)) {
    throw new Error(`there is no case ${name}: ${Object.keys(LOOPS).join(", ")}`);
  }
}
{
  using scratch = new Scratch(options.dir, 1 << 20);
  const path = scratch.join("blocks");
  measureLoops(options.case, path, Number(options.rounds), loadRingReference(), "nop");
}

// A reader of the exit status learns whether every bar was held.
process.exitCode ??= 0;
