//! The shim over the real kernel: every rung, every row once, closing with work in flight, threads that
//! end without closing, waking. Skipped as a whole where io_uring is blocked.

const std = @import("std");
const abi = @import("abi.zig");
const calls = @import("calls.zig");
const files = @import("files.zig");
const freestanding = @import("freestanding.zig");
const kernel = @import("kernel.zig");
const opening = @import("open.zig");
const system = @import("system.zig");
const table = @import("table.zig");
const wake = @import("wake.zig");
const linux = std.os.linux;

const expect = std.testing.expect;
const equal = std.testing.expectEqual;
const forever = 0xffff_ffff;

const entries = 64;
const slots = 128;
const arena_bytes = 1 << 20;
const parameter_bytes = 32_768;

const ELOOP = 40;

/// A ring and the memory that TypeScript would share with it.
const Session = struct {
    number: u32 = 0,
    parameters: abi.OpenParameters = undefined,
    images: *[entries]abi.Image,
    area: [*]u8,
    columns: *[4 * slots]u32,
    control: *abi.Control,
    arena: [*]u8,

    const bytes = arena_bytes + (1 << 18);

    fn open(change: anytype) !Session {
        const memory = freestanding.map(bytes).?;
        var session: Session = .{
            .arena = memory,
            .images = @ptrCast(@alignCast(memory + arena_bytes + 4096)),
            .columns = @ptrCast(@alignCast(memory + arena_bytes + 16_384)),
            .control = @ptrCast(@alignCast(memory + arena_bytes + 32_768)),
            .area = memory + arena_bytes + 65_536,
        };
        session.parameters = std.mem.zeroInit(abi.OpenParameters, .{
            .entries = entries,
            .slots = slots,
            .files = 16,
            .arena_bytes = arena_bytes,
            .arena_slack = 4096,
            .staging_bytes = entries * 64,
            .parameter_bytes = parameter_bytes,
            .sqpoll_cpu = abi.file_none,
            .sqpoll_idle_millis = 50,
        });
        inline for (@typeInfo(@TypeOf(change)).@"struct".field_names) |name| {
            @field(session.parameters, name) = @field(change, name);
        }
        const rc = session.tryOpen();
        switch (rc) {
            -kernel.ENOSYS, -kernel.EPERM => return error.SkipZigTest,
            else => {},
        }
        try expect(rc > 0);
        try equal(0, session.parameters.failed_step);
        session.number = @intCast(rc);
        return session;
    }

    fn tryOpen(session: *Session) i32 {
        return opening.open(.{
            .parameters = &session.parameters,
            .staging = session.images,
            .area = session.area,
            .columns = session.columns,
            .control = session.control,
            .arena = session.arena,
        });
    }

    fn close(session: *Session) void {
        const left = opening.close(session.number, 2000);
        std.debug.assert(left == 0);
        freestanding.unmap(session.arena, bytes);
    }

    fn tick(session: *Session, staged: u32, wait: u32, timeout: u32) i32 {
        return switch (table.find(session.number)) {
            .ring => |ring| ring.tick(staged, wait, timeout),
            .failed => |rc| rc,
        };
    }

    fn stage(session: *Session, place: u32, name: []const u8, fields: anytype) void {
        var image = std.mem.zeroInit(abi.Image, fields);
        image.operation = for (abi.operations, 0..) |row, number| {
            if (std.mem.eql(u8, row.name, name)) break @intCast(number);
        } else unreachable;
        image.slot = place;
        image.generation = 9;
        session.images[place] = image;
    }

    /// One operation and its res.
    fn run(session: *Session, name: []const u8, fields: anytype) !i32 {
        session.stage(0, name, fields);
        const done = session.tick(1, 1, forever);
        if (done != 1) {
            std.debug.print("{s}: {d}, {any}\n", .{ name, done, session.control.* });
            return error.NotDone;
        }
        try equal(0, session.columns[0]);
        try equal(9, session.columns[slots]);
        return @bitCast(session.columns[2 * slots]);
    }

    fn path(session: *Session, at: u32, text: []const u8) u32 {
        @memcpy(session.area[at..][0..text.len], text);
        return @intCast(text.len);
    }

    fn openFile(session: *Session, name: []const u8, flags: u32) !i32 {
        return session.run("openat", .{ .addr = 0, .length = session.path(0, name), .op_flags = flags, .extra = @as(u32, if (flags & abi.open_flag.CREAT != 0) 0o600 else 0) });
    }
};

/// A directory of this test's own under /tmp, or wherever there is a disk.
fn scratch(buffer: *[64]u8, name: []const u8) []const u8 {
    return std.fmt.bufPrint(buffer, "/tmp/uring-shim-{d}-{s}", .{ kernel.result(linux.syscall0(.getpid)), name }) catch unreachable;
}

