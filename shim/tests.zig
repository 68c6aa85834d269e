//! The boundary's tests: what `prep` refuses and what it makes, byte by byte, and what a tick does when
//! the kernel takes only a part. No kernel: a test plays it (`fake.zig`).

const std = @import("std");
const abi = @import("abi.zig");
const files = @import("files.zig");
const kernel = @import("kernel.zig");
const liburing = @import("liburing.zig");
const slots = @import("slots.zig");
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
            const res: i32 = if (sqe.opcode == 18) next_open else 0;
            fake.complete(@truncate(sqe.user_data), @truncate(sqe.user_data >> 32), res, 0);
        };
        return answer;
    }
};

const path = "/tmp/some/file";

/// An image that the row accepts, with every field that it names set to something.
fn validImage(comptime row: abi.Row, operation: u8, slot: u32, file: u32) abi.Image {
    var image = std.mem.zeroes(abi.Image);
    image.operation = operation;
    image.slot = slot;
    image.generation = 5;
    if (row.file == .fixed or row.file == .real) image.file = file;
    if (row.offset == .number) image.offset = 4096;
    if (row.addr == .number or row.addr == .target) image.addr = 77;
    if (row.addr == .arena) {
        image.addr = 8192;
        image.length = 4096;
    }
    if (row.addr == .path) {
        @memcpy(fake.area[100..][0..path.len], path);
        image.addr = 100;
        image.length = path.len;
    }
    if (row.addr2 == .path) {
        @memcpy(fake.area[600..][0..path.len], path);
        image.addr2 = 600;
        image.length2 = path.len;
    }
    if (row.extra == .number) image.extra = 0o644;
    return image;
}

/// Which bits of an image's byte the row lets be set, in words of its own: not what `prep` computes.
fn allowedBits(comptime row: abi.Row, at: usize) u8 {
    const has_file = row.file == .fixed or row.file == .real;
    const has_length = row.length == .number or row.addr == .arena or row.addr == .path;
    return switch (at) {
        0 => 0xff,
        1 => row.sqe_flags,
        2, 3 => 0,
        4...7 => if (has_file) 0xff else 0,
        8...15 => if (row.offset == .number) 0xff else 0,
        16...23 => if (row.addr != .zero) 0xff else 0,
        24...27 => if (has_length) 0xff else 0,
        28...31 => @truncate(row.op_flags >> @intCast(8 * (at - 28))),
        32...39 => 0xff,
        40...47 => if (row.addr2 == .path) 0xff else 0,
        48...51 => if (row.extra == .number) 0xff else 0,
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
        try equal(0, sqe.file_index);
        try equal(0, sqe.addr3);
        try equal(0, sqe.pad);
        const opcode = switch (row.opcode) {
            liburing.OP_READ => liburing.OP_READ_FIXED,
            liburing.OP_WRITE => liburing.OP_WRITE_FIXED,
            else => row.opcode,
        };
        try equal(opcode, sqe.opcode);
        try equal(if (row.file == .fixed) abi.sqe_flag.FIXED_FILE else 0, sqe.flags);
        try equal(switch (row.file) {
            .none => 0,
            .cwd => -100,
            .fixed => 0,
            .real => fake_ring.first_fd,
        }, sqe.fd);
        if (row.addr == .arena) {
            try equal(@intFromPtr(&fake.arena) + 8192, sqe.addr);
            try equal(4096, sqe.len);
        }
        const memory = @intFromPtr(&fake.slot_memory) + 3 * slots.memory_bytes;
        if (row.addr == .path) {
            try equal(memory, sqe.addr);
            try std.testing.expectEqualStrings(path, std.mem.span(@as([*:0]const u8, @ptrFromInt(sqe.addr))));
        }
        if (row.addr2 == .path) {
            try equal(memory + slots.path_bytes, sqe.off);
            try std.testing.expectEqualStrings(path, std.mem.span(@as([*:0]const u8, @ptrFromInt(sqe.off))));
            try equal(@as(u32, @bitCast(@as(i32, -100))), sqe.len);
        }
        if (row.offset == .result) try equal(memory + slots.result_at, sqe.off);
        if (row.extra == .number) try equal(0o644, sqe.len);
        try expect(fake.slots[3].busy);
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
                    switch (reason) {
                        .sqe_flags, .op_flags, .not_zero, .operation => return error.RefusedAnAllowedBit,
                        else => {},
                    }
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
    try equal(Reason.unsupported, stageOne(validImage(abi.operations[7], 7, 0, file)));
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
    fake.ring.read_opcode = liburing.OP_READ;
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

test "a close that was canceled closes all the same" {
    begin();
    const file = fake.openFile();
    Kernel.completes = false;
    fake.images[0] = validImage(abi.operations[9], 9, 0, file);
    _ = fake.ring.tick(1, 0, 0);
    fake.complete(0, 5, -kernel.ECANCELED, 0);
    try equal(1, fake.ring.tick(0, 0, 0));
    try equal(0, fake.columns[2 * fake_ring.slot_count]);
    try equal(files.State.free, fake.files[file & 0xfff].state);
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
    inline for (.{ 8, 10, 12, 13, 14, 15 }) |operation| for (cases) |case| {
        const row = abi.operations[operation];
        var image = validImage(row, operation, 0, 0);
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
        if (row.addr2 == .path and case[0] <= 0xffff_ffff) {
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
    try equal(kernel.O_CLOEXEC | abi.open_flag.RDWR | abi.open_flag.CREAT, fake.sqes[0].op_flags);
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
    fake.complete(0xffff_ffff, 0xffff_ffff, 0, 0);
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
        const result: [*]u8 = @ptrFromInt(fake.ring.resultAddress(7));
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
