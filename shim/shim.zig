//! The library: the exports of `abi.exports`, each a thin door to the file that does the work.
//! Reading order: abi, this, open, register, ring, prep, files; the rest stands beside them.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const calls = @import("calls.zig");
const canonical = @import("canonical.zig");
const crc32c = @import("crc32c.zig");
const search = @import("search.zig");
const freestanding = @import("freestanding.zig");
const kernel = @import("kernel.zig");
const opening = @import("open.zig");
const register = @import("register.zig");
const system = @import("system.zig");
const table = @import("table.zig");
const wake = @import("wake.zig");

pub const panic = if (builtin.is_test) std.debug.FullPanic(std.debug.defaultPanic) else freestanding.Panic;

const Buffer = ?*anyopaque;

const implementations = struct {
    fn uring_abi(out: Buffer, bytes: u32) callconv(.c) i32 {
        const answer = bytesOf(out, bytes, 40) orelse return -kernel.EINVAL;
        table.lock.acquire();
        table.disown();
        table.lock.release();
        std.mem.writeInt(u32, answer[0..4], abi.version, .little);
        std.mem.writeInt(u32, answer[4..8], 0, .little);
        @memcpy(answer[8..40], &canonical.hash);
        return 0;
    }

    fn uring_open(parameters: Buffer, staging: Buffer, area: Buffer, columns: Buffer, control: Buffer, arena: Buffer) callconv(.c) i32 {
        return opening.open(.{
            .parameters = parameters,
            .staging = staging,
            .area = area,
            .columns = columns,
            .control = control,
            .arena = arena,
        });
    }

    fn uring_tick(number: u32, staged: u32, wait: u32, timeout_micros: u32) callconv(.c) i32 {
        return switch (table.find(number)) {
            .ring => |ring| ring.tick(staged, wait, timeout_micros),
            .failed => |rc| rc,
        };
    }

    fn uring_close(number: u32, deadline_millis: u32) callconv(.c) i32 {
        return opening.close(number, deadline_millis);
    }

    fn uring_probe(number: u32, out: Buffer, bytes: u32) callconv(.c) i32 {
        const ring = switch (table.find(number)) {
            .ring => |ring| ring,
            .failed => |rc| return rc,
        };
        const rows = bytesOf(out, bytes, abi.operations.len) orelse return -kernel.EINVAL;
        for (ring.supported, rows[0..abi.operations.len]) |supported, *row| row.* = @intFromBool(supported);
        return abi.operations.len;
    }

    fn uring_adopt(number: u32, fd: i32) callconv(.c) i32 {
        return switch (table.find(number)) {
            .ring => |ring| calls.adopt(ring, fd),
            .failed => |rc| rc,
        };
    }

    fn uring_adopt_file(number: u32, other: u32, ref: u32) callconv(.c) i32 {
        return calls.adoptFile(number, other, ref);
    }

    fn uring_update_files(number: u32, updates: Buffer, bytes: u32) callconv(.c) i32 {
        const shared = bytesOf(updates, bytes, 0) orelse return -kernel.EINVAL;
        return switch (table.find(number)) {
            .ring => |ring| register.updateFiles(ring, shared),
            .failed => |rc| rc,
        };
    }

    fn uring_update_buffer(number: u32, offset: u32, bytes: u32, on: u32) callconv(.c) i32 {
        return switch (table.find(number)) {
            .ring => |ring| register.updateBuffer(ring, offset, bytes, on != 0),
            .failed => |rc| rc,
        };
    }

    fn uring_enable(number: u32, operations: Buffer, bytes: u32) callconv(.c) i32 {
        const allowed = bytesOf(operations, bytes, 0) orelse return -kernel.EINVAL;
        return switch (table.find(number)) {
            .ring => |ring| register.enable(ring, allowed),
            .failed => |rc| rc,
        };
    }

    fn uring_workers(number: u32, limits: Buffer, bytes: u32) callconv(.c) i32 {
        const shared = bytesOf(limits, bytes, 8) orelse return -kernel.EINVAL;
        return switch (table.find(number)) {
            .ring => |ring| register.workers(ring, shared[0..8]),
            .failed => |rc| rc,
        };
    }

    fn uring_cancel_sync(number: u32, target: u32, which: u32, generation: u32, timeout_millis: u32) callconv(.c) i32 {
        return switch (table.find(number)) {
            .ring => |ring| register.cancelSync(ring, target, which, generation, timeout_millis),
            .failed => |rc| rc,
        };
    }

    fn uring_flock(number: u32, ref: u32, operation: u32) callconv(.c) i32 {
        return switch (calls.find(number, ref)) {
            .file => |file| calls.flock(file, operation),
            .failed => |rc| rc,
        };
    }

    fn uring_fstatfs(number: u32, ref: u32, out: Buffer, bytes: u32) callconv(.c) i32 {
        const to = bytesOf(out, bytes, @sizeOf(abi.FileSystemInfo)) orelse return -kernel.EINVAL;
        return switch (calls.find(number, ref)) {
            .file => |file| calls.fstatfs(file, to[0..@sizeOf(abi.FileSystemInfo)]),
            .failed => |rc| rc,
        };
    }

    fn uring_ftruncate(number: u32, ref: u32, low: u32, high: u32) callconv(.c) i32 {
        return switch (calls.find(number, ref)) {
            .file => |file| calls.ftruncate(file, low | @as(u64, high) << 32),
            .failed => |rc| rc,
        };
    }

    fn uring_pread(number: u32, ref: u32, address: u32, bytes: u32, low: u32, high: u32) callconv(.c) i32 {
        return calls.transfer(number, ref, .pread64, address, bytes, low | @as(u64, high) << 32);
    }

    fn uring_pwrite(number: u32, ref: u32, address: u32, bytes: u32, low: u32, high: u32) callconv(.c) i32 {
        return calls.transfer(number, ref, .pwrite64, address, bytes, low | @as(u64, high) << 32);
    }

    fn uring_nocow(number: u32, ref: u32) callconv(.c) i32 {
        return switch (calls.find(number, ref)) {
            .file => |file| calls.nocow(file),
            .failed => |rc| rc,
        };
    }

    fn uring_physical_block_bytes(number: u32, ref: u32) callconv(.c) i32 {
        return switch (calls.find(number, ref)) {
            .file => |file| calls.physicalBlockBytes(file),
            .failed => |rc| rc,
        };
    }

    fn uring_list_directory(path: Buffer, path_bytes: u32, out: Buffer, out_bytes: u32, skip: u32) callconv(.c) i32 {
        const from = bytesOf(path, path_bytes, 0) orelse return -kernel.EINVAL;
        const to = bytesOf(out, out_bytes, 0) orelse return -kernel.EINVAL;
        return calls.listDirectory(from, to, skip);
    }

    fn uring_crc32c(seed: u32, data: Buffer, bytes: u32) callconv(.c) u32 {
        return crc32c.update(seed, bytesOf(data, bytes, 0) orelse return seed);
    }

    fn uring_find_byte(data: Buffer, bytes: u32, value: u32, base: u32, out: Buffer, out_bytes: u32) callconv(.c) i32 {
        const from = bytesOf(data, bytes, 0) orelse return 0;
        const to = bytesOf(out, out_bytes, 0) orelse return -kernel.EINVAL;
        const room: [*]align(1) u32 = @ptrCast(to.ptr);
        return @intCast(search.places(from, @truncate(value), base, room[0 .. to.len / 4]));
    }

    fn uring_crc32c_arena(number: u32, seed: u32, offset: u32, bytes: u32) callconv(.c) u32 {
        const ring = switch (table.find(number)) {
            .ring => |ring| ring,
            .failed => return 0,
        };
        if (offset > ring.arena_bytes or bytes > ring.arena_bytes - offset) return 0;
        const arena: [*]const u8 = @ptrFromInt(ring.arena_address);
        return crc32c.update(seed, arena[offset..][0..bytes]);
    }

    fn uring_system(out: Buffer, bytes: u32) callconv(.c) i32 {
        const to = bytesOf(out, bytes, @sizeOf(abi.SystemInfo)) orelse return -kernel.EINVAL;
        system.describe(to[0..@sizeOf(abi.SystemInfo)]);
        return 0;
    }

    fn uring_wake_fd() callconv(.c) i32 {
        return wake.ownFd();
    }

    fn uring_wake_arm(number: u32, on: u32, alarm_micros: u32) callconv(.c) i32 {
        return switch (table.find(number)) {
            .ring => |ring| wake.arm(ring, on != 0, alarm_micros),
            .failed => |rc| rc,
        };
    }

    fn uring_wake_wait(waiter: u32, timeout_millis: u32) callconv(.c) i32 {
        return wake.wait(waiter, timeout_millis);
    }

    fn uring_wake_waiter() callconv(.c) i32 {
        return wake.waiter();
    }

    fn uring_wake_signal() callconv(.c) i32 {
        return wake.signal();
    }

    fn uring_wake_drain() callconv(.c) i32 {
        return wake.drain();
    }
};

