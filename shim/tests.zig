//! The boundary's tests: what `prep` refuses and what it makes, byte by byte, and what a tick does when
//! the kernel takes only a part. No kernel: a test plays it (`fake.zig`).

const std = @import("std");
const abi = @import("abi.zig");
const files = @import("files.zig");
const kernel = @import("kernel.zig");
const liburing = @import("liburing.zig");
const slots = @import("slots.zig");
const table = @import("table.zig");
const Fake = @import("fake.zig").Fake;
const fake_ring = @import("fake.zig");
const Ring = @import("ring.zig").Ring;

const expect = std.testing.expect;
const equal = std.testing.expectEqual;
const Reason = abi.bad_reason;
const LINK = abi.sqe_flag.IO_LINK;
const HARDLINK = abi.sqe_flag.IO_HARDLINK;

/// Every test has its own; it is too large for a stack.
var fake: Fake = undefined;

fn begin() void {
    fake.init();
    fake.ring.enter_for_test = Kernel.enter;
    Kernel.reset();
}

/// Plays io_uring_enter: takes `takes[n]` SQEs in the n-th call (all where there is none), and completes
/// at once what it took, with res 0 or `fds` for openat.
const Kernel = struct {
    var takes: []const u32 = &.{};
    var answers: []const i32 = &.{};
    var calls: u32 = 0;
    var completes = true;
    var wanted: u32 = 0;
    var flags_seen: u32 = 0;
    var next_open: i32 = -2;

    fn reset() void {
        takes = &.{};
        answers = &.{};
        calls = 0;
        completes = true;
        wanted = 0;
        next_open = -2;
    }

    fn enter(ring: *Ring, submit: u32, want: u32, flags: u32) i32 {
        const head = fake.sq_head;
        const taken = if (calls < takes.len) @min(takes[calls], submit) else submit;
        const answer: i32 = if (calls < answers.len) answers[calls] else @intCast(taken);
        calls += 1;
        wanted = want;
        flags_seen = flags;
        fake.take(taken);
        if (completes) for (0..taken) |index| {
            const sqe = ring.sqe(head +% @as(u32, @intCast(index)));
            const res: i32 = if (sqe.opcode == OP_OPENAT2) next_open else 0;
            fake.complete(@truncate(sqe.user_data), @truncate(sqe.user_data >> 32), res, 0);
        };
        return answer;
    }
};

const OP_OPENAT2 = 28;
const path = "/tmp/some/file";

fn rowOf(comptime name: []const u8) u8 {
    return inline for (abi.operations, 0..) |row, number| {
        if (comptime std.mem.eql(u8, row.name, name)) break number;
    } else unreachable;
}

/// A ring for messages to name: its descriptor is a file that nobody reads.
var target_ring: struct { number: u32, fd: i32 } = .{ .number = 0, .fd = -1 };

fn targetRing() u32 {
    if (target_ring.number == 0) {
        target_ring.fd = kernel.open("/dev/null", 0);
        fake.ring.uring.ring_fd = target_ring.fd;
        table.lock.acquire();
        defer table.lock.release();
        const Other = struct {
            var ring: Ring = undefined;
        };
        Other.ring.uring.ring_fd = target_ring.fd;
        target_ring.number = table.publish(table.reserve().?, &Other.ring, 0);
    }
    return target_ring.number;
}

/// An image that the row accepts, with every field that it names set to something.
fn validImage(comptime row: abi.Row, operation: u8, slot: u32, file: u32) abi.Image {
    var image = std.mem.zeroes(abi.Image);
    image.operation = operation;
    image.slot = slot;
    image.generation = 5;
    switch (row.file) {
        .none, .cwd => {},
        .fixed, .real, .directory => image.file = file,
        .ring => image.file = targetRing(),
    }
    if (row.op_values.len > 0) image.op_flags = row.op_values[row.op_values.len - 1];
    if (row.second != .none) image.extra = file;
    inline for (comptime row.sources()) |source| switch (source) {
        .zero, .one, .cwd, .how_bytes, .vector_count, .empty_path, .result => {},
        .offset => image.offset = 4096,
        .addr, .target, .message => image.addr = 77,
        .length => if (image.length == 0) {
            image.length = 3;
        },
        .extra => if (image.extra == 0) {
            image.extra = 0o644;
        },
        .arena, .pages => {
            image.addr = 8192;
            image.length = 4096;
        },
        .vectors => {
            std.mem.writeInt(u32, fake.area[1000..1004], 100, .little);
            std.mem.writeInt(u32, fake.area[1004..1008], 50, .little);
            std.mem.writeInt(u32, fake.area[1008..1012], fake_ring.arena_bytes - 1, .little);
            std.mem.writeInt(u32, fake.area[1012..1016], 1, .little);
            image.addr = 1000;
            image.length = 2;
        },
        .path => {
            @memcpy(fake.area[100..][0..path.len], path);
            image.addr = 100;
            image.length = path.len;
        },
        .path2, .name => {
            @memcpy(fake.area[600..][0..path.len], path);
            image.addr2 = 600;
            image.length2 = path.len;
        },
        .how => image.extra = 0o644,
        .how_resolve => {
            image.extra = 0o600;
            image.offset = abi.resolve_flag.BENEATH;
        },
        .timespec => {
            image.offset = 7;
            image.extra = 500;
        },
        .value_in, .value_out => {
            image.offset = 4000;
            image.extra = 40;
        },
    };
    return image;
}

/// Which bits of an image's byte the row lets be set, in words of its own: not what `prep` computes.
fn allowedBits(comptime row: abi.Row, at: usize) u8 {
    const in = struct {
        fn any(comptime wanted: []const abi.Source) bool {
            for (row.sources()) |source| {
                if (std.mem.indexOfScalar(abi.Source, wanted, source) != null) return true;
            }
            return false;
        }
    }.any;
    const resolves = comptime in(&.{.how_resolve});
    return switch (at) {
        0 => 0xff,
        1 => row.sqe_flags,
        2, 3 => 0,
        4...7 => if (row.file == .none or row.file == .cwd) 0 else 0xff,
        8...15 => if (comptime in(&.{ .offset, .timespec, .value_in, .value_out }))
            0xff
        else if (resolves and at == 8) 0x3f else 0,
        16...23 => if (comptime in(&.{ .addr, .arena, .pages, .vectors, .path, .target, .message })) 0xff else 0,
        24...27 => if (comptime in(&.{ .length, .arena, .pages, .vectors, .path })) 0xff else 0,
        28...31 => if (row.op_values.len > 0) 0xff else @truncate(row.op_flags >> @intCast(8 * (at - 28))),
        32...39 => 0xff,
        40...47 => if (comptime in(&.{ .path2, .name })) 0xff else 0,
        48...51 => if (row.second != .none or comptime in(&.{ .extra, .timespec, .value_in, .value_out }))
            0xff
        else if (comptime in(&.{ .how, .how_resolve })) switch (at) {
            48 => 0xff,
            49 => 0x0f,
            else => 0,
        } else 0,
        52...63 => 0,
        else => unreachable,
    };
}