test "every rung, SQPOLL and unregistered memory move the same bytes" {
    const flags = abi.open_flag;
    inline for (.{
        .{ .rung = 0 }, .{ .rung = 1 }, .{ .rung = 2 }, .{ .setup_flags = abi.setup_flag.SQPOLL }, .{ .files = 16, .entries = 1 },
    }) |change| {
        var session = try Session.open(change);
        defer session.close();
        if (@hasField(@TypeOf(change), "rung")) try expect(session.parameters.got_rung >= change.rung);
        var name_buffer: [64]u8 = undefined;
        const name = scratch(&name_buffer, "rungs");
        const file: u32 = @intCast(try session.openFile(name, flags.RDWR | flags.CREAT | flags.TRUNC));
        @memset(session.arena[0..8192], 'x');
        try equal(8192, try session.run("write", .{ .file = file, .addr = 0, .length = 8192, .op_flags = abi.rw_flag.DSYNC }));
        try equal(4096, try session.run("read_fixed", .{ .file = file, .addr = 65_536, .length = 4096, .offset = 4096 }));
        try expect(std.mem.allEqual(u8, session.arena[65_536..][0..4096], 'x'));
        try equal(0, try session.run("read", .{ .file = file, .addr = arena_bytes, .length = 0 }));
        try equal(0, try session.run("unlinkat", .{ .addr = 0, .length = session.path(0, name) }));
        try equal(0, try session.run("close", .{ .file = file }));
        try equal(0, session.control.in_flight);
        try equal(0, session.control.stale);
    }
}

test "every row does what its name says" {
    const flags = abi.open_flag;
    var session = try Session.open(.{});
    defer session.close();
    var name_buffer: [64]u8 = undefined;
    const directory = scratch(&name_buffer, "rows");
    const length = session.path(0, directory);
    try equal(0, try session.run("mkdirat", .{ .addr = 0, .length = length, .extra = 0o700 }));
    var buffers: [3][96]u8 = undefined;
    var names: [3][]const u8 = undefined;
    inline for (.{ "a", "b", "c" }, 0..) |one, index| {
        names[index] = try std.fmt.bufPrint(&buffers[index], "{s}/{s}", .{ directory, one });
    }

    const file: u32 = @intCast(try session.openFile(names[0], flags.RDWR | flags.CREAT | flags.EXCL));
    try equal(-17, try session.openFile(names[0], flags.RDWR | flags.CREAT | flags.EXCL));
    try equal(0, try session.run("fallocate", .{ .file = file, .addr = 65_536 }));
    try equal(10, try session.run("write_fixed", .{ .file = file, .addr = 0, .length = 10 }));
    try equal(0, try session.run("fsync", .{ .file = file }));
    try equal(0, try session.run("fsync", .{ .file = file, .op_flags = abi.fsync_flag.DATASYNC }));
    try equal(0, try session.run("fadvise", .{ .file = file, .op_flags = abi.fadvise_flag.DONTNEED }));
    const size = struct {
        fn of(one: *Session) u64 {
            const stat: *align(1) const abi.Statx = @ptrCast(one.area + parameter_bytes);
            return stat.size;
        }
    }.of;
    try equal(0, try session.run("fstatx", .{ .file = file, .extra = abi.statx_mask.BASIC_STATS }));
    try equal(65_536, size(&session));
    if (table.find(session.number).ring.supported[7]) {
        try equal(0, try session.run("ftruncate", .{ .file = file, .offset = 8192 }));
    } else {
        try equal(0, calls.ftruncate(table.find(session.number).ring.files.find(file).?, 8192));
    }
    try equal(0, try session.run("statx", .{ .addr = 0, .length = session.path(0, names[0]), .extra = abi.statx_mask.BASIC_STATS }));
    try equal(8192, size(&session));

    const from = session.path(0, names[0]);
    const to = session.path(500, names[1]);
    try equal(0, try session.run("linkat", .{ .addr = 0, .length = from, .addr2 = 500, .length2 = to }));
    try equal(-17, try session.run("renameat", .{ .addr = 0, .length = from, .addr2 = 500, .length2 = to, .op_flags = abi.rename_flag.NOREPLACE }));
    const third = session.path(900, names[2]);
    try equal(0, try session.run("renameat", .{ .addr = 0, .length = from, .addr2 = 900, .length2 = third }));
    var list: [256]u8 = undefined;
    const listed = calls.listDirectory(directory, &list, 0);
    try equal(10, listed);
    try equal(8, list[0]);
    try equal(5, calls.listDirectory(directory, list[0..7], 1));
    try equal(0, calls.listDirectory(directory, &list, 2));
    try equal(-kernel.EINVAL, calls.listDirectory(directory, list[0..4], 0));

    try equal(0, try session.run("unlinkat", .{ .addr = 900, .length = third }));
    try equal(0, try session.run("unlinkat", .{ .addr = 500, .length = to }));
    // Of an operation that is not there.
    try equal(-kernel.ENOENT, try session.run("cancel", .{ .addr = 5 | 9 << 32 }));
    try equal(0, try session.run("close", .{ .file = file }));
    try equal(0, try session.run("unlinkat", .{ .addr = 0, .length = session.path(0, directory), .op_flags = abi.at_flag.REMOVEDIR }));
}

