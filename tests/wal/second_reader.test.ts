/**
 * The independent reader (tests/format/read_log.py, written from docs/FORMAT.md alone) against the
 * library: on logs that random programs left behind when the power was cut, on closed ones, and on
 * damaged ones, both find the same state, the same place, and the same records.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { MemoryIo } from "../../src/io/memory.ts";
import { Prng } from "../../src/io/prng.ts";
import { Wal } from "../../src/wal/wal.ts";
import { crashImage } from "../../src/testing/wal_model.ts";
import { compare } from "./judges.ts";
import { SMALL } from "./support.ts";

const CRASHES = 25;
const DAMAGES = 40;
const SNAPSHOTS = 12;
const FIRST_SEED = Number(process.env.URING_SEED ?? 1);

test("logs that a power cut left behind", { timeout: 120_000 }, async () => {
  console.log(`# seeds ${FIRST_SEED} to ${FIRST_SEED + CRASHES - 1}`);
  const machines: MemoryIo[] = [];
  for (let i = 0; i < CRASHES; i++) machines.push(await crashImage(FIRST_SEED + i));
  const states = await compare(machines);
  assert.ok((states.get("torn") ?? 0) > 5, JSON.stringify([...states]));
});

test(
  "closed logs, whole and with one random bit or block changed",
  { timeout: 120_000 },
  async () => {
    console.log(`# seed ${FIRST_SEED}`);
    const rng = new Prng(FIRST_SEED);
    const machines: MemoryIo[] = [];
    for (let i = 0; i < DAMAGES; i++) {
      const io = MemoryIo.create({ seed: rng.next(), arenaBytes: 1 << 20 });
      const wal = await Wal.open("/log", { ...SMALL, io, idleMarkMillis: Infinity });
      for (let n = rng.between(1, 40); n > 0; n--) {
        await wal.durable(wal.append("r".repeat(rng.below(4000))));
      }
      if (i % 2 === 0) await wal.close();
      const off = io.crash(rng.next());
      const files = [...off.image()].filter(([path]) => /META|\.wal$/.test(path));
      const [path, bytes] = files[rng.below(files.length)];
      if (i >= 4) {
        // Where there is something: the first units of a segment, or a slot of META.
        const offset = path.endsWith("META")
          ? rng.below(2) * 65_536 + rng.below(92)
          : rng.below(65_536);
        if (offset < bytes.length) off.rot(path, offset, rng.below(8));
      }
      machines.push(off);
    }
    const states = await compare(machines);
    assert.ok((states.get("corrupt") ?? 0) > 3, JSON.stringify([...states]));
    assert.ok((states.get("clean") ?? 0) > 3, JSON.stringify([...states]));
  },
);

test("snapshots, whole, damaged, and written to since", { timeout: 120_000 }, async () => {
  console.log(`# seed ${FIRST_SEED}`);
  const rng = new Prng(FIRST_SEED);
  const machines: MemoryIo[] = [];
  for (let i = 0; i < SNAPSHOTS; i++) {
    const io = MemoryIo.create({ seed: rng.next(), arenaBytes: 2 << 20 });
    const wal = await Wal.open("/source", { ...SMALL, io, idleMarkMillis: Infinity });
    for (let n = rng.between(1, 40); n > 0; n--) {
      await wal.durable(wal.append("r".repeat(rng.below(4000))));
    }
    // Under the name that is compared.
    await wal.snapshot("/log");
    if (i % 4 === 3) await (await Wal.open("/log", { ...SMALL, io })).close();
    const off = io.crash(rng.next());
    if (i % 2 === 1) {
      const names = ["SNAPSHOT", "META", "0000000000000001.wal"];
      const path = `/log/${names[rng.below(3)]}`;
      off.rot(path, rng.below(off.image().get(path)!.length), rng.below(8));
    }
    machines.push(off);
  }
  const states = await compare(machines);
  assert.ok((states.get("clean") ?? 0) >= SNAPSHOTS / 2, JSON.stringify([...states]));
  assert.ok((states.get("corrupt") ?? 0) > 0, JSON.stringify([...states]));
});
