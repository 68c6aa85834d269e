//! One eventfd for each thread that wants to be woken, for all its rings; and waiters, which wait for
//! it on another thread. A waiter is named by index and generation, and counted while it waits, so
//! that no eventfd is closed under a poll.

const std = @import("std");
const abi = @import("abi.zig");
const kernel = @import("kernel.zig");
const liburing = @import("liburing.zig");
const table = @import("table.zig");
const Ring = @import("ring.zig").Ring;
const linux = std.os.linux;

const threads_max = 256;
const index_bits = 8;
const generation_mask = (1 << (31 - index_bits)) - 1;
comptime {
    std.debug.assert(threads_max == 1 << index_bits);
}

const Thread = struct {
    owner: usize = 0,
    tid: i32 = 0,
    /// 0 where there is none; descriptor 0 is never an eventfd of this library (see `own`).
    fd: i32 = 0,
    generation: u32 = 0,
    /// Waiters in `wait`.
    waiting: u32 = 0,
    /// The thread is gone; the last waiter closes the eventfd.
    gone: bool = false,
};

var threads: [threads_max]Thread = @splat(.{});

/// The calling thread's, made on first need. Under the lock.
fn own() union(enum) { thread: *Thread, failed: i32 } {
    const owner = kernel.threadPointer();
    var vacant: ?*Thread = null;
    for (&threads) |*thread| {
        if (thread.fd == 0) {
            if (vacant == null) vacant = thread;
        } else if (thread.owner == owner and !thread.gone) {
            // The thread pointer of a thread that is gone can be another's now.
            if (thread.tid == kernel.gettid()) return .{ .thread = thread };
            retire(thread);
        }
    }
    const thread = vacant orelse return .{ .failed = -kernel.EMFILE };
    const NONBLOCK_CLOEXEC = 0o4000 | kernel.O_CLOEXEC;
    var fd = kernel.result(linux.syscall2(.eventfd2, 0, NONBLOCK_CLOEXEC));
    if (fd == 0) {
        // Standard input was closed.
        fd = kernel.result(linux.syscall2(.eventfd2, 0, NONBLOCK_CLOEXEC));
        kernel.close(0);
    }
    if (fd < 0) return .{ .failed = fd };
    thread.* = .{
        .owner = owner,
        .tid = kernel.gettid(),
        .fd = fd,
        .generation = (thread.generation + 1) & generation_mask,
    };
    return .{ .thread = thread };
}

/// Under the lock: no more of this thread; the eventfd goes when nobody waits for it.
fn retire(thread: *Thread) void {
    thread.gone = true;
    thread.owner = 0;
    if (thread.waiting > 0) signalFd(thread.fd) else closeFd(thread);
}

fn closeFd(thread: *Thread) void {
    kernel.close(thread.fd);
    thread.* = .{ .generation = thread.generation };
}

/// Under the lock: of threads that are gone.
pub fn sweep() void {
    for (&threads) |*thread| {
        if (thread.fd != 0 and !thread.gone and kernel.threadGone(thread.tid)) retire(thread);
    }
}

/// See `uring_wake_fd` in `abi.zig`.
pub fn ownFd() i32 {
    table.lock.acquire();
    defer table.lock.release();
    return switch (own()) {
        .thread => |thread| thread.fd,
        .failed => |rc| rc,
    };
}

pub fn waiter() i32 {
    table.lock.acquire();
    defer table.lock.release();
    return switch (own()) {
        .thread => |thread| @intCast(indexOf(thread) | thread.generation << index_bits),
        .failed => |rc| rc,
    };
}

fn indexOf(thread: *const Thread) u32 {
    return @intCast((@intFromPtr(thread) - @intFromPtr(&threads)) / @sizeOf(Thread));
}

/// On another thread than the one that is to be woken.
pub fn wait(number: u32, timeout_millis: u32) i32 {
    const thread = &threads[number & (threads_max - 1)];
    const fd = find: {
        table.lock.acquire();
        defer table.lock.release();
        if (thread.fd == 0 or thread.gone or thread.generation != number >> index_bits) return -kernel.EBADF;
        thread.waiting += 1;
        break :find thread.fd;
    };
    const woken = pollFd(fd, timeout_millis);
    table.lock.acquire();
    defer table.lock.release();
    thread.waiting -= 1;
    if (thread.gone) {
        if (thread.waiting == 0) closeFd(thread);
        return -kernel.EBADF;
    }
    if (woken > 0) drainFd(fd);
    return woken;
}

fn pollFd(fd: i32, timeout_millis: u32) i32 {
    const POLLIN = 1;
    const Poll = extern struct { fd: i32, events: i16, revents: i16 };
    const endless = timeout_millis == std.math.maxInt(u32);
    const deadline = kernel.nanoseconds() + @as(u64, timeout_millis) * std.time.ns_per_ms;
    while (true) {
        var polled: Poll = .{ .fd = fd, .events = POLLIN, .revents = 0 };
        const left = deadline -| kernel.nanoseconds();
        var limit: liburing.Timespec = .{
            .seconds = @intCast(left / std.time.ns_per_s),
            .nanoseconds = @intCast(left % std.time.ns_per_s),
        };
        const rc = kernel.result(linux.syscall5(.ppoll, @intFromPtr(&polled), 1, if (endless) 0 else @intFromPtr(&limit), 0, 8));
        if (rc != -kernel.EINTR) return rc;
    }
}

pub fn signal() i32 {
    const fd = ownFd();
    if (fd < 0) return fd;
    signalFd(fd);
    return 0;
}

pub fn drain() i32 {
    const fd = ownFd();
    if (fd < 0) return fd;
    drainFd(fd);
    return 0;
}

fn signalFd(fd: i32) void {
    const one: u64 = 1;
    _ = linux.syscall3(.write, kernel.unsigned(fd), @intFromPtr(&one), 8);
}

fn drainFd(fd: i32) void {
    var count: u64 = 0;
    _ = linux.syscall3(.read, kernel.unsigned(fd), @intFromPtr(&count), 8);
}

/// See `uring_wake_arm` in `abi.zig`. The eventfd is registered when a ring is armed first, and then only
/// told apart by the flag in the completion queue.
pub fn arm(ring: *Ring, on: bool, alarm_micros: u32) i32 {
    if (on and !ring.eventfd_registered) {
        const fd = ownFd();
        if (fd < 0) return fd;
        const rc = liburing.io_uring_register_eventfd(&ring.uring, fd);
        if (rc < 0) return rc;
        ring.eventfd_registered = true;
    }
    @atomicStore(u32, ring.uring.cq.kflags.?, if (on) 0 else liburing.CQ_EVENTFD_DISABLED, .seq_cst);
    if (on and alarm_micros > 0) ring.setAlarm(alarm_micros);
    return 0;
}