test "entries that go while a directory is listed in parts hide no others" {
    const at = kernel.unsigned(kernel.AT_FDCWD);
    var name_buffer: [64]u8 = undefined;
    const directory = scratch(&name_buffer, "list");
    var path: [256]u8 = undefined;
    const count = 300;
    const Path = struct {
        fn of(into: *[256]u8, folder: []const u8, name: []const u8) [*:0]const u8 {
            return (std.fmt.bufPrintSentinel(into, "{s}/{s}", .{ folder, name }, 0) catch unreachable).ptr;
        }
    };
    _ = linux.syscall3(.mkdirat, at, @intFromPtr(Path.of(&path, directory, "")), 0o700);
    const before = openDescriptors();
    for (0..count) |number| {
        var name: [32]u8 = undefined;
        const text = std.fmt.bufPrint(&name, "entry-number-{d:0>10}", .{number}) catch unreachable;
        const CREAT = 0o100;
        kernel.close(kernel.open(Path.of(&path, directory, text), CREAT));
    }
    var seen: [count]bool = @splat(false);
    var list: [2048]u8 = undefined;
    var skip: u32 = 0;
    while (true) {
        const got = calls.listDirectory(directory, &list, skip);
        try expect(got >= 0);
        if (got == 0) break;
        var place: usize = 0;
        while (place < got) {
            const length = std.mem.readInt(u16, list[place + 2 ..][0..2], .little);
            const name = list[place + 4 ..][0..length];
            place += 4 + @as(usize, length);
            const number = try std.fmt.parseInt(usize, name["entry-number-".len..], 10);
            try expect(!seen[number]);
            seen[number] = true;
            skip += 1;
            try equal(0, kernel.result(linux.syscall3(.unlinkat, at, @intFromPtr(Path.of(&path, directory, name)), 0)));
        }
    }
    try equal(count, skip);
    try equal(before, openDescriptors());
    try equal(0, kernel.result(linux.syscall3(.unlinkat, at, @intFromPtr(Path.of(&path, directory, "")), abi.at_flag.REMOVEDIR)));
}

test "plain calls on a file" {
    var session = try Session.open(.{});
    defer session.close();
    var name_buffer: [64]u8 = undefined;
    const name = scratch(&name_buffer, "calls");
    const flags = abi.open_flag;
    const first: u32 = @intCast(try session.openFile(name, flags.RDWR | flags.CREAT));
    const second: u32 = @intCast(try session.openFile(name, flags.RDWR));
    defer _ = session.run("unlinkat", .{ .addr = 0, .length = session.path(0, name) }) catch {};
    const ring = table.find(session.number).ring;
    const one = ring.files.find(first).?;
    const other = ring.files.find(second).?;
    try equal(0, calls.flock(one, abi.lock_flag.EXCLUSIVE));
    // Held by another description, and asked for without NONBLOCK: it must not wait.
    try equal(-kernel.EAGAIN, calls.flock(other, abi.lock_flag.EXCLUSIVE));
    try equal(-kernel.EINVAL, calls.flock(other, 16));
    try equal(0, try session.run("close", .{ .file = first }));
    try equal(0, calls.flock(other, abi.lock_flag.EXCLUSIVE));
    var info: [@sizeOf(abi.FileSystemInfo)]u8 = undefined;
    try equal(0, calls.fstatfs(other, &info));
    try expect(std.mem.readInt(u64, info[8..16], .little) >= 512);
    try equal(0, calls.ftruncate(other, 12_345));
    // The range must lie in the arena, and the file be one of the ring: nothing is moved else.
    const number = session.number;
    const arena = ring.arena_bytes;
    try equal(64, calls.transfer(number, second, .pwrite64, arena - 64, 64, 12_345));
    try equal(64, calls.transfer(number, second, .pread64, 0, 100, 12_345));
    try equal(-kernel.EFAULT, calls.transfer(number, second, .pread64, arena - 64, 65, 0));
    try equal(-kernel.EFAULT, calls.transfer(number, second, .pread64, arena + 1, 0, 0));
    try equal(-kernel.EFAULT, calls.transfer(number, second, .pwrite64, 1, 0xffff_ffff, 0));
    try equal(-kernel.EBADF, calls.transfer(number, first, .pread64, 0, 1, 0));
    try equal(-kernel.EBADF, calls.transfer(number + 1, second, .pread64, 0, 1, 0));
    const nocow = calls.nocow(other);
    try expect(nocow == 0 or nocow == 1);
    try expect(calls.physicalBlockBytes(other) >= 0);
}

