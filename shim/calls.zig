//! Plain calls on files that a ring owns, and the listing of a directory: what io_uring has no operation
//! for, or older kernels do not have.

const std = @import("std");
const abi = @import("abi.zig");
const files = @import("files.zig");
const kernel = @import("kernel.zig");
const table = @import("table.zig");
const Ring = @import("ring.zig").Ring;
const linux = std.os.linux;

pub fn find(number: u32, ref: u32) union(enum) { file: *files.File, failed: i32 } {
    return switch (table.find(number)) {
        .ring => |ring| if (ring.files.find(ref)) |file| .{ .file = file } else .{ .failed = -kernel.EBADF },
        .failed => |rc| .{ .failed = rc },
    };
}

/// The ring gets a descriptor of its own for what the caller has open.
pub fn adopt(ring: *Ring, fd: i32) i32 {
    const file = ring.files.reserve() orelse return -kernel.EMFILE;
    const copy = kernel.duplicate(fd);
    if (copy < 0) {
        ring.files.unreserve(file);
        return copy;
    }
    return ring.files.install(&ring.uring, file, copy);
}

/// See `uring_adopt_file` in `abi.zig`.
pub fn adoptFile(number: u32, other: u32, ref: u32) i32 {
    const ring = switch (table.find(number)) {
        .ring => |ring| ring,
        .failed => |rc| return rc,
    };
    return switch (find(other, ref)) {
        .file => |file| adopt(ring, file.fd),
        .failed => |rc| rc,
    };
}

/// Never waits: a lock that another holds is -EAGAIN.
pub fn flock(file: *files.File, operation: u32) i32 {
    const flags = abi.lock_flag;
    const action = operation & ~flags.NONBLOCK;
    switch (action) {
        flags.SHARED, flags.EXCLUSIVE, flags.UNLOCK => {},
        else => return -kernel.EINVAL,
    }
    const rc = kernel.flock(file.fd, action | flags.NONBLOCK);
    if (rc == 0) file.locked = action != flags.UNLOCK;
    return rc;
}

pub fn fstatfs(file: *files.File, out: *[@sizeOf(abi.FileSystemInfo)]u8) i32 {
    var system: kernel.Statfs = undefined;
    const rc = kernel.fstatfs(file.fd, &system);
    if (rc < 0) return rc;
    const info: abi.FileSystemInfo = .{
        .type = @bitCast(system.type),
        .block_bytes = @bitCast(system.bsize),
        .blocks = system.blocks,
        .blocks_free = system.bfree,
        .blocks_available = system.bavail,
    };
    @memcpy(out, std.mem.asBytes(&info));
    return 0;
}

pub fn ftruncate(file: *files.File, size: u64) i32 {
    return kernel.result(linux.syscall2(.ftruncate, kernel.unsigned(file.fd), size));
}

/// pread(2) or pwrite(2) between a file and the arena.
pub fn transfer(
    number: u32,
    ref: u32,
    comptime call: linux.SYS,
    address: u32,
    bytes: u32,
    offset: u64,
) i32 {
    const ring = switch (table.find(number)) {
        .ring => |ring| ring,
        .failed => |rc| return rc,
    };
    const file = ring.files.find(ref) orelse return -kernel.EBADF;
    if (address > ring.arena_bytes or bytes > ring.arena_bytes - address) return -kernel.EFAULT;
    return kernel.result(linux.syscall4(
        call,
        kernel.unsigned(file.fd),
        ring.arena_address + address,
        bytes,
        offset,
    ));
}

/// Only an empty file can be marked.
pub fn nocow(file: *files.File) i32 {
    const FS_IOC_GETFLAGS = 0x8008_6601;
    const FS_IOC_SETFLAGS = 0x4008_6602;
    const FS_NOCOW_FL: u32 = 0x0080_0000;
    // The kernel moves an int, whatever the number says.
    var flags: u64 = 0;
    const fd = kernel.unsigned(file.fd);
    var rc = kernel.result(linux.syscall3(.ioctl, fd, FS_IOC_GETFLAGS, @intFromPtr(&flags)));
    if (rc == 0) {
        flags |= FS_NOCOW_FL;
        rc = kernel.result(linux.syscall3(.ioctl, fd, FS_IOC_SETFLAGS, @intFromPtr(&flags)));
    }
    if (rc == 0) {
        rc = kernel.result(linux.syscall3(.ioctl, fd, FS_IOC_GETFLAGS, @intFromPtr(&flags)));
        if (rc == 0) return @intFromBool(flags & FS_NOCOW_FL != 0);
    }
    return switch (rc) {
        -kernel.ENOTTY, -kernel.EOPNOTSUPP, -kernel.EINVAL, -kernel.ENOSYS => 0,
        else => rc,
    };
}