fn stageOne(image: abi.Image) Reason {
    fake.images[0] = image;
    return switch (fake.ring.stage(1)) {
        .built => .none,
        .bad => |bad| bad.reason,
    };
}

/// What a refusal must leave as it was.
const State = struct {
    slots: [fake_ring.slot_count]slots.Slot,
    files: [fake_ring.file_count]files.File,
    free: [fake_ring.file_count]u16,
    free_count: u32,
    in_flight: u32,
    tail: u32,
    closes: u32,

    fn now() State {
        return .{
            .slots = fake.slots,
            .files = fake.files,
            .free = fake.free,
            .free_count = fake.ring.files.free_count,
            .in_flight = fake.ring.in_flight,
            .tail = fake.ring.sq_tail,
            .closes = fake.ring.closes_staged,
        };
    }

    fn unchanged(before: State) !void {
        const after = now();
        try std.testing.expectEqualSlices(files.File, &before.files, &after.files);
        for (before.slots, after.slots) |one, other| {
            try equal(one.busy, other.busy);
            if (one.busy) try equal(one, other);
        }
        try equal(before.free_count, after.free_count);
        try std.testing.expectEqualSlices(u16, before.free[0..before.free_count], after.free[0..after.free_count]);
        try equal(before.in_flight, after.in_flight);
        try equal(before.tail, after.tail);
        try equal(before.closes, after.closes);
    }
};

test "every row accepts an image with the fields that it names, and its SQE has no others" {
    inline for (abi.operations, 0..) |row, operation| {
        begin();
        const file = fake.openFile();
        @memset(std.mem.asBytes(&fake.sqes), 0xaa);
        const image = validImage(row, operation, 3, file);
        try equal(Reason.none, stageOne(image));
        const sqe = fake.sqes[0];
        try equal(@as(u64, 3 | 5 << 32), sqe.user_data);
        try equal(0, sqe.ioprio);
        try equal(0, sqe.buf_index);
        try equal(0, sqe.personality);
        try equal(0, sqe.pad);
        try equal(0, sqe.file_index);
        try equal(if (row.pinned != 0) row.pinned else row.opcode, sqe.opcode);
        try equal(if (row.file == .fixed) abi.sqe_flag.FIXED_FILE else 0, sqe.flags);
        switch (row.file) {
            .none => try equal(0, sqe.fd),
            .cwd => try equal(-100, sqe.fd),
            .fixed => try equal(0, sqe.fd),
            .real, .directory => try equal(fake_ring.first_fd, sqe.fd),
            // A duplicate.
            .ring => try expect(sqe.fd >= 0 and sqe.fd != target_ring.fd),
        }
        const memory = @intFromPtr(&fake.slot_memory) + 3 * slots.memory_bytes;
        inline for (comptime row.sources(), .{ sqe.off, sqe.addr, @as(u64, sqe.len), sqe.addr3 }) |source, value| switch (source) {
            .zero => try equal(0, value),
            .one => try equal(1, value),
            .cwd => try equal(@as(u32, @bitCast(@as(i32, -100))), value),
            .how_bytes => try equal(24, value),
            .offset => try equal(4096, value),
            .addr, .target => try equal(77, value),
            .length, .vector_count => try equal(image.length, value),
            .extra => try equal(image.extra, value),
            .arena, .pages => try equal(@intFromPtr(&fake.arena) + 8192, value),
            .vectors => {
                try equal(memory, value);
                const vectors: [*]const u64 = @ptrFromInt(value);
                const arena = @intFromPtr(&fake.arena);
                try std.testing.expectEqualSlices(u64, &.{ arena + 100, 50, arena + fake_ring.arena_bytes - 1, 1 }, vectors[0..4]);
            },
            .path, .path2, .name => {
                try equal(memory + @as(usize, switch (source) {
                    .path => 0,
                    .path2 => 4096,
                    else => 8192,
                }), value);
                try std.testing.expectEqualStrings(path, std.mem.span(@as([*:0]const u8, @ptrFromInt(value))));
            },
            .empty_path => try equal(0, @as(*const u8, @ptrFromInt(value)).*),
            .how, .how_resolve => {
                try equal(memory + 4096, value);
                const how: [*]const u64 = @ptrFromInt(value);
                try equal(kernel.O_CLOEXEC, how[0]);
                try equal(image.extra, how[1]);
                try equal(if (source == .how) 2 else 2 | 8, how[2]);
            },
            .timespec => {
                const time: [*]const u64 = @ptrFromInt(value);
                try std.testing.expectEqualSlices(u64, &.{ 7, 500 }, time[0..2]);
            },
            .result => try equal(memory + slots.result_at, value),
            .value_in, .value_out => try equal(memory + 4096, value),
            .message => try equal(77 | 1 << 31, value),
        };
        try expect(fake.slots[3].busy);
        if (row.file != .none and row.file != .cwd and row.file != .ring) try expect(fake.files[0].in_flight > 0);
        fake.ring.rollback(fake.ring.sq_tail, 1, .published);
        try equal(0, fake.files[0].in_flight);
    }
}

test "B1: every bit of every row that it does not name is refused, and changes nothing" {
    inline for (abi.operations, 0..) |row, operation| {
        begin();
        const file = fake.openFile();
        for (1..64) |at| {
            const allowed = allowedBits(row, at);
            for (0..8) |bit| {
                const mask = @as(u8, 1) << @intCast(bit);
                var image = validImage(row, operation, 3, file);
                std.mem.asBytes(&image)[at] |= mask;
                const before = State.now();
                const reason = stageOne(image);
                if (allowed & mask == 0) {
                    try equal(switch (at) {
                        1 => Reason.sqe_flags,
                        28...31 => Reason.op_flags,
                        else => Reason.not_zero,
                    }, reason);
                } else {
                    // Of values only some are allowed, whatever their bits.
                    const value = row.op_values.len > 0 and at >= 28 and at < 32;
                    if (!value) switch (reason) {
                        .sqe_flags, .op_flags, .not_zero, .operation => return error.RefusedAnAllowedBit,
                        else => {},
                    };
                }
                if (reason == .none) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
                try before.unchanged();
            }
        }
    }
}

