/**
 * What every fault campaign is called with: `--seed S`, `--seconds N`, `--full`.
 */
import process from "node:process";
import { parseArgs } from "node:util";

/** How long and from where a campaign runs. */
export interface Campaign {
  seed: number;
  /** Milliseconds of `performance.now()` at which it ends; `Infinity` when it counts instead. */
  until: number;
  /** The long form. */
  full: boolean;
  /** Of `sim`: crashes after which it ends. */
  crashes: number | undefined;
  /** Of `mutants`: what the names of those have in them that are run; of `power`: the file system. */
  only: string;
}

/** The runtime that runs this. */
export const RUNTIME: "bun" | "deno" = "Deno" in globalThis ? "deno" : "bun";

/** Parses the command line; says what is wrong with it and ends the process with 2. */
export function campaignOf(name: string): Campaign {
  try {
    const { values } = parseArgs({
      args: process.argv.slice(2),
      options: {
        seed: { type: "string" },
        seconds: { type: "string" },
        full: { type: "boolean", default: false },
        ...(name === "sim" ? { crashes: { type: "string" } } as const : {}),
        ...(name === "mutants" || name === "power" ? { only: { type: "string" } } as const : {}),
      },
    });
    const seed = values.seed === undefined ? Math.floor(Math.random() * 1e9) : Number(values.seed);
    const seconds = values.seconds === undefined ? Infinity : Number(values.seconds);
    if (!Number.isSafeInteger(seed) || seed < 0) throw new Error("--seed is a number from 0 on");
    if (!(seconds > 0)) throw new Error("--seconds is a number above 0");
    const { crashes, only = "" } = values as { crashes?: string; only?: string };
    return {
      seed,
      until: performance.now() + seconds * 1000,
      full: values.full,
      crashes: crashes === undefined ? undefined : Number(crashes),
      only,
    };
  } catch (error) {
    console.error(`fault ${name}: ${(error as Error).message}`);
    console.error(`usage: ./dev fault ${name} [--seed S] [--seconds N] [--full]`);
    process.exit(2);
  }
}
