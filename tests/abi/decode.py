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

O_ALLOWED = (0o3 | 0o100 | 0o200 | 0o1000 | 0o2000 | 0o4000 | 0o10000 | 0o40000 | 0o200000 | 0o400000
             | 0o1000000 | 0o4000000 | O_CLOEXEC)
RESOLVE_NO_MAGICLINKS = 2
STATX_SYNC = 0x2000 | 0x4000
RWF_READ = 1 | 8 | 0x80
RWF_WRITE = 1 | 2 | 4 | 8 | 0x10 | 0x40 | 0x80
POLL = 1 | 2 | 4 | 8 | 16 | 0x2000
TIMEOUT = 1 | 4 | 8 | 32
SPLICE_F_FD_IN_FIXED = 1 << 31

# Opcode: name, descriptor ("fixed", "real", "cwd", ..., None), allowed bits of the operation's flags.
OPCODES = {
    0: ("nop", None, 0),
    1: ("readv", "fixed", RWF_READ),
    2: ("writev", "fixed", RWF_WRITE),
    3: ("fsync", "fixed", 1),
    4: ("read_fixed", "fixed", RWF_READ),
    5: ("write_fixed", "fixed", RWF_WRITE),
    6: ("poll_add", "fixed", POLL),
    7: ("poll_remove", None, 0),
    8: ("sync_file_range", "fixed", 7),
    11: ("timeout", None, TIMEOUT),
    12: ("timeout_remove", None, 1 | 2 | 16),
    14: ("async_cancel", "none or real", 1 | 2 | 4),
    15: ("link_timeout", None, TIMEOUT),
    17: ("fallocate", "fixed", 0),
    19: ("close", "real", 0),
    22: ("read", "fixed", RWF_READ),
    23: ("write", "fixed", RWF_WRITE),
    21: ("statx", "cwd or real", 0x100 | 0x800 | 0x1000 | STATX_SYNC),
    24: ("fadvise", "fixed", 7),
    25: ("madvise", None, 31),
    28: ("openat2", "cwd or real", 0),
    30: ("splice", "fixed", 7 | SPLICE_F_FD_IN_FIXED),
    35: ("renameat", "cwd", 1 | 2),
    36: ("unlinkat", "cwd", 0x200),
    37: ("mkdirat", "cwd", 0),
    38: ("symlinkat", "cwd", 0),
    39: ("linkat", "cwd", 0),
    40: ("msg_ring", "ring", 0),
    41: ("fsetxattr", "real", 1 | 2),
    42: ("setxattr", None, 1 | 2),
    43: ("fgetxattr", "real", 0),
    44: ("getxattr", None, 0),
    55: ("ftruncate", "fixed", 0),
    60: ("readv_fixed", "fixed", RWF_READ),
    61: ("writev_fixed", "fixed", RWF_WRITE),
}
# How the arena is pinned: as one buffer, in parts, or not at all.
WHOLE, PARTS, NOTHING = range(3)
# Operations on memory that is pinned.
PINNED = ("read_fixed", "write_fixed", "readv_fixed", "writev_fixed")
# Operations in which the other meanings of a field are something else than a number.
XATTR = ("fsetxattr", "setxattr", "fgetxattr", "getxattr")


class Bad(Exception):
    pass


def require(holds, what):
    if not holds:
        raise Bad(what)


