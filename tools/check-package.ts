/**
 * Holds the manifests to the tree and to each other: package.json and deno.json name the same package,
 * version and entry points, every entry point that exists is named and every named one exists, libraries
 * are pinned exactly, and no lock file names a place that packages came from.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

const ENTRIES = ["mod", "ring", "io", "storage", "wal", "log", "testing"];

interface Manifest {
  name: string;
  version: string;
  license: string;
  exports: Record<string, string>;
  bin?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

const root = join(import.meta.dirname!, "..");
const read = (file: string) => readFileSync(join(root, file), "utf8");
const npm: Manifest = JSON.parse(read("package.json"));
const deno: Manifest = JSON.parse(read("deno.json"));
const problems: string[] = [];

const expected = Object.fromEntries(
  ENTRIES.filter((name) => existsSync(join(root, `${name}.ts`)))
    .map((name) => [name === "mod" ? "." : `./${name}`, `./${name}.ts`]),
);
for (const [file, manifest] of [["package.json", npm], ["deno.json", deno]] as const) {
  if (JSON.stringify(manifest.exports) !== JSON.stringify(expected)) {
    problems.push(`${file}:1: "exports" must be ${JSON.stringify(expected)}`);
  }
}
for (const field of ["name", "version", "license"] as const) {
  if (npm[field] !== deno[field]) {
    problems.push(`deno.json:1: "${field}" is ${deno[field]}, in package.json it is ${npm[field]}`);
  }
}
const bin = existsSync(join(root, "cli.ts")) ? JSON.stringify({ uring: "./cli.ts" }) : undefined;
if (JSON.stringify(npm.bin) !== bin) problems.push(`package.json:1: "bin" must be ${bin}`);
for (const [name, version] of Object.entries({ ...npm.dependencies, ...npm.devDependencies })) {
  if (!/^\d+\.\d+\.\d+$/.test(version)) {
    problems.push(`package.json:1: ${name} must be pinned to one version, not ${version}`);
  }
}
for (const lock of ["package-lock.json", "bench/peers/package-lock.json"]) {
  read(lock).split("\n").forEach((line, index) => {
    if (/"resolved"|:\/\/(?!opencollective|github)/.test(line) && !/"(url|funding)"/.test(line)) {
      problems.push(`${lock}:${index + 1}: names where a package came from: ${line.trim()}`);
    }
  });
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
