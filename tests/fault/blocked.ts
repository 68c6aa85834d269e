/**
 * `./dev fault blocked`: io_uring refused by a seccomp filter, by the sysctl, by a limit on locked memory,
 * for want of the library, and an old kernel that lacks what newer ones have (User-mode Linux). The log
 * works all the same, and `io.reason` says why it is as it is. Sets a sysctl for moments, and puts it back.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { asUser } from "../support/program.ts";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { Broken, commandOf, ROOT, WriterProcess } from "./_history.ts";
import { checkLimited, LIMITS_OPTIONS, type LimitsLaunch, runLimited } from "./_limits.ts";
import type { LimitsOrders, LimitsReport } from "./_limits_program.ts";
import { MACHINE_DISK, machineOf, skipMachines } from "./_machine.ts";
import { ImageMount, run as command } from "./_mounts.ts";

const SYSCTL = "/proc/sys/kernel/io_uring_disabled";
const RECORDS = 3000;
const PATIENCE_MILLIS = 60_000;

const { seed } = campaignOf("blocked");
const folder = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-blocked-"));
const isRoot = process.getuid?.() === 0;
let runs = 0;
let failures = 0;

const orders = (directory: string): LimitsOrders => ({
  directory,
  backend: "auto",
  seed,
  run: 1,
  records: RECORDS,
  options: LIMITS_OPTIONS,
});

function judge(report: LimitsReport | undefined, backend: string, reason: RegExp): string {
  if (report === undefined || report.failed !== undefined) {
    throw new Broken(`the program failed: ${report?.failed?.message}`);
  }
  if (report.backend !== backend || !reason.test(report.reason ?? "")) {
    throw new Broken(`it took ${report.backend}: ${report.reason}`);
  }
  if (report.durable < RECORDS) throw new Broken(`only ${report.durable} became durable`);
  return `${report.backend}, ${report.durable} durable${report.reason ? `: ${report.reason}` : ""}`;
}

async function attempt(name: string, body: () => Promise<string>): Promise<void> {
  runs++;
  try {
    console.log(`ok     ${name}: ${await body()}`);
  } catch (error) {
    failures++;
    console.log(`FAILED ${name}: ${(error as Error).message}`);
  }
}

/** The program behind a launcher, and its log afterwards without one. */
async function behind(launch: LimitsLaunch, backend: string, reason: RegExp): Promise<string> {
  const home = join(folder, `${runs}`);
  mkdirSync(home);
  command("chmod", "777", folder, home);
  const order = orders(join(home, "log"));
  const env = { HOME: home, DENO_DIR: join(home, "deno"), ...launch.env };
  const outcome = await runLimited(order, { ...launch, env });
  if (outcome.report === undefined) throw new Broken(outcome.errors);
  const seen = judge(outcome.report, backend, reason);
  await checkLimited(order, outcome.acknowledged, outcome.report.appended);
  return seen;
}

console.log(`blocked (${RUNTIME}): seed ${seed}`);
const filter = join(ROOT, "tests/support/seccomp.py");
for (const [name, errno] of [["EPERM", "1"], ["ENOSYS", "38"], ["EACCES", "13"]]) {
  await attempt(
    `seccomp answers ${name}`,
    () => behind({ launcher: ["python3", filter, errno] }, "sync", /\(blocked\)/),
  );
}
await attempt(
  "no library",
  () => behind({ env: { URING_LIBRARY: join(folder, "liburing-io.so") } }, "sync", /\(library\)/),
);
if (isRoot) {
  await attempt(
    "no locked memory",
    () => behind({ launcher: [...asUser(0)] }, "sync", /\(memlock\)/),
  );
  await attempt(
    "locked memory for the rings alone",
    () => behind({ launcher: [...asUser(65_536)] }, "uring", /^$/),
  );
  const before = readFileSync(SYSCTL, "utf8").trim();
  for (const [value, launcher] of [["1", asUser(8 << 20)], ["2", []]] as const) {
    await attempt(`sysctl ${value}`, async () => {
      writeFileSync(SYSCTL, value);
      const running = behind({ launcher: [...launcher] }, "sync", /\(disabled\)/);
      try {
        return await running;
      } finally {
        writeFileSync(SYSCTL, before);
      }
    });
  }
}
const skip = skipMachines(false);
if (skip) console.log(`skipped an old kernel: ${skip}`);
else {
  await attempt("an old kernel", async () => {
    using disk = new ImageMount("ext4", 128);
    disk.unmount();
    const order = orders(`${MACHINE_DISK}/log`);
    const [program, args] = commandOf("tests/fault/_limits_program.ts", JSON.stringify(order));
    const image = { folder: disk.folder, fileSystem: "ext4" as const, image: disk.image };
    const machine = new WriterProcess(machineOf({ ...image, program, args }));
    await machine.until("{", 1, PATIENCE_MILLIS);
    await machine.kill();
    const line = machine.lines.find((line) => line.startsWith("{"));
    const seen = judge(line && JSON.parse(line), "uring", /^$/);
    disk.mount();
    await checkLimited({ ...order, directory: join(disk.point, "log") }, RECORDS);
    return seen;
  });
}
rmSync(folder, { recursive: true, force: true });
console.log(`blocked (${RUNTIME}): ${runs} runs, ${failures} failures`);
process.exit(failures > 0 ? 1 : 0);
