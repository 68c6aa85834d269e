/**
 * Nonsense in `OpenOptions` is refused by name: every combination of the eight members is compared
 * with the rules as the contract says them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IoUsageError, type OpenOptions } from "../../io.ts";
import { checkOpenOptions } from "../../src/io/open_options.ts";

const MEMBERS = [
  "read",
  "write",
  "create",
  "createNew",
  "truncate",
  "append",
  "direct",
  "dsync",
] as const;

test("all 256 combinations", () => {
  for (let bits = 0; bits < 256; bits++) {
    const options: OpenOptions = {};
    MEMBERS.forEach((name, i) => {
      if (bits & 1 << i) options[name] = true;
    });
    const needsWrite = options.create || options.createNew || options.truncate || options.append ||
      options.dsync;
    const nonsense = (!options.read && !options.write) || (needsWrite && !options.write) ||
      (options.append && options.truncate) || (options.createNew && options.truncate);
    if (nonsense) {
      assert.throws(() => checkOpenOptions(options), IoUsageError, JSON.stringify(options));
    } else {
      const checked = checkOpenOptions(options);
      for (const name of MEMBERS) assert.equal(checked[name], options[name] ?? false);
    }
  }
});

test("the error names what is wrong", () => {
  const message = (options: unknown, pattern: RegExp) =>
    assert.throws(() => checkOpenOptions(options as OpenOptions), {
      code: "IoUsage",
      message: pattern,
    });
  message({}, /`read`, `write`/);
  message({ read: true, create: true }, /`create` needs `write`/);
  message({ read: true, createNew: true }, /`createNew` needs `write`/);
  message({ read: true, truncate: true }, /`truncate` needs `write`/);
  message({ read: true, append: true }, /`append` needs `write`/);
  message({ read: true, dsync: true }, /`dsync` needs `write`/);
  message({ write: true, append: true, truncate: true }, /`append` and `truncate`/);
  message({ write: true, createNew: true, truncate: true }, /`createNew` and `truncate`/);
  message({ read: true, exclusive: true }, /unknown open option `exclusive`/);
  message({ read: 1 }, /`read` must be true or false/);
  message(null, /object/);
  message(undefined, /object/);
});
