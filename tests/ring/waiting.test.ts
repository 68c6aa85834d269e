/**
 * Waiting in the event loop: a wait ends when there is something to reap, whether it came while looking
 * or by the eventfd, whoever brought it; nothing else is held up meanwhile; and what waits for nothing
 * keeps no process alive. A fsync of a growing file, and a chain of NOPs behind it, are things to wait for.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { type Ring, RingClosedError, type RingFile } from "../../ring.ts";
import type { Host } from "../../src/host/host.ts";
import { Dispatcher, Latency, type Waitable } from "../../src/ring/waiter.ts";
import { inScratch, isDeno, openFile, ROOT, skipRing, withRing } from "../support/ring.ts";

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis));

/** A file that reads block on: an empty FIFO. The operation ends when somebody writes to it. */
async function fifo(directory: string, name: string): Promise<string> {
  const path = join(directory, name);
  await promisify(execFile)("mkfifo", [path]);
  return path;
}

function openFifo(ring: Ring, path: string): RingFile {
  return openFile(ring, path, 2); // O_RDWR does not wait for the other end
}

describe("ring waiting", { skip: skipRing }, () => {
  it("resolves at once when nothing is in flight, or when there is something to reap", () =>
    withRing({}, async (ring) => {
      await ring.wait();
      assert.equal(await ring.drain(), 0);
      ring.prepNop(1);
      ring.submitAndWait(1);
      await ring.wait();
      assert.equal(ring.reap(), 1);
    }));

  it("submits what is staged", () =>
    withRing({}, async (ring) => {
      ring.prepNop(5);
      assert.equal(await ring.drain(), 1);
      assert.equal(ring.completions.userData[0], 5);
    }));

  it("goes on while a chain is being prepared, and leaves that alone", () =>
    inScratch((directory) =>
      withRing({}, async (ring) => {
        const path = await fifo(directory, "fifo");
        const file = openFifo(ring, path);
        ring.prepRead(file, ring.buffers.acquire()!, 0, 100, 0, 1);
        const drained = ring.drain();
        ring.beginChain(2);
        ring.prepNop(2);
        setTimeout(() => writeFileSync(path, "x"), 10);
        assert.equal(await drained, 1);
        assert.equal(ring.completions.userData[0], 1);
        ring.prepNop(3);
        // The second of a chain starts when the first has ended.
        let ended = 0;
        while (ring.inFlight > 0) ended += await ring.drain();
        assert.equal(ended, 2);
      })
    ));

  it("is woken long after it stopped looking, while timers run", () =>
    inScratch((directory) =>
      withRing({}, async (ring) => {
        const path = await fifo(directory, "fifo");
        const file = openFifo(ring, path);
        const buffer = ring.buffers.acquire()!;
        ring.prepRead(file, buffer, 0, 100, 0, 9);
        let ticks = 0;
        const timer = setInterval(() => ticks++, 5);
        setTimeout(() => writeFileSync(path, "woken"), 100);
        const start = performance.now();
        assert.equal(await ring.drain(), 1);
        clearInterval(timer);
        assert.equal(ring.completions.res[0], 5);
        assert.ok(performance.now() - start >= 90);
        assert.ok(ticks >= 5, `${ticks} ticks`);
      })
    ));

  it("is woken again and again, soon and late", () =>
    inScratch((directory) =>
      withRing({}, async (ring) => {
        const path = await fifo(directory, "fifo");
        const file = openFifo(ring, path);
        const buffer = ring.buffers.acquire()!;
        for (let i = 0; i < 30; i++) {
          ring.prepRead(file, buffer, 0, 100, 0, i);
          if (i % 3 === 0) writeFileSync(path, "x");
          else setTimeout(() => writeFileSync(path, "x"), i % 3 === 1 ? 0 : 8);
          assert.equal(await ring.drain(), 1);
          assert.equal(ring.completions.userData[0], i);
          assert.equal(ring.completions.res[0], 1);
        }
      })
    ));

  it("calls back for each drain until nothing is in flight", () =>
    withRing({}, async (ring) => {
      const seen: number[] = [];
      for (let i = 0; i < 3; i++) ring.prepNop(i);
      await ring.drainEach((count) => {
        assert.equal(count, ring.completions.length);
        for (let i = 0; i < count; i++) {
          const userData = ring.completions.userData[i];
          seen.push(userData);
          if (userData < 30) assert.ok(ring.prepNop(userData + 10));
        }
      });
      assert.equal(ring.inFlight, 0);
      assert.equal(seen.length, 12);
      assert.deepEqual([...seen].sort((a, b) => a - b).slice(-3), [30, 31, 32]);
      await ring.drainEach(() => assert.fail("nothing is in flight"));
      ring.prepNop(1);
      const broken = ring.drainEach(() => {
        throw new Error("of the callback");
      });
      await assert.rejects(broken, /of the callback/);
      assert.equal(ring.inFlight, 0);
    }));

  it("ends when the completion is brought by hand", () =>
    inScratch((directory) =>
      withRing({}, async (ring) => {
        const path = await fifo(directory, "fifo");
        const file = openFifo(ring, path);
        ring.prepRead(file, ring.buffers.acquire()!, 0, 100, 0, 1);
        const waiting = ring.wait();
        await sleep(20); // armed by now
        writeFileSync(path, "x");
        ring.submitAndWait(1);
        assert.equal(ring.reap(), 1);
        await waiting;
        assert.equal(await ring.drain(), 0);
      })
    ));

  it("ends when the ring is closed", () =>
    inScratch((directory) =>
      withRing({}, async (ring) => {
        const file = openFifo(ring, await fifo(directory, "fifo"));
        ring.prepRead(file, ring.buffers.acquire()!, 0, 100, 0, 1);
        const drained = ring.drain();
        await sleep(20);
        assert.equal(ring.close(), 0);
        assert.equal(await drained, 0);
        await assert.rejects(ring.wait(), RingClosedError);
      })
    ));

  it("keeps no process alive when it waits for nothing", () =>
    inScratch(async (directory) => {
      const program = join(directory, "idle.ts");
      writeFileSync(
        program,
        `import { Ring } from ${JSON.stringify(join(ROOT, "ring.ts"))};
         const ring = Ring.open();
         ring.prepNop(1);
         await ring.drain();
         ring.prepNop(2);
         ring.submit();
         // Armed once, so that the waiter was used.
         const { execFileSync } = await import("node:child_process");
         const { writeFileSync } = await import("node:fs");
         execFileSync("mkfifo", ["${directory}/fifo"]);
         ring.prepOpenat("${directory}/fifo", 2, 0, 3);
         ring.submitAndWait(ring.inFlight); ring.reap();
         const file = ring.file(ring.completions.res[ring.completions.length - 1]);
         ring.prepRead(file, ring.buffers.acquire()!, 0, 1, 0, 4);
         setTimeout(() => writeFileSync("${directory}/fifo", "x"), 30);
         console.log("drained", await ring.drain());
         ring.prepRead(file, ring.buffers.acquire()!, 0, 1, 0, 5);
         ring.submit();`,
      );
      const command = isDeno ? ["run", "-A", "--no-check", program] : [program];
      const start = performance.now();
      const { stdout } = await promisify(execFile)(process.execPath, command, { timeout: 20000 });
      assert.equal(stdout, "drained 1\n");
      assert.ok(performance.now() - start < 15000);
    }));
});

