/**
 * Skips that say why. The runners keep no reason in their reports, so it goes out beside them, and
 * `./dev test` prints it.
 *
 * ```ts
 * test("crash on XFS", { skip: skipUnless(canMount, "loop mounts need root") }, () => {});
 * ```
 */

const said = new Set<string>();

/** `false` when the capability is there; else the reason, once also on standard output. */
export function skipUnless(capable: boolean, missing: string): string | false {
  if (capable) return false;
  if (!said.has(missing)) {
    said.add(missing);
    console.log(`# skip: ${missing}`);
  }
  return missing;
}
