# What the shell programs of this checkout share. Sourced with the checkout's root as working directory.

note() { printf './dev: %s\n' "$*" >&2; }
die() {
  printf './dev: %s\n' "$*" >&2
  exit 1
}

# One key for the contents (and names) of files.
content_key() { sha256sum -- "$@" | sha256sum | cut -d ' ' -f 1; }

# A stamp says that something was done for just these contents.
stamped() { [[ -e .tools/stamps/$1 && $(<".tools/stamps/$1") == "$2" ]]; }
stamp() {
  mkdir -p .tools/stamps
  printf '%s\n' "$2" >".tools/stamps/$1"
}
