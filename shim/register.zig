//! What is registered with the kernel after a ring was opened: other files in its slots, slices of the
//! arena, an allow-list; and the calls of io_uring_register that change no registration.

const std = @import("std");
const abi = @import("abi.zig");
const calls = @import("calls.zig");
const files = @import("files.zig");
const freestanding = @import("freestanding.zig");
const kernel = @import("kernel.zig");
const liburing = @import("liburing.zig");
const Ring = @import("ring.zig").Ring;

/// One change of a slot: private, so that nobody changes it between check and use.
const Change = struct {
    file: *files.File,
    /// What the slot had; -1 for a slot that was free.
    old: i32,
    /// What it gets, the ring's own duplicate; -1 empties it.
    new: i32,
};

/// See `uring_update_files` in `abi.zig`.
pub fn updateFiles(ring: *Ring, shared: []u8) i32 {
    const count = shared.len / @sizeOf(abi.FileUpdate);
    if (count == 0 or shared.len % @sizeOf(abi.FileUpdate) != 0 or count > ring.files.count) return -kernel.EINVAL;
    const updates: [*]align(1) volatile abi.FileUpdate = @ptrCast(shared.ptr);
    const bytes = count * @sizeOf(Change);
    const memory = freestanding.map(bytes) orelse return -kernel.ENOMEM;
    defer freestanding.unmap(memory, bytes);
    const changes = @as([*]Change, @ptrCast(@alignCast(memory)))[0..count];

    for (0..count) |index| {
        const update = updates[index];
        const failed = prepare(ring, update, &changes[index]);
        if (failed != 0) {
            undo(ring, changes[0..index]);
            return failed;
        }
    }
    if (ring.files.registered) {
        for (changes, 0..) |change, index| {
            const rc = liburing.io_uring_register_files_update(&ring.uring, ring.files.indexOf(change.file), &.{change.new}, 1);
            if (rc == 1) continue;
            for (changes[0..index]) |done| {
                _ = liburing.io_uring_register_files_update(&ring.uring, ring.files.indexOf(done.file), &.{done.old}, 1);
            }
            undo(ring, changes);
            return if (rc < 0) rc else -kernel.ENOMEM;
        }
    }
    for (changes, 0..) |change, index| updates[index].file = finish(ring, change);
    return @intCast(count);
}

/// Checks one update, and takes its slot and its descriptor.
fn prepare(ring: *Ring, update: abi.FileUpdate, change: *Change) i32 {
    const taken = update.file == abi.file_none;
    if (taken and update.descriptor < 0) return -kernel.EBADF;
    change.* = .{
        .file = if (taken)
            ring.files.reserve() orelse return -kernel.EMFILE
        else
            ring.files.find(update.file) orelse return -kernel.EBADF,
        .old = -1,
        .new = -1,
    };
    const failed = fill: {
        if (!taken) {
            if (change.file.in_flight != 0) return -kernel.EBUSY;
            // A slot that had its last generation can only be emptied.
            if (update.descriptor >= 0 and !files.lasts(change.file)) return -kernel.EMFILE;
            change.old = change.file.fd;
            // No second update of this tick finds it.
            ring.files.beginClose(change.file);
        }
        if (update.descriptor == -1) break :fill 0;
        change.new = kernel.duplicate(update.descriptor);
        if (change.new < 0) break :fill change.new;
        break :fill files.vet(change.new);
    };
    if (failed == 0) return 0;
    undo(ring, change[0..1]);
    return failed;
}

fn undo(ring: *Ring, changes: []const Change) void {
    // Backwards, so that slots are given back in the order in which they were taken.
    var left = changes.len;
    while (left > 0) {
        left -= 1;
        const change = changes[left];
        if (change.new >= 0) kernel.close(change.new);
        if (change.old >= 0) ring.files.undoClose(&ring.uring, change.file, false) else ring.files.unreserve(change.file);
    }
}

/// What the slot is now. The kernel's table has it already.
fn finish(ring: *Ring, change: Change) u32 {
    const file = change.file;
    if (change.old >= 0) {
        if (file.locked) _ = kernel.flock(change.old, abi.lock_flag.UNLOCK);
        kernel.close(change.old);
        if (change.new < 0) {
            ring.files.endClose(file);
            return abi.file_none;
        }
        file.generation += 1;
    }
    return ring.files.settle(file, change.new);
}

/// See `uring_update_buffer` in `abi.zig`.
pub fn updateBuffer(ring: *Ring, offset: u32, bytes: u32, on: bool) i32 {
    const slice = ring.slice_bytes;
    if (slice == 0) return -kernel.EOPNOTSUPP;
    if (bytes == 0 or offset % slice != 0 or bytes % slice != 0) return -kernel.EINVAL;
    if (offset > ring.arena_bytes or bytes > ring.arena_bytes - offset) return -kernel.EINVAL;
    const first = offset / slice;
    const pins = ring.pins[first..][0 .. bytes / slice];
    if (on) {
        for (pins) |pin| if (pin.end != 0) return -kernel.EEXIST;
    } else if (pins[0].end != offset + bytes or pins[0].start != offset) {
        return -kernel.ENOENT;
    }
    const range: liburing.Iovec = if (on) .{ .base = ring.arena_address + offset, .len = bytes } else .{ .base = 0, .len = 0 };
    const rc = liburing.io_uring_register_buffers_update_tag(&ring.uring, first, @ptrCast(&range), null, 1);
    if (rc != 1) return if (rc < 0) rc else -kernel.ENOMEM;
    for (pins) |*pin| pin.* = if (on) .{ .start = offset, .end = offset + bytes } else .{};
    return 0;
}

