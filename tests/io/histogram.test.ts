/** The histogram against sorting: each value within a step of 3 % of the exact one. */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Histogram, HISTOGRAM_MAX } from "../../src/io/histogram.ts";

test("every power of two and its neighbours, alone", () => {
  for (let power = 0; power < 31; power++) {
    for (const value of [2 ** power - 1, 2 ** power, 2 ** power + 1]) {
      const histogram = new Histogram();
      histogram.record(value);
      const { least, p50, p999, most, mean, count } = histogram.summary();
      assert.deepEqual([count, least, p50, p999, most, mean], [
        1,
        value,
        value,
        value,
        value,
        value,
      ]);
    }
  }
});

test("percentiles of many values", () => {
  const histogram = new Histogram();
  const values: number[] = [];
  let state = 12345;
  for (let i = 0; i < 20_000; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const value = Math.floor(2 ** (31 * (state / 2 ** 32)));
    values.push(value);
    histogram.record(value + 0.75);
  }
  values.sort((a, b) => a - b);
  const summary = histogram.summary();
  assert.equal(summary.count, values.length);
  assert.equal(summary.least, values[0]);
  assert.equal(summary.most, values.at(-1));
  const shares = { p50: 0.5, p90: 0.9, p99: 0.99, p999: 0.999 };
  for (const [name, share] of Object.entries(shares)) {
    const exact = values[Math.ceil(share * values.length) - 1];
    const got = summary[name as keyof typeof shares];
    assert.ok(got >= exact && got <= exact * 33 / 32 + 1, `${name}: ${got}, exactly ${exact}`);
  }
});

test("nothing, and what lies outside", () => {
  const histogram = new Histogram();
  assert.deepEqual(new Set(Object.values(histogram.summary())), new Set([0]));
  histogram.record(-5);
  histogram.record(1e15);
  const { least, most, p50 } = histogram.summary();
  assert.deepEqual([least, p50, most], [0, 0, HISTOGRAM_MAX]);
});
