//! Opening a ring, closing it, and sweeping up after threads that ended without closing theirs.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const files = @import("files.zig");
const freestanding = @import("freestanding.zig");
const kernel = @import("kernel.zig");
const liburing = @import("liburing.zig");
const slots = @import("slots.zig");
const system = @import("system.zig");
const table = @import("table.zig");
const wake = @import("wake.zig");
const Ring = @import("ring.zig").Ring;

const Step = abi.open_step;
const page = 4096;
const features_needed = liburing.FEAT_NODROP | liburing.FEAT_SUBMIT_STABLE | liburing.FEAT_EXT_ARG;

/// What TypeScript passes. How long these buffers really are nobody can see here; `src/ring` makes
/// them in the sizes that the parameters say, and passes them to no one else.
pub const Buffers = struct {
    parameters: ?*anyopaque,
    staging: ?*anyopaque,
    area: ?*anyopaque,
    columns: ?*anyopaque,
    control: ?*anyopaque,
    arena: ?*anyopaque,
};

/// See `uring_open` in `abi.zig`.
pub fn open(buffers: Buffers) i32 {
    const shared: *align(1) volatile abi.OpenParameters = @ptrCast(buffers.parameters orelse return -kernel.EFAULT);
    var parameters: abi.OpenParameters = shared.*;
    var step: Step = .none;
    const rc = openWith(&parameters, buffers, &step);
    parameters.failed_step = if (rc < 0) @backingInt(step) else 0;
    shared.* = parameters;
    return rc;
}

fn openWith(parameters: *abi.OpenParameters, buffers: Buffers, step: *Step) i32 {
    step.* = .parameters;
    if (!valid(parameters)) return -kernel.EINVAL;
    const staging = address(buffers.staging, 8) orelse return -kernel.EINVAL;
    const area = address(buffers.area, 1) orelse return -kernel.EINVAL;
    const columns = address(buffers.columns, 4) orelse return -kernel.EINVAL;
    const control = address(buffers.control, 4) orelse return -kernel.EINVAL;
    const arena = address(buffers.arena, 1) orelse return -kernel.EINVAL;
    const huge = parameters.arena_bytes >= abi.huge_page_bytes and parameters.arena_slack >= abi.huge_page_bytes;
    const arena_address = std.mem.alignForward(usize, arena, if (huge) abi.huge_page_bytes else page);
    parameters.arena_offset = @intCast(arena_address - arena);

    step.* = .rings;
    var swept: u32 = 0;
    const entry = reserve: {
        table.lock.acquire();
        defer table.lock.release();
        swept = sweep();
        table.disown();
        break :reserve table.reserve() orelse return -kernel.EMFILE;
    };
    var number: ?i32 = null;
    defer if (number == null) {
        table.lock.acquire();
        defer table.lock.release();
        table.vacate(entry);
    };

    step.* = .memory;
    const ring = allocate(parameters) orelse return -kernel.ENOMEM;
    ring.in_worker = parameters.in_worker != 0;
    defer if (number == null) release(ring, true);
    ring.staging = @ptrFromInt(staging);
    ring.parameters = @ptrFromInt(area);
    ring.parameter_bytes = parameters.parameter_bytes;
    ring.columns = @ptrFromInt(columns);
    ring.control = @ptrFromInt(control);
    ring.arena_address = arena_address;
    ring.arena_bytes = parameters.arena_bytes;
    ring.page_bytes = system.pageBytes();

    step.* = .setup;
    var rc = climb(ring, parameters);
    if (rc < 0) return rc;
    defer if (number == null) liburing.io_uring_queue_exit(&ring.uring);
    takeQueues(ring);
    parameters.got_entries = ring.sq_entries;
    parameters.got_completion_entries = ring.cq_mask + 1;
    parameters.got_setup_flags = ring.setup_flags;
    parameters.features = ring.uring.features;
    ring.staged_room = @min(parameters.staging_bytes / @sizeOf(abi.Image), ring.sq_entries);
    // Not enabled, with SQPOLL, nobody would ever see that the kernel does not take what is published.
    ring.staged_max = if (ring.setup_flags & abi.setup_flag.R_DISABLED != 0) 0 else ring.staged_room;

    step.* = .features;
    if (ring.uring.features & features_needed != features_needed or ring.uring.cq.kflags == null) {
        return -kernel.EOPNOTSUPP;
    }
    // A registered ring saves the look-up of its descriptor at every enter; a thread may have sixteen.
    _ = liburing.io_uring_register_ring_fd(&ring.uring);
    parameters.ring_registered = @intFromBool(ring.uring.int_flags & liburing.INT_FLAG_REG_RING != 0);
    ring.enter_flags = if (ring.uring.int_flags & liburing.INT_FLAG_REG_RING != 0) liburing.ENTER_REGISTERED_RING else 0;
    rc = probe(ring, parameters.in_worker != 0);
    if (rc < 0) return rc;

    step.* = .files;
    registerFiles(ring);
    ring.file_flag = if (ring.files.registered) abi.sqe_flag.FIXED_FILE else 0;

    step.* = .buffers;
    // Before the first touch. One huge page is one segment to the device where it would be hundreds, of
    // which it takes only so many at once. Where the kernel refuses, pages are of the usual size.
    if (huge) kernel.adviseHuge(arena_address, parameters.arena_bytes);
    rc = registerBuffers(ring, parameters.buffer_slices);
    // The kernel gives the locked memory of a ring that was swept back a moment later.
    var tries: u32 = 0;
    while (rc == -kernel.ENOMEM and swept > 0 and tries < 20) : (tries += 1) {
        kernel.sleep(2 * std.time.ns_per_ms);
        rc = registerBuffers(ring, parameters.buffer_slices);
    }
    ring.registered = rc == 0;
    if (ring.registered and parameters.buffer_slices != 0) ring.slice_bytes = parameters.arena_bytes / parameters.buffer_slices;
    parameters.registered = @intFromBool(ring.registered);
    parameters.register_errno = @intCast(-rc);
    // Memory that is not pinned must outlive its operations, and a worker's can go at any time.
    if (!ring.registered and parameters.in_worker != 0) return rc;
    if (!ring.registered) ring.usePlainOpcodes();

    step.* = .none;
    ring.control.* = std.mem.zeroes(abi.Control);
    ring.control.bad_index = 0xffff_ffff;
    const tid = kernel.gettid();
    table.lock.acquire();
    defer table.lock.release();
    number = @intCast(table.publish(entry, ring, tid));
    return number.?;
}