test "no operation beyond the table" {
    begin();
    for (abi.operations.len..256) |operation| {
        var image = std.mem.zeroes(abi.Image);
        image.operation = @intCast(operation);
        try equal(Reason.operation, stageOne(image));
    }
    fake.ring.supported = @splat(false);
    const file = fake.openFile();
    inline for (abi.operations, 0..) |row, operation| {
        const expected: Reason = if (row.since > 5015 or row.pinned_since > 5015) .unsupported else .none;
        try equal(expected, stageOne(validImage(row, operation, 0, file)));
        if (expected == .none) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    }
}

test "arena ranges at their borders" {
    begin();
    const file = fake.openFile();
    const size = fake_ring.arena_bytes;
    const cases = [_]struct { u64, u32, bool }{
        .{ 0, size, true },
        .{ 0, 0, true },
        .{ size, 0, true },
        .{ size - 1, 1, true },
        .{ 0, size + 1, false },
        .{ 1, size, false },
        .{ size, 1, false },
        .{ size + 1, 0, false },
        .{ size - 1, 2, false },
        .{ 1, 0xffff_ffff, false },
        .{ 0xffff_ffff_ffff_ffff, 1, false },
        .{ 0xffff_ffff_ffff_ffff, 0xffff_ffff, false },
        .{ 0 -% @as(u64, @intCast(size)), size, false },
        .{ 1 << 63, 0, false },
        .{ 1 << 32, 16, false },
    };
    inline for (.{ 1, 2, 3, 4 }) |operation| for (cases) |case| {
        var image = validImage(abi.operations[operation], operation, 0, file);
        image.addr = case[0];
        image.length = case[1];
        const reason = stageOne(image);
        try equal(if (case[2]) Reason.none else Reason.arena, reason);
        if (case[2]) {
            try equal(@intFromPtr(&fake.arena) + case[0], fake.sqes[0].addr);
            fake.ring.rollback(fake.ring.sq_tail, 1, .published);
        }
    };
}

test "without a registered arena or file table the same images become plain operations" {
    begin();
    const file = fake.openFile();
    fake.ring.usePlainOpcodes();
    fake.ring.file_flag = 0;
    fake.files[0].target = fake.files[0].fd;
    try equal(Reason.none, stageOne(validImage(abi.operations[3], 3, 0, file)));
    try equal(liburing.OP_READ, fake.sqes[0].opcode);
    try equal(0, fake.sqes[0].flags);
    try equal(fake_ring.first_fd, fake.sqes[0].fd);
}

test "slots: out of range, in flight, twice in one tick" {
    begin();
    var image = validImage(abi.operations[0], 0, fake_ring.slot_count, 0);
    try equal(Reason.slot, stageOne(image));
    image.slot = 0xffff_ffff;
    try equal(Reason.slot, stageOne(image));
    image.slot = fake_ring.slot_count - 1;
    fake.images[0] = image;
    fake.images[1] = image;
    const before = State.now();
    try equal(-kernel.EINVAL, fake.ring.tick(2, 0, 0));
    try equal(1, fake.control.bad_index);
    try equal(@backingInt(Reason.slot), fake.control.bad_reason);
    try equal(0, fake.control.consumed);
    try equal(0, Kernel.calls);
    try before.unchanged();
    Kernel.completes = false;
    try equal(0, fake.ring.tick(1, 0, 0));
    try equal(Reason.slot, stageOne(image));
}

test "files: no reference but the one of the file that is open" {
    begin();
    const file = fake.openFile();
    const other = fake.openFile();
    const row = abi.operations[3];
    for ([_]u32{
        0,              1,                                file + 2,         file ^ 1 << 12,
        file ^ 1 << 30, file | 1 << 31,                   0xffff_ffff,      0x8000_0000,
        0x8000_0001,    fake_ring.file_count | (1 << 12), 4095 | (1 << 12), file & 0xfff | 0x7fff_f000,
    }) |wrong| {
        try equal(Reason.file, stageOne(validImage(row, 3, 0, wrong)));
    }
    // Closed ones: whatever is stored in their place names nothing.
    for (fake.files, 0..) |one, index| {
        if (one.state == .open) continue;
        try expect(one.ref & 0xfff != index);
        try equal(Reason.file, stageOne(validImage(row, 3, 0, one.ref)));
    }
    try equal(Reason.none, stageOne(validImage(row, 3, 0, other)));
}

test "a file with operations in flight cannot be closed, and a closed one not used, in one tick too" {
    begin();
    const file = fake.openFile();
    fake.images[0] = validImage(abi.operations[3], 3, 0, file);
    fake.images[1] = validImage(abi.operations[9], 9, 1, file);
    var before = State.now();
    try equal(-kernel.EINVAL, fake.ring.tick(2, 0, 0));
    try equal(@backingInt(Reason.file_busy), fake.control.bad_reason);
    try before.unchanged();

    fake.images[0] = validImage(abi.operations[9], 9, 0, file);
    fake.images[1] = validImage(abi.operations[3], 3, 1, file);
    try equal(-kernel.EINVAL, fake.ring.tick(2, 0, 0));
    try equal(1, fake.control.bad_index);
    try equal(@backingInt(Reason.file), fake.control.bad_reason);
    try before.unchanged();

    Kernel.completes = false;
    fake.images[0] = validImage(abi.operations[9], 9, 0, file);
    try equal(0, fake.ring.tick(1, 0, 0));
    before = State.now();
    try equal(Reason.file, stageOne(validImage(abi.operations[3], 3, 1, file)));
    try equal(Reason.file, stageOne(validImage(abi.operations[9], 9, 1, file)));
    try before.unchanged();

    // Its slot comes back with another generation.
    const free_before = fake.ring.files.free_count;
    fake.complete(0, 5, 0, 0);
    try equal(1, fake.ring.tick(0, 0, 0));
    try equal(free_before + 1, fake.ring.files.free_count);
    try expect(fake.openFile() != file);
    try equal(Reason.file, stageOne(validImage(abi.operations[3], 3, 0, file)));
}

