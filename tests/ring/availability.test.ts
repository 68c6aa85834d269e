/**
 * Opening a ring where something is refused: each reason has its error, which says why and what to do;
 * and what can be had without it still works: lower rungs of set-up flags, an arena that is not pinned.
 * The refusals are made by launchers: seccomp, strace, another file over a sysctl, limits.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { Ring } from "../../ring.ts";
import { OPERATIONS } from "../../src/abi/generated.ts";
import { asUser, hasCommand, type ProgramOptions, runRing } from "../support/program.ts";
import { inScratch, ROOT, skipRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const isRoot = process.getuid?.() === 0;
const skipStrace = skipUnless(hasCommand("strace"), "strace is not installed") || skipRing;

const skipDisabled = skipRing ||
  skipUnless(
    isRoot && hasCommand("unshare") && existsSync("/proc/sys/kernel/io_uring_disabled"),
    "kernel.io_uring_disabled cannot be covered by another file here",
  );

/** Where a program of another user may write. */
const asOther = (directory: string, memlockBytes: number): ProgramOptions => ({
  launcher: asUser(memlockBytes),
  home: directory,
});

const strace = (directory: string, ...injections: string[]): readonly string[] => [
  ...["strace", "-f", "-qq", "--seccomp-bpf", "-o", join(directory, "strace")],
  ...["-e", "trace=io_uring_setup,io_uring_enter,io_uring_register"],
  ...injections.flatMap((injection) => ["-e", `inject=${injection}`]),
];

const works = (result: Record<string, unknown>) => {
  const { good, once, written, synced, read, stale } = result;
  const expected = { good: true, once: true, written: 4096, synced: 0, read: 4096, stale: 0 };
  assert.deepEqual({ good, once, written, synced, read, stale }, expected, JSON.stringify(result));
};

describe("ring availability", { skip: skipRing }, () => {
  for (const [name, errno] of [["EPERM", 1], ["ENOSYS", 38]] as const) {
    it(`blocked by a seccomp filter that answers ${name}`, () =>
      inScratch(async (directory) => {
        const filter = join(ROOT, "tests/support/seccomp.py");
        const error = await runRing(directory, { launcher: ["python3", filter, `${errno}`] });
        assert.equal(error.reason, "blocked", JSON.stringify(error));
        assert.equal(error.code, name);
        assert.match(error.message, /a seccomp filter refuses io_uring_setup.*Docker/s);
      }));
  }

  it(
    "disabled by the sysctl",
    { skip: skipDisabled },
    () =>
      inScratch(async (directory) => {
        // Other programs of the machine need rings meanwhile: the sysctl says 1 in this mount namespace
        // only, and the kernel's refusal is a filter's.
        const says = join(directory, "io_uring_disabled");
        writeFileSync(says, "1\n");
        const filter = join(ROOT, "tests/support/seccomp.py");
        const script = `mount --bind ${says} /proc/sys/kernel/io_uring_disabled && ` +
          `exec python3 ${filter} 1 "$@"`;
        const launcher = ["unshare", "--mount", "sh", "-c", script, "sh"];
        const error = await runRing(directory, { launcher });
        assert.equal(error.reason, "disabled", JSON.stringify(error));
        assert.equal(error.code, "EPERM");
        assert.match(error.message, /kernel\.io_uring_disabled is 1.*sysctl/s);
      }),
  );

  it("an ordinary user with 8 MiB of memlock has a registered arena", () =>
    inScratch(async (directory) => {
      const result = await runRing(directory, asOther(directory, 8 << 20));
      works(result);
      assert.equal(result.registered, true);
    }));

  it("an ordinary user without memlock has an arena that is not registered, and knows it", () =>
    inScratch(async (directory) => {
      const result = await runRing(directory, asOther(directory, 0));
      if (result.reason !== undefined) {
        // Before 5.12 the ring itself is locked memory.
        assert.equal(result.reason, "memlock", JSON.stringify(result));
        return;
      }
      works(result);
      assert.equal(result.registered, false);
      assert.equal(result.registerError, "ENOMEM");
    }));

  it("a worker without memlock has no ring, since its arena could go away", () =>
    inScratch(async (directory) => {
      const options = { ...asOther(directory, 0), ring: { inWorker: true } };
      const error = await runRing(directory, options);
      assert.equal(error.reason, "memlock", JSON.stringify(error));
      assert.match(error.message, /may lock 0 bytes of memory \(ENOMEM\)/);
    }));

  it(
    "too little memory for the ring itself",
    { skip: skipStrace },
    () =>
      inScratch(async (directory) => {
        const launcher = strace(directory, "io_uring_setup:error=ENOMEM");
        const error = await runRing(directory, { launcher });
        assert.equal(error.reason, "memlock", JSON.stringify(error));
        assert.match(error.message, /may lock .* of memory \(ENOMEM\).*ulimit -l/s);
      }),
  );

  it(
    "a kernel that refuses every rung",
    { skip: skipStrace },
    () =>
      inScratch(async (directory) => {
        const launcher = strace(directory, "io_uring_setup:error=EINVAL");
        const error = await runRing(directory, { launcher });
        assert.equal(error.reason, "kernel", JSON.stringify(error));
        assert.match(error.message, /refuses every set of set-up flags.*5\.15/s);
      }),
  );

  it("no descriptors left", { skip: skipStrace }, () =>
    inScratch(async (directory) => {
      const launcher = strace(directory, "io_uring_setup:error=EMFILE");
      const error = await runRing(directory, { launcher });
      assert.equal(error.code, "EMFILE", JSON.stringify(error));
      assert.match(error.message, /no descriptors left.*ulimit -n/s);
    }));

  for (const [rung, when] of [[1, "1"], [2, "1..2"]] as const) {
    it(
      `goes down to rung ${rung} when the kernel lacks flags`,
      { skip: skipStrace },
      () =>
        inScratch(async (directory) => {
          const launcher = strace(directory, `io_uring_setup:error=EINVAL:when=${when}`);
          const result = await runRing(directory, { launcher });
          assert.equal(result.rung, rung);
          works(result);
        }),
    );
  }

  for (const rung of [0, 1, 2]) {
    it(`works on rung ${rung}`, () =>
      inScratch(async (directory) => {
        const result = await runRing(directory, { ring: { firstRung: rung } });
        assert.equal(result.rung, rung);
        works(result);
      }));
  }

  it("works with SQPOLL", () =>
    inScratch(async (directory) => {
      const result = await runRing(directory, { ring: { sqpoll: { idleMillis: 50 } } });
      works(result);
      assert.ok(result.setup.includes("SQPOLL"));
    }));

  it(
    "works without registered buffers when the kernel refuses them",
    { skip: skipStrace },
    () =>
      inScratch(async (directory) => {
        const launcher = strace(directory, "io_uring_register:error=ENOMEM:when=4");
        const result = await runRing(directory, { launcher });
        const trace = readFileSync(join(directory, "strace"), "utf8");
        assert.match(trace, /REGISTER_BUFFERS.*INJECTED/, "which registration is the arena's?");
        works(result);
        assert.equal(result.registered, false);
      }),
  );
});