fn valid(parameters: *const abi.OpenParameters) bool {
    const p = parameters;
    return p.entries >= 1 and p.entries <= abi.entries_max and
        p.slots >= p.entries and p.slots <= abi.slots_max and
        p.files <= abi.files_max and
        p.arena_bytes >= page and p.arena_bytes <= abi.arena_bytes_max and
        p.arena_slack >= page and p.arena_slack <= abi.huge_page_bytes and
        p.staging_bytes >= p.entries * @sizeOf(abi.Image) and
        p.staging_bytes <= abi.entries_max * @sizeOf(abi.Image) and
        p.parameter_bytes <= parameter_bytes_max and
        p.setup_flags & ~abi.setup_allowed == 0 and
        (p.completion_entries == 0 or (p.completion_entries >= p.entries and p.completion_entries <= p.slots)) and
        p.buffer_slices <= buffers_max and
        (p.buffer_slices == 0 or p.arena_bytes % (p.buffer_slices * page) == 0) and
        p.rung < abi.ladder.len;
}

/// Fixed buffers that the kernel takes for one ring.
const buffers_max = 1 << 14;
/// Room for two paths of every entry.
const parameter_bytes_max = abi.entries_max * 2 * slots.path_bytes;

fn address(pointer: ?*anyopaque, alignment: usize) ?usize {
    const at = @intFromPtr(pointer orelse return null);
    return if (at % alignment == 0) at else null;
}

/// One mapping for the ring and its tables, one for the slots' memory, which may have to outlive it.
fn allocate(parameters: *const abi.OpenParameters) ?*Ring {
    var layout: usize = 0;
    const place = struct {
        fn of(at: *usize, comptime T: type, count: usize) usize {
            const start = std.mem.alignForward(usize, at.*, @alignOf(T));
            at.* = start + @sizeOf(T) * count;
            return start;
        }
    }.of;
    _ = place(&layout, Ring, 1);
    const slots_at = place(&layout, slots.Slot, parameters.slots);
    const files_at = place(&layout, files.File, parameters.files);
    const free_at = place(&layout, u16, parameters.files);
    const canceled_at = place(&layout, u32, parameters.slots);
    const pins_at = place(&layout, slots.Pin, parameters.buffer_slices);
    const attachments_at = place(&layout, slots.Attachment, parameters.slots);

    const memory = freestanding.map(layout) orelse return null;
    const slot_memory_bytes = @as(usize, parameters.slots) * slots.memory_bytes;
    const slot_memory = freestanding.map(slot_memory_bytes) orelse {
        freestanding.unmap(memory, layout);
        return null;
    };
    const ring: *Ring = @ptrCast(memory);
    ring.mapping_bytes = layout;
    ring.slot_memory = slot_memory;
    ring.slot_memory_bytes = slot_memory_bytes;
    ring.slots = @ptrCast(@alignCast(memory + slots_at));
    ring.slot_count = parameters.slots;
    ring.canceled = @ptrCast(@alignCast(memory + canceled_at));
    ring.pins = @ptrCast(@alignCast(memory + pins_at));
    ring.attachments = @ptrCast(@alignCast(memory + attachments_at));
    ring.files.init(@ptrCast(@alignCast(memory + files_at)), @ptrCast(@alignCast(memory + free_at)), parameters.files);
    return ring;
}

