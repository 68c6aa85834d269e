#!/usr/bin/env bash
# Writes src/abi/generated.ts from shim/abi.zig; with `--check` only says whether it is up to date.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
# shellcheck source=tools/lib.sh
source tools/lib.sh
export PATH="$root/.tools/bin:$PATH"

target=src/abi/generated.ts
fresh=.tools/generated.$$.ts
trap 'rm -f "$fresh"' EXIT

key=$(content_key shim/*.zig tools/generate.sh tools/zig.txt "$([[ -e $target ]] && echo "$target" || echo /dev/null)")
stamped generated "$key" && exit 0

zig run shim/generate.zig --cache-dir .tools/zig-cache --global-cache-dir .tools/zig-cache | deno fmt --quiet --ext ts - >"$fresh"
if [[ ${1:-} == --check ]]; then
  if ! cmp -s "$fresh" "$target"; then
    diff -u "$target" "$fresh" | head -n 20 || true
    echo "$target:1: stale, it does not follow from shim/abi.zig. Run: tools/generate.sh" >&2
    exit 1
  fi
elif ! cmp -s "$fresh" "$target"; then
  mkdir -p "$(dirname "$target")"
  cp "$fresh" "$target"
fi
stamp generated "$(content_key shim/*.zig tools/generate.sh tools/zig.txt "$target")"
