/** What the tests of the package as others see it share: its entry points, and the README's example. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/ring.ts";

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  exports: Record<string, string>;
  dependencies: Record<string, string>;
};

/** Entry points: how they are imported, and the file in the checkout. */
export const ENTRIES: readonly { specifier: string; file: string }[] = Object
  .entries(manifest.exports)
  .map(([name, file]) => ({ specifier: `@uring/io${name.slice(1)}`, file: join(ROOT, file) }));

/** What a program that uses the library brings in with it, by name, and what that brings in. */
export function dependencies(): string[] {
  const all = new Set<string>();
  const visit = (wanted: Record<string, string> | undefined) => {
    for (const name of Object.keys(wanted ?? {})) {
      if (all.has(name)) continue;
      all.add(name);
      const file = join(ROOT, "node_modules", name, "package.json");
      visit(JSON.parse(readFileSync(file, "utf8")).dependencies);
    }
  };
  visit(manifest.dependencies);
  return [...all];
}

/** The first program of the README, and what it prints. */
export function readmeExample(): { program: string; output: string } {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const found = /```ts\n(.*?)```\s+```text\n(.*?)```/s.exec(readme);
  if (found === null) throw new Error("the README has no example with its output");
  return { program: found[1], output: found[2] };
}

/** The first example in the source of an entry point, if there is one. */
export function exampleOf(file: string): string | undefined {
  const found = /```ts\n(.*?)```/s.exec(readFileSync(file, "utf8"));
  return found?.[1].replace(/^ \* ?/gm, "");
}

/** A program with every import by its name in the package replaced. */
export function withImports(
  program: string,
  to: (entry: (typeof ENTRIES)[number]) => string,
): string {
  return program.replace(/"(@uring\/io[^"]*)"/g, (_, specifier: string) => {
    const entry = ENTRIES.find((one) => one.specifier === specifier);
    if (entry === undefined) throw new Error(`no entry point is called ${specifier}`);
    return JSON.stringify(to(entry));
  });
}

/** A program with files of its own below `directory` instead of those of the examples. */
export function below(program: string, directory: string): string {
  return program.replace(/"(?:\/var)?\/tmp\//g, `"${directory}/`);
}
