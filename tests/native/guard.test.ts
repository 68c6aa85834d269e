/**
 * What goes over to the library has the length that it says: each function that takes a buffer is tried with
 * a length that the buffer does not have, with views that lie about theirs, and with what is no memory at
 * all. And nothing that a program gets hold of has the functions that would take it.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Ring } from "../../ring.ts";
import { CONTROL, EXPORTS, OPEN_PARAMETERS, RESULT_BYTES } from "../../src/abi/generated.ts";
import { type Functions, library } from "../../src/native/library.ts";
import { skipRing } from "../support/ring.ts";

const shared = (bytes: number) => new Uint8Array(new SharedArrayBuffer(bytes));
const CLAIMED = 1 << 20;

class Liar extends Uint8Array<SharedArrayBuffer> {
  override get length() {
    return CLAIMED;
  }
  override get byteLength() {
    return CLAIMED;
  }
}

function forged(): Uint8Array {
  const bytes = shared(8);
  Object.defineProperty(bytes, "length", { value: CLAIMED });
  Object.defineProperty(bytes, "byteLength", { value: CLAIMED });
  return bytes;
}

/** What is given where a buffer is expected, and the error. */
const WRONG: [string, unknown, number, typeof TypeError | typeof RangeError][] = [
  ["too short", shared(8), CLAIMED, RangeError],
  ["a forged length", forged(), CLAIMED, RangeError],
  ["a class of its own", new Liar(new SharedArrayBuffer(8)), CLAIMED, RangeError],
  ["a proxy", new Proxy(shared(8), {}), 8, TypeError],
  ["an object", { byteLength: CLAIMED, length: CLAIMED }, 8, TypeError],
  ["an array", new Array(8).fill(0), 8, TypeError],
  ["a view of another kind", new DataView(new SharedArrayBuffer(8)), 8, TypeError],
  ["a buffer", new SharedArrayBuffer(8), 8, TypeError],
  ["an address", 4096, 8, TypeError],
  ["nothing", null, 8, TypeError],
  ["a fraction", shared(8), 7.5, RangeError],
  ["less than nothing", shared(8), -1, RangeError],
  ["a length in words", shared(8), "8" as unknown as number, RangeError],
];

type Call = (...args: unknown[]) => number;

describe("native guard", { skip: skipRing }, () => {
  const functions = library().functions;
  for (const one of EXPORTS) {
    const kinds: readonly string[] = one.arguments;
    if (!kinds.includes("buffer") || one.name === "uring_open") continue;
    it(`${one.name} takes no other memory than there is`, () => {
      const call = functions[one.name] as unknown as Call;
      kinds.forEach((kind, place) => {
        if (kind !== "buffer") return;
        for (const [what, buffer, bytes, error] of WRONG) {
          const args = kinds.map((other, i) =>
            other === "buffer" ? (i === place ? buffer : shared(64)) : i === place + 1 ? bytes : 0
          );
          assert.throws(() => call(...args), error, what);
        }
      });
    });
  }

  it("a number that takes the memory away when it is asked for its value is asked first", () => {
    const data = new Uint8Array(new ArrayBuffer(CLAIMED));
    const seed = {
      valueOf() {
        structuredClone(data.buffer, { transfer: [data.buffer] });
        return 0;
      },
    };
    const call = functions.uring_crc32c as unknown as Call;
    assert.throws(() => call(seed, data, CLAIMED), RangeError);
    assert.equal(data.byteLength, 0);
  });

  it("uring_open takes only shared memory, as much as the parameters say", () => {
    const words = (change: Partial<Record<keyof typeof OPEN_PARAMETERS, number>> = {}) => {
      const parameters = new Uint32Array(new SharedArrayBuffer(OPEN_PARAMETERS.bytes));
      const all = {
        ...{ entries: 4, slots: 4, arenaBytes: 4096, arenaSlack: 4096, stagingBytes: 256 },
        ...{ parameterBytes: 64, sqpollCpu: 0xffff_ffff },
        ...change,
      };
      for (const [name, value] of Object.entries(all)) {
        parameters[OPEN_PARAMETERS[name as keyof typeof OPEN_PARAMETERS] / 4] = value;
      }
      return parameters;
    };
    const sizes = [256, 64 + 4 * RESULT_BYTES, 64, CONTROL.bytes, 8192];
    const call = functions.uring_open as unknown as Call;
    sizes.forEach((_, place) => {
      const with_ = (buffer: unknown) =>
        sizes.map((size, i): unknown => i === place ? buffer : shared(size));
      const short = () => call(words(), ...with_(shared(sizes[place] - 1)));
      assert.throws(short, RangeError, `buffer ${place}`);
      assert.throws(() => call(words(), ...with_(forged())), RangeError);
      // The kernel and the library go on writing to it: it must not be possible to take it away.
      assert.throws(() => call(words(), ...with_(new Uint8Array(sizes[place]))), TypeError);
    });
    const good = () => sizes.map(shared);
    assert.throws(() => call(words().subarray(1), ...good()), RangeError);
    assert.throws(() => call(words({ slots: 5 }), ...good()), RangeError);
    const opened = words();
    const number = call(opened, ...good());
    assert.ok(number > 0, String(number));
    assert.ok(opened[OPEN_PARAMETERS.gotEntries / 4] >= 4);
    assert.equal(functions.uring_close(number, 0), 0);
  });

  it("nobody can put other functions in their place", () => {
    const table = functions as { -readonly [N in keyof Functions]: Functions[N] };
    assert.throws(() => table.uring_crc32c = () => 0, TypeError);
    const mine = library() as { functions: Functions };
    assert.throws(() => mine.functions = table, TypeError);
  });

  it("an open ring has none of the functions that take an address", () => {
    using ring = Ring.open({ arenaBytes: 4096, bufferBytes: 4096 });
    const seen = new Set<unknown>();
    const walk = (value: unknown, path: string) => {
      if (typeof value === "function") assert.doesNotMatch(value.name, /^uring_/, path);
      if (typeof value !== "object" || value === null || seen.has(value)) return;
      if (ArrayBuffer.isView(value)) return;
      seen.add(value);
      for (const key of Object.getOwnPropertyNames(value)) {
        // It takes numbers only, and must be near.
        if (key === "_tick") continue;
        walk((value as Record<string, unknown>)[key], `${path}.${key}`);
      }
    };
    walk(ring, "ring");
    assert.ok(seen.size > 5);
  });
});
