/**
 * The independent reader (tests/format/read_log.py, written from docs/FORMAT.md alone) beside the library.
 */

import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { MemoryIo } from "../../src/io/memory.ts";
import { WalMissingError } from "../../src/wal/errors.ts";
import { WalView } from "../../src/wal/view.ts";

const READER = join(dirname(fileURLToPath(import.meta.url)), "../format/read_log.py");

interface Report {
  state: string;
  first?: number;
  last?: number;
  records?: string[];
  file: string;
  offset: number;
}

/** What the library says of the log on a simulated machine. */
async function fromLibrary(io: MemoryIo): Promise<Report | undefined> {
  let view: WalView;
  try {
    view = await WalView.open("/log", io);
  } catch (error) {
    if (error instanceof WalMissingError) return undefined;
    const { file, offset } = error as { file: string; offset: number };
    return { state: "corrupt", file: file.slice("/log/".length), offset };
  }
  const report = await view.verify();
  const file = report.file.slice("/log/".length);
  if (report.state === "corrupt") {
    await view.close();
    return { state: "corrupt", file, offset: report.offset };
  }
  const records: string[] = [];
  for await (const batch of view.read()) {
    for (let i = 0; i < batch.length; i++) {
      records.push(createHash("sha256").update(batch.bytes(i)).digest("hex"));
    }
  }
  await view.close();
  const { state, first, last, offset } = report;
  return { state, first, last, records, file, offset };
}

/** Both must find the same in the log of each machine, `/log`; gives how often which state was found. */
export async function compare(machines: MemoryIo[]): Promise<Map<string, number>> {
  const root = mkdtempSync(join(tmpdir(), "uring-reader-"));
  try {
    const expected: Report[] = [];
    const directories: string[] = [];
    for (const io of machines) {
      const report = await fromLibrary(io);
      if (!report) continue;
      const directory = join(root, String(directories.length));
      mkdirSync(directory);
      for (const [path, bytes] of io.image()) {
        if (path.startsWith("/log/")) writeFileSync(join(directory, path.slice(5)), bytes);
      }
      directories.push(directory);
      expected.push(report);
    }
    const { stdout, stderr, status } = spawnSync("python3", [READER, ...directories], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    assert.equal(status, 0, stderr);
    const got = stdout.trim().split("\n").map((line) => JSON.parse(line) as Report);
    const states = new Map<string, number>();
    for (let i = 0; i < expected.length; i++) {
      delete (got[i] as { error?: string }).error;
      assert.deepEqual(got[i], expected[i], `log ${i}`);
      states.set(got[i].state, (states.get(got[i].state) ?? 0) + 1);
    }
    return states;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
