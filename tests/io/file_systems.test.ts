/**
 * One program, several file systems: `UringIo` and `SyncIo` give the same results and leave the same
 * bytes on ext4, XFS, btrfs and tmpfs, each mounted for the test, and both are as the model has it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SyncIo, UringIo } from "../../io.ts";
import { ImageMount, type Mountable, skipUnmountable } from "../fault/_mounts.ts";
import { skipRing } from "../support/ring.ts";
import { compare, diskSide, programs, sameForAll } from "./programs.ts";
import { openFile, SYNC_LACKS } from "./support.ts";

const PROGRAMS = 120;
const PROGRAMS_URING = 60;
const SEED = 3;

const MEGABYTES: Record<Mountable, number> = { ext4: 32, xfs: 320, btrfs: 256, tmpfs: 32 };

for (const fileSystem of Object.keys(MEGABYTES) as Mountable[]) {
  const skip = skipRing || skipUnmountable(fileSystem);

  test(`${fileSystem}: uring and sync give the same results and the same bytes`, { skip }, () => {
    using mount = new ImageMount(fileSystem, MEGABYTES[fileSystem]);
    using uring = diskSide("uring", UringIo.open(), mount.point, SYNC_LACKS);
    using sync = diskSide("sync", SyncIo.open(), mount.point, SYNC_LACKS);
    for (const program of fc.sample(programs(), { numRuns: PROGRAMS, seed: SEED })) {
      compare(program, uring.run(program), sync.run(program));
    }
  });

  test(`${fileSystem}: uring with all that it can is as the model has it`, { skip }, () => {
    using mount = new ImageMount(fileSystem, MEGABYTES[fileSystem]);
    const io = UringIo.open();
    assert.equal(io.statFs(openFile(io, `${mount.point}/probe`)).type, fileSystem);
    using side = diskSide("uring", io, mount.point, []);
    sameForAll(side, PROGRAMS_URING, SEED);
  });
}
