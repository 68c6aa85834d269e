/** The judge of the campaigns that kill writers: what it lets pass, and what it does not. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Broken, History } from "./_history.ts";

test("what retention removed is seen later, when the next writer ends before it has opened the log", () => {
  const history = new History(1);
  history.reported(1, ["opening", "open 0 1", "d 100"], { retained: true });
  history.reported(2, ["opening"]);
  history.found(100, 50);
  // Nobody has removed anything since.
  assert.throws(() => history.found(100, 60), Broken);
});

test("retention that ended with its writer excuses nothing", () => {
  const history = new History(1);
  history.reported(1, ["opening", "open 0 1", "d 100"], { retained: true });
  history.reported(2, ["opening", "open 100 50", "d 120"]);
  assert.throws(() => history.found(120, 51), Broken);
  history.found(120, 50);
});

test("a writer with retention removes already while it opens", () => {
  const history = new History(1);
  history.reported(1, ["opening", "open 0 1", "d 100", "closed"]);
  history.reported(2, ["opening"], { retained: true });
  history.found(100, 70);
  assert.throws(() => history.found(99, 70), Broken);
});
