//! From an image to an SQE: one function for each row of `abi.operations`, made at compile time from
//! what the row says. It trusts nothing in the image and keeps no pointer to it.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const kernel = @import("kernel.zig");
const liburing = @import("liburing.zig");
const File = @import("files.zig").File;
const Ring = @import("ring.zig").Ring;
const slots = @import("slots.zig");

const Reason = abi.bad_reason;
const Words = [8]u64;

/// An image in shared memory: another thread may write to it while it is read.
pub const Source = *align(1) const volatile Words;

/// Checks the image and builds its SQE. On `.none` the slot (and for some rows the file) is marked as
/// in flight; `Ring.rollback` of the SQE undoes that. On any other reason nothing has changed.
pub inline fn build(ring: *Ring, source: Source, sqe: *liburing.Sqe) Reason {
    // The one read of shared memory; from here on only the copy counts.
    var image: Words = undefined;
    inline for (0..8) |word| image[word] = source[word];
    return switch (@as(u8, @truncate(image[0]))) {
        inline 0...abi.operations.len - 1 => |operation| Prepare(operation).build(ring, image, sqe),
        else => .operation,
    };
}

fn Prepare(comptime operation: u8) type {
    const row = abi.operations[operation];
    const allowed = comptime allowedBits(row);
    const opens = comptime is(row, "openat");
    const closes = comptime is(row, "close");
    const reads = row.opcode == liburing.OP_READ or row.opcode == liburing.OP_READ_FIXED;
    const writes = row.opcode == liburing.OP_WRITE or row.opcode == liburing.OP_WRITE_FIXED;
    const has_file = row.file == .fixed or row.file == .real;
    const kind: slots.Kind = if (opens)
        .open
    else if (closes)
        .close
    else if (row.offset == .result)
        .result
    else if (row.addr == .path)
        .path
    else
        .simple;

    return struct {
        inline fn build(ring: *Ring, image: Words, sqe: *liburing.Sqe) Reason {
            var wrong: u64 = 0;
            inline for (image, allowed) |word, mask| {
                if (mask != std.math.maxInt(u64)) wrong |= word & ~mask;
            }
            if (wrong != 0) return whichBits(row, image);
            if (row.since > abi.Row.since_least and !ring.supported[operation]) return .unsupported;

            const slot_index: u32 = @truncate(image[4]);
            if (slot_index >= ring.slot_count) return .slot;
            const slot = &ring.slots[slot_index];
            if (slot.busy) return .slot;

            var file: ?*File = null;
            var file_index: u16 = undefined;
            var fd: i32 = 0;
            switch (row.file) {
                .none => {},
                .cwd => fd = kernel.AT_FDCWD,
                .fixed, .real => {
                    const reference: u32 = @truncate(image[0] >> 32);
                    const found = ring.files.find(reference) orelse return .file;
                    file = found;
                    file_index = @truncate(reference & (abi.files_max - 1));
                    fd = if (row.file == .fixed) found.target else found.fd;
                },
            }
            if (closes and file.?.in_flight != 0) return .file_busy;

            const length: u32 = @truncate(image[3]);
            const addr: u64 = switch (row.addr) {
                .zero => if (row.offset == .result) ring.emptyPath(slot_index) else 0,
                .number, .target => image[2],
                .arena => in_arena: {
                    if (image[2] > ring.arena_bytes or length > ring.arena_bytes - image[2]) return .arena;
                    break :in_arena ring.arena_address + image[2];
                },
                .path => ring.copyPath(slot_index, 0, image[2], length) orelse return .path,
                .result => comptime unreachable,
            };
            const offset: u64 = switch (row.offset) {
                .zero => if (row.addr2 == .path)
                    ring.copyPath(slot_index, 1, @as(u32, @truncate(image[5])), @truncate(image[5] >> 32)) orelse return .path
                else
                    0,
                .number => image[1],
                .result => ring.resultAddress(slot_index),
                else => comptime unreachable,
            };
            if (opens) {
                // The last check that can fail.
                file = ring.files.reserve() orelse return .files_full;
            }

            // Where the arena is pinned in parts, what stands in none of them goes by the plain operation.
            const transfers = row.addr == .arena and (reads or writes);
            var buffer_index: u64 = 0;
            var pinned = true;
            if (transfers and ring.slice_bytes != 0) {
                if (ring.pinOf(image[2], length)) |index| {
                    buffer_index = index;
                } else {
                    if (ring.in_worker) return .unpinned;
                    pinned = false;
                }
            }

            const extra: u32 = @truncate(image[6]);
            const len: u32 = if (row.extra == .number)
                extra
            else if (row.addr2 == .path)
                @bitCast(kernel.AT_FDCWD)
            else if (row.length == .number)
                length
            else
                0;
            var op_flags: u32 = @truncate(image[3] >> 32);
            if (opens) op_flags = machineOpenFlags(op_flags) | kernel.O_CLOEXEC;
            if (row.file == .real and row.offset == .result) op_flags |= AT_EMPTY_PATH;

            var flags: u8 = @truncate(image[0] >> 8);
            if (row.file == .fixed) flags |= ring.file_flag;
            const opcode: u8 = if (reads)
                (if (pinned) ring.read_opcode else liburing.OP_READ)
            else if (writes)
                (if (pinned) ring.write_opcode else liburing.OP_WRITE)
            else
                row.opcode;

            const out: *Words = @ptrCast(sqe);
            out[0] = opcode | @as(u64, flags) << 8 | kernel.unsigned(fd) << 32;
            out[1] = offset;
            out[2] = addr;
            out[3] = len | @as(u64, op_flags) << 32;
            out[4] = image[4];
            out[5] = buffer_index;
            out[6] = 0;
            out[7] = 0;

            slot.* = .{
                .generation = @truncate(image[4] >> 32),
                .file = if (opens) ring.files.indexOf(file.?) else if (has_file) file_index else slots.no_file,
                .kind = kind,
                .busy = true,
            };
            if (file) |one| one.in_flight += 1;
            if (closes) {
                ring.files.beginClose(file.?);
                ring.closes_staged += 1;
            }
            return .none;
        }
    };
}

