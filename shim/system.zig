//! What this process and machine allow: Deno lets no program read it.

const std = @import("std");
const abi = @import("abi.zig");
const crc32c = @import("crc32c.zig");
const kernel = @import("kernel.zig");
const linux = std.os.linux;

pub fn describe(out: *[@sizeOf(abi.SystemInfo)]u8) void {
    var info = std.mem.zeroes(abi.SystemInfo);

    // struct utsname: six strings of 65 bytes.
    var names: [6][65]u8 = @splat(@splat(0));
    _ = linux.syscall1(.uname, @intFromPtr(&names));
    copyText(&info.host, std.mem.sliceTo(&names[1], 0));
    const release = std.mem.sliceTo(&names[2], 0);
    copyText(&info.release, release);
    var numbers = std.mem.tokenizeAny(u8, release, ".-+~_ ");
    info.kernel_major = number(u32, numbers.next() orelse "") orelse 0;
    info.kernel_minor = number(u32, numbers.next() orelse "") orelse 0;
    info.kernel_patch = number(u32, numbers.next() orelse "") orelse 0;

    info.page_bytes = pageBytes();
    var file: [4096]u8 = undefined;
    const disabled = kernel.readWhole("/proc/sys/kernel/io_uring_disabled", &file);
    info.io_uring_disabled = number(u32, std.mem.trim(u8, disabled, "\n")) orelse 0xffff_ffff;

    info.memlock_bytes = limit(RLIMIT_MEMLOCK);
    info.nofile = limit(RLIMIT_NOFILE);
    info.uid = @truncate(linux.syscall0(.getuid));
    info.pid = @truncate(linux.syscall0(.getpid));
    info.tid = @truncate(linux.syscall0(.gettid));
    info.seccomp = number(u32, fieldOf(kernel.readWhole("/proc/self/status", &file), "Seccomp:")) orelse 0;
    info.start_ticks = startTicks(kernel.readWhole("/proc/self/stat", &file));
    info.crc32c_hardware = @intFromBool(crc32c.hardware());
    copyText(&info.boot_id, std.mem.trim(u8, kernel.readWhole("/proc/sys/kernel/random/boot_id", &file), "\n"));
    @memcpy(out, std.mem.asBytes(&info));
}

pub fn pageBytes() u32 {
    return auxiliary(AT_PAGESZ) orelse page_bytes_usual;
}

const page_bytes_usual = 4096;

fn copyText(to: []u8, text: []const u8) void {
    const bytes = @min(to.len, text.len);
    @memcpy(to[0..bytes], text[0..bytes]);
}

fn number(comptime T: type, text: []const u8) ?T {
    return std.fmt.parseInt(T, text, 10) catch null;
}

const RLIMIT_NOFILE = 7;
const RLIMIT_MEMLOCK = 8;

fn limit(resource: u32) u64 {
    var soft_and_hard: [2]u64 = @splat(0);
    _ = linux.syscall4(.prlimit64, 0, resource, 0, @intFromPtr(&soft_and_hard));
    return soft_and_hard[0];
}

/// What follows `name` in its line.
fn fieldOf(text: []const u8, name: []const u8) []const u8 {
    var lines = std.mem.splitScalar(u8, text, '\n');
    while (lines.next()) |line| {
        if (std.mem.startsWith(u8, line, name)) return std.mem.trim(u8, line[name.len..], " \t");
    }
    return "";
}

/// Field 22. The second one is the program's name in parentheses, which may hold anything.
fn startTicks(text: []const u8) u64 {
    const end = std.mem.lastIndexOfScalar(u8, text, ')') orelse return 0;
    var fields = std.mem.tokenizeScalar(u8, text[end + 1 ..], ' ');
    for (3..22) |_| _ = fields.next();
    return number(u64, fields.next() orelse return 0) orelse 0;
}

const AT_PAGESZ = 6;
pub const AT_HWCAP = 16;

/// A number that the kernel gave this process at its start.
pub fn auxiliary(wanted: u64) ?u32 {
    var file: [4096]u8 align(8) = undefined;
    const vector = kernel.readWhole("/proc/self/auxv", &file);
    var at: usize = 0;
    while (at + 16 <= vector.len) : (at += 16) {
        if (std.mem.readInt(u64, vector[at..][0..8], .little) == wanted) {
            return @truncate(std.mem.readInt(u64, vector[at + 8 ..][0..8], .little));
        }
    }
    return null;
}
