//! File slots: the names under which a ring's files appear in images. A slot owns one real descriptor
//! and, where the kernel has taken the ring's file table, the entry of the same number in it.

const std = @import("std");
const abi = @import("abi.zig");
const kernel = @import("kernel.zig");
const liburing = @import("liburing.zig");

pub const State = enum(u8) {
    free,
    opening,
    open,
    closing,
    retired,
    /// The ring is gone, and the descriptor stays: see `Ring.keepNamed`.
    kept,
};

pub const File = struct {
    /// The reference that names this file now; while it is not open, one that can name no file.
    ref: u32,
    /// Of the current or the next opening, from 1.
    generation: u32,
    /// What an SQE with FIXED_FILE names: the index, or the descriptor where there is no table.
    target: i32,
    fd: i32,
    /// Operations of this file between their check and their last completion.
    in_flight: u32,
    state: State,
    /// An flock was taken.
    locked: bool,
};

const index_mask = abi.files_max - 1;
const generation_end = 1 << abi.file_generation_bits;

pub const Files = struct {
    all: [*]File,
    /// Stack of free slots.
    free: [*]u16,
    free_count: u32,
    count: u32,
    /// The kernel has the ring's table.
    registered: bool,

    pub fn init(files: *Files, all: [*]File, free: [*]u16, count: u32) void {
        files.* = .{ .all = all, .free = free, .free_count = count, .count = count, .registered = false };
        for (0..count) |place| {
            // Popped from the end: slot 0 first.
            free[place] = @intCast(count - 1 - place);
            all[place] = .{
                .ref = refOfNone(@intCast(place)),
                .generation = 1,
                .target = -1,
                .fd = -1,
                .in_flight = 0,
                .state = .free,
                .locked = false,
            };
        }
    }

    /// The file that `ref` names.
    pub inline fn find(files: *Files, ref: u32) ?*File {
        const index = ref & index_mask;
        if (index >= files.count) return null;
        const file = &files.all[index];
        return if (file.ref == ref) file else null;
    }

    pub inline fn indexOf(files: *const Files, file: *const File) u16 {
        return @truncate((@intFromPtr(file) - @intFromPtr(files.all)) / @sizeOf(File));
    }

    /// Takes a slot for a file to come.
    pub fn reserve(files: *Files) ?*File {
        if (files.free_count == 0) return null;
        files.free_count -= 1;
        const file = &files.all[files.free[files.free_count]];
        file.state = .opening;
        return file;
    }

    /// Gives a slot back that was reserved and never opened.
    pub fn unreserve(files: *Files, file: *File) void {
        std.debug.assert(file.state == .opening);
        file.state = .free;
        files.free[files.free_count] = files.indexOf(file);
        files.free_count += 1;
    }

    /// The descriptor in a reserved slot; the result is its reference, or a negative errno after which
    /// descriptor and slot are gone.
    pub fn install(files: *Files, ring: *liburing.Ring, file: *File, fd: i32) i32 {
        const index = files.indexOf(file);
        var failed = vet(fd);
        if (failed == 0 and files.registered) {
            const rc = liburing.io_uring_register_files_update(ring, index, &.{fd}, 1);
            if (rc != 1) failed = if (rc < 0) rc else -kernel.ENOMEM;
        }
        if (failed != 0) {
            kernel.close(fd);
            files.unreserve(file);
            return failed;
        }
        return @intCast(files.settle(file, fd));
    }

    /// The slot has this descriptor from now on; the result is its reference.
    pub fn settle(files: *Files, file: *File, fd: i32) u32 {
        const index = files.indexOf(file);
        file.fd = fd;
        file.target = if (files.registered) index else fd;
        file.state = .open;
        file.locked = false;
        file.ref = index | file.generation << abi.file_slot_bits;
        return file.ref;
    }

    /// From the check of a close on, the reference names nothing any more.
    pub fn beginClose(files: *Files, file: *File) void {
        file.state = .closing;
        file.ref = refOfNone(files.indexOf(file));
    }

    /// Takes the file out of the kernel's table, so that nothing but its descriptor holds it.
    pub fn unregister(files: *Files, ring: *liburing.Ring, file: *File) void {
        // Older kernels let go of a table's file only when everything submitted before has ended.
        if (file.locked) _ = kernel.flock(file.fd, abi.lock_flag.UNLOCK);
        if (files.registered) _ = liburing.io_uring_register_files_update(ring, files.indexOf(file), &.{-1}, 1);
    }

    /// Undoes `beginClose`, and `unregister` where `registered_again`.
    pub fn undoClose(files: *Files, ring: *liburing.Ring, file: *File, registered_again: bool) void {
        const index = files.indexOf(file);
        if (registered_again) {
            if (file.locked) {
                file.locked = kernel.flock(file.fd, abi.lock_flag.EXCLUSIVE | abi.lock_flag.NONBLOCK) == 0;
            }
            if (files.registered) _ = liburing.io_uring_register_files_update(ring, index, &.{file.fd}, 1);
        }
        file.state = .open;
        file.ref = index | file.generation << abi.file_slot_bits;
    }

    /// The descriptor is closed: the slot is free for another generation, or retired.
    pub fn endClose(files: *Files, file: *File) void {
        file.fd = -1;
        file.target = -1;
        file.locked = false;
        file.generation += 1;
        if (file.generation == generation_end) {
            file.state = .retired;
            return;
        }
        file.state = .free;
        files.free[files.free_count] = files.indexOf(file);
        files.free_count += 1;
    }
};

/// Whether the slot has a generation left for another file.
pub fn lasts(file: *const File) bool {
    return file.generation + 1 < generation_end;
}

/// Low bits that are not the slot's own, and a negative i32: equal to no reference that leads here.
fn refOfNone(index: u16) u32 {
    return 0x8000_0000 | (@as(u32, index) ^ 1);
}

/// Admits files whose reads and writes move bytes and nothing else, by an allow-list of kinds. Behind others
/// stand ways around the shim's checks: files of /proc and /sys (/proc/self/mem writes into this process), rings
/// and their kin, the machine's memory, and devices that take addresses from what is written to them (SCSI
/// generic, InfiniBand).
pub fn vet(fd: i32) i32 {
    var system: kernel.Statfs = undefined;
    var rc = kernel.fstatfs(fd, &system);
    if (rc < 0) return rc;
    const PROC = 0x9fa0;
    const SYSFS = 0x62656572;
    const ANONYMOUS_INODE = 0x09041934;
    switch (system.type) {
        PROC, SYSFS, ANONYMOUS_INODE => return -kernel.EACCES,
        else => {},
    }
    var stat: abi.Statx = undefined;
    rc = kernel.fstat(fd, &stat);
    if (rc < 0) return rc;
    const admitted = switch (stat.mode & kernel.S_IFMT) {
        kernel.S_IFREG, kernel.S_IFDIR, kernel.S_IFBLK, kernel.S_IFIFO, kernel.S_IFSOCK => true,
        kernel.S_IFCHR => harmlessDevice(stat.rdev_major, stat.rdev_minor),
        else => false,
    };
    return if (admitted) 0 else -kernel.EACCES;
}

/// null, zero, full, random, urandom; and terminals: consoles and serial ports, /dev/tty, /dev/console and
/// /dev/ptmx, and the slaves of pseudo-terminals.
fn harmlessDevice(major: u32, minor: u32) bool {
    return switch (major) {
        1 => switch (minor) {
            3, 5, 7, 8, 9 => true,
            else => false,
        },
        4, 136...143 => true,
        5 => minor <= 2,
        else => false,
    };
}
