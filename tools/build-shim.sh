#!/usr/bin/env bash
# Builds the shim, or its unit tests, or its fuzz: `tools/build-shim.sh [library|test|fuzz|fuzz-debug]`.
#
# One direct compiler call: two seconds on an empty cache, where `zig build` takes a minute.
# build.zig says the same for people and releases; a change here belongs there too.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
# shellcheck source=tools/lib.sh
source tools/lib.sh
export PATH="$root/.tools/bin:$PATH"

what=${1:-library}
machine=$(uname -m)
library=build/liburing-io.so

# Debian's place first, then where other systems put it.
liburing=
for file in "/usr/lib/$machine-linux-gnu/liburing.a" /usr/lib64/liburing.a /usr/lib/liburing.a; do
  [[ -e $file ]] && { liburing=$file; break; }
done
[[ -n $liburing ]] || die "liburing.a is missing. On Debian: apt-get install liburing-dev"

caches=(--cache-dir .tools/zig-cache --global-cache-dir .tools/zig-cache)
# No libc and the plainest processor of the kind, so that one file serves glibc and musl everywhere.
# LLVM and LLD, because the other linker ignores the version script.
flags=(
  -target "$machine-linux-none" -mcpu baseline -O ReleaseSafe
  -fllvm -flld -fPIC -fno-ubsan-rt
  "${caches[@]}"
)

case $what in
  library)
    # The same sources, archive, flags and compiler give the same library: then there is nothing to do.
    key=$(content_key shim/*.zig shim/shim.map "$liburing" tools/build-shim.sh tools/zig.txt)
    if stamped shim "$key" && [[ -e $library ]]; then exit 0; fi
    mkdir -p build
    exec 9>.tools/shim.lock
    flock 9
    # Under another name first: a running program may have the old library mapped.
    zig build-lib shim/shim.zig -dynamic --name uring-io "${flags[@]}" -fstrip -fsoname=liburing-io.so \
      --version-script shim/shim.map "$liburing" "-femit-bin=$library.$$"
    mv -f "$library.$$" "$library"
    stamp shim "$key"
    ;;
  test)
    # Without optimisation, which is quick to compile. With LLVM, because the other back end's assembler
    # knows no instruction that the plainest processor lacks.
    zig test shim/shim.zig -target "$machine-linux-none" -mcpu baseline -O Debug -fllvm "${caches[@]}" "$liburing"
    ;;
  fuzz | fuzz-debug)
    # The fuzz programs (shim/fuzz.zig), as the library is built, or with what Debug checks beyond.
    key=$(content_key shim/*.zig "$liburing" tools/build-shim.sh tools/zig.txt)
    if stamped "$what" "$key" && [[ -e build/uring-$what ]]; then exit 0; fi
    mkdir -p build
    exec 9>".tools/$what.lock"
    flock 9
    if [[ $what == fuzz-debug ]]; then flags+=(-O Debug); else flags+=(-fstrip); fi
    zig build-exe shim/fuzz.zig "${flags[@]}" "$liburing" "-femit-bin=build/uring-$what.$$"
    mv -f "build/uring-$what.$$" "build/uring-$what"
    stamp "$what" "$key"
    ;;
  *) die "tools/build-shim.sh: library, test, fuzz or fuzz-debug, not '$what'" ;;
esac
