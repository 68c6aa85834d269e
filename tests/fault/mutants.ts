/**
 * `./dev fault mutants [--only NAME,NAME]`: breaks one promise of the library after the other in copies of the
 * checkout, two at a time, and runs what must find it out. Fails when a mutant survives, or does not apply
 * any more, and when a judge turns red on the sources as they are. `--runtime bun` does it under one of
 * the runtimes, which is enough; `--only` takes those with one of these in their names.
 */
import process from "node:process";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { Laboratory, type Mutant, mutants } from "./_mutants.ts";

const LABORATORIES = 2;
const NAME_WIDTH = 40;

const campaign = campaignOf("mutants");
const wanted = campaign.only.split(",");
const chosen = mutants().filter(({ name }) => wanted.some((one) => name.includes(one)));
console.log(`mutants (${RUNTIME}): ${chosen.length}`);
let killed = 0;
const failed: string[] = [];

/** Whose judgement is asked: each judge on the sources as they are, and then each mutant's on it. */
interface Question {
  name: string;
  mutant: Mutant | undefined;
  by: readonly string[];
}

// Enough of the simulated crashes to see that they run.
const short = (judge: string) => judge.replace(/^(sim .*--crashes) \d+$/, "$1 200");
const judges = [...new Set(chosen.flatMap(({ by }) => by.map(short)))].sort();
const questions: Question[] = [
  ...judges.map((judge) => ({ name: `as it is: ${judge}`, mutant: undefined, by: [judge] })),
  ...chosen.map((mutant) => ({ name: mutant.name, mutant, by: mutant.by })),
];

function say(word: string, name: string, seconds: number, text: string): void {
  const time = `${seconds.toFixed(1)} s`.padStart(8);
  console.log(`${word.padEnd(9)}${name.padEnd(NAME_WIDTH)}${time}  ${text}`);
}

async function work(laboratory: Laboratory): Promise<void> {
  // Ends with the questions.
  for (;;) {
    const question = questions.shift();
    if (!question || performance.now() > campaign.until) return;
    const { name, mutant, by } = question;
    const before = performance.now();
    const seconds = () => (performance.now() - before) / 1000;
    try {
      const { dead, says } = await laboratory.judge(mutant, by);
      if (mutant && dead) killed++;
      else if (dead || mutant) failed.push(name);
      const word = mutant ? dead ? "killed" : "SURVIVED" : dead ? "FAILED" : "ok";
      say(word, name, seconds(), mutant && !dead ? mutant.promise : says);
    } catch (error) {
      failed.push(name);
      say("FAILED", name, seconds(), (error as Error).message);
    }
  }
}

await Promise.all(Array.from({ length: LABORATORIES }, async () => {
  using laboratory = new Laboratory(true);
  await work(laboratory);
}));
for (const name of failed) console.log(`FAILED ${name}`);
console.log(`mutants (${RUNTIME}): ${killed} killed, ${failed.length} failed`);
process.exit(failed.length === 0 && killed > 0 ? 0 : 1);
