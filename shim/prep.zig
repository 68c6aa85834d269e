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
const table = @import("table.zig");

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
    const kind = comptime kindOf(row);
    comptime checkPlaces(row);

    return struct {
        inline fn build(ring: *Ring, image: Words, sqe: *liburing.Sqe) Reason {
            var wrong: u64 = 0;
            inline for (image, allowed) |word, mask| {
                if (mask != std.math.maxInt(u64)) wrong |= word & ~mask;
            }
            if (wrong != 0) return whichBits(row, image);
            const asked: u32 = @truncate(image[3] >> 32);
            if (row.op_values.len > 0 and !isOneOf(row.op_values, asked)) return .op_flags;
            if (row.probed() and !ring.supported[operation]) return .unsupported;

            const slot_index: u32 = @truncate(image[4]);
            if (slot_index >= ring.slot_count) return .slot;
            const slot = &ring.slots[slot_index];
            if (slot.busy) return .slot;

            const reference: u32 = @truncate(image[0] >> 32);
            var file: ?*File = null;
            var fd: i32 = 0;
            // A file beside the one that the slot names.
            var second: ?*File = null;
            switch (row.file) {
                .none, .ring => {},
                .cwd => fd = kernel.AT_FDCWD,
                .fixed, .real => {
                    const found = ring.files.find(reference) orelse return .file;
                    file = found;
                    fd = if (row.file == .fixed) found.target else found.fd;
                },
                .directory => if (reference == abi.file_none) {
                    fd = kernel.AT_FDCWD;
                } else {
                    const found = ring.files.find(reference) orelse return .file;
                    second = found;
                    fd = found.fd;
                },
            }
            if (row.second == .fixed) second = ring.files.find(@truncate(image[6])) orelse return .file;
            if (row.effect == .closes and file.?.in_flight != 0) return .file_busy;

            var off: u64 = 0;
            var addr: u64 = 0;
            var len: u64 = 0;
            var third: u64 = 0;
            var reason = field(row.addr, ring, slot_index, image, &addr);
            if (reason != .none) return reason;
            reason = field(row.off, ring, slot_index, image, &off);
            if (reason != .none) return reason;
            reason = field(row.len, ring, slot_index, image, &len);
            if (reason != .none) return reason;
            reason = field(row.third, ring, slot_index, image, &third);
            if (reason != .none) return reason;

            // What cannot fail any more once it is taken.
            if (row.effect == .opens) file = ring.files.reserve() orelse return .files_full;
            if (row.file == .ring) {
                fd = table.duplicate(reference);
                if (fd < 0) return .ring;
            }

            // Where the arena is pinned in parts, what does not stand in one of them goes by the plain operation.
            var buffer_index: u64 = 0;
            var pinned = true;
            if (row.addr == .vectors and len == 0) {
                // Of no memory none is pinned.
                pinned = false;
            } else if (row.pinned != 0 and ring.slice_bytes != 0) {
                const pin = if (row.addr == .vectors)
                    ring.pinOfVectors(slot_index, @truncate(len))
                else
                    ring.pinOf(image[2], @truncate(image[3]));
                if (pin) |index| {
                    buffer_index = index;
                } else {
                    if (ring.in_worker) return .unpinned;
                    pinned = false;
                }
            }

            var op_flags: u32 = if (comptime hasHow(row)) 0 else asked | row.op_set;
            var file_index: u32 = 0;
            if (row.second == .fixed) {
                file_index = @bitCast(second.?.target);
                if (ring.file_flag != 0) op_flags |= SPLICE_F_FD_IN_FIXED;
            }
            var flags: u8 = @truncate(image[0] >> 8);
            if (row.file == .fixed) flags |= ring.file_flag;
            const opcode: u8 = if (row.pinned != 0 and pinned) ring.opcodes[operation] else row.opcode;

            const out: *Words = @ptrCast(sqe);
            out[0] = opcode | @as(u64, flags) << 8 | kernel.unsigned(fd) << 32;
            out[1] = off;
            out[2] = addr;
            out[3] = @as(u32, @truncate(len)) | @as(u64, op_flags) << 32;
            out[4] = image[4];
            out[5] = buffer_index | @as(u64, file_index) << 32;
            out[6] = third;
            out[7] = 0;

            slot.* = .{
                .generation = @truncate(image[4] >> 32),
                .file = switch (row.file) {
                    .fixed, .real => @truncate(reference & (abi.files_max - 1)),
                    else => if (row.effect == .opens) ring.files.indexOf(file.?) else slots.no_file,
                },
                .kind = kind,
                .busy = true,
            };
            if (file) |one| one.in_flight += 1;
            if (comptime attaches(kind)) {
                ring.attachments[slot_index] = .{
                    .file = if (second) |one| ring.files.indexOf(one) else slots.no_file,
                    .descriptor = if (row.file == .ring) fd else -1,
                    .value_at = if (kind == .value) @truncate(image[1]) else 0,
                    .value_bytes = if (kind == .value) @truncate(image[6]) else 0,
                };
                if (second) |one| one.in_flight += 1;
            }
            if (row.opcode == liburing.OP_ASYNC_CANCEL) ring.cancels = true;
            if (row.effect == .closes) {
                ring.files.beginClose(file.?);
                ring.closes_staged += 1;
            }
            return .none;
        }
    };
}