/// The function of that name, for programs in Zig: the fuzz.
pub fn exported(comptime name: []const u8) @TypeOf(@field(implementations, name)) {
    return @field(implementations, name);
}

/// A buffer of at least `least` bytes.
fn bytesOf(buffer: Buffer, bytes: u32, least: u32) ?[]u8 {
    if (bytes < least) return null;
    const start: [*]u8 = @ptrCast(buffer orelse return if (bytes == 0) &.{} else null);
    return start[0..bytes];
}

comptime {
    _ = freestanding;
    @setEvalBranchQuota(10_000);
    // The exports are what `abi.exports` says, no more and no less, with its types.
    for (abi.exports) |one| {
        const function = @field(implementations, one.name);
        const info = @typeInfo(@TypeOf(function)).@"fn";
        if (info.return_type.? != TypeOf(one.result)) @compileError(one.name ++ ": wrong result");
        if (info.param_types.len != one.arguments.len) @compileError(one.name ++ ": wrong number of arguments");
        for (info.param_types, one.arguments) |parameter, argument| {
            if (parameter.? != TypeOf(argument)) @compileError(one.name ++ ": wrong argument");
        }
        @export(&function, .{ .name = one.name });
    }
    if (@typeInfo(implementations).@"struct".decl_names.len > 0) @compileError("public declarations where exports are private");
}

fn TypeOf(comptime scalar: abi.Scalar) type {
    return switch (scalar) {
        .u32 => u32,
        .i32 => i32,
        .buffer => Buffer,
    };
}

test {
    _ = crc32c;
    _ = search;
    _ = @import("kernel_tests.zig");
    _ = @import("tests.zig");
}