/// From sysfs: of the disk, or of the disk that the partition lies on. 0 where the file system has no
/// block device of its own (btrfs, overlayfs, tmpfs).
pub fn physicalBlockBytes(file: *files.File) i32 {
    var stat: abi.Statx = undefined;
    const rc = kernel.fstat(file.fd, &stat);
    if (rc < 0) return rc;
    const block_device = stat.mode & kernel.S_IFMT == kernel.S_IFBLK;
    const major = if (block_device) stat.rdev_major else stat.dev_major;
    const minor = if (block_device) stat.rdev_minor else stat.dev_minor;
    for ([_][]const u8{ "", "../" }) |up| {
        var path: [128]u8 = undefined;
        const text = std.fmt.bufPrintSentinel(&path, "/sys/dev/block/{d}:{d}/{s}queue/physical_block_size", .{ major, minor, up }, 0) catch unreachable;
        var number: [32]u8 = undefined;
        const bytes = std.fmt.parseInt(i32, std.mem.trim(u8, kernel.readWhole(text, &number), "\n"), 10) catch continue;
        if (bytes > 0) return bytes;
    }
    return 0;
}

/// See `uring_list_directory` in `abi.zig`.
pub fn listDirectory(path: []const u8, out: []u8, skip: u32) i32 {
    if (path.len == 0 or path.len > abi.path_bytes_max) return -kernel.EINVAL;
    var name: [abi.path_bytes_max + 1]u8 = undefined;
    @memcpy(name[0..path.len], path);
    name[path.len] = 0;
    if (std.mem.indexOfScalar(u8, name[0..path.len], 0) != null) return -kernel.EINVAL;
    const hash = std.hash.Wyhash.hash(0, path);
    const kept: ?i32 = if (skip > 0) resumeScan(hash, skip) else null;
    const fd = kept orelse kernel.open(@ptrCast(&name), kernel.O_DIRECTORY);
    if (fd < 0) return fd;
    var keep = false;
    defer if (!keep) kernel.close(fd);

    var block: [8192]u8 align(8) = undefined;
    var seen: u32 = if (kept == null) 0 else skip;
    var used: usize = 0;
    // Where the entry that is looked at begins, to the kernel.
    var position: u64 = 0;
    while (true) {
        const got = kernel.result(linux.syscall3(.getdents64, kernel.unsigned(fd), @intFromPtr(&block), block.len));
        if (got < 0) return got;
        if (got == 0) return @intCast(used);
        var at: usize = 0;
        while (at < got) {
            // u64 inode, i64 where the next one begins, u16 bytes, u8 type, name
            const next = std.mem.readInt(u64, block[at + 8 ..][0..8], .little);
            const bytes = std.mem.readInt(u16, block[at + 16 ..][0..2], .little);
            const kind = block[at + 18];
            const entry = std.mem.sliceTo(block[at + 19 .. at + bytes], 0);
            const start = position;
            position = next;
            at += bytes;
            if (std.mem.eql(u8, entry, ".") or std.mem.eql(u8, entry, "..")) continue;
            if (seen >= skip and out.len - used < 4 + entry.len) {
                // Nothing written would mean the end.
                if (used == 0) return -kernel.EINVAL;
                const SEEK_SET = 0;
                const sought: isize = @bitCast(linux.syscall3(.lseek, kernel.unsigned(fd), start, SEEK_SET));
                if (sought >= 0) {
                    keepScan(.{ .fd = fd, .owner = kernel.threadPointer(), .path = hash, .seen = seen });
                    keep = true;
                }
                return @intCast(used);
            }
            seen += 1;
            if (seen <= skip) continue;
            out[used] = kind;
            out[used + 1] = 0;
            std.mem.writeInt(u16, out[used + 2 ..][0..2], @intCast(entry.len), .little);
            @memcpy(out[used + 4 ..][0..entry.len], entry);
            used += 4 + entry.len;
        }
    }
}

/// A directory that was listed in part, and stays open where the next call goes on: opened anew, as many
/// entries as were listed would have to be skipped, and those would be others when some are gone by then.
const Scan = struct {
    fd: i32 = -1,
    owner: usize = 0,
    path: u64 = 0,
    /// Entries that were listed.
    seen: u32 = 0,
};
/// Of those that nobody goes on with, so many stay open; then the oldest gives way.
const scans_max = 8;
var scans: [scans_max]Scan = @splat(.{});
var scan_oldest: usize = 0;

fn resumeScan(path: u64, seen: u32) ?i32 {
    table.lock.acquire();
    defer table.lock.release();
    for (&scans) |*scan| {
        if (scan.fd < 0 or scan.path != path or scan.seen != seen or scan.owner != kernel.threadPointer()) continue;
        defer scan.* = .{};
        return scan.fd;
    }
    return null;
}

fn keepScan(scan: Scan) void {
    table.lock.acquire();
    defer table.lock.release();
    for (&scans) |*place| {
        if (place.fd >= 0) continue;
        place.* = scan;
        return;
    }
    kernel.close(scans[scan_oldest].fd);
    scans[scan_oldest] = scan;
    scan_oldest = (scan_oldest + 1) % scans_max;
}