fn release(ring: *Ring, with_slot_memory: bool) void {
    if (with_slot_memory) freestanding.unmap(ring.slot_memory, ring.slot_memory_bytes);
    freestanding.unmap(@ptrCast(ring), ring.mapping_bytes);
}

/// Down the ladder while the kernel says EINVAL: there is a flag that it lacks.
fn climb(ring: *Ring, parameters: *abi.OpenParameters) i32 {
    const asked = parameters.setup_flags;
    const completion_entries = if (parameters.completion_entries == 0) parameters.slots else parameters.completion_entries;
    // Only a ring of this library, and of this thread.
    const attach: ?*Ring = if (parameters.attach == 0) null else switch (table.find(parameters.attach)) {
        .ring => |other| other,
        .failed => |rc| return rc,
    };
    var rung = parameters.rung;
    while (true) : (rung += 1) {
        var setup: liburing.Params = .{
            .flags = abi.ladder[rung] | asked | abi.setup_flag.CQSIZE,
            .cq_entries = completion_entries,
        };
        if (attach) |other| {
            setup.flags |= abi.setup_flag.ATTACH_WQ;
            setup.wq_fd = kernel.unsigned32(other.uring.ring_fd);
        }
        if (asked & abi.setup_flag.SQPOLL != 0) {
            setup.flags &= ~(abi.setup_flag.DEFER_TASKRUN | abi.setup_flag.COOP_TASKRUN | abi.setup_flag.TASKRUN_FLAG);
            setup.sq_thread_idle = parameters.sqpoll_idle_millis;
            if (parameters.sqpoll_cpu != abi.file_none) {
                setup.flags |= abi.setup_flag.SQ_AFF;
                setup.sq_thread_cpu = parameters.sqpoll_cpu;
            }
        }
        const rc = liburing.io_uring_queue_init_params(parameters.entries, &ring.uring, &setup);
        if (rc == 0) {
            ring.setup_flags = setup.flags;
            ring.uring.features = setup.features;
            parameters.got_rung = rung;
            return 0;
        }
        if (rc != -kernel.EINVAL or rung + 1 == abi.ladder.len) return rc;
    }
}

fn takeQueues(ring: *Ring) void {
    const uring = &ring.uring;
    ring.sqes = uring.sq.sqes;
    ring.sq_mask = uring.sq.kring_mask.*;
    ring.sq_entries = uring.sq.kring_entries.*;
    ring.sq_tail = uring.sq.ktail.*;
    ring.cqes = uring.cq.cqes;
    ring.cq_mask = uring.cq.kring_mask.*;
    // Entry n of the queue is always SQE n. Newer releases of liburing do without the array.
    if (ring.setup_flags & liburing.SETUP_NO_SQARRAY == 0) {
        for (0..ring.sq_entries) |index| uring.sq.array.?[index] = @intCast(index);
    }
    // Nobody waits for the eventfd yet.
    if (uring.cq.kflags) |flags| @atomicStore(u32, flags, liburing.CQ_EVENTFD_DISABLED, .monotonic);
}

fn probe(ring: *Ring, in_worker: bool) i32 {
    var known: liburing.Probe = .{};
    const rc = liburing.io_uring_register_probe(&ring.uring, &known, known.ops.len);
    if (rc < 0) return rc;
    for (abi.operations, &ring.supported, &ring.opcodes) |row, *supported, *opcode| {
        const pinned = row.pinned != 0 and has(&known, row.pinned);
        opcode.* = if (pinned) row.pinned else row.opcode;
        supported.* = has(&known, if (row.probe != 0) row.probe else row.opcode) and
            (pinned or row.pinned == 0 or !in_worker);
    }
    return 0;
}

