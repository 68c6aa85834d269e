/**
 * Holds the sources to the rooms of docs/ARCHITECTURE.md: imports point down, and what belongs to one
 * runtime or to `node:` stays in the room that is made for it. Prints `file:line: what is wrong`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** What each room may import besides itself. Everything else is above it, or none of its business. */
const ROOMS: Record<string, readonly string[]> = {
  abi: [],
  host: ["abi"],
  native: ["abi", "host"],
  ring: ["abi", "host", "native"],
  io: ["abi", "host"],
  file: ["abi", "io"],
  storage: ["abi", "io", "file"],
  wal: ["abi", "io", "file"],
  log: ["abi", "io", "file", "wal"],
  // Entry points, and the command line, which is one of them.
  top: ["abi", "host", "native", "ring", "io", "file", "storage", "wal", "log"],
  testing: ["abi", "host", "native", "ring", "io", "file", "storage", "wal", "log", "top"],
};

/** Folders of programs that are run here and are never shipped: they may say and import anything. */
const PROGRAMS = ["tests/", "bench/", "examples/", "tools/"];
const SKIPPED = new Set(["node_modules", "build", "zig-cache", "zig-out"]);

export interface Problem {
  file: string;
  line: number;
  message: string;
}

/** The room of a file, by its path from the root of the checkout. */
export function roomOf(file: string): string {
  const match = /^src\/([^/]+)\//.exec(file);
  if (match !== null && match[1] !== "cli") return match[1];
  return /^(src\/)?testing\.ts$/.test(file) ? "testing" : "top";
}