describe("waiting for a slow device", () => {
  const seen = (...micros: number[]) => {
    const latency = new Latency();
    for (let i = 0; i < 100; i++) latency.observe(micros[i % micros.length]);
    return latency;
  };

  it("knows one that always takes the same time", () => {
    assert.equal(seen(5000).isRegular, true);
    assert.equal(seen(5000, 5020).isRegular, true);
    assert.equal(seen(2000, 8000).isRegular, false);
    // A quick one is looked at all the time instead.
    assert.equal(seen(100).isRegular, false);
    assert.ok(seen(100).lookMicros > 0);
    assert.equal(seen(5000).lookMicros, 0);
  });

  it("goes on looking after single operations that took long, and stops when all of them do", () => {
    const latency = seen(50);
    for (let i = 0; i < 100; i++) {
      latency.observe(i % 10 === 0 ? 40_000 : 50);
      assert.ok(latency.lookMicros > 0, `operation ${i}`);
    }
    for (let i = 0; i < 10; i++) latency.observe(40_000);
    assert.equal(latency.lookMicros, 0);
  });

  /** A ring whose operation ends at the look after its alarm was heard, by a host that hears it at once. */
  async function waitFor(latency: Latency) {
    const alarms: number[] = [];
    let armed = false;
    let looksAfterAlarm = 0;
    let heard = false;
    const ring: Waitable = {
      look: () => heard && ++looksAfterAlarm === 2,
      arm: (on, alarmMicros) => {
        armed = on;
        if (on) alarms.push(alarmMicros);
      },
      isSilent: () => false,
    };
    const host = {
      turn: (callback: () => void) => void setImmediate(callback),
      createWaiter: () => ({
        wait: async () => {
          await sleep(Math.ceil(alarms[0] / 1000) + 1);
          heard = true;
        },
      }),
    } as unknown as Host;
    const functions = {
      uring_wake_fd: () => 0,
      uring_wake_waiter: () => 0,
      uring_wake_wait: () => 0,
      uring_wake_signal: () => 0,
    };
    await new Dispatcher(host, functions).wait(ring, latency);
    return { alarms, armed };
  }

  it("is woken by an alarm before it is due, and then looks", async () => {
    const { alarms, armed } = await waitFor(seen(20_000));
    assert.ok(alarms[0] > 0 && alarms[0] < 20_000, `${alarms}`);
    assert.equal(armed, false);
  });

  it("sets no alarm for one that takes any time", async () => {
    const { alarms } = await waitFor(seen(2000, 80_000));
    assert.ok(alarms.length > 0 && alarms.every((micros) => micros === 0), `${alarms}`);
  });
});