test "a close that this ring canceled closes all the same, and no other" {
    begin();
    Kernel.completes = false;
    const canceling = comptime rowOf("cancel_any");
    const link = comptime rowOf("nop");
    inline for (.{ "canceled", "chained", "neither" }) |how| {
        const file = fake.openFile();
        const descriptor = kernel.open("/dev/null", 0);
        fake.files[file & 0xfff].fd = descriptor;
        var count: u32 = 0;
        if (how[1] == 'h') {
            fake.images[count] = validImage(abi.operations[link], link, 1, 0);
            fake.images[count].flags = abi.sqe_flag.IO_LINK;
            count += 1;
        }
        fake.images[count] = validImage(abi.operations[9], 9, 0, file);
        count += 1;
        if (how[0] == 'c' and how[1] == 'a') {
            fake.images[count] = validImage(abi.operations[canceling], canceling, 2, 0);
            count += 1;
        }
        try equal(0, fake.ring.tick(count, 0, 0));
        if (how[1] == 'h') fake.complete(1, 5, -5, 0);
        fake.complete(0, 5, -kernel.ECANCELED, 0);
        if (how[1] == 'a') fake.complete(2, 5, 1, 0);
        try equal(@as(i32, @intCast(count)), fake.ring.tick(0, 0, 0));
        try equal(files.State.free, fake.files[file & 0xfff].state);
        // A file system can say so, too, when it has closed: then the number may be another's.
        const still = kernel.duplicate(descriptor);
        if (how[0] == 'n') {
            try expect(still >= 0);
            kernel.close(still);
            kernel.close(descriptor);
        } else try equal(-kernel.EBADF, still);
    }
}

test "descriptors that unfinished operations go by are kept, and no others" {
    const name = struct {
        fn of(comptime text: []const u8) u8 {
            return inline for (abi.operations, 0..) |row, number| {
                if (comptime std.mem.eql(u8, row.name, text)) break number;
            } else unreachable;
        }
    }.of;
    inline for (.{ true, false }) |registered| {
        begin();
        Kernel.completes = false;
        fake.ring.files.registered = registered;
        fake.ring.file_flag = if (registered) abi.sqe_flag.FIXED_FILE else 0;
        const idle = fake.openFile();
        const cases = .{
            .{ comptime name("read"), !registered },
            .{ comptime name("fsync"), !registered },
            .{ comptime name("fstatx"), true },
            .{ comptime name("fgetxattr"), true },
            .{ comptime name("cancel_file"), true },
            .{ comptime name("close"), true },
        };
        var refs: [cases.len]u32 = undefined;
        inline for (cases, 0..) |case, index| {
            refs[index] = fake.openFile();
            fake.images[0] = validImage(abi.operations[case[0]], case[0], index, refs[index]);
            try equal(0, fake.ring.tick(1, 0, 0));
        }
        // A write is on its way beside what goes by number, and keeps the lock.
        fake.images[0] = validImage(abi.operations[comptime name("write")], comptime name("write"), cases.len, refs[2]);
        try equal(0, fake.ring.tick(1, 0, 0));
        fake.ring.keepNamed();
        inline for (cases, refs) |case, ref| {
            const kept = fake.files[ref & 0xfff].state == .kept;
            try equal(case[1], kept);
        }
        try equal(files.State.open, fake.files[idle & 0xfff].state);
        try equal(@as(u32, if (registered) 1 else 0), fake.files[refs[2] & 0xfff].in_flight);
        try equal(0, fake.files[refs[3] & 0xfff].in_flight);
    }
}

test "a slot whose generations are used up is retired" {
    begin();
    fake.files[0].generation = (1 << abi.file_generation_bits) - 1;
    const file = fake.openFile();
    try expect(@as(i32, @bitCast(file)) > 0);
    fake.images[0] = validImage(abi.operations[9], 9, 0, file);
    try equal(1, fake.ring.tick(1, 1, 0xffff_ffff));
    try equal(files.State.retired, fake.files[0].state);
    for (1..fake_ring.file_count) |_| try expect(fake.openFile() & 0xfff != 0);
    try equal(Reason.files_full, stageOne(validImage(abi.operations[8], 8, 0, 0)));
}

test "paths: empty, too long, with an inner NUL, beyond the parameter area" {
    begin();
    const longest = abi.path_bytes_max;
    @memset(fake.area[0..fake_ring.parameter_bytes], 'a');
    fake.area[9000] = 0;
    const cases = [_]struct { u64, u32, bool }{
        .{ 0, 1, true },
        .{ 0, longest, true },
        .{ fake_ring.parameter_bytes - 1, 1, true },
        .{ fake_ring.parameter_bytes - longest, longest, true },
        .{ 0, 0, false },
        .{ 0, longest + 1, false },
        .{ 0, 0xffff_ffff, false },
        .{ fake_ring.parameter_bytes, 1, false },
        .{ fake_ring.parameter_bytes - 1, 2, false },
        .{ fake_ring.parameter_bytes + 1, 1, false },
        .{ 0xffff_ffff_ffff_ffff, 2, false },
        .{ 1 << 32, 1, false },
        .{ 9000, 1, false },
        .{ 8990, 11, false },
        .{ 8990, 10, true },
    };
    inline for (.{ 8, 10, 12, 13, 14, 15, comptime rowOf("openat2"), comptime rowOf("symlinkat") }) |operation| for (cases) |case| {
        const row = abi.operations[operation];
        var image = validImage(row, operation, 0, abi.file_none);
        @memset(fake.area[100..800], 'a');
        image.addr = case[0];
        image.length = case[1];
        var reason = stageOne(image);
        try equal(if (case[2]) Reason.none else Reason.path, reason);
        if (reason == .none) {
            const copied = std.mem.span(@as([*:0]const u8, @ptrFromInt(fake.sqes[0].addr)));
            try equal(case[1], copied.len);
            fake.ring.rollback(fake.ring.sq_tail, 1, .published);
        }
        if (row.off == .path2 and case[0] <= 0xffff_ffff) {
            image.addr = 0;
            image.length = 5;
            image.addr2 = @intCast(case[0]);
            image.length2 = case[1];
            reason = stageOne(image);
            try equal(if (case[2]) Reason.none else Reason.path, reason);
            if (reason == .none) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
        }
    };
}

test "openat always closes on exec, and reserves its file slot until it fails" {
    begin();
    const free_before = fake.ring.files.free_count;
    fake.images[0] = validImage(abi.operations[8], 8, 0, 0);
    fake.images[0].op_flags = abi.open_flag.RDWR | abi.open_flag.CREAT;
    try equal(1, fake.ring.tick(1, 1, 0xffff_ffff));
    try equal(0, fake.sqes[0].op_flags);
    const how: *const kernel.OpenHow = @ptrFromInt(fake.sqes[0].off);
    try equal(kernel.O_CLOEXEC | abi.open_flag.RDWR | abi.open_flag.CREAT, how.flags);
    try equal(abi.resolve_flag.NO_MAGICLINKS, how.resolve);
    try equal(@as(u32, @bitCast(@as(i32, -kernel.ENOENT))), fake.columns[2 * fake_ring.slot_count]);
    try equal(free_before, fake.ring.files.free_count);
}

