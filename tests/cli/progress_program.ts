/**
 * Works on ten pieces for a third of a second, and shows how far it is.
 */
import { progressOf } from "../../src/cli/terminal.ts";

const PIECES = 10;
const progress = await progressOf("working", "pieces", {
  barAfterMillis: 60,
  plainEveryMillis: 60,
});
for (let done = 1; done <= PIECES; done++) {
  await new Promise((resolve) => setTimeout(resolve, 30));
  progress.update(done, PIECES);
}
progress.end();
console.log("done");
