#!/usr/bin/env bash
# Brings what the other verbs need, and nothing twice: `tools/setup.sh [full]`.
#
# Everything that is not a Debian package goes into the checkout (.tools/ and
# node_modules/), so removing the checkout removes it. What is present is left
# alone: a second run costs a few milliseconds.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
# shellcheck source=tools/lib.sh
source tools/lib.sh

full=${1:-}

# The Debian packages, each with a file or a command that shows it is there, and what it is for.
# The word `needed` stops set-up when the package can not be had; `wanted` only says so.
multiarch="/usr/lib/$(uname -m)-linux-gnu"
packages=(
  "needed|liburing-dev|$multiarch/liburing.a|building the shim"
  "wanted|strace|strace|tests that inject kernel errors"
  "wanted|xfsprogs|mkfs.xfs|tests on XFS"
  "wanted|btrfs-progs|mkfs.btrfs|tests on btrfs"
)
if [[ $full == full ]]; then
  packages+=(
    "needed|fio|fio|benchmarks: the reference they are held against"
    "needed|gcc|gcc|benchmarks: the reference loop in C"
    "needed|libc6-dev|/usr/include/stdio.h|benchmarks: the reference loop in C"
    "wanted|e2fsprogs|mkfs.ext4|crash tests on ext4"
    "wanted|user-mode-linux|linux.uml|power cuts"
    "wanted|dmsetup|dmsetup|power cuts on a disk with a volatile cache"
    "wanted|kmod|insmod|power cuts on a disk with a volatile cache"
  )
fi

# Whether a file, or a command by its name, is there; sbin is not on every path.
present() {
  if [[ $1 == /* ]]; then [[ -e $1 ]]; else PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null; fi
}

apt_updated=
# Installs Debian packages, or says in one line what a person would do.
apt_install() {
  if ! command -v apt-get >/dev/null; then
    note "cannot install $*: this is no Debian. Install the same by your system's own packages."
    return 1
  fi
  if [[ $(id -u) != 0 ]]; then
    note "cannot install $*: not root. Run: sudo apt-get install $*"
    return 1
  fi
  local log=.tools/apt.log
  export DEBIAN_FRONTEND=noninteractive
  if [[ -z $apt_updated ]]; then
    note "apt-get update"
    apt-get update -qq >"$log" 2>&1 </dev/null || note "apt-get update failed: $(tail -n 1 "$log")"
    apt_updated=yes
  fi
  note "apt-get install $*"
  apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1 </dev/null || {
    note "cannot install $*: $(tail -n 1 "$log") (all of it: $log)"
    return 1
  }
}

debian_packages() {
  local row need name file what missing=()
  for row in "${packages[@]}"; do
    IFS='|' read -r need name file what <<<"$row"
    present "$file" || missing+=("$name")
  done
  [[ ${#missing[@]} == 0 ]] && return 0
  # What set-up could not bring once, it does not try at every call; `rm -r .tools/stamps` tries again.
  local stamp=.tools/stamps/debian key
  key="$(id -u) ${missing[*]}"
  if [[ -e $stamp && $(<"$stamp") == "$key" ]]; then return 0; fi
  apt_install "${missing[@]}" || true
  local lacking=()
  for row in "${packages[@]}"; do
    IFS='|' read -r need name file what <<<"$row"
    present "$file" && continue
    [[ $need == needed ]] && die "$name is missing ($what). On Debian: apt-get install $name"
    note "without $name these are skipped: $what"
    lacking+=("$name")
  done
  if [[ ${#lacking[@]} != 0 ]]; then echo "$(id -u) ${lacking[*]}" >"$stamp"; fi
}

# Bun, Deno, TypeScript and the libraries, exactly as package-lock.json has them.
npm_packages() {
  local key
  key=$(content_key package.json package-lock.json .npmrc)
  if stamped npm "$key" && [[ -x .tools/bin/bun && -x .tools/bin/deno ]]; then return 0; fi
  command -v npm >/dev/null || die "npm is missing: install Node.js 20 or later with npm (Debian: apt-get install nodejs npm)"
  note "npm ci (Bun, Deno, TypeScript, libraries)"
  npm ci --loglevel=error --no-progress </dev/null >.tools/npm.log 2>&1 || die "npm ci failed:
$(tail -n 15 .tools/npm.log)"
  # The packages `bun` and `deno` find their binaries in install scripts, which do not run here.
  local bun deno
  bun=$(first_executable node_modules/@oven/bun-linux-*/bin/bun) || die "npm brought no Bun for $(uname -m)"
  deno=$(first_executable node_modules/@deno/linux-*/deno) || die "npm brought no Deno for $(uname -m)"
  mkdir -p .tools/bin
  ln -sfn "../../$bun" .tools/bin/bun
  ln -sfn "../../$deno" .tools/bin/deno
  ln -sfn ../../node_modules/.bin/tsc .tools/bin/tsc
  .tools/bin/bun --version >/dev/null || die "Bun does not run on this machine: $bun"
  .tools/bin/deno --version >/dev/null || die "Deno does not run on this machine: $deno"
  stamp npm "$key"
}

first_executable() {
  local file
  for file in "$@"; do
    [[ -x $file ]] && { echo "$file"; return 0; }
  done
  return 1
}

# Zig, pinned with its hashes in tools/zig.txt, from PyPI into an environment of this checkout.
zig() {
  local key
  key=$(content_key tools/zig.txt)
  if stamped zig "$key" && [[ -x .tools/bin/zig ]]; then return 0; fi
  note "pip install $(sed -n 's/^\(ziglang==[^ ]*\).*/\1/p' tools/zig.txt)"
  rm -rf .tools/zig
  if ! python_environment; then
    if command -v python3 >/dev/null && [[ -e /etc/debian_version ]]; then
      apt_install python3-venv || true
    fi
    python_environment || die "no Python 3 with venv: install it (Debian: apt-get install python3 python3-venv)"
  fi
  .tools/zig/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes -r tools/zig.txt </dev/null >.tools/pip.log 2>&1 || die "pip could not install Zig:
$(tail -n 5 .tools/pip.log)"
  local binary
  binary=$(first_executable .tools/zig/lib/python3*/site-packages/ziglang/zig) || die "the package ziglang has no zig"
  mkdir -p .tools/bin
  ln -sfn "../../$binary" .tools/bin/zig
  .tools/bin/zig version >/dev/null || die "Zig does not run on this machine: $binary"
  stamp zig "$key"
}

# The first Python that makes a working environment: the one on the path, else the system's.
python_environment() {
  local python
  for python in python3 /usr/bin/python3; do
    command -v "$python" >/dev/null || continue
    rm -rf .tools/zig
    if "$python" -m venv .tools/zig >.tools/pip.log 2>&1 && .tools/zig/bin/python -m pip --version >/dev/null 2>&1; then
      return 0
    fi
  done
  rm -rf .tools/zig
  return 1
}

mkdir -p .tools/stamps .tools/bin
# Two verbs started together must not install over each other.
exec 9>.tools/lock
flock 9
[[ $(uname -s) == Linux ]] || die "this checkout is built and tested on Linux"
debian_packages
npm_packages
zig
