/**
 * Everything that parses bytes from disk; see tests/fault/_parsers.ts. `./dev fault parsers` goes on. The
 * runtimes share the two small logs that are damaged everywhere.
 */
import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { everyDamage, parserCampaign } from "../fault/_parsers.ts";
import { isDeno } from "../support/ring.ts";
import { judge, resealFrame, specimens } from "../fault/_rot.ts";

const INPUTS = process.env.URING_TEST_FULL ? 5_000_000 : 200_000;
const SEED = Number(process.env.URING_SEED ?? Math.floor(Math.random() * 1e9));

test(`${INPUTS} inputs of the parsers`, { timeout: 120_000 }, () => {
  console.log(`# seed ${SEED}`);
  const { parsed, accepted } = parserCampaign(SEED, INPUTS);
  console.log(`# ${JSON.stringify({ parsed, accepted })}`);
  // They must have got past the checksums, and not always.
  for (const [parser, count] of Object.entries(parsed)) {
    const taken = accepted[parser as keyof typeof accepted];
    assert.ok(taken > count / 20, `${parser}: ${taken} of ${count} accepted`);
    assert.ok(taken < count, `${parser}: all accepted`);
  }
});

test("beyond the end, a durable mark that there cannot be hides no other one", async () => {
  const specimen = specimens().find(({ name }) => name === "open")!;
  const [name, places] = [...specimen.frames].at(-1)!;
  const bytes = specimen.files.get(name)!.slice();
  // The first frame is gone, the second one has a mark of 2^53, the third one says that it was durable; the
  // fourth one is so far away that it would be enough.
  const [first, second, , fourth] = places;
  for (const { offset, length } of [first, fourth]) bytes.fill(0, offset, offset + length);
  new DataView(bytes.buffer).setBigUint64(second.offset + 32, 1n << 53n, true);
  resealFrame(bytes, second.offset, false);
  const found = await judge(specimen, new Map(specimen.files).set(name, bytes), false);
  assert.deepEqual([found.state, found.offset], ["corrupt", first.offset]);
});

for (const sealed of process.env.URING_TEST_FULL ? [true, false] : [isDeno]) {
  const name = `a small ${sealed ? "closed" : "open"} log`;
  test(`every bit and every length of ${name}: what the page says`, { timeout: 120_000 }, () => {
    const { damages, states } = everyDamage(sealed);
    console.log(`# ${damages} damages: ${JSON.stringify(states)}`);
    assert.ok(damages > 50_000);
    assert.ok(states.corrupt > 1000 && states[sealed ? "clean" : "torn"] > 1000);
  });
}