/// What the shim itself registers while a ring is in use, and gives back when it is closed.
const own_registrations = [_]u8{
    liburing.UNREGISTER_BUFFERS,
    liburing.REGISTER_EVENTFD,
    liburing.REGISTER_FILES_UPDATE,
    liburing.REGISTER_BUFFERS_UPDATE,
    liburing.REGISTER_IOWQ_MAX_WORKERS,
    liburing.REGISTER_RING_FDS,
    liburing.UNREGISTER_RING_FDS,
    liburing.REGISTER_SYNC_CANCEL,
};
const restrictions_max = own_registrations.len + abi.operations.len + 8;

/// See `uring_enable` in `abi.zig`. The kernel knows opcodes: rows that share one are allowed together.
pub fn enable(ring: *Ring, allowed: []const u8) i32 {
    if (allowed.len != 0) {
        if (allowed.len != abi.operations.len) return -kernel.EINVAL;
        var opcodes: [256]bool = @splat(false);
        // They give back what a ring has, and closing it needs them.
        opcodes[liburing.OP_ASYNC_CANCEL] = true;
        opcodes[liburing.OP_CLOSE] = true;
        for (abi.operations, allowed) |row, allow| {
            if (allow == 0) continue;
            // By either name the kernel gets what suits the memory.
            opcodes[row.opcode] = true;
            if (row.pinned != 0) opcodes[row.pinned] = true;
        }
        var list: [restrictions_max]liburing.Restriction = undefined;
        var count: c_uint = 0;
        for (opcodes, 0..) |allow, opcode| {
            if (!allow) continue;
            list[count] = .{ .what = liburing.RESTRICT_SQE, .value = @intCast(opcode) };
            count += 1;
        }
        for (own_registrations) |registration| {
            list[count] = .{ .what = liburing.RESTRICT_REGISTER, .value = registration };
            count += 1;
        }
        // The rows say which flags there are.
        list[count] = .{ .what = liburing.RESTRICT_SQE_FLAGS, .value = 0xff };
        count += 1;
        const rc = liburing.io_uring_register_restrictions(&ring.uring, &list, count);
        if (rc < 0) return rc;
    }
    const rc = liburing.io_uring_enable_rings(&ring.uring);
    if (rc == 0) ring.staged_max = ring.staged_room;
    return rc;
}

/// See `uring_workers` in `abi.zig`.
pub fn workers(ring: *Ring, shared: *[8]u8) i32 {
    var limits: [2]c_uint = .{
        std.mem.readInt(u32, shared[0..4], .little),
        std.mem.readInt(u32, shared[4..8], .little),
    };
    const rc = liburing.io_uring_register_iowq_max_workers(&ring.uring, &limits);
    if (rc < 0) return rc;
    std.mem.writeInt(u32, shared[0..4], limits[0], .little);
    std.mem.writeInt(u32, shared[4..8], limits[1], .little);
    return 0;
}

/// See `uring_cancel_sync` in `abi.zig`.
pub fn cancelSync(ring: *Ring, target: u32, number: u32, generation: u32, timeout_millis: u32) i32 {
    var request: liburing.SyncCancel = .{ .timeout = undefined };
    switch (target) {
        abi.cancel_target.ANY => {
            // The kernel says 0 when there is nothing among all.
            if (ring.in_flight == 0) return -kernel.ENOENT;
            request.flags = liburing.ASYNC_CANCEL_ANY | liburing.ASYNC_CANCEL_ALL;
        },
        abi.cancel_target.OPERATION => request.addr = number | @as(u64, generation) << 32,
        abi.cancel_target.FILE => {
            const file = ring.files.find(number) orelse return -kernel.EBADF;
            if (file.in_flight == 0) return -kernel.ENOENT;
            request.flags = liburing.ASYNC_CANCEL_FD | liburing.ASYNC_CANCEL_ALL;
            request.fd = file.target;
            if (ring.file_flag != 0) request.flags |= liburing.ASYNC_CANCEL_FD_FIXED;
        },
        else => return -kernel.EINVAL,
    }
    ring.cancels = true;
    const deadline = kernel.nanoseconds() + @as(u64, timeout_millis) * std.time.ns_per_ms;
    while (true) {
        const left = deadline -| kernel.nanoseconds();
        request.timeout = .{
            .seconds = @intCast(left / std.time.ns_per_s),
            .nanoseconds = @intCast(left % std.time.ns_per_s),
        };
        const rc = liburing.io_uring_register_sync_cancel(&ring.uring, &request);
        if (rc != -kernel.EINTR) return @min(rc, 0);
    }
}
