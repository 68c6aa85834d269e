//! System calls as the shim needs them: a negative errno or a value, in an i32.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;

pub const EPERM = 1;
pub const ENOENT = 2;
pub const ESRCH = 3;
pub const EINTR = 4;
pub const EBADF = 9;
pub const EAGAIN = 11;
pub const ENOMEM = 12;
pub const EACCES = 13;
pub const EFAULT = 14;
pub const EBUSY = 16;
pub const EEXIST = 17;
pub const EXDEV = 18;
pub const EINVAL = 22;
pub const EMFILE = 24;
pub const ENOTTY = 25;
pub const ENOSYS = 38;
pub const ETIME = 62;
pub const EBADFD = 77;
pub const EOPNOTSUPP = 95;
pub const EALREADY = 114;
pub const ECANCELED = 125;

/// Of a raw system call.
pub fn result(rc: usize) i32 {
    return @truncate(@as(isize, @bitCast(rc)));
}

pub const AT_FDCWD: i32 = -100;

/// The address that tells threads apart without a system call. It may come back for a later thread,
/// so it is compared only beside a ring number that the earlier thread had; see `table.zig`.
pub inline fn threadPointer() usize {
    return switch (builtin.cpu.arch) {
        .x86_64 => asm ("movq %%fs:0, %[out]"
            : [out] "=r" (-> usize),
        ),
        .aarch64 => asm ("mrs %[out], tpidr_el0"
            : [out] "=r" (-> usize),
        ),
        else => @compileError("x86-64 and aarch64 only"),
    };
}

pub fn gettid() i32 {
    return result(linux.syscall0(.gettid));
}

/// Whether the thread `tid` of this process is gone.
pub fn threadGone(tid: i32) bool {
    const pid = linux.syscall0(.getpid);
    return result(linux.syscall3(.tgkill, pid, unsigned(tid), 0)) == -ESRCH;
}

pub fn close(fd: i32) void {
    _ = linux.syscall1(.close, unsigned(fd));
}

/// Closes on exec, like all that the shim makes.
pub fn duplicate(fd: i32) i32 {
    const F_DUPFD_CLOEXEC = 1030;
    return result(linux.syscall3(.fcntl, unsigned(fd), F_DUPFD_CLOEXEC, 0));
}

/// What openat2 is told.
pub const OpenHow = extern struct { flags: u64, mode: u64, resolve: u64 };

pub const O_CLOEXEC: u32 = 0o2000000;
pub const O_DIRECTORY: u32 = if (builtin.cpu.arch == .aarch64) 0o40000 else 0o200000;

pub fn open(path: [*:0]const u8, flags: u32) i32 {
    return result(linux.syscall4(.openat, unsigned(AT_FDCWD), @intFromPtr(path), flags | O_CLOEXEC, 0));
}

pub fn read(fd: i32, into: []u8) i32 {
    while (true) {
        const rc = result(linux.syscall3(.read, unsigned(fd), @intFromPtr(into.ptr), into.len));
        if (rc != -EINTR) return rc;
    }
}

/// A small file of /proc or /sys: what stands in it, empty when it cannot be read.
pub fn readWhole(path: [*:0]const u8, into: []u8) []const u8 {
    const fd = open(path, 0);
    if (fd < 0) return into[0..0];
    defer close(fd);
    var used: usize = 0;
    while (used < into.len) {
        const got = read(fd, into[used..]);
        if (got <= 0) break;
        used += @intCast(got);
    }
    return into[0..used];
}

pub const Statfs = extern struct {
    type: i64,
    bsize: i64,
    blocks: u64,
    bfree: u64,
    bavail: u64,
    files: u64,
    ffree: u64,
    fsid: [2]i32,
    namelen: i64,
    frsize: i64,
    flags: i64,
    spare: [4]i64,
};

pub fn fstatfs(fd: i32, out: *Statfs) i32 {
    return result(linux.syscall2(.fstatfs, unsigned(fd), @intFromPtr(out)));
}

const abi = @import("abi.zig");
pub const S_IFMT: u16 = 0o170000;
pub const S_IFCHR: u16 = 0o020000;
pub const S_IFBLK: u16 = 0o060000;
pub const S_IFREG: u16 = 0o100000;
pub const S_IFDIR: u16 = 0o040000;
pub const S_IFIFO: u16 = 0o010000;
pub const S_IFSOCK: u16 = 0o140000;

pub fn fstat(fd: i32, out: *abi.Statx) i32 {
    const AT_EMPTY_PATH = 0x1000;
    return result(linux.syscall5(.statx, unsigned(fd), @intFromPtr(""), AT_EMPTY_PATH, abi.statx_mask.BASIC_STATS, @intFromPtr(out)));
}

pub fn flock(fd: i32, operation: u32) i32 {
    while (true) {
        const rc = result(linux.syscall2(.flock, unsigned(fd), operation));
        if (rc != -EINTR) return rc;
    }
}

pub fn nanoseconds() u64 {
    const CLOCK_MONOTONIC = 1;
    var now: [2]u64 = undefined;
    _ = linux.syscall2(.clock_gettime, CLOCK_MONOTONIC, @intFromPtr(&now));
    return now[0] *% std.time.ns_per_s +% now[1];
}

pub fn sleep(time: u64) void {
    const span: [2]u64 = .{ time / std.time.ns_per_s, time % std.time.ns_per_s };
    _ = linux.syscall2(.nanosleep, @intFromPtr(&span), 0);
}

pub fn adviseHuge(start: usize, bytes: usize) void {
    const MADV_HUGEPAGE = 14;
    _ = linux.syscall3(.madvise, start, bytes, MADV_HUGEPAGE);
}

pub inline fn unsigned(value: i32) usize {
    return @as(u32, @bitCast(value));
}

pub inline fn unsigned32(value: i32) u32 {
    return @bitCast(value);
}
