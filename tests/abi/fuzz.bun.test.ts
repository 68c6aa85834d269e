/**
 * B1 to B3: the shim builds SQEs from 100,000 random images, and a decoder that was written from the
 * manual pages alone says where the kernel would reach for each; nothing may lie outside the arena
 * and the slot's own memory, and no file but the ring's may be named. Once more while another thread
 * rewrites the images. The seed is printed, and can be given as FUZZ_SEED.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";

const ROOT = join(import.meta.dirname!, "../..");
const IMAGES = 100_000;
const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));

function fuzz(...mode: string[]): void {
  const images = spawnSync(join(ROOT, "build/uring-fuzz"), [`${seed}`, `${IMAGES}`, ...mode], {
    maxBuffer: 2 ** 30,
  });
  assert.equal(images.status, 0, `seed ${seed}: ${images.stderr}`);
  const judged = spawnSync("python3", [join(ROOT, "tests/abi/decode.py")], {
    input: images.stdout,
    encoding: "utf8",
  });
  assert.equal(judged.status, 0, `seed ${seed}: ${judged.stderr}`);
  assert.match(judged.stdout, /^100000 images: \d{4,} accepted, \d{4,} refused/);
  console.log(`seed ${seed}: ${judged.stdout}`);
}

describe("random images", () => {
  it("come from a program that builds", { timeout: 120_000 }, () => {
    const built = spawnSync("bash", [join(ROOT, "tools/build-shim.sh"), "fuzz"], {
      encoding: "utf8",
    });
    assert.equal(built.status, 0, built.stderr);
  });
  it("make no SQE that reaches beyond", { timeout: 60_000 }, () => fuzz());
  it("nor while they are rewritten", { timeout: 60_000 }, () => fuzz("race"));
});