describe("ring enter", { skip: skipStrace }, () => {
  // Each is seen at some enters in the middle of the work; none may lose or repeat an operation.
  for (const name of ["EINTR", "EAGAIN", "EBUSY"]) {
    it(`goes on after ${name}`, () =>
      inScratch(async (directory) => {
        const launcher = strace(directory, `io_uring_enter:error=${name}:when=2+3`);
        works(await runRing(directory, { launcher }));
        assert.match(readFileSync(join(directory, "strace"), "utf8"), /INJECTED/);
      }));
  }

  for (const name of ["EAGAIN", "EBUSY"]) {
    it(`waits in the event loop while the kernel takes nothing for long (${name})`, () =>
      inScratch(async (directory) => {
        // Longer than a ring is looked at before its eventfd is waited for: nothing would signal that.
        const launcher = strace(directory, `io_uring_enter:error=${name}:when=2..60`);
        assert.deepEqual(await runRing(directory, { launcher, ring: { task: "drain" } }), {
          done: 20,
        });
        assert.ok(readFileSync(join(directory, "strace"), "utf8").split("INJECTED").length > 55);
      }));
  }

  it("reports what it does not know, and stays usable", () =>
    inScratch(async (directory) => {
      const launcher = strace(directory, "io_uring_enter:error=EIO:when=5");
      await assert.rejects(
        runRing(directory, { launcher }),
        /RingError: the tick of the ring failed: EIO/,
      );
    }));
});

describe("ring options", { skip: skipRing }, () => {
  it("are refused by name", () => {
    const open = (options: unknown) => () => Ring.open(options as never).close();
    assert.throws(open({ entires: 1 }), /unknown option "entires"/);
    assert.throws(open(null), /options must be an object/);
    assert.throws(open({ entries: 0 }), /entries must be an integer from 1 to 4096, not 0/);
    assert.throws(open({ entries: 4097 }), /entries must be/);
    assert.throws(open({ entries: "8" }), TypeError);
    assert.throws(open({ completionEntries: 16385 }), /completionEntries must be/);
    assert.throws(open({ files: 0 }), /files must be/);
    assert.throws(open({ bufferBytes: 4097 }), /bufferBytes must be a multiple of 4096/);
    assert.throws(open({ arenaBytes: 100000 }), /arenaBytes must be a multiple of bufferBytes/);
    assert.throws(open({ arenaBytes: 2 ** 31 }), /arenaBytes must be/);
    assert.throws(open({ sqpoll: 1 }), /sqpoll must be a boolean or an object/);
    assert.throws(open({ sqpoll: { idle: 1 } }), /unknown option "sqpoll.idle"/);
    assert.throws(open({ iopoll: "yes" }), /iopoll must be a boolean/);
  });

  it("have their limits, and work at them", () => {
    for (
      const options of [
        { entries: 1, completionEntries: 1, arenaBytes: 4096, bufferBytes: 4096, files: 1 },
        { entries: 4096, completionEntries: 16384, files: 4096 },
        { arenaBytes: 64 << 20, bufferBytes: 64 << 20 },
        { entries: 3, completionEntries: 5 },
      ]
    ) {
      using ring = Ring.open(options);
      assert.ok(ring.features.entries >= (options.entries ?? 256));
      let staged = 0;
      while (ring.prepNop(staged)) staged++;
      assert.equal(staged, Math.min(options.entries ?? 256, options.completionEntries ?? 512));
      ring.submitAndWait(staged);
      assert.equal(ring.reap(), staged);
    }
  });

  it("tell what this kernel gave", () => {
    using ring = Ring.open();
    const { features } = ring;
    assert.equal(features.registered, true);
    assert.equal(features.registerError, "");
    assert.ok(features.setup.includes("SUBMIT_ALL") || features.rung > 0);
    const probe = ring.probe();
    assert.equal(probe.get("nop"), true);
    assert.equal(ring.probe("read_fixed"), true);
    assert.equal(probe.size, OPERATIONS.length);
    assert.throws(() => ring.probe("tee"), /no operation "tee"/);
  });
});