class Judge:
    def __init__(self, source):
        self.source = source
        magic, _, self.arena, self.arena_bytes, self.memory, self.slots, self.slot_bytes, slices = struct.unpack(
            "<4sIQQQQQQ", self.take(56))
        self.slices = slices
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
            self.table, self.pinned, self.worker = self.numbers("<III")
            self.pins = [self.numbers("<II") for _ in range(self.slices)]
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
        for what, value in (("ioprio", ioprio), ("personality", personality), ("pad", pad)):
            require(value == 0, f"{name}: {what} is {value:#x}")
        if self.pinned != PARTS or name not in PINNED:
            require(buf_index == 0, f"{name}: buf_index is {buf_index:#x}")
        if name != "splice":
            require(file_index == 0, f"{name}: file_index is {file_index:#x}")
        if name not in ("setxattr", "getxattr"):
            require(addr3 == 0, f"{name}: addr3 is {addr3:#x}")

        # A ring's descriptor has no place in the table of files.
        descriptors = [one for one, index in files if index >= 0]
        indices = [index for _, index in files if index >= 0]
        rings = [one for one, index in files if index < 0]
        fixed = flags & FIXED_FILE != 0
        if descriptor is None:
            require(not fixed, f"{name}: fixed file")
        elif descriptor == "fixed" and self.table:
            require(fixed and fd in indices, f"{name}: file {fd} of {indices}")
        elif descriptor == "fixed":
            # Without a table of files the kernel goes by descriptors.
            require(not fixed and fd in descriptors, f"{name}: descriptor {fd} of {descriptors}")
        elif descriptor == "real":
            require(not fixed and fd in descriptors, f"{name}: descriptor {fd} of {descriptors}")
        elif descriptor == "cwd":
            require(not fixed and fd == AT_FDCWD, f"{name}: descriptor {fd}")
        elif descriptor == "cwd or real":
            require(not fixed and (fd == AT_FDCWD or fd in descriptors), f"{name}: descriptor {fd}")
        elif descriptor == "ring":
            require(not fixed and [fd] == rings and fd not in descriptors, f"{name}: descriptor {fd} of {rings}")
        elif descriptor == "none or real":
            require(not fixed, f"{name}: fixed file")
            require(fd == 0 or (op_flags & 2 and fd in descriptors), f"{name}: descriptor {fd}")

        def in_arena(at, count):
            require(self.arena <= at and at + count <= self.arena + self.arena_bytes,
                    f"{name}: {count} bytes at {at:#x} are not in the arena")

        def transferred(at, count):
            """Memory of data: what the kernel has pinned, or such as cannot go away."""
            in_arena(at, count)
            if name not in PINNED:
                require(count == 0 or not self.worker and self.pinned != WHOLE, f"{name}: memory that need not be pinned")
                return
            require(self.pinned != NOTHING, f"{name}: nothing is pinned")
            if self.pinned == PARTS:
                # The buffer of this index was registered from the slice of the same index on.
                require(buf_index < self.slices, f"{name}: buffer {buf_index}")
                start, end = (self.arena + edge for edge in self.pins[buf_index])
                require(start == self.arena + buf_index * self.arena_bytes // self.slices, f"{name}: no buffer {buf_index}")
                require(start <= at and at + count <= end, f"{name}: {count} bytes at {at:#x} beyond buffer {buf_index}")

        def in_slot(at, count):
            require(base <= at and at + count <= base + self.slot_bytes,
                    f"{name}: {count} bytes at {at:#x} are not in slot {slot}")

        def path(at, empty=False, longest=4095):
            in_slot(at, 1)
            end = memory.find(b"\0", at - base)
            require(end >= 0, f"{name}: path without an end")
            in_slot(at, end - (at - base) + 1)
            require(end - (at - base) <= longest, f"{name}: path too long")
            if not empty:
                require(end > at - base, f"{name}: empty path")
            return at - base, end

        def words(at, count):
            in_slot(at, 8 * count)
            return struct.unpack_from(f"<{count}Q", memory, at - base)

        def apart(*ranges):
            ordered = sorted((at, at + count) for at, count in ranges)
            for (_, end), (start, _) in zip(ordered, ordered[1:]):
                require(end <= start, f"{name}: memory overlaps")

        def timespec(at):
            # A struct __kernel_timespec is read.
            words(at, 2)

        if name in ("read", "write", "read_fixed", "write_fixed"):
            transferred(addr, length)
        elif name in ("readv", "writev", "readv_fixed", "writev_fixed"):
            # readv(2): IOV_MAX is 1024. struct iovec: base and length.
            require(length <= 1024, f"{name}: {length} vectors")
            vectors = words(addr, 2 * length)
            for index in range(length):
                transferred(vectors[2 * index], vectors[2 * index + 1])
        elif name == "nop":
            require((fd, off, addr, length) == (0, 0, 0, 0), "nop with arguments")
        elif name in ("fsync", "sync_file_range", "fadvise"):
            require(addr == 0, f"{name}: addr")
            require(name != "fadvise" or op_flags <= 5, f"fadvise: advice {op_flags}")
        elif name == "fallocate":
            pass  # offset, length in addr, mode in len: numbers all
        elif name == "ftruncate":
            require((addr, length) == (0, 0), "ftruncate: addr or len")
        elif name == "madvise":
            # Rounded up to whole pages by the kernel; from 6.10 on `off` would be a longer length.
            require(op_flags in (0, 3, 14, 22, 23), f"madvise: advice {op_flags}")
            require(off == 0 and addr % 4096 == 0, "madvise: off, or a crooked address")
            in_arena(addr, (length + 4095) // 4096 * 4096)
        elif name == "async_cancel":
            require((off, length) == (0, 0), "cancel: off or len")  # addr is a user_data
            # By user_data, by descriptor, or any: one of them.
            require(op_flags & 6 != 6 and (op_flags & 6 == 0 or addr == 0), f"cancel: flags {op_flags}, addr {addr:#x}")
        elif name == "poll_add":
            # `len` is the flag word: multishot, update.
            require((off, addr, length) == (0, 0, 0), "poll_add with arguments")
        elif name == "poll_remove":
            require((off, length, op_flags) == (0, 0, 0), "poll_remove with flags")  # addr is a user_data
        elif name in ("timeout", "link_timeout"):
            require(length == 1, f"{name}: {length} timespecs")
            require(name == "timeout" or off == 0, "link_timeout: off")  # else a count
            timespec(addr)
        elif name == "timeout_remove":
            require(length == 0, "timeout_remove: len")  # addr is a user_data
            if op_flags & 2:
                timespec(off)
            else:
                require((off, op_flags) == (0, 0), "timeout_remove: off or flags without UPDATE")
        elif name == "splice":
            # off and addr are offsets. The second descriptor, too, is a file of the ring.
            among = indices if self.table else descriptors
            require(bool(op_flags & SPLICE_F_FD_IN_FIXED) == bool(self.table) and file_index in among,
                    f"splice: from {file_index} of {among}")
        elif name == "msg_ring":
            # addr: data and nothing else. off: user_data of the completion there, that of no operation.
            require(addr == 0, f"msg_ring: command {addr}")
            require(off & 0xFFFFFFFF >= self.slots, f"msg_ring: user_data {off:#x} of an operation")
        elif name in XATTR:
            _, name_end = path(addr, longest=255)
            require(length <= 65536, f"{name}: {length} bytes")
            in_slot(off, length)
            used = [(addr, name_end - (addr - base) + 1), (off, length)]
            if "f" not in name[:1]:
                _, path_end = path(addr3)
                used.append((addr3, path_end - (addr3 - base) + 1))
            apart(*used)
        elif name == "close":
            require((off, addr, length) == (0, 0, 0), "close with arguments")
        elif name == "openat2":
            _, end = path(addr)
            require(length == 24, f"openat2: open_how of {length} bytes")
            flags, mode, resolve = words(off, 3)
            apart((addr, end - (addr - base) + 1), (off, 24))
            require(flags & O_CLOEXEC and flags & ~O_ALLOWED == 0, f"openat2: flags {flags:#o}")
            require(mode <= 0o7777, f"openat2: mode {mode:#o}")
            require(resolve & RESOLVE_NO_MAGICLINKS and resolve <= 63, f"openat2: resolve {resolve:#x}")
        elif name == "statx":
            in_slot(off, 256)
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
        elif name in ("renameat", "linkat", "symlinkat"):
            _, first_end = path(addr)
            second, _ = path(off)
            require(second > first_end, f"{name}: paths overlap")
            if name == "symlinkat":
                require(length == 0, "symlinkat: len")
            else:
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
