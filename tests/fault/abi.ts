/**
 * `./dev fault abi`: whether anything that can be written into a ring's shared memory, or called over its
 * numbers, reaches beyond the ring.
 *
 * 1. SQEs from a million random images (with `--full` 5 million under each runtime), one in ten while
 *    another thread rewrites them, are judged by a decoder that knows the manual pages alone.
 * 2. Sessions of random images and calls that are submitted, from Zig, with the shim built as released and
 *    in Debug mode.
 * 3. The same from TypeScript.
 *
 * With `--seconds` 2 and 3 take about a third of it each; without, 20 s, with `--full` 300 s each. A session
 * that failed runs alone by its number: `build/uring-fuzz submit N 1`, in an empty directory.
 */
import process from "node:process";
import {
  type Finding,
  judged,
  skipAlone,
  submittedFromTypeScript,
  submittedFromZig,
} from "./_abi.ts";
import { campaignOf, RUNTIME } from "./_arguments.ts";

const IMAGES = 1_000_000;
const IMAGES_FULL = 5_000_000;
const MILLIS = 20_000;
const MILLIS_FULL = 300_000;

const campaign = campaignOf("abi");
// What no runtime takes part in is another thing in each run.
const seed = campaign.seed + (RUNTIME === "deno" ? 1_000_000_000 : 0);
const started = performance.now();
const given = campaign.until - started;
const millis = given !== Infinity ? given / 3 : campaign.full ? MILLIS_FULL : MILLIS;
const images = campaign.full ? IMAGES_FULL : given < 30_000 ? IMAGES / 10 : IMAGES;
console.log(`abi (${RUNTIME}): seed ${campaign.seed}`);
let failed = 0;

async function form(name: string, run: () => Promise<Finding>): Promise<void> {
  const before = performance.now();
  const { held, says } = await run();
  const seconds = ((performance.now() - before) / 1000).toFixed(1);
  console.log(`${held ? "ok    " : "FAILED"} ${name} (${seconds} s): ${says}`);
  if (!held) failed++;
}

await form(`${images * 9 / 10} images`, () => judged(seed, images * 9 / 10, false));
await form(
  `${images / 10} images while they are rewritten`,
  () => judged(seed + 1, images / 10, true),
);
if (!skipAlone()) {
  const endless = 2 ** 40;
  await form("submitted from Zig", () => submittedFromZig(seed, endless, Math.round(millis / 2)));
  await form(
    "submitted from Zig, Debug",
    () => submittedFromZig(seed, endless, Math.round(millis / 2), "fuzz-debug"),
  );
  await form(
    `submitted from TypeScript, ${RUNTIME}`,
    () => submittedFromTypeScript(seed, endless, Math.round(millis)),
  );
}
console.log(`abi (${RUNTIME}): ${failed === 0 ? "nothing found" : `seed ${campaign.seed}`}`);
process.exit(failed === 0 ? 0 : 1);