/** What is wrong with one source file. `file` is its path from the root of the checkout. */
export function checkSource(file: string, source: string): Problem[] {
  const problems: Problem[] = [];
  if (PROGRAMS.some((folder) => file.startsWith(folder))) return problems;
  const room = roomOf(file);
  const { code, withStrings } = blank(source);
  const report = (index: number, message: string) =>
    problems.push({ file, line: source.slice(0, index).split("\n").length, message });

  if (!(room in ROOMS)) {
    report(
      0,
      `src/${room}/ is no room: name it in tools/check-imports.ts, with what it may import`,
    );
    return problems;
  }
  if (room !== "host") {
    for (const match of code.matchAll(/(?<![.\w$])(Bun|Deno)\b(?!\s*:)/g)) {
      report(match.index, `only src/host/ says ${match[1]}`);
    }
    for (const match of withStrings.matchAll(/globalThis\s*(?:\.|\[\s*["'`])\s*(Bun|Deno)\b/g)) {
      report(match.index, `only src/host/ says ${match[1]}`);
    }
  }
  for (const { specifier, index } of imports(withStrings)) {
    const message = checkImport(file, room, specifier);
    if (message !== undefined) report(index, message);
  }
  return problems;
}

function checkImport(file: string, room: string, specifier: string): string | undefined {
  if (specifier.startsWith("node:")) {
    const allowed = room === "host" || file === "src/io/sync.ts" || isCommandLine(file);
    return allowed
      ? undefined
      : `only src/host/, src/io/sync.ts and the command line import ${specifier}`;
  }
  if (specifier.startsWith("bun:")) {
    return room === "host" ? undefined : `only src/host/ imports ${specifier}`;
  }
  if (/^[a-z]+:/.test(specifier)) return `imports ${specifier}: a shipped module fetches nothing`;
  if (!specifier.startsWith(".")) {
    return isCommandLine(file) ? undefined : `only the command line uses a library: ${specifier}`;
  }
  const target = join(file, "..", specifier);
  if (!/\.(ts|json|so)$/.test(target)) return `imports ${specifier}: name the file with its ending`;
  if (PROGRAMS.some((folder) => target.startsWith(folder))) {
    return `imports ${specifier}: what is shipped does not import programs of the checkout`;
  }
  const to = roomOf(target);
  if (to === room || ROOMS[room].includes(to)) return undefined;
  if (/^src\/io\/uring[^/]*\.ts$/.test(file) && (to === "ring" || to === "native")) {
    return undefined;
  }
  return `src/${room} may not import src/${to} (${specifier}); it may import ${
    [room, ...ROOMS[room]].join(", ")
  }`;
}

const isCommandLine = (file: string): boolean => /^(src\/)?cli(\.ts$|\/)/.test(file);

function* imports(source: string): Generator<{ specifier: string; index: number }> {
  const statement =
    /(?<![.\w$])(?:(?:import|export)\s+(?:[\w$*{}\s,]+?\s+from\s*)?|import\s*\(\s*)(["'])([^"'\n]+)\1/g;
  for (const match of source.matchAll(statement)) {
    yield { specifier: match[2], index: match.index };
  }
}

/**
 * The source with comments blanked out (`withStrings`), and with the contents of strings blanked too
 * (`code`). Every character keeps its place. Substitutions in templates are code.
 */
export function blank(source: string): { code: string; withStrings: string } {
  const code = [...source.split("")];
  const withStrings = source.split("");
  const erase = (from: number, to: number, both: boolean) => {
    for (let i = from; i < to && i < source.length; i++) {
      if (source[i] === "\n") continue;
      code[i] = " ";
      if (both) withStrings[i] = " ";
    }
  };
  // Depths of braces at which a template's substitution ends.
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  const templateText = () => {
    const from = at;
    while (at < source.length && source[at] !== "`" && !source.startsWith("${", at)) {
      at += source[at] === "\\" ? 2 : 1;
    }
    erase(from, at, false);
    if (source.startsWith("${", at)) {
      templates.push(depth++);
      at += 2;
    } else {
      at++;
    }
  };
  while (at < source.length) {
    const char = source[at];
    if (source.startsWith("//", at)) {
      const end = source.indexOf("\n", at);
      erase(at, end < 0 ? source.length : end, true);
      at = end < 0 ? source.length : end;
    } else if (source.startsWith("/*", at)) {
      const end = source.indexOf("*/", at + 2);
      erase(at, end < 0 ? source.length : end + 2, true);
      at = end < 0 ? source.length : end + 2;
    } else if (char === "/" && startsRegExp(code, at)) {
      const from = ++at;
      let inClass = false;
      while (at < source.length && source[at] !== "\n" && (inClass || source[at] !== "/")) {
        if (source[at] === "[") inClass = true;
        if (source[at] === "]") inClass = false;
        at += source[at] === "\\" ? 2 : 1;
      }
      erase(from, at, true);
      at++;
    } else if (char === '"' || char === "'") {
      const from = ++at;
      while (at < source.length && source[at] !== char && source[at] !== "\n") {
        at += source[at] === "\\" ? 2 : 1;
      }
      erase(from, at, false);
      at++;
    } else if (char === "`") {
      at++;
      templateText();
    } else {
      if (char === "{") depth++;
      if (char === "}" && --depth === templates.at(-1)) {
        templates.pop();
        at++;
        templateText();
        continue;
      }
      at++;
    }
  }
  return { code: code.join(""), withStrings: withStrings.join("") };
}

/** A slash begins a regular expression where a value is expected, and divides otherwise. */
function startsRegExp(code: readonly string[], at: number): boolean {
  let i = at - 1;
  while (i >= 0 && /\s/.test(code[i])) i--;
  if (i < 0 || "(,=:[!&|?{};+-*%<>~^".includes(code[i])) return true;
  const before = code.slice(Math.max(0, i - 9), i + 1).join("");
  return /\b(return|typeof|case|in|of|void|throw|else|do)$/.test(before);
}

export function* sources(root: string, folder = ""): Generator<string> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (entry.name.startsWith(".") || SKIPPED.has(entry.name)) continue;
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* sources(root, path);
    else if (/\.ts$/.test(entry.name) && !/\.d\.ts$/.test(entry.name)) yield path;
  }
}

if (import.meta.main) {
  const root = join(import.meta.dirname!, "..");
  const problems = [...sources(root)].sort().flatMap((file) =>
    checkSource(file, readFileSync(join(root, file), "utf8"))
  );
  for (const { file, line, message } of problems) console.error(`${file}:${line}: ${message}`);
  if (problems.length > 0) process.exit(1);
}
