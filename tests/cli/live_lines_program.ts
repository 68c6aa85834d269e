/**
 * Tells the numbers up to its argument, faster than anybody reads, and ends when the last one is told.
 */
import process from "node:process";
import { LiveLines } from "../../src/cli/terminal.ts";

const lines = new LiveLines(() => {
  console.error(lines.failure);
  process.exit(1);
});
for (let i = 1; i <= Number(process.argv[2]); i++) lines.push(String(i));
await lines.end();
