#!/usr/bin/env python3
"""Judges SQEs that the shim built from random images: `fuzz SEED COUNT | decode.py`.

Written from the manual pages (io_uring_enter(2), openat(2), statx(2), ...) and from nothing of the
shim's own: for each opcode, which memory may the kernel read or write, which descriptor does it use,
which fields must be zero? Every range must lie in the arena or in the private memory of the SQE's own
slot; every descriptor must be a file of the ring.

Prints counts; the exit status is 1 at the first SQE that could reach beyond.
"""

import struct
import sys

AT_FDCWD = -100
O_CLOEXEC = 0o2000000
FIXED_FILE, IO_DRAIN, IO_LINK, IO_HARDLINK, ASYNC = 1, 2, 4, 8, 16
SQE = struct.Struct("<BBHiQQIIQHHIQQ")

# Opcode: name, descriptor ("fixed", "real", "cwd", "either", None), allowed bits of the operation's flags.
OPCODES = {
    0: ("nop", None, 0),
    3: ("fsync", "fixed", 1),
    4: ("read_fixed", "fixed", 1 | 8),
    5: ("write_fixed", "fixed", 1 | 2 | 4 | 8 | 16),
    14: ("async_cancel", None, 0),
    17: ("fallocate", "fixed", 0),
    18: ("openat", "cwd", 0o3 | 0o100 | 0o200 | 0o1000 | 0o2000 | 0o4000 | 0o10000 | 0o40000
         | 0o200000 | 0o400000 | 0o1000000 | O_CLOEXEC),
    19: ("close", "real", 0),
    21: ("statx", "cwd or real", 0x100 | 0x1000),
    24: ("fadvise", "fixed", 7),
    35: ("renameat", "cwd", 1 | 2),
    36: ("unlinkat", "cwd", 0x200),
    37: ("mkdirat", "cwd", 0),
    39: ("linkat", "cwd", 0),
    55: ("ftruncate", "fixed", 0),
}


class Bad(Exception):
    pass


def require(holds, what):
    if not holds:
        raise Bad(what)


