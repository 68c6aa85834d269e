#!/usr/bin/env bun
/**
 * The command `uring`. README.md shows how to run it under Bun and under Deno.
 *
 * @module
 */

import process from "node:process";

if (import.meta.main) {
  let status = 1;
  try {
    // Loaded here, so that a permission that a library asks for at its start is an error in words too.
    const { main } = await import("./src/cli/main.ts");
    status = await main(process.argv.slice(2));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const wayOut = /env access/.test(message) ? ": it needs --allow-env=NO_COLOR,TERM,TEST,CI" : "";
    console.error(`uring: ${message}${wayOut}`);
  }
  process.exit(status);
}