test "files full" {
    begin();
    for (0..fake_ring.file_count) |_| _ = fake.openFile();
    const before = State.now();
    try equal(Reason.files_full, stageOne(validImage(abi.operations[8], 8, 0, 0)));
    try before.unchanged();
}

test "more staged than the queue has entries" {
    begin();
    try equal(-kernel.EINVAL, fake.ring.tick(fake_ring.entries + 1, 0, 0));
    try equal(-kernel.EINVAL, fake.ring.tick(0xffff_ffff, 0, 0));
    try equal(0, Kernel.calls);
}

fn stageNops(flags: []const u8) void {
    for (flags, 0..) |one, index| {
        fake.images[index] = validImage(abi.operations[0], 0, @intCast(index), 0);
        fake.images[index].flags = one;
    }
}

test "B7: a chain must end in its tick" {
    begin();
    inline for (.{ LINK, HARDLINK }) |link| {
        stageNops(&.{ 0, link, link });
        const before = State.now();
        try equal(-kernel.EINVAL, fake.ring.tick(3, 0, 0));
        try equal(2, fake.control.bad_index);
        try equal(@backingInt(Reason.chain), fake.control.bad_reason);
        try before.unchanged();
    }
}

test "B7: what the kernel did not take goes back, in order, and is taken the next time" {
    begin();
    stageNops(&.{ 0, 0, 0, 0, 0 });
    Kernel.takes = &.{2};
    try equal(2, fake.ring.tick(5, 5, 0xffff_ffff));
    try equal(2, fake.control.consumed);
    try equal(0, fake.control.in_flight);
    try equal(fake.sq_head, fake.sq_tail);
    try expect(!fake.slots[2].busy and !fake.slots[4].busy);
    for (0..3) |index| fake.images[index] = fake.images[index + 2];
    try equal(3, fake.ring.tick(3, 3, 0xffff_ffff));
    try equal(3, fake.control.consumed);
    for (0..3) |index| try equal(2 + index, fake.columns[index]);
}

test "B7: the rest of a chain that the kernel cut ends with ECANCELED" {
    inline for (.{ LINK, HARDLINK }) |link| {
        begin();
        stageNops(&.{ 0, link, link, 0, 0, link, 0 });
        // The cut falls behind the first member of the chain 1-2-3.
        Kernel.takes = &.{2};
        try equal(4, fake.ring.tick(7, 7, 0xffff_ffff));
        try equal(4, fake.control.consumed);
        try equal(0, fake.control.in_flight);
        var canceled: u32 = 0;
        for (0..4) |index| {
            const res: i32 = @bitCast(fake.columns[2 * fake_ring.slot_count + index]);
            const slot = fake.columns[index];
            try equal(5, fake.columns[fake_ring.slot_count + index]);
            try equal(@as(i32, if (slot == 2 or slot == 3) -kernel.ECANCELED else 0), res);
            canceled += @intFromBool(res < 0);
        }
        try equal(2, canceled);
        // 4, 5 and 6 stay staged.
        for (0..3) |index| fake.images[index] = fake.images[index + 4];
        try equal(3, fake.ring.tick(3, 3, 0xffff_ffff));
        for (fake.slots) |slot| try expect(!slot.busy);
    }
}

test "B7: a cut between chains cancels nothing" {
    begin();
    stageNops(&.{ LINK, 0, LINK, 0 });
    Kernel.takes = &.{2};
    try equal(2, fake.ring.tick(4, 4, 0xffff_ffff));
    try equal(2, fake.control.consumed);
    try equal(0, fake.ring.canceled_count);
}

test "EAGAIN and EBUSY leave all staged and say so" {
    inline for (.{ kernel.EAGAIN, kernel.EBUSY }) |errno| {
        begin();
        stageNops(&.{ 0, 0 });
        Kernel.takes = &.{0};
        Kernel.answers = &.{-errno};
        const before = State.now();
        try equal(0, fake.ring.tick(2, 1, 0xffff_ffff));
        try equal(errno, fake.control.again);
        try equal(0, fake.control.consumed);
        try before.unchanged();
        try equal(2, fake.ring.tick(2, 2, 0xffff_ffff));
        try equal(0, fake.control.again);
    }
}

test "an error after some were taken: the head decides, not what enter returns" {
    begin();
    stageNops(&.{ 0, 0, 0 });
    Kernel.takes = &.{1};
    Kernel.answers = &.{-kernel.EAGAIN};
    try equal(1, fake.ring.tick(3, 3, 0xffff_ffff));
    try equal(1, fake.control.consumed);
}

test "EINTR is tried again" {
    begin();
    stageNops(&.{ 0, 0 });
    Kernel.takes = &.{0};
    Kernel.answers = &.{-kernel.EINTR};
    try equal(2, fake.ring.tick(2, 2, 0xffff_ffff));
    try equal(2, Kernel.calls);
    try equal(2, fake.control.consumed);
}

test "any other error of enter is the result" {
    begin();
    stageNops(&.{0});
    Kernel.takes = &.{0};
    Kernel.answers = &.{-17};
    const before = State.now();
    try equal(-17, fake.ring.tick(1, 1, 0xffff_ffff));
    try before.unchanged();
}

test "it never waits for more than is in flight, and never for nothing" {
    begin();
    try equal(0, fake.ring.tick(0, 5, 0xffff_ffff));
    try equal(0, Kernel.calls);
    stageNops(&.{ 0, 0 });
    try equal(2, fake.ring.tick(2, 100, 0xffff_ffff));
    try equal(2, Kernel.wanted);
    try equal(1, Kernel.calls);
    // What is there already needs no enter.
    Kernel.completes = false;
    stageNops(&.{0});
    _ = fake.ring.tick(1, 0, 0);
    fake.complete(0, 5, 0, 0);
    Kernel.calls = 0;
    try equal(1, fake.ring.tick(0, 1, 0xffff_ffff));
    try equal(0, Kernel.calls);
}