test "what is opened or adopted must be a file of the program's own kind" {
    var session = try Session.open(.{});
    defer session.close();
    const ring = table.find(session.number).ring;
    const free_before = ring.files.free_count;
    inline for (.{ "/proc/self/mem", "/proc/self/fd/0/../../mem", "/sys/kernel/mm/transparent_hugepage/enabled" }) |name| {
        const rc = try session.openFile(name, abi.open_flag.RDONLY);
        // The last but one is behind a magic link.
        try expect(rc == -kernel.EACCES or rc == -kernel.ENOENT or rc == -ELOOP);
    }
    try equal(-kernel.EACCES, try session.openFile("/proc/self/mem", abi.open_flag.RDWR));
    try equal(-kernel.EACCES, calls.adopt(ring, ring.uring.ring_fd));
    try equal(-kernel.EBADF, calls.adopt(ring, -1));
    try equal(-kernel.EBADF, calls.adopt(ring, 9999));
    try equal(free_before, ring.files.free_count);
    var ends: [2]i32 = undefined;
    try equal(0, kernel.result(linux.syscall2(.pipe2, @intFromPtr(&ends), 0)));
    const file = calls.adopt(ring, ends[1]);
    try expect(file > 0);
    kernel.close(ends[1]);
    session.arena[0] = '!';
    // A pipe has no offset: -1 is the file's own.
    try equal(1, try session.run("write", .{ .file = @as(u32, @intCast(file)), .addr = 0, .length = 1, .offset = std.math.maxInt(u64) }));
    var byte: [1]u8 = undefined;
    try equal(1, kernel.read(ends[0], &byte));
    try equal('!', byte[0]);
    kernel.close(ends[0]);
}

test "a full table of files is a reason, and closing makes room" {
    var session = try Session.open(.{ .files = 2 });
    defer session.close();
    const one: u32 = @intCast(try session.openFile("/dev/null", abi.open_flag.RDWR));
    _ = try session.openFile("/dev/null", abi.open_flag.RDWR);
    session.stage(0, "openat", .{ .addr = 0, .length = session.path(0, "/dev/null") });
    try equal(-kernel.EINVAL, session.tick(1, 1, forever));
    try equal(@backingInt(abi.bad_reason.files_full), session.control.bad_reason);
    try equal(0, try session.run("close", .{ .file = one }));
    const again: u32 = @intCast(try session.openFile("/dev/null", abi.open_flag.RDWR));
    try expect(again != one and again & 0xfff == one & 0xfff);
}

/// A pipe that stays empty: reads of it stay in flight.
fn stuckReads(session: *Session, count: u32) !void {
    var ends: [2]i32 = undefined;
    try equal(0, kernel.result(linux.syscall2(.pipe2, @intFromPtr(&ends), 0)));
    const file = calls.adopt(table.find(session.number).ring, ends[0]);
    try expect(file > 0);
    kernel.close(ends[0]);
    // The writing end stays open, or the reads would end.
    for (0..count) |place| session.stage(@intCast(place), "read", .{
        .file = @as(u32, @intCast(file)),
        .addr = @as(u64, place) * 4096,
        .length = 4096,
        .offset = std.math.maxInt(u64),
    });
    try equal(0, session.tick(count, 0, 0));
    try equal(count, session.control.in_flight);
    leftover = ends[1];
}
var leftover: i32 = -1;

test "closing cancels what is in flight" {
    inline for (.{ 0, 2 }) |rung| {
        var session = try Session.open(.{ .rung = rung });
        try stuckReads(&session, 40);
        defer kernel.close(leftover);
        const before = kernel.nanoseconds();
        try equal(0, opening.close(session.number, 5000));
        try expect(kernel.nanoseconds() - before < 2 * std.time.ns_per_s);
        try equal(-kernel.EBADF, session.tick(0, 0, 0));
        try equal(-kernel.EBADF, opening.close(session.number, 0));
    }
}

test "closing cancels what waits behind an operation with IO_DRAIN that never ends" {
    inline for (.{ .{ .rung = 0 }, .{ .rung = 2 }, .{ .setup_flags = abi.setup_flag.SQPOLL } }) |change| {
        var session = try Session.open(change);
        try stuckReads(&session, 1);
        defer kernel.close(leftover);
        // A read of the same pipe that drains, and what may not start before it.
        session.stage(1, "read", .{
            .file = session.images[0].file,
            .flags = abi.sqe_flag.IO_DRAIN,
            .length = 1,
            .offset = std.math.maxInt(u64),
        });
        session.images[0] = session.images[1];
        session.stage(2, "nop", .{});
        session.images[1] = session.images[2];
        try equal(0, session.tick(2, 0, 0));
        try equal(2, session.control.consumed);
        try equal(3, session.control.in_flight);
        try equal(0, opening.close(session.number, 20_000));
    }
}