/// The arena as one fixed buffer, or a table of empty places for its slices.
fn registerBuffers(ring: *Ring, slices: u32) i32 {
    if (slices == 0) {
        const range: liburing.Iovec = .{ .base = ring.arena_address, .len = ring.arena_bytes };
        return liburing.io_uring_register_buffers(&ring.uring, @ptrCast(&range), 1);
    }
    const bytes = slices * @sizeOf(liburing.Iovec);
    const memory = freestanding.map(bytes) orelse return -kernel.ENOMEM;
    defer freestanding.unmap(memory, bytes);
    // Fresh memory is zero, which is an empty place to every supported kernel.
    return liburing.io_uring_register_buffers(&ring.uring, @ptrCast(@alignCast(memory)), slices);
}

fn has(known: *const liburing.Probe, opcode: u8) bool {
    return opcode <= known.last_op and known.ops[opcode].flags & liburing.OP_SUPPORTED != 0;
}

/// Without the table operations name the real descriptor: slower, otherwise the same.
fn registerFiles(ring: *Ring) void {
    if (ring.files.count == 0) return;
    if (liburing.io_uring_register_files_sparse(&ring.uring, ring.files.count) == 0) {
        ring.files.registered = true;
        return;
    }
    // Kernels before 5.19 take an empty table as a table of -1.
    const bytes = ring.files.count * @sizeOf(c_int);
    const memory = freestanding.map(bytes) orelse return;
    defer freestanding.unmap(memory, bytes);
    const none = @as([*]c_int, @ptrCast(memory))[0..ring.files.count];
    @memset(none, -1);
    ring.files.registered = liburing.io_uring_register_files(&ring.uring, none.ptr, ring.files.count) == 0;
}

/// See `uring_close` in `abi.zig`.
pub fn close(number: u32, deadline_millis: u32) i32 {
    const ring = switch (table.find(number)) {
        .ring => |ring| ring,
        .failed => |rc| return rc,
    };
    const left = ring.drain(deadline_millis);
    {
        table.lock.acquire();
        defer table.lock.release();
        table.vacate(table.entryOf(number));
    }
    dismantle(ring);
    return @intCast(left);
}

/// Takes a ring apart that nobody finds any more. Its descriptors are closed last: while there is a ring, an
/// operation can name one, and a thread that polls can be about to.
fn dismantle(ring: *Ring) void {
    const all = ring.files.all[0..ring.files.count];
    for (all) |*file| {
        // With operations in flight the lock stays until the last of them lets go of the description.
        if (file.state == .open and file.in_flight == 0) ring.files.unregister(&ring.uring, file);
    }
    ring.keepNamed();
    for (all) |file| {
        if (file.state == .kept and file.locked and file.in_flight == 0) _ = kernel.flock(file.fd, abi.lock_flag.UNLOCK);
    }
    const keep = memoryInFlight(ring);
    // The kernel takes a ring apart after its descriptor is closed, in its own time; locked memory
    // that the next ring may need goes back now.
    if (ring.registered and ring.in_flight == 0) _ = liburing.io_uring_unregister_buffers(&ring.uring);
    liburing.io_uring_queue_exit(&ring.uring);
    for (all) |*file| {
        if (file.state == .open) kernel.close(file.fd);
    }
    release(ring, !keep);
}

/// Whether the kernel may still read or write the slots' memory. Then it stays for the life of the
/// process.
fn memoryInFlight(ring: *const Ring) bool {
    if (ring.in_flight == 0) return false;
    for (ring.slots[0..ring.slot_count]) |slot| {
        if (!slot.busy) continue;
        switch (slot.kind) {
            .private, .named, .result, .value, .open, .open_in => return true,
            .simple, .pair, .close, .message => {},
        }
    }
    return false;
}

/// Under the lock: closes what threads left behind that are gone, and counts their rings. Their shared
/// buffers may be unmapped, and are not touched.
fn sweep() u32 {
    var swept: u32 = 0;
    for (&table.entries) |*entry| {
        if (entry.tid == 0 or !kernel.threadGone(entry.tid)) continue;
        const ring = entry.ring;
        table.vacate(entry);
        // Its index among the registered rings was the dead thread's; to this one it is another ring.
        ring.uring.int_flags &= ~(liburing.INT_FLAG_REG_RING | liburing.INT_FLAG_REG_REG_RING);
        ring.uring.enter_ring_fd = ring.uring.ring_fd;
        // What has completed since its last tick: an open among that has a descriptor that nobody else knows.
        // With DEFER_TASKRUN the kernel keeps completions for the thread that is gone, and nobody can ask.
        ring.settleReady();
        dismantle(ring);
        swept += 1;
    }
    wake.sweep();
    return swept;
}
