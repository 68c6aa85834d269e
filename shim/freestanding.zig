//! What liburing's archive needs from a libc, and what Zig needs when something is wrong. With these
//! the library needs no libc, so that one file loads under glibc and under musl.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;

comptime {
    @export(&callocate, .{ .name = "calloc" });
    @export(&release, .{ .name = "free" });
    @export(&stackSmashed, .{ .name = "__stack_chk_fail" });
}

/// Only liburing's probe calls it, a few times in the life of a process: a mapping each.
fn callocate(count: usize, bytes: usize) callconv(.c) ?*anyopaque {
    const header = 16;
    const wanted, const overflow = @mulWithOverflow(count, bytes);
    if (overflow != 0 or wanted > std.math.maxInt(usize) - header) return null;
    const memory = map(wanted + header) orelse return null;
    @as(*usize, @ptrCast(@alignCast(memory))).* = wanted + header;
    return memory + header;
}

fn release(pointer: ?*anyopaque) callconv(.c) void {
    const memory: [*]u8 = @as([*]u8, @ptrCast(pointer orelse return)) - 16;
    unmap(memory, @as(*usize, @ptrCast(@alignCast(memory))).*);
}

fn stackSmashed() callconv(.c) noreturn {
    stop("stack smashed");
}

/// Zeroed memory that takes no room until it is used.
pub fn map(bytes: usize) ?[*]align(std.heap.page_size_min) u8 {
    const address = linux.mmap(
        null,
        bytes,
        .{ .READ = true, .WRITE = true },
        .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true },
        -1,
        0,
    );
    if (linux.errno(address) != .SUCCESS) return null;
    return @ptrFromInt(address);
}

pub fn unmap(memory: [*]const u8, bytes: usize) void {
    _ = linux.munmap(memory, bytes);
}

pub fn stop(message: []const u8) noreturn {
    @branchHint(.cold);
    const prefix = "liburing-io: ";
    _ = linux.write(2, prefix, prefix.len);
    _ = linux.write(2, message.ptr, message.len);
    _ = linux.write(2, "\n", 1);
    @trap();
}

/// Zig's safety checks end here: a message, and the process stops, before wrong memory is touched.
pub const Panic = struct {
    pub fn call(message: []const u8, _: ?usize) noreturn {
        stop(message);
    }
    pub fn sentinelMismatch(expected: anytype, _: @TypeOf(expected)) noreturn {
        stop("sentinel mismatch");
    }
    pub fn unwrapError(_: anyerror) noreturn {
        stop("unexpected error");
    }
    pub fn outOfBounds(_: usize, _: usize) noreturn {
        stop("index out of bounds");
    }
    pub fn startGreaterThanEnd(_: usize, _: usize) noreturn {
        stop("start of a slice beyond its end");
    }
    pub fn inactiveUnionField(active: anytype, _: @TypeOf(active)) noreturn {
        stop("inactive union field");
    }
    pub fn sliceCastLenRemainder(_: usize) noreturn {
        stop("slice cast with a remainder");
    }
    pub fn reachedUnreachable() noreturn {
        stop("reached unreachable code");
    }
    pub fn unwrapNull() noreturn {
        stop("unexpected null");
    }
    pub fn castToNull() noreturn {
        stop("cast to null");
    }
    pub fn incorrectAlignment() noreturn {
        stop("incorrect alignment");
    }
    pub fn invalidErrorCode() noreturn {
        stop("invalid error code");
    }
    pub fn unexpectedErrorCode(_: anyerror) noreturn {
        stop("unexpected error code");
    }
    pub fn integerOutOfBounds() noreturn {
        stop("integer out of bounds");
    }
    pub fn integerOverflow() noreturn {
        stop("integer overflow");
    }
    pub fn shlOverflow() noreturn {
        stop("shift overflow");
    }
    pub fn shrOverflow() noreturn {
        stop("shift overflow");
    }
    pub fn divideByZero() noreturn {
        stop("division by zero");
    }
    pub fn exactDivisionRemainder() noreturn {
        stop("division with a remainder");
    }
    pub fn integerPartOutOfBounds() noreturn {
        stop("integer part out of bounds");
    }
    pub fn corruptSwitch() noreturn {
        stop("corrupt switch");
    }
    pub fn shiftRhsTooBig() noreturn {
        stop("shift too far");
    }
    pub fn invalidEnumValue() noreturn {
        stop("invalid enum value");
    }
    pub fn forLenMismatch() noreturn {
        stop("for loop over different lengths");
    }
    pub fn copyLenMismatch() noreturn {
        stop("copy of different lengths");
    }
    pub fn memcpyAlias() noreturn {
        stop("copy onto itself");
    }
    pub fn loadUninstantiableType() noreturn {
        stop("value of a type that has none");
    }
    pub fn noreturnReturned() noreturn {
        stop("a function returned that must not");
    }
};