test "task work and overflow bring one enter, an idle tick none" {
    begin();
    Kernel.completes = false;
    stageNops(&.{ 0, 0 });
    _ = fake.ring.tick(2, 0, 0);
    Kernel.calls = 0;
    _ = fake.ring.tick(0, 0, 0);
    try equal(0, Kernel.calls);
    fake.sq_flags = liburing.SQ_TASKRUN;
    _ = fake.ring.tick(0, 0, 0);
    try equal(1, Kernel.calls);
    try equal(liburing.ENTER_GETEVENTS, Kernel.flags_seen);
    fake.sq_flags = liburing.SQ_CQ_OVERFLOW;
    _ = fake.ring.tick(0, 0, 0);
    try equal(2, Kernel.calls);
    try equal(1, fake.control.overflows);
    try equal(1, fake.control.more);
}

test "stale completions are counted, not delivered" {
    begin();
    Kernel.completes = false;
    stageNops(&.{0});
    _ = fake.ring.tick(1, 0, 0);
    fake.complete(0, 4, 0, 0);
    fake.complete(1, 5, 0, 0);
    fake.complete(fake_ring.slot_count, 5, 0, 0);
    fake.complete(0x7fff_ffff, 0xffff_ffff, 0, 0);
    fake.complete(0, 5, 42, 0);
    try equal(1, fake.ring.tick(0, 1, 0xffff_ffff));
    try equal(4, fake.control.stale);
    try equal(42, fake.columns[2 * fake_ring.slot_count]);
    fake.complete(0, 5, 0, 0);
    try equal(0, fake.ring.tick(0, 0, 0));
    fake.ring.in_flight = 1;
    try equal(0, fake.ring.tick(0, 0, 0));
    try equal(5, fake.control.stale);
}

test "a completion with F_MORE keeps the slot" {
    begin();
    Kernel.completes = false;
    stageNops(&.{0});
    _ = fake.ring.tick(1, 0, 0);
    fake.complete(0, 5, 1, liburing.CQE_F_MORE);
    try equal(1, fake.ring.tick(0, 0, 0));
    try expect(fake.slots[0].busy);
    try equal(1, fake.control.in_flight);
    fake.complete(0, 5, 2, 0);
    try equal(1, fake.ring.tick(0, 0, 0));
    try expect(!fake.slots[0].busy);
}

test "a result is copied out to its slot's place, and only on success" {
    begin();
    Kernel.completes = false;
    const image = validImage(abi.operations[10], 10, 7, 0);
    inline for (.{ 0, -kernel.ENOENT }, .{ 0x5a, 0 }) |res, expected| {
        @memset(&fake.area, 0);
        fake.images[0] = image;
        @memcpy(fake.area[100..][0..path.len], path);
        _ = fake.ring.tick(1, 0, 0);
        const result: [*]u8 = @ptrFromInt(fake.ring.placeOf(7, slots.result_at));
        @memset(result[0..abi.result_bytes], 0x5a);
        fake.complete(7, 5, res, 0);
        try equal(1, fake.ring.tick(0, 0, 0));
        const out = fake.area[fake_ring.parameter_bytes + 7 * abi.result_bytes ..];
        try expect(std.mem.allEqual(u8, out[0..abi.result_bytes], expected));
        try equal(0, out[abi.result_bytes]);
    }
}

test "a close that the kernel did not take leaves its file open" {
    begin();
    const file = fake.openFile();
    fake.images[0] = validImage(abi.operations[9], 9, 0, file);
    Kernel.takes = &.{0};
    Kernel.answers = &.{-kernel.EBUSY};
    const before = State.now();
    try equal(0, fake.ring.tick(1, 0, 0));
    try before.unchanged();
    try equal(1, fake.ring.tick(1, 1, 0xffff_ffff));
    try equal(files.State.free, fake.files[0].state);
}

test "an openat that the kernel did not take gives its file slot back" {
    begin();
    fake.images[0] = validImage(abi.operations[8], 8, 0, 0);
    fake.images[1] = validImage(abi.operations[8], 8, 1, 0);
    Kernel.takes = &.{0};
    Kernel.answers = &.{-kernel.EAGAIN};
    const before = State.now();
    try equal(0, fake.ring.tick(2, 0, 0));
    try before.unchanged();
}

test "SQPOLL: no more is taken than there is room for, in whole chains" {
    begin();
    fake.ring.setup_flags = abi.setup_flag.SQPOLL;
    Kernel.completes = false;
    stageNops(&@as([12]u8, @splat(0)));
    try equal(0, fake.ring.tick(12, 0, 0));
    try equal(12, fake.control.consumed);
    // The kernel has read 2: room for 6, and the chain from the fifth on does not fit.
    fake.take(2);
    for (0..8) |index| {
        fake.images[index] = validImage(abi.operations[0], 0, @intCast(12 + index), 0);
        fake.images[index].flags = if (index >= 4 and index < 7) LINK else 0;
    }
    try equal(0, fake.ring.tick(8, 0, 0));
    try equal(4, fake.control.consumed);
    try equal(16, fake.control.in_flight);
    try expect(!fake.slots[16].busy and !fake.slots[17].busy);
}

test "vectors: each in the arena, no more than the limit, the list in the parameter area" {
    begin();
    const file = fake.openFile();
    const operation = comptime rowOf("readv");
    const size = fake_ring.arena_bytes;
    var image = validImage(abi.operations[operation], operation, 0, file);
    const put = struct {
        fn put(at: usize, offset: u32, bytes: u32) void {
            std.mem.writeInt(u32, fake.area[at..][0..4], offset, .little);
            std.mem.writeInt(u32, fake.area[at + 4 ..][0..4], bytes, .little);
        }
    }.put;
    for ([_]struct { u32, u32, bool }{
        .{ 0, size, true },         .{ size, 0, true },         .{ size - 1, 1, true },
        .{ size, 1, false },        .{ 0, size + 1, false },    .{ size + 1, 0, false },
        .{ 1, 0xffff_ffff, false }, .{ 0xffff_ffff, 1, false },
    }) |case| {
        put(1008, case[0], case[1]);
        const reason = stageOne(image);
        try equal(if (case[2]) Reason.none else Reason.arena, reason);
        if (case[2]) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    }
    // Empty ones are left out.
    put(1000, 5, 10);
    put(1008, 7, 0);
    put(1016, 9, 20);
    image.addr = 1000;
    image.length = 3;
    try equal(Reason.none, stageOne(image));
    const built = fake.ring.sqe(fake.ring.sq_tail);
    try equal(2, built.len);
    const vectors: *const [4]u64 = @ptrFromInt(built.addr);
    try equal([4]u64{ fake.ring.arena_address + 5, 10, fake.ring.arena_address + 9, 20 }, vectors.*);
    fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    for (0..abi.vectors_max + 1) |index| put(1000 + 8 * index, @intCast(index), 1);
    for ([_]struct { u64, u32, bool }{
        .{ 1000, abi.vectors_max, true },
        .{ 1000, abi.vectors_max + 1, false },
        .{ 1000, 0xffff_ffff, false },
        .{ 1000, 1 << 29, false },
        .{ 1000, 0, true },
        // Crooked, in a race-free world harmless.
        .{ 1003, 0, true },
        .{ fake_ring.parameter_bytes, 1, false },
        .{ fake_ring.parameter_bytes - 7, 1, false },
        .{ fake_ring.parameter_bytes, 0, true },
        .{ 0xffff_ffff_ffff_ffff, 1, false },
        .{ 1 << 32, 1, false },
    }) |case| {
        image.addr = case[0];
        image.length = case[1];
        const reason = stageOne(image);
        try equal(if (case[2]) Reason.none else Reason.arena, reason);
        if (case[2]) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    }
}