test "closing cancels a write to a full pipe" {
    inline for (.{ .{ .rung = 0 }, .{ .rung = 2 }, .{ .setup_flags = abi.setup_flag.SQPOLL } }) |change| {
        inline for (.{ 4096, 66_767 }) |length| {
            var session = try Session.open(change);
            var ends: [2]i32 = undefined;
            try equal(0, kernel.result(linux.syscall2(.pipe2, @intFromPtr(&ends), 0)));
            defer for (ends) |end| kernel.close(end);
            const ring = table.find(session.number).ring;
            const file = calls.adopt(ring, ends[1]);
            try expect(file > 0);
            for (0..4) |place| session.stage(@intCast(place), "write", .{
                .file = @as(u32, @intCast(file)),
                // Beside the thread that submits, and by another one.
                .flags = if (place < 2) 0 else abi.sqe_flag.ASYNC,
                .length = length,
                .offset = std.math.maxInt(u64),
            });
            _ = session.tick(4, 0, 0);
            kernel.sleep(20 * std.time.ns_per_ms);
            try equal(0, opening.close(session.number, 2_000));
        }
    }
}

test "a ring that is not enabled takes nothing, and closes at once" {
    inline for (.{ 0, abi.setup_flag.SQPOLL }) |also| {
        var session = try Session.open(.{ .setup_flags = abi.setup_flag.R_DISABLED | also });
        session.stage(0, "nop", .{});
        try equal(-kernel.EBADFD, session.tick(1, 0, 0));
        try equal(0, session.control.consumed);
        try equal(0, opening.close(session.number, 20_000));
    }
}

test "a close on a ring that polls, which the kernel refuses, closes all the same" {
    var session = try Session.open(.{ .setup_flags = abi.setup_flag.IOPOLL });
    defer session.close();
    const before = openDescriptors();
    var ends: [2]i32 = undefined;
    try equal(0, kernel.result(linux.syscall2(.pipe2, @intFromPtr(&ends), 0)));
    const file = calls.adopt(table.find(session.number).ring, ends[0]);
    try expect(file > 0);
    for (ends) |end| kernel.close(end);
    try equal(0, try session.run("close", .{ .file = @as(u32, @intCast(file)) }));
    try equal(before, openDescriptors());
}

test "cancel of one operation" {
    var session = try Session.open(.{});
    try stuckReads(&session, 3);
    defer kernel.close(leftover);
    session.stage(0, "cancel", .{ .addr = 1 | 9 << 32 });
    session.images[0].slot = 50;
    var seen: u32 = 0;
    while (seen < 2) {
        const done = session.tick(if (seen == 0) 1 else 0, 2 - seen, 1_000_000);
        try expect(done > 0);
        for (0..@intCast(done)) |place| {
            const res: i32 = @bitCast(session.columns[2 * slots + place]);
            switch (session.columns[place]) {
                1 => try equal(-kernel.ECANCELED, res),
                50 => try equal(0, res),
                else => return error.WrongSlot,
            }
            seen += 1;
        }
    }
    try equal(2, session.control.in_flight);
    session.close();
}

test "a wait ends at its time-out" {
    var session = try Session.open(.{});
    try stuckReads(&session, 1);
    defer kernel.close(leftover);
    const before = kernel.nanoseconds();
    try equal(0, session.tick(0, 1, 30_000));
    const passed = kernel.nanoseconds() - before;
    try expect(passed >= 30 * std.time.ns_per_ms);
    try expect(passed < 2 * std.time.ns_per_s);
    try equal(0, session.tick(0, 1, 0));
    session.close();
}

test "a ring is its thread's own" {
    var session = try Session.open(.{});
    defer session.close();
    const Other = struct {
        var rc: [2]i32 = undefined;
        fn run(number: u32) void {
            rc[0] = switch (table.find(number)) {
                .ring => 0,
                .failed => |failed| failed,
            };
            rc[1] = opening.close(number, 0);
        }
    };
    const thread = try std.Thread.spawn(.{}, Other.run, .{session.number});
    thread.join();
    try equal([2]i32{ -kernel.EXDEV, -kernel.EXDEV }, Other.rc);
    for ([_]u32{ 0, 1, 0xffff_ffff, session.number ^ 1 << 10, session.number ^ 1 << 30, session.number ^ 1 }) |number| {
        const other: u32 = number;
        switch (table.find(other)) {
            .ring => return error.Found,
            .failed => |failed| try equal(-kernel.EBADF, failed),
        }
    }
}