/// A field of the SQE, from the image or from the slot's memory.
inline fn field(comptime source: abi.Source, ring: *Ring, slot_index: u32, image: Words, out: *u64) Reason {
    const length: u32 = @truncate(image[3]);
    const extra: u32 = @truncate(image[6]);
    out.* = switch (source) {
        .zero => 0,
        .offset => image[1],
        .addr, .target => image[2],
        .length => length,
        .extra => extra,
        .one => 1,
        .cwd => @as(u32, @bitCast(kernel.AT_FDCWD)),
        .how_bytes => @sizeOf(kernel.OpenHow),
        .arena, .pages => in_arena: {
            if (!ring.inArena(image[2], length)) return .arena;
            // Advice goes to whole pages: the kernel rounds up.
            const whole = ring.page_bytes - 1;
            if (source == .pages and ((ring.arena_address + image[2]) | length) & whole != 0) return .arena;
            break :in_arena ring.arena_address + image[2];
        },
        .vectors => ring.copyVectors(slot_index, image[2], length) orelse return .arena,
        .vector_count => ring.vectorCount(slot_index, length),
        .path => ring.copyText(slot_index, slots.first_at, abi.path_bytes_max, image[2], length) orelse return .path,
        .path2 => ring.copyText(slot_index, slots.second_at, abi.path_bytes_max, low(image[5]), high(image[5])) orelse return .path,
        .name => ring.copyText(slot_index, slots.result_at, abi.xattr_name_bytes_max, low(image[5]), high(image[5])) orelse return .path,
        .empty_path => ring.copyStruct(slot_index, slots.first_at, @as(u8, 0)),
        .how, .how_resolve => ring.copyStruct(slot_index, slots.second_at, kernel.OpenHow{
            .flags = machineOpenFlags(high(image[3])) | kernel.O_CLOEXEC,
            .mode = extra,
            .resolve = abi.resolve_flag.NO_MAGICLINKS | if (source == .how_resolve) image[1] else 0,
        }),
        .timespec => ring.copyStruct(slot_index, slots.second_at, liburing.Timespec{
            .seconds = @bitCast(image[1]),
            .nanoseconds = extra,
        }),
        .result => ring.placeOf(slot_index, slots.result_at),
        .value_in => ring.copyValueIn(slot_index, image[1], extra) orelse return .arena,
        .value_out => value: {
            if (extra > abi.value_bytes_max or !ring.inArena(image[1], extra)) return .arena;
            break :value ring.placeOf(slot_index, slots.second_at);
        },
        .message => image[2] | abi.message_bit,
    };
    return .none;
}

const SPLICE_F_FD_IN_FIXED: u32 = 1 << 31;

fn low(word: u64) u32 {
    return @truncate(word);
}

fn high(word: u64) u32 {
    return @truncate(word >> 32);
}

inline fn isOneOf(comptime values: []const u32, value: u32) bool {
    inline for (values) |one| if (value == one) return true;
    return false;
}

fn hasHow(comptime row: abi.Row) bool {
    return row.off == .how or row.off == .how_resolve;
}

/// Where in the slot's memory a source keeps what it makes.
fn placeOf(comptime source: abi.Source) ?usize {
    return switch (source) {
        .path, .empty_path, .vectors => slots.first_at,
        .path2, .how, .how_resolve, .timespec, .value_in, .value_out => slots.second_at,
        .name, .result => slots.result_at,
        else => null,
    };
}

fn checkPlaces(comptime row: abi.Row) void {
    const sources = row.sources();
    for (sources, 0..) |one, index| {
        const place = placeOf(one) orelse continue;
        for (sources[index + 1 ..]) |other| {
            if (placeOf(other) == place) @compileError(row.name ++ ": two sources in one place of the slot's memory");
        }
    }
}

fn kindOf(comptime row: abi.Row) slots.Kind {
    switch (row.effect) {
        .opens => return if (row.file == .directory) .open_in else .open,
        .closes => return .close,
        .none => {},
    }
    if (row.file == .ring) return .message;
    if (row.second != .none) return .pair;
    if (row.file == .directory) @compileError(row.name ++ ": only what opens can begin at a directory");
    var kind: slots.Kind = .simple;
    for (row.sources()) |source| {
        if (placeOf(source) == null) continue;
        switch (source) {
            .result => return .result,
            .value_out => return .value,
            else => kind = .private,
        }
    }
    return if (row.file == .real) .named else kind;
}

fn attaches(comptime kind: slots.Kind) bool {
    return switch (kind) {
        .open_in, .pair, .value, .message => true,
        .simple, .private, .named, .result, .open, .close => false,
    };
}

/// For each byte of an image the bits that may be set.
fn allowedBits(comptime row: abi.Row) Words {
    @setEvalBranchQuota(100_000);
    var image: abi.Image = std.mem.zeroes(abi.Image);
    image.operation = 0xff;
    image.flags = row.sqe_flags;
    image.slot = all32;
    image.generation = all32;
    image.op_flags = if (row.op_values.len > 0) all32 else row.op_flags;
    switch (row.file) {
        .none, .cwd => {},
        .fixed, .real, .directory, .ring => image.file = all32,
    }
    if (row.second != .none) image.extra = all32;
    for (row.sources()) |source| {
        for (abi.uses(source)) |use| @field(image, use.field) |= @truncate(use.mask);
    }
    return @as(*const Words, @ptrCast(&image)).*;
}

const all32 = std.math.maxInt(u32);

fn whichBits(comptime row: abi.Row, words: Words) Reason {
    @branchHint(.cold);
    const image: *const abi.Image = @ptrCast(&words);
    if (image.flags & ~row.sqe_flags != 0) return .sqe_flags;
    if (row.op_values.len == 0 and image.op_flags & ~row.op_flags != 0) return .op_flags;
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