const AT_EMPTY_PATH = 0x1000;

fn is(row: abi.Row, name: []const u8) bool {
    return std.mem.eql(u8, row.name, name);
}

/// For each byte of an image the bits that may be set.
fn allowedBits(row: abi.Row) Words {
    var image: abi.Image = std.mem.zeroes(abi.Image);
    image.operation = 0xff;
    image.flags = row.sqe_flags;
    image.slot = all32;
    image.generation = all32;
    image.op_flags = row.op_flags;
    if (row.file == .fixed or row.file == .real) image.file = all32;
    if (row.offset == .number) image.offset = all64;
    switch (row.addr) {
        .zero => {},
        .number, .target => image.addr = all64,
        .arena, .path => {
            image.addr = all64;
            image.length = all32;
        },
        .result => unreachable,
    }
    if (row.length == .number) image.length = all32;
    if (row.addr2 == .path) {
        image.addr2 = all32;
        image.length2 = all32;
    }
    if (row.extra == .number) image.extra = all32;
    return @as(*const Words, @ptrCast(&image)).*;
}

const all32 = std.math.maxInt(u32);
const all64 = std.math.maxInt(u64);

fn whichBits(comptime row: abi.Row, words: Words) Reason {
    @branchHint(.cold);
    const image: *const abi.Image = @ptrCast(&words);
    if (image.flags & ~row.sqe_flags != 0) return .sqe_flags;
    if (image.op_flags & ~row.op_flags != 0) return .op_flags;
    return .not_zero;
}

/// `abi.open_flag` has x86-64's numbers; three of them are others on aarch64.
fn machineOpenFlags(flags: u32) u32 {
    if (builtin.cpu.arch != .aarch64) return flags;
    const moved = abi.open_flag.DIRECT | abi.open_flag.DIRECTORY | abi.open_flag.NOFOLLOW;
    var out = flags & ~moved;
    if (flags & abi.open_flag.DIRECT != 0) out |= 0o200000;
    if (flags & abi.open_flag.DIRECTORY != 0) out |= 0o40000;
    if (flags & abi.open_flag.NOFOLLOW != 0) out |= 0o100000;
    return out;
}