test "a thread does not inherit the rings of one that had its thread pointer" {
    const Heir = struct {
        var number: u32 = 0;
        var pointer: usize = 0;
        var failed: ?anyerror = null;
        fn leave() void {
            pointer = kernel.threadPointer();
            number = if (Session.open(.{ .in_worker = 1 })) |session| session.number else |_| 0;
        }
        fn claim(same: *bool) void {
            same.* = kernel.threadPointer() == pointer;
            if (!same.*) return;
            var answer: [40]u8 = undefined;
            _ = @import("shim.zig").exported("uring_abi")(&answer, answer.len);
            switch (table.find(number)) {
                .ring => failed = error.Inherited,
                .failed => |rc| if (rc != -kernel.EXDEV) {
                    failed = error.Otherwise;
                },
            }
        }
    };
    (try std.Thread.spawn(.{}, Heir.leave, .{})).join();
    if (Heir.number == 0) return error.SkipZigTest;
    var same = false;
    for (0..50) |_| {
        if (same) break;
        (try std.Thread.spawn(.{}, Heir.claim, .{&same})).join();
    }
    if (Heir.failed) |failed| return failed;
    var sweeper = try Session.open(.{});
    sweeper.close();
    if (!same) return error.SkipZigTest;
}

test "a number comes back only after all entries had their turn" {
    var seen: [abi.rings_max / 2]u32 = undefined;
    for (&seen, 0..) |*number, count| {
        table.lock.acquire();
        const entry = table.reserve().?;
        number.* = table.publish(entry, undefined, 0);
        table.vacate(entry);
        table.lock.release();
        for (seen[0..count]) |other| try expect((other ^ number.*) & (abi.rings_max - 1) != 0);
    }
}

fn openDescriptors() u32 {
    var block: [16_384]u8 = undefined;
    var count: u32 = 0;
    var skip: u32 = 0;
    while (true) {
        const got = calls.listDirectory("/proc/self/fd", &block, skip);
        if (got <= 0) return count;
        var at: usize = 0;
        while (at < got) {
            at += 4 + @as(usize, std.mem.readInt(u16, block[at + 2 ..][0..2], .little));
            count += 1;
            skip += 1;
        }
    }
}

test "B5: what a thread leaves behind is swept by the next open, and its lock with it" {
    const Worker = struct {
        var failed: ?anyerror = null;
        fn run(name: []const u8) void {
            work(name) catch |err| {
                failed = err;
            };
        }
        fn work(name: []const u8) !void {
            var session = try Session.open(.{ .in_worker = 1 });
            const flags = abi.open_flag;
            const file: u32 = @intCast(try session.openFile(name, flags.RDWR | flags.CREAT));
            try equal(0, calls.flock(table.find(session.number).ring.files.find(file).?, abi.lock_flag.EXCLUSIVE));
            try expect(wake.ownFd() > 0);
            try stuckReads(&session, 60);
            // Its shared memory goes with it, as a terminated worker's does.
            freestanding.unmap(session.arena, Session.bytes);
        }
    };
    var name_buffer: [64]u8 = undefined;
    const name = scratch(&name_buffer, "sweep");
    var session = try Session.open(.{});
    defer session.close();
    const file: u32 = @intCast(try session.openFile(name, abi.open_flag.RDWR | abi.open_flag.CREAT));
    defer _ = session.run("unlinkat", .{ .addr = 0, .length = session.path(0, name) }) catch {};
    _ = wake.ownFd();
    const before = openDescriptors();
    for (0..20) |_| {
        const thread = try std.Thread.spawn(.{}, Worker.run, .{name});
        thread.join();
        if (Worker.failed) |err| return err;
        kernel.close(leftover);
    }
    // The last one is still there; this open takes it away.
    var sweeper = try Session.open(.{});
    sweeper.close();
    try equal(before, openDescriptors());
    const mine = table.find(session.number).ring.files.find(file).?;
    var tries: u32 = 0;
    while (calls.flock(mine, abi.lock_flag.EXCLUSIVE) != 0) : (tries += 1) {
        // The kernel lets go of a dead ring's files by itself, a moment later.
        if (tries == 200) return error.StillLocked;
        kernel.sleep(10 * std.time.ns_per_ms);
    }
}

test "what a thread had opened and not reaped is closed by the sweep" {
    const Worker = struct {
        var failed: ?anyerror = null;
        fn run(change: abi.OpenParameters) void {
            work(change) catch |err| {
                failed = err;
            };
        }
        fn work(change: abi.OpenParameters) !void {
            var session = try Session.open(.{ .in_worker = 1, .files = 64, .rung = change.rung, .setup_flags = change.setup_flags });
            const name = session.path(0, "/dev/null");
            // Another thread opens them, after the tick has looked.
            for (0..50) |place| session.stage(@intCast(place), "openat", .{
                .flags = abi.sqe_flag.ASYNC,
                .length = name,
            });
            try equal(0, @min(session.tick(50, 0, 0), 0));
            kernel.sleep(50 * std.time.ns_per_ms);
            freestanding.unmap(session.arena, Session.bytes);
        }
    };
    {
        var sweeper = try Session.open(.{});
        sweeper.close();
    }
    const before = openDescriptors();
    inline for (.{ .{ .rung = 1 }, .{ .rung = 2 }, .{ .setup_flags = abi.setup_flag.SQPOLL } }) |change| {
        const thread = try std.Thread.spawn(.{}, Worker.run, .{std.mem.zeroInit(abi.OpenParameters, change)});
        thread.join();
        if (Worker.failed) |err| return err;
        try expect(openDescriptors() >= before + 50);
        var sweeper = try Session.open(.{});
        sweeper.close();
        try equal(before, openDescriptors());
    }
}