test "values: within the limit and the arena, private, and copied out as far as they were filled" {
    begin();
    const file = fake.openFile();
    const size = fake_ring.arena_bytes;
    inline for (.{ "getxattr", "setxattr", "fgetxattr", "fsetxattr" }) |name| {
        const operation = comptime rowOf(name);
        for ([_]struct { u64, u32, bool }{
            .{ 0, abi.value_bytes_max, true },     .{ size - 5, 5, true },  .{ size, 0, true },
            .{ 0, 0, true },                       .{ size - 5, 6, false }, .{ 0, abi.value_bytes_max + 1, false },
            .{ 0, 0xffff_ffff, false },            .{ 1 << 32, 1, false },  .{ size + 1, 0, false },
            .{ 0xffff_ffff_ffff_fff0, 32, false },
        }) |case| {
            var image = validImage(abi.operations[operation], operation, 0, file);
            image.offset = case[0];
            image.extra = case[1];
            const reason = stageOne(image);
            try equal(if (case[2]) Reason.none else Reason.arena, reason);
            if (case[2]) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
        }
    }
    // What is set was copied when the image was checked.
    const set = comptime rowOf("fsetxattr");
    @memset(&fake.arena, 'a');
    try equal(Reason.none, stageOne(validImage(abi.operations[set], set, 0, file)));
    @memset(&fake.arena, 'b');
    const value: [*]const u8 = @ptrFromInt(fake.sqes[0].off);
    try expect(std.mem.allEqual(u8, value[0..40], 'a'));
    fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    // What is got arrives in the arena at completion, `res` bytes of it.
    Kernel.completes = false;
    const get = comptime rowOf("fgetxattr");
    inline for (.{ 30, 40, 41, -61 }, .{ 30, 40, 0, 0 }) |res, expected| {
        @memset(&fake.arena, 'b');
        fake.images[0] = validImage(abi.operations[get], get, 0, file);
        _ = fake.ring.tick(1, 0, 0);
        const place: [*]u8 = @ptrFromInt(fake.ring.placeOf(0, slots.second_at));
        @memset(place[0..abi.value_bytes_max], 'c');
        fake.complete(0, 5, res, 0);
        try equal(1, fake.ring.tick(0, 0, 0));
        try expect(std.mem.allEqual(u8, fake.arena[4000..][0..expected], 'c'));
        try expect(std.mem.allEqual(u8, fake.arena[4000 + expected ..], 'b'));
        try expect(std.mem.allEqual(u8, fake.arena[0..4000], 'b'));
    }
}

test "names: a byte more than the kernel has is refused" {
    begin();
    const operation = comptime rowOf("getxattr");
    @memset(fake.area[2000..3000], 'n');
    for ([_]struct { u32, bool }{ .{ 255, true }, .{ 256, false }, .{ 0, false }, .{ 1, true } }) |case| {
        var image = validImage(abi.operations[operation], operation, 0, 0);
        image.addr2 = 2000;
        image.length2 = case[0];
        const reason = stageOne(image);
        try equal(if (case[1]) Reason.none else Reason.path, reason);
        if (case[1]) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    }
}

test "B4: no other advice, and whole pages of the arena only" {
    begin();
    const operation = comptime rowOf("madvise");
    for (0..256) |advice| {
        var image = validImage(abi.operations[operation], operation, 0, 0);
        image.op_flags = @intCast(advice);
        const reason = stageOne(image);
        // madvise(2): NORMAL, WILLNEED, HUGEPAGE, POPULATE_READ, POPULATE_WRITE.
        const fine = switch (advice) {
            0, 3, 14, 22, 23 => true,
            else => false,
        };
        try equal(if (fine) Reason.none else Reason.op_flags, reason);
        if (fine) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    }
    for ([_]struct { u64, u32, bool }{
        .{ 0, fake_ring.arena_bytes, true }, .{ 4096, 4096, true },  .{ 1, 4096, false },
        .{ 4096, 4095, false },              .{ 4096, 4097, false }, .{ fake_ring.arena_bytes, 4096, false },
        .{ 0, 0, true },                     .{ 1 << 40, 0, false },
    }) |case| {
        var image = validImage(abi.operations[operation], operation, 0, 0);
        image.addr = case[0];
        image.length = case[1];
        const reason = stageOne(image);
        try equal(if (case[2]) Reason.none else Reason.arena, reason);
        if (case[2]) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    }
    // On a machine with larger pages a part of one would be rounded up, also beyond the arena.
    fake.ring.page_bytes = 65_536;
    const aligned = fake.ring.arena_address;
    fake.ring.arena_address = std.mem.alignForward(u64, aligned, 65_536);
    defer fake.ring.arena_address = aligned;
    for ([_]struct { u64, u32, bool }{
        .{ 0, 65_536, true }, .{ 0, 4096, false }, .{ 4096, 4096, false }, .{ 61_440, 4096, false },
    }) |case| {
        var image = validImage(abi.operations[operation], operation, 0, 0);
        image.addr = case[0];
        image.length = case[1];
        try equal(if (case[2]) Reason.none else Reason.arena, stageOne(image));
        if (case[2]) fake.ring.rollback(fake.ring.sq_tail, 1, .published);
    }
}

