/** The images that campaigns mount. */
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ImageMount, OWN_MOUNTS, run, skipUnmountable } from "./_mounts.ts";

const skip = skipUnmountable("ext4");
const MEGABYTES = 16;

test(
  "a file system that was shut down can be mounted anew beside a process with mounts of its own",
  { skip },
  async () => {
    using disk = new ImageMount("ext4", MEGABYTES);
    const [program, ...args] = OWN_MOUNTS;
    const child = spawn(program, [...args, "sh", "-c", "echo here; exec sleep 60"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    try {
      await new Promise((resolve) => child.stdout.once("data", resolve));
      const file = join(disk.point, "file");
      writeFileSync(file, "text");
      run("sync", "-f", disk.point);
      run("xfs_io", "-x", "-c", "shutdown", disk.point);
      assert.throws(() => readFileSync(file), { code: "EIO" });
      disk.unmount();
      disk.mount();
      assert.equal(readFileSync(file, "utf8"), "text");
    } finally {
      child.kill("SIGKILL");
    }
  },
);