test "an alarm signals the eventfd, and nothing else comes of it" {
    var session = try Session.open(.{});
    try stuckReads(&session, 1);
    const waiter: u32 = @intCast(wake.waiter());
    const ring = table.find(session.number).ring;
    if (ring.setup_flags & abi.setup_flag.DEFER_TASKRUN == 0) return error.SkipZigTest;
    const start = kernel.nanoseconds();
    try equal(0, wake.arm(ring, true, 20_000));
    try equal(1, wake.wait(waiter, 60_000));
    try expect(kernel.nanoseconds() - start >= 20 * std.time.ns_per_ms);
    try equal(0, session.tick(0, 0, 0));
    try equal(0, session.control.stale);
    try equal(1, session.control.in_flight);
    // One that nobody waits for any more: a wait that blocks is not ended by it.
    try equal(0, wake.arm(ring, true, 1000));
    try equal(0, wake.arm(ring, false, 0));
    try equal(0, session.tick(0, 1, 20_000));
    _ = linux.syscall3(.write, kernel.unsigned(leftover), @intFromPtr("x"), 1);
    try equal(1, session.tick(0, 1, forever));
    try equal(0, session.control.stale);
    _ = wake.drain();
    kernel.close(leftover);
    session.close();
}

test "alarms do not pile up, and the last one counts" {
    var session = try Session.open(.{});
    const ring = table.find(session.number).ring;
    if (ring.setup_flags & abi.setup_flag.DEFER_TASKRUN == 0) return error.SkipZigTest;
    const waiter: u32 = @intCast(wake.waiter());
    for (0..100) |_| try equal(0, wake.arm(ring, true, 60_000_000));
    session.stage(0, "cancel_any", .{});
    try equal(1, session.tick(1, 1, forever));
    try equal(1, @as(i32, @bitCast(session.columns[2 * slots])));
    _ = session.tick(0, 0, 0);
    ring.alarm_at = 0;
    _ = wake.drain();
    // Sooner, and later.
    const start = kernel.nanoseconds();
    try equal(0, wake.arm(ring, true, 60_000_000));
    try equal(0, wake.arm(ring, true, 20_000));
    try equal(1, wake.wait(waiter, 10_000));
    try expect(kernel.nanoseconds() - start >= 20 * std.time.ns_per_ms);
    try equal(0, session.tick(0, 0, 0));
    try equal(0, wake.arm(ring, true, 30_000));
    try equal(0, wake.arm(ring, true, 100_000));
    try equal(0, wake.wait(waiter, 60));
    try equal(1, wake.wait(waiter, 10_000));
    // One that is gone, though the ring does not know it.
    _ = session.tick(0, 0, 0);
    ring.alarm_at = kernel.nanoseconds() + std.time.ns_per_s;
    try equal(0, wake.arm(ring, true, 10_000));
    try equal(1, wake.wait(waiter, 10_000));
    try equal(0, session.tick(0, 0, 0));
    try equal(0, session.control.stale);
    _ = wake.drain();
    session.close();
}

test "an alarm that is canceled is no message" {
    var session = try Session.open(.{});
    const ring = table.find(session.number).ring;
    if (ring.setup_flags & abi.setup_flag.DEFER_TASKRUN == 0) return error.SkipZigTest;
    session.control.message_room = abi.messages_max;
    try equal(0, wake.arm(ring, true, 60_000_000));
    session.stage(0, "cancel_any", .{});
    try equal(1, session.tick(1, 1, forever));
    // What the kernel says of the alarm belongs to nobody.
    try equal(0, session.tick(0, 0, 0));
    try equal(0, session.control.more);
    try equal(0, session.control.stale);
    try equal(0, session.control.in_flight);
    _ = wake.drain();
    session.close();
}