test "two files: both must be the ring's, and neither can be closed meanwhile" {
    begin();
    const to = fake.openFile();
    const from = fake.openFile();
    const splice = comptime rowOf("splice");
    const close = comptime rowOf("close");
    var image = validImage(abi.operations[splice], splice, 0, to);
    for ([_]u32{ 0, 1, from + 1, from ^ 1 << 12, 0xffff_ffff }) |wrong| {
        image.extra = wrong;
        const before = State.now();
        try equal(Reason.file, stageOne(image));
        try before.unchanged();
    }
    image.extra = from;
    Kernel.completes = false;
    fake.images[0] = image;
    try equal(0, fake.ring.tick(1, 0, 0));
    try equal(0, fake.sqes[0].fd);
    try equal(1, fake.sqes[0].file_index);
    try equal(1 << 31, fake.sqes[0].op_flags);
    try equal(Reason.file_busy, stageOne(validImage(abi.operations[close], close, 1, to)));
    try equal(Reason.file_busy, stageOne(validImage(abi.operations[close], close, 1, from)));
    fake.complete(0, 5, 3, 0);
    try equal(1, fake.ring.tick(0, 0, 0));
    try equal(Reason.none, stageOne(validImage(abi.operations[close], close, 1, from)));
    fake.ring.rollback(fake.ring.sq_tail, 1, .published);

    // The directory of an open, too.
    const open = comptime rowOf("openat2");
    fake.images[0] = validImage(abi.operations[open], open, 0, from);
    try equal(0, fake.ring.tick(1, 0, 0));
    try equal(Reason.file_busy, stageOne(validImage(abi.operations[close], close, 1, from)));
    fake.complete(0, 5, -2, 0);
    try equal(1, fake.ring.tick(0, 0, 0));
    try equal(0, fake.files[from & 0xfff].in_flight);
    image = validImage(abi.operations[open], open, 0, abi.file_none);
    try equal(Reason.none, stageOne(image));
    try equal(-100, fake.sqes[fake.ring.sq_tail & 15].fd);
    fake.ring.rollback(fake.ring.sq_tail, 1, .checked);
    image.file = from ^ 1 << 12;
    try equal(Reason.file, stageOne(image));
}

test "messages: to a ring of this library only, and its descriptor is given back" {
    begin();
    const operation = comptime rowOf("msg_ring");
    var image = validImage(abi.operations[operation], operation, 0, 0);
    const number = image.file;
    const free = kernel.duplicate(target_ring.fd);
    kernel.close(free);
    for ([_]u32{ 0, 1, number ^ 1 << 10, number ^ 1, 0xffff_ffff }) |wrong| {
        image.file = wrong;
        try equal(Reason.ring, stageOne(image));
    }
    image.file = number;
    for (0..3) |round| {
        fake.images[0] = image;
        if (round == 0) {
            try equal(Reason.none, stageOne(image));
            fake.ring.rollback(fake.ring.sq_tail, 1, .published);
        } else {
            try equal(1, fake.ring.tick(1, 1, 0xffff_ffff));
        }
        const again = kernel.duplicate(target_ring.fd);
        kernel.close(again);
        try equal(free, again);
    }
}

test "messages arrive as rows of their own, as many as there is room for" {
    begin();
    Kernel.completes = false;
    stageNops(&.{0});
    _ = fake.ring.tick(1, 0, 0);
    fake.complete(0x8000_0000 | 77, 3, 55, 0);
    fake.complete(0xffff_ffff, 0xffff_ffff, -1, 0);
    fake.complete(0, 5, 42, 0);
    fake.control.message_room = 1;
    try equal(1, fake.ring.tick(0, 0, 0));
    try equal(1, fake.control.more);
    try equal(0x8000_0000 | 77, fake.columns[0]);
    try equal(3, fake.columns[fake_ring.slot_count]);
    try equal(55, fake.columns[2 * fake_ring.slot_count]);
    try equal(0x8000_0000, fake.columns[3 * fake_ring.slot_count]);
    fake.control.message_room = 0;
    try equal(0, fake.ring.tick(0, 0, 0));
    fake.control.message_room = 2;
    try equal(2, fake.ring.tick(0, 0, 0));
    try equal(0xffff_ffff, fake.columns[0]);
    try equal(42, fake.columns[2 * fake_ring.slot_count + 1]);
    try equal(0, fake.control.stale);
    try equal(0, fake.control.in_flight);
}

test "a descriptor of /proc, a ring or another unnamed inode is refused" {
    const linux = std.os.linux;
    const proc = kernel.open("/proc/self/mem", 2);
    try expect(proc >= 0);
    defer kernel.close(proc);
    try equal(-kernel.EACCES, files.vet(proc));
    const unnamed = kernel.result(linux.syscall2(.eventfd2, 0, 0));
    defer kernel.close(unnamed);
    try equal(-kernel.EACCES, files.vet(unnamed));
    const ordinary = kernel.open("/dev/null", 0);
    defer kernel.close(ordinary);
    try equal(0, files.vet(ordinary));
}

test "devices that take more than bytes are refused, and harmless ones are not" {
    const linux = std.os.linux;
    inline for (.{ "null", "zero", "full", "random", "urandom", "ptmx" }) |name| {
        const fd = kernel.open("/dev/" ++ name, 0);
        if (fd >= 0) {
            defer kernel.close(fd);
            try equal(0, files.vet(fd));
        }
    }
    // A node for each of some kinds of device; an open with O_PATH needs none behind it.
    const O_PATH = 0o10000000;
    const directory = "/tmp/uring-shim-devices";
    _ = linux.syscall3(.mkdirat, kernel.unsigned(kernel.AT_FDCWD), @intFromPtr(directory), 0o700);
    defer _ = linux.syscall3(.unlinkat, kernel.unsigned(kernel.AT_FDCWD), @intFromPtr(directory), 0x200);
    const node = directory ++ "/node";
    inline for (.{
        // mem, kmem, port, kmsg; a SCSI disk by its generic driver; a mouse; FUSE; loop-control; uverbs; KVM.
        .{ 1, 1 },   .{ 1, 2 },    .{ 1, 4 },    .{ 1, 11 },    .{ 21, 0 },
        .{ 13, 63 }, .{ 10, 229 }, .{ 10, 237 }, .{ 231, 192 }, .{ 10, 232 },
    }) |device| {
        const number = device[0] << 8 | (device[1] & 0xff);
        const rc = linux.syscall4(.mknodat, kernel.unsigned(kernel.AT_FDCWD), @intFromPtr(node), kernel.S_IFCHR | 0o600, number);
        if (kernel.result(rc) == -kernel.EPERM) return error.SkipZigTest;
        defer _ = linux.syscall3(.unlinkat, kernel.unsigned(kernel.AT_FDCWD), @intFromPtr(node), 0);
        const fd = kernel.open(node, O_PATH);
        try expect(fd >= 0);
        defer kernel.close(fd);
        try equal(-kernel.EACCES, files.vet(fd));
    }
}