class Judge:
    def __init__(self, source):
        self.source = source
        magic, _, self.arena, self.arena_bytes, self.memory, self.slots, self.slot_bytes = struct.unpack(
            "<4sIQQQQQ", self.take(48))
        require(magic == b"URFZ", "no fuzz output")
        self.accepted = {}
        self.refused = {}

    def take(self, count):
        data = self.source.read(count)
        if len(data) != count:
            raise EOFError
        return data

    def numbers(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def run(self):
        total = 0
        while True:
            first = self.source.read(4)
            if not first:
                return total
            reason = struct.unpack("<I", first)[0]
            (count,) = self.numbers("<I")
            files = [self.numbers("<ii") for _ in range(count)]
            image = self.take(64)
            total += 1
            if reason != 0:
                self.refused[reason] = self.refused.get(reason, 0) + 1
                continue
            sqe = self.take(64)
            (size,) = self.numbers("<I")
            memory = self.take(size)
            try:
                self.judge(SQE.unpack(sqe), memory, files)
            except Bad as bad:
                print(f"image {total} reaches beyond: {bad}\n  image {image.hex(' ', 8)}\n  sqe   {sqe.hex(' ', 8)}",
                      file=sys.stderr)
                sys.exit(1)

    def judge(self, fields, memory, files):
        (opcode, flags, ioprio, fd, off, addr, length, op_flags, user_data,
         buf_index, personality, file_index, addr3, pad) = fields
        require(opcode in OPCODES, f"opcode {opcode}")
        name, descriptor, allowed = OPCODES[opcode]
        self.accepted[name] = self.accepted.get(name, 0) + 1
        slot = user_data & 0xFFFFFFFF
        require(slot < self.slots, f"slot {slot}")
        base = self.memory + slot * self.slot_bytes

        # Buffer selection (32) and skipped completions (64) are nobody's; no row has them.
        require(flags & ~(FIXED_FILE | IO_DRAIN | IO_LINK | IO_HARDLINK | ASYNC) == 0, f"flags {flags:#x}")
        require(op_flags & ~allowed == 0, f"{name}: operation flags {op_flags:#x}")
        for what, value in (("ioprio", ioprio), ("buf_index", buf_index), ("personality", personality),
                            ("file_index", file_index), ("addr3", addr3), ("pad", pad)):
            require(value == 0, f"{name}: {what} is {value:#x}")

        descriptors = [one for one, _ in files]
        indices = [index for _, index in files]
        fixed = flags & FIXED_FILE != 0
        if descriptor is None:
            require(not fixed, f"{name}: fixed file")
        elif descriptor == "fixed":
            require(fixed and fd in indices, f"{name}: file {fd} of {indices}")
        elif descriptor == "real":
            require(not fixed and fd in descriptors, f"{name}: descriptor {fd} of {descriptors}")
        elif descriptor == "cwd":
            require(not fixed and fd == AT_FDCWD, f"{name}: descriptor {fd}")

        def in_arena(at, count):
            require(self.arena <= at and at + count <= self.arena + self.arena_bytes,
                    f"{name}: {count} bytes at {at:#x} are not in the arena")

        def in_slot(at, count):
            require(base <= at and at + count <= base + self.slot_bytes,
                    f"{name}: {count} bytes at {at:#x} are not in slot {slot}")

        def path(at, empty=False):
            in_slot(at, 1)
            end = memory.find(b"\0", at - base)
            require(end >= 0, f"{name}: path without an end")
            in_slot(at, end - (at - base) + 1)
            require(end - (at - base) <= 4095, f"{name}: path too long")
            if not empty:
                require(end > at - base, f"{name}: empty path")
            return at - base, end

        if name in ("read_fixed", "write_fixed"):
            in_arena(addr, length)
        elif name == "nop":
            require((fd, off, addr, length) == (0, 0, 0, 0), "nop with arguments")
        elif name == "fsync":
            require(addr == 0, "fsync: addr")
        elif name == "fallocate":
            pass  # offset, length in addr, mode in len: numbers all
        elif name == "ftruncate":
            require((addr, length) == (0, 0), "ftruncate: addr or len")
        elif name == "fadvise":
            require(addr == 0, "fadvise: addr")
        elif name == "async_cancel":
            require((off, length) == (0, 0), "cancel: off or len")  # addr is a user_data
        elif name == "close":
            require((off, addr, length) == (0, 0, 0), "close with arguments")
        elif name == "openat":
            path(addr)
            require(off == 0, "openat: off")
            require(op_flags & O_CLOEXEC != 0, "openat without O_CLOEXEC")
        elif name == "statx":
            in_slot(off, 256)
            require(not fixed, "statx: fixed file")
            if op_flags & 0x1000:
                require(fd in descriptors, f"statx: descriptor {fd}")
                start, end = path(addr, empty=True)
            else:
                require(fd == AT_FDCWD, f"statx: descriptor {fd}")
                start, end = path(addr)
            require(off >= base + end + 1 or off + 256 <= base + start, "statx: result over the path")
        elif name in ("unlinkat", "mkdirat"):
            path(addr)
            require(off == 0, f"{name}: off")
            if name == "unlinkat":
                require(length == 0, "unlinkat: len")
        elif name in ("renameat", "linkat"):
            _, first_end = path(addr)
            second, _ = path(off)
            require(second > first_end, f"{name}: paths overlap")
            require(length == AT_FDCWD & 0xFFFFFFFF, f"{name}: directory {length:#x}")
        else:
            raise Bad(f"{name}: nothing said about it")


def main():
    judge = Judge(sys.stdin.buffer)
    total = judge.run()
    accepted = sum(judge.accepted.values())
    print(f"{total} images: {accepted} accepted, {total - accepted} refused, none reaches beyond")
    print("  accepted: " + ", ".join(f"{name} {count}" for name, count in sorted(judge.accepted.items())))
    print("  refused by reason: " + ", ".join(f"{reason}: {count}" for reason, count in sorted(judge.refused.items())))
    # A fuzz that accepts nothing of some kind has tested nothing of it.
    missing = sorted(name for name, _, _ in OPCODES.values() if name not in judge.accepted)
    if missing and total >= 100_000:
        print("never accepted: " + ", ".join(missing), file=sys.stderr)
        sys.exit(1)


main()