test "the eventfd tells another thread of a completion, and only while armed" {
    var session = try Session.open(.{});
    try stuckReads(&session, 1);
    const fd = wake.ownFd();
    try expect(fd > 0);
    try equal(fd, wake.ownFd());
    const waiter: u32 = @intCast(wake.waiter());
    try equal(0, wake.wait(waiter, 10));
    const ring = table.find(session.number).ring;
    const Waiting = struct {
        var rc: i32 = 0;
        fn run(number: u32) void {
            rc = wake.wait(number, 5000);
        }
    };
    try equal(0, wake.arm(ring, true, 0));
    {
        const thread = try std.Thread.spawn(.{}, Waiting.run, .{waiter});
        _ = linux.syscall3(.write, kernel.unsigned(leftover), @intFromPtr("x"), 1);
        thread.join();
        try equal(1, Waiting.rc);
        try equal(1, session.tick(0, 1, forever));
    }
    try equal(0, wake.arm(ring, false, 0));
    try equal(0, wake.drain());
    session.stage(0, "nop", .{});
    try equal(1, session.tick(1, 1, forever));
    try equal(0, wake.wait(waiter, 10));
    {
        const thread = try std.Thread.spawn(.{}, Waiting.run, .{waiter});
        try equal(0, wake.signal());
        thread.join();
        try equal(1, Waiting.rc);
    }
    try equal(-kernel.EBADF, wake.wait(waiter ^ 1 << 8, 10));
    try equal(-kernel.EBADF, wake.wait(waiter ^ 1, 10));
    kernel.close(leftover);
    session.close();
}

test "a waiter of a thread that is gone returns" {
    const Owner = struct {
        var waiter: u32 = 0;
        fn run() void {
            waiter = @intCast(wake.waiter());
        }
    };
    const owner = try std.Thread.spawn(.{}, Owner.run, .{});
    owner.join();
    const Waiting = struct {
        var rc: i32 = 1;
        fn run() void {
            rc = wake.wait(Owner.waiter, forever);
        }
    };
    const waiting = try std.Thread.spawn(.{}, Waiting.run, .{});
    kernel.sleep(20 * std.time.ns_per_ms);
    var session = try Session.open(.{});
    session.close();
    waiting.join();
    try equal(-kernel.EBADF, Waiting.rc);
    try equal(-kernel.EBADF, wake.wait(Owner.waiter, 0));
}

test "parameters out of range are refused before anything is made" {
    const before = openDescriptors();
    inline for (.{
        .{ .entries = 0 },
        .{ .entries = abi.entries_max + 1 },
        .{ .slots = 1 },
        .{ .slots = abi.slots_max + 1 },
        .{ .files = abi.files_max + 1 },
        .{ .arena_bytes = 0 },
        .{ .arena_bytes = abi.arena_bytes_max + 1 },
        .{ .staging_bytes = 64 },
        .{ .staging_bytes = 0xffff_ffff },
        .{ .parameter_bytes = 0xffff_ffff },
        .{ .setup_flags = 1 << 5 },
        .{ .rung = abi.ladder.len },
    }) |change| {
        var session = try Session.open(.{});
        session.close();
        const memory = freestanding.map(Session.bytes).?;
        defer freestanding.unmap(memory, Session.bytes);
        session.arena = memory;
        inline for (@typeInfo(@TypeOf(change)).@"struct".field_names) |name| {
            @field(session.parameters, name) = @field(change, name);
        }
        try equal(-kernel.EINVAL, session.tryOpen());
        try equal(@backingInt(abi.open_step.parameters), session.parameters.failed_step);
    }
    try equal(before, openDescriptors());
}

test "the system's numbers" {
    var out: [@sizeOf(abi.SystemInfo)]u8 = undefined;
    system.describe(&out);
    const info: *align(1) const abi.SystemInfo = @ptrCast(&out);
    try expect(info.kernel_major >= 5);
    try expect(info.page_bytes >= 4096);
    try equal(kernel.gettid(), @as(i32, @intCast(info.tid)));
    try expect(info.start_ticks > 0);
    try equal('-', info.boot_id[8]);
    try expect(info.host[0] != 0 and info.release[0] != 0);
}

test "memory that cannot be had is no memory" {
    try equal(null, freestanding.map(1 << 60));
}

test "without the kernel's tables of buffers and files the same images do the same" {
    var session = try Session.open(.{});
    defer session.close();
    const ring = table.find(session.number).ring;
    ring.file_flag = 0;
    ring.files.registered = false;
    ring.usePlainOpcodes();
    const flags = abi.open_flag;
    var name_buffer: [64]u8 = undefined;
    const name = scratch(&name_buffer, "plain");
    const file: u32 = @intCast(try session.openFile(name, flags.RDWR | flags.CREAT | flags.TRUNC));
    @memset(session.arena[0..4096], 'y');
    try equal(4096, try session.run("write_fixed", .{ .file = file, .addr = 0, .length = 4096 }));
    try equal(4096, try session.run("read", .{ .file = file, .addr = 8192, .length = 4096 }));
    try expect(std.mem.allEqual(u8, session.arena[8192..][0..4096], 'y'));
    try equal(0, try session.run("fsync", .{ .file = file }));
    try equal(0, try session.run("unlinkat", .{ .addr = 0, .length = session.path(0, name) }));
    try equal(0, try session.run("close", .{ .file = file }));
}
