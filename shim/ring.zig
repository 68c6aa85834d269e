//! A ring and its tick: check all staged images, submit them, wait, and copy completions out.
//!
//! The queues are driven by hand, because what the kernel did not take must be taken back: it stays
//! staged in TypeScript, in order. Memory that TypeScript shares (staging, parameters, columns,
//! control) is written freely, but read once only, in `prep.zig` and the functions that copy for it.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const kernel = @import("kernel.zig");
const liburing = @import("liburing.zig");
const prep = @import("prep.zig");
const files = @import("files.zig");
const slots = @import("slots.zig");
const linux = std.os.linux;

const Reason = abi.bad_reason;
const links = abi.sqe_flag.IO_LINK | abi.sqe_flag.IO_HARDLINK;
pub const nobody: u32 = 0xffff_ffff;
/// `timeout_micros` without end.
pub const forever: u32 = 0xffff_ffff;

pub const Ring = struct {
    uring: liburing.Ring,
    sqes: [*]liburing.Sqe,
    sq_mask: u32,
    sq_entries: u32,
    /// Where the next SQE goes. Without SQPOLL the kernel's head is here too between ticks.
    sq_tail: u32,
    cqes: [*]liburing.Cqe,
    cq_mask: u32,
    setup_flags: u32,
    enter_flags: u32,

    staging: [*]align(8) const volatile u8,
    /// Images of a tick; 0 while the ring is not enabled.
    staged_max: u32,
    /// What it is once enabled.
    staged_room: u32,
    parameters: [*]u8,
    parameter_bytes: u32,
    columns: [*]u32,
    control: *abi.Control,
    arena_address: u64,
    arena_bytes: u32,
    /// Of this machine.
    page_bytes: u32,
    /// The arena is a fixed buffer.
    registered: bool,
    /// By row: the opcode of its SQE, here and on this kernel.
    opcodes: [abi.operations.len]u8,
    /// FIXED_FILE where the kernel has the file table.
    file_flag: u8,
    eventfd_registered: bool,
    /// When the last alarm goes off, as long as it has not.
    alarm_at: u64,
    /// The arena of a worker can go away: what is not pinned cannot be used.
    in_worker: bool,
    /// 0, or the arena is cut into slices of this length, each of which is pinned by itself or not.
    slice_bytes: u32,
    /// By slice: the registered range that it lies in.
    pins: [*]slots.Pin,

    slots: [*]slots.Slot,
    slot_count: u32,
    /// By slot, where its kind has one.
    attachments: [*]slots.Attachment,
    slot_memory: [*]u8,
    files: files.Files,
    /// Slots whose operation ends with -ECANCELED without having reached the kernel.
    canceled: [*]u32,
    canceled_count: u32,
    /// Closes among the images that were built and not yet published.
    closes_staged: u32,
    supported: [abi.operations.len]bool,

    /// Operations that the kernel has, or whose completion was not yet reaped.
    in_flight: u32,
    enters: u32,
    overflows: u32,
    stale: u32,

    /// A request of `drain` has not completed.
    cancel_outstanding: bool,
    /// Something that this ring did can have canceled a close that is in flight.
    cancels: bool,
    /// Of the whole mapping in which this structure lies.
    mapping_bytes: usize,
    slot_memory_bytes: usize,

    enter_for_test: if (builtin.is_test) ?*const fn (*Ring, u32, u32, u32) i32 else void,

    /// See `uring_tick` in `abi.zig`.
    pub fn tick(ring: *Ring, staged: u32, wait: u32, timeout_micros: u32) i32 {
        const control = ring.control;
        control.consumed = 0;
        control.reaped = 0;
        control.bad_index = nobody;
        control.bad_reason = @backingInt(Reason.none);
        control.again = 0;

        var published: u32 = 0;
        var crowded = false;
        if (staged > 0) {
            // Nothing from before can reach what is staged now.
            if (ring.in_flight == 0) ring.cancels = false;
            if (staged > ring.staged_max) return if (ring.staged_max == 0) -kernel.EBADFD else -kernel.EINVAL;
            switch (ring.stage(staged)) {
                .built => |count| {
                    published = count;
                    crowded = count < staged;
                },
                .bad => |bad| {
                    control.bad_index = bad.index;
                    control.bad_reason = @backingInt(bad.reason);
                    return -kernel.EINVAL;
                },
            }
        }
        var failed: i32 = 0;
        if (published > 0 or wait > 0 or ring.in_flight > 0 or ring.asksToEnter()) {
            failed = ring.submitAndWait(published, if (timeout_micros == 0) 0 else wait, timeout_micros);
        }
        // The thread that polls has not read what was there before.
        if (crowded and control.again == 0) control.again = kernel.EAGAIN;
        const reaped = ring.reap();
        control.reaped = reaped;
        control.overflows = ring.overflows;
        control.in_flight = ring.in_flight;
        control.enters = ring.enters;
        control.stale = ring.stale;
        if (failed < 0 and reaped == 0) return failed;
        return @intCast(reaped);
    }

    /// Nothing is in flight, and yet the kernel has something: a message of another ring.
    fn asksToEnter(ring: *Ring) bool {
        const seen = @atomicLoad(u32, ring.uring.sq.kflags, .acquire);
        return seen & (liburing.SQ_TASKRUN | liburing.SQ_CQ_OVERFLOW) != 0;
    }

    const Staged = union(enum) {
        built: u32,
        bad: struct { index: u32, reason: Reason },
    };

    /// Builds the SQEs of the first `staged` images behind the tail. With SQPOLL as many as there is
    /// room for, in whole chains.
    pub fn stage(ring: *Ring, staged: u32) Staged {
        var count = staged;
        if (ring.sqpoll()) {
            const unread = ring.sq_tail -% @atomicLoad(u32, ring.uring.sq.khead, .acquire);
            count = @min(count, ring.sq_entries - unread);
        }
        const tail = ring.sq_tail;
        var index: u32 = 0;
        while (index < count) : (index += 1) {
            const source: prep.Source = @ptrCast(ring.staging + @as(usize, index) * @sizeOf(abi.Image));
            const reason = prep.build(ring, source, ring.sqe(tail +% index));
            if (reason != .none) {
                @branchHint(.unlikely);
                ring.rollback(tail, index, .checked);
                return .{ .bad = .{ .index = index, .reason = reason } };
            }
        }
        if (count > 0 and ring.sqe(tail +% (count - 1)).flags & links != 0) {
            @branchHint(.unlikely);
            var whole = count;
            while (whole > 0 and ring.sqe(tail +% (whole - 1)).flags & links != 0) whole -= 1;
            if (count == staged) {
                ring.rollback(tail, count, .checked);
                return .{ .bad = .{ .index = count - 1, .reason = .chain } };
            }
            ring.rollback(tail +% whole, count - whole, .checked);
            count = whole;
        }
        if (ring.closes_staged > 0) {
            @branchHint(.unlikely);
            ring.unregisterClosing(tail, count);
        }
        return .{ .built = count };
    }

    fn unregisterClosing(ring: *Ring, from: u32, count: u32) void {
        for (0..count) |index| {
            const position = from +% @as(u32, @intCast(index));
            const slot = &ring.slots[slotOf(ring.sqe(position))];
            if (slot.kind != .close) continue;
            // The last of a chain.
            if (index > 0 and ring.sqe(position -% 1).flags & links != 0) ring.cancels = true;
            ring.files.unregister(&ring.uring, &ring.files.all[slot.file]);
        }
        ring.closes_staged = 0;
    }

    /// How far the SQEs that are taken back had come.
    const Progress = enum { checked, published };

    pub fn rollback(ring: *Ring, from: u32, count: u32, progress: Progress) void {
        @branchHint(.cold);
        // Backwards, so that a file slot is given back in the order in which it was taken.
        var left = count;
        while (left > 0) {
            left -= 1;
            const slot_index = slotOf(ring.sqe(from +% left));
            const slot = &ring.slots[slot_index];
            ring.detach(slot_index);
            if (slot.file != slots.no_file) {
                const file = &ring.files.all[slot.file];
                file.in_flight -= 1;
                switch (slot.kind) {
                    .open, .open_in => ring.files.unreserve(file),
                    .close => {
                        ring.files.undoClose(&ring.uring, file, progress == .published);
                        if (progress == .checked) ring.closes_staged -= 1;
                    },
                    else => {},
                }
            }
            slot.busy = false;
        }
    }

    /// One io_uring_enter as a rule; none where it would bring nothing. What the kernel did not take is
    /// taken back. The result is 0 or an errno that is not `control.again`'s.
    fn submitAndWait(ring: *Ring, published: u32, wait: u32, timeout_micros: u32) i32 {
        const before = ring.sq_tail;
        ring.in_flight += published;
        var flags: u32 = 0;
        if (published > 0) {
            ring.sq_tail +%= published;
            if (ring.sqpoll()) {
                // The thread that polls may be about to sleep: the store must be seen before its flag is read.
                _ = @atomicRmw(u32, ring.uring.sq.ktail, .Xchg, ring.sq_tail, .seq_cst);
            } else {
                @atomicStore(u32, ring.uring.sq.ktail, ring.sq_tail, .release);
            }
        }
        const seen = @atomicLoad(u32, ring.uring.sq.kflags, .seq_cst);
        if (seen & liburing.SQ_CQ_OVERFLOW != 0) {
            @branchHint(.unlikely);
            ring.overflows +%= 1;
            flags |= liburing.ENTER_GETEVENTS;
        }
        if (seen & liburing.SQ_TASKRUN != 0) flags |= liburing.ENTER_GETEVENTS;
        if (ring.setup_flags & abi.setup_flag.IOPOLL != 0) flags |= liburing.ENTER_GETEVENTS;
        if (ring.sqpoll()) {
            if (seen & liburing.SQ_NEED_WAKEUP != 0 and
                ring.sq_tail != @atomicLoad(u32, ring.uring.sq.khead, .acquire)) flags |= liburing.ENTER_SQ_WAKEUP;
        }
        // It never waits for more than can come, nor for more than there is room for.
        const want = @min(wait, ring.in_flight, ring.cq_mask + 1);
        const to_submit = if (ring.sqpoll()) 0 else published;
        if (to_submit == 0 and ring.ready() >= want and flags == 0) {
            ring.control.consumed = published;
            return 0;
        }
        if (want > 0) flags |= liburing.ENTER_GETEVENTS;

        var deadline: u64 = 0;
        const timed = want > 0 and timeout_micros != forever;
        if (timed) deadline = kernel.nanoseconds() + @as(u64, timeout_micros) * std.time.ns_per_us;
        var nanoseconds_left = @as(u64, timeout_micros) * std.time.ns_per_us;

        const polled = ring.sqpoll();
        var submit = to_submit;
        var rc: i32 = undefined;
        while (true) {
            rc = ring.enter(submit, want, flags, if (timed) nanoseconds_left else null);
            if (submit > 0) {
                // What it returns can be an error after it took some: only the head tells.
                const taken = @atomicLoad(u32, ring.uring.sq.khead, .acquire) -% before;
                if (taken < published) {
                    @branchHint(.unlikely);
                    if (rc != -kernel.EINTR or taken > 0) {
                        ring.takeBack(before, taken, published);
                        break;
                    }
                } else {
                    ring.control.consumed = published;
                    submit = 0;
                }
            } else if (polled) {
                ring.control.consumed = published;
            }
            if (want == 0) {
                if (rc == -kernel.EINTR) continue;
                break;
            }
            if (rc == -kernel.ETIME or ring.ready() >= want) break;
            if (rc < 0 and rc != -kernel.EINTR) break;
            // A signal ended the wait early, or it came with the count of what was submitted.
            if (timed) {
                const now = kernel.nanoseconds();
                if (now >= deadline) break;
                nanoseconds_left = deadline - now;
            }
            flags &= ~liburing.ENTER_SQ_WAKEUP;
        }
        switch (rc) {
            -kernel.ETIME, -kernel.EINTR => return 0,
            -kernel.EAGAIN, -kernel.EBUSY => {
                ring.control.again = @intCast(-rc);
                return 0;
            },
            else => return @min(rc, 0),
        }
    }

    /// The kernel took `taken` of the SQEs published since `before`.
    fn takeBack(ring: *Ring, before: u32, taken: u32, published: u32) void {
        @branchHint(.cold);
        var settled = taken;
        // The kernel has already submitted the first part of a chain that it cut, without the rest;
        // the rest, left staged, would run as if nothing stood before it.
        while (settled > 0 and settled < published and ring.sqe(before +% (settled - 1)).flags & links != 0) {
            const slot = slotOf(ring.sqe(before +% settled));
            std.debug.assert(ring.canceled_count < ring.slot_count);
            ring.canceled[ring.canceled_count] = slot;
            ring.canceled_count += 1;
            settled += 1;
        }
        ring.in_flight -= published - settled;
        ring.rollback(before +% settled, published - settled, .published);
        ring.sq_tail = before +% taken;
        @atomicStore(u32, ring.uring.sq.ktail, ring.sq_tail, .release);
        ring.control.consumed = settled;
    }

    fn enter(ring: *Ring, submit: u32, want: u32, flags: u32, nanoseconds_left: ?u64) i32 {
        ring.enters +%= 1;
        if (builtin.is_test) {
            if (ring.enter_for_test) |stand_in| return stand_in(ring, submit, want, flags);
        }
        if (nanoseconds_left) |nanoseconds| {
            const limit: liburing.Timespec = .{
                .seconds = @intCast(nanoseconds / std.time.ns_per_s),
                .nanoseconds = @intCast(nanoseconds % std.time.ns_per_s),
            };
            const argument: liburing.GetEventsArg = .{ .ts = @intFromPtr(&limit) };
            return kernel.result(linux.syscall6(
                .io_uring_enter,
                kernel.unsigned(ring.uring.enter_ring_fd),
                submit,
                want,
                flags | ring.enter_flags | liburing.ENTER_EXT_ARG,
                @intFromPtr(&argument),
                @sizeOf(liburing.GetEventsArg),
            ));
        }
        return kernel.result(linux.syscall6(
            .io_uring_enter,
            kernel.unsigned(ring.uring.enter_ring_fd),
            submit,
            want,
            flags | ring.enter_flags,
            0,
            8,
        ));
    }

    /// Completions that stand in the queue.
    inline fn ready(ring: *Ring) u32 {
        return @atomicLoad(u32, ring.uring.cq.ktail, .acquire) -% ring.uring.cq.khead.*;
    }

    /// Copies completions into the columns, at most `slot_count`.
    fn reap(ring: *Ring) u32 {
        const capacity = ring.slot_count;
        const columns = ring.columns;
        var count: u32 = 0;
        if (ring.canceled_count > 0) {
            @branchHint(.unlikely);
            while (ring.canceled_count > 0 and count < capacity) {
                ring.canceled_count -= 1;
                const slot = ring.canceled[ring.canceled_count];
                const res = ring.settle(slot, -kernel.ECANCELED, 0);
                put(columns, capacity, count, slot, ring.slots[slot].generation, res, 0);
                count += 1;
            }
        }
        // The compiler cannot know that the stores below change none of these.
        const all_slots = ring.slots;
        const all_files = ring.files.all;
        const cqes = ring.cqes;
        const mask = ring.cq_mask;
        var ended: u32 = 0;
        var messages: u32 = 0;
        var head = ring.uring.cq.khead.*;
        const tail = @atomicLoad(u32, ring.uring.cq.ktail, .acquire);
        while (head != tail and count < capacity) : (head +%= 1) {
            const cqe = cqes[head & mask];
            const slot_index: u32 = @truncate(cqe.user_data);
            const generation: u32 = @truncate(cqe.user_data >> 32);
            if (slot_index >= capacity or !all_slots[slot_index].busy or all_slots[slot_index].generation != generation) {
                @branchHint(.unlikely);
                if (slot_index & abi.message_bit != 0) {
                    if (messages >= @atomicLoad(u32, &ring.control.message_room, .unordered)) break;
                    messages += 1;
                    put(columns, capacity, count, slot_index, generation, cqe.res, cqe.flags | abi.cqe_flag.MESSAGE);
                    count += 1;
                } else if (cqe.user_data != alarm_user_data) {
                    ring.stale +%= 1;
                }
                continue;
            }
            const slot = &all_slots[slot_index];
            if (slot.kind == .simple and cqe.flags & liburing.CQE_F_MORE == 0) {
                @branchHint(.likely);
                slot.busy = false;
                ended += 1;
                if (slot.file != slots.no_file) all_files[slot.file].in_flight -= 1;
                put(columns, capacity, count, slot_index, generation, cqe.res, cqe.flags);
            } else {
                put(columns, capacity, count, slot_index, generation, ring.settle(slot_index, cqe.res, cqe.flags), cqe.flags);
            }
            count += 1;
        }
        ring.in_flight -= ended;
        @atomicStore(u32, ring.uring.cq.khead, head, .release);
        ring.control.more = @intFromBool(head != tail or
            @atomicLoad(u32, ring.uring.sq.kflags, .unordered) & liburing.SQ_CQ_OVERFLOW != 0);
        return count;
    }

    inline fn put(columns: [*]u32, capacity: usize, place: u32, slot_index: u32, generation: u32, res: i32, flags: u32) void {
        columns[place] = slot_index;
        columns[capacity + place] = generation;
        columns[2 * capacity + place] = @bitCast(res);
        columns[3 * capacity + place] = flags;
    }

    /// What a completion changes here; the slot is free after its last.
    fn settle(ring: *Ring, slot_index: u32, result: i32, flags: u32) i32 {
        const slot = &ring.slots[slot_index];
        if (flags & liburing.CQE_F_MORE != 0) {
            @branchHint(.unlikely);
            return result;
        }
        slot.busy = false;
        ring.in_flight -= 1;
        ring.detach(slot_index);
        var file: ?*files.File = null;
        if (slot.file != slots.no_file) {
            file = &ring.files.all[slot.file];
            file.?.in_flight -= 1;
        }
        return switch (slot.kind) {
            .simple, .private, .named, .pair, .message => result,
            .result => ring.copyResult(slot_index, result),
            .value => ring.copyValueOut(slot_index, result),
            .open, .open_in => ring.opened(file.?, result),
            .close => ring.closed(file.?, result),
        };
    }

    /// Lets go of what is attached to a slot.
    pub fn detach(ring: *Ring, slot_index: u32) void {
        const attachment = &ring.attachments[slot_index];
        switch (ring.slots[slot_index].kind) {
            .pair, .open_in => if (attachment.file != slots.no_file) {
                ring.files.all[attachment.file].in_flight -= 1;
            },
            .message => kernel.close(attachment.descriptor),
            .simple, .private, .named, .result, .value, .open, .close => {},
        }
    }

    fn opened(ring: *Ring, file: *files.File, result: i32) i32 {
        if (result < 0) {
            ring.files.unreserve(file);
            return result;
        }
        return ring.files.install(&ring.uring, file, result);
    }

    fn closed(ring: *Ring, file: *files.File, result: i32) i32 {
        // Whatever a close returns, the descriptor is gone, and its number may be another's by now: a file
        // system can answer a close with any errno, also with ECANCELED. But what this ring has canceled was
        // never tried, and a ring that polls refuses it. (An allow-list always has close.) Where a thread ended
        // with its close in flight nobody can tell: better a descriptor too many.
        const untried = (result == -kernel.ECANCELED and ring.cancels) or
            (result == -kernel.EINVAL and ring.setup_flags & abi.setup_flag.IOPOLL != 0);
        if (untried) kernel.close(file.fd);
        ring.files.endClose(file);
        return if (untried) 0 else result;
    }

    /// Results lie behind the incoming part of the parameter area.
    fn copyResult(ring: *Ring, slot_index: u32, result: i32) i32 {
        if (result >= 0) {
            const to = ring.parameters + ring.parameter_bytes + @as(usize, slot_index) * abi.result_bytes;
            @memcpy(to[0..abi.result_bytes], ring.memoryOf(slot_index)[slots.result_at..slots.memory_bytes]);
        }
        return result;
    }

    inline fn memoryOf(ring: *Ring, slot_index: u32) *[slots.memory_bytes]u8 {
        return @ptrCast(ring.slot_memory + @as(usize, slot_index) * slots.memory_bytes);
    }

    /// Before the ring is taken apart: descriptors that operations without an end go by stay open for the
    /// life of the process. The kernel looks a descriptor up when it comes to the operation, in a thread of
    /// its own also after the ring was closed, and a number that was free would have become another's.
    pub fn keepNamed(ring: *Ring) void {
        if (ring.in_flight == 0) return;
        const all = ring.files.all;
        for (ring.slots[0..ring.slot_count], ring.attachments) |slot, attachment| {
            if (!slot.busy) continue;
            // Of all else the kernel's table has the file.
            const by_number = switch (slot.kind) {
                .named, .close, .result, .value => true,
                .simple, .private, .pair, .open, .open_in, .message => !ring.files.registered,
            };
            if (by_number and slot.file != slots.no_file) keep(&all[slot.file]);
            switch (slot.kind) {
                .open_in => if (attachment.file != slots.no_file) keep(&all[attachment.file]),
                .pair => if (!ring.files.registered) keep(&all[attachment.file]),
                else => {},
            }
        }
    }

    fn keep(file: *files.File) void {
        file.state = .kept;
        // What is left are operations that move data: the lock stays until they have ended.
        file.in_flight -= 1;
    }

    /// Values lie in the arena. `result` of a question for the size is more than there is.
    fn copyValueOut(ring: *Ring, slot_index: u32, result: i32) i32 {
        const attachment = &ring.attachments[slot_index];
        if (result > 0 and result <= attachment.value_bytes) {
            const bytes: u32 = @intCast(result);
            const arena: [*]u8 = @ptrFromInt(ring.arena_address);
            @memcpy(arena[attachment.value_at..][0..bytes], ring.memoryOf(slot_index)[slots.second_at..][0..bytes]);
        }
        return result;
    }

    pub fn copyValueIn(ring: *Ring, slot_index: u32, at: u64, bytes: u32) ?u64 {
        if (bytes > abi.value_bytes_max or !ring.inArena(at, bytes)) return null;
        const arena: [*]const u8 = @ptrFromInt(ring.arena_address);
        @memcpy(ring.memoryOf(slot_index)[slots.second_at..][0..bytes], arena[@intCast(at)..][0..bytes]);
        return ring.placeOf(slot_index, slots.second_at);
    }

    pub fn placeOf(ring: *Ring, slot_index: u32, place: usize) u64 {
        return @intFromPtr(ring.memoryOf(slot_index)) + place;
    }

    /// Puts a structure into the slot's memory.
    pub fn copyStruct(ring: *Ring, slot_index: u32, place: usize, value: anytype) u64 {
        @memcpy(ring.memoryOf(slot_index)[place..][0..@sizeOf(@TypeOf(value))], std.mem.asBytes(&value));
        return ring.placeOf(slot_index, place);
    }

    pub inline fn inArena(ring: *const Ring, at: u64, bytes: u32) bool {
        return at <= ring.arena_bytes and bytes <= ring.arena_bytes - at;
    }

    /// Copies a path or a name from the parameter area into the slot's memory and checks the copy.
    pub fn copyText(ring: *Ring, slot_index: u32, place: usize, bytes_max: u32, at: u64, bytes: u32) ?u64 {
        if (bytes == 0 or bytes > bytes_max) return null;
        if (at > ring.parameter_bytes or bytes > ring.parameter_bytes - at) return null;
        const to = ring.memoryOf(slot_index)[place..];
        @memcpy(to[0..bytes], ring.parameters + @as(usize, @intCast(at)));
        to[bytes] = 0;
        if (std.mem.indexOfScalar(u8, to[0..bytes], 0) != null) return null;
        return @intFromPtr(to.ptr);
    }

    /// Where the kernel's table has the registered range around this one; `null` when there is none.
    pub fn pinOf(ring: *const Ring, offset: u64, bytes: u32) ?u16 {
        if (offset >= ring.arena_bytes) return null;
        const pin = ring.pins[@as(u32, @intCast(offset)) / ring.slice_bytes];
        if (offset + bytes > pin.end) return null;
        return @intCast(pin.start / ring.slice_bytes);
    }

    /// The same around all the vectors that were copied: an operation names one range.
    pub fn pinOfVectors(ring: *Ring, slot_index: u32, count: u32) ?u16 {
        const vectors: [*]const liburing.Iovec = @ptrCast(@alignCast(ring.memoryOf(slot_index)[slots.first_at..]));
        var start: u64 = ring.arena_bytes;
        var end: u64 = 0;
        for (vectors[0..count]) |vector| {
            start = @min(start, vector.base - ring.arena_address);
            end = @max(end, vector.base - ring.arena_address + vector.len);
        }
        return if (end < start) null else ring.pinOf(start, @intCast(end - start));
    }

    /// Makes iovecs in the slot's memory of `count` pairs (arena offset, bytes) in the parameter area. Each
    /// pair is read once.
    pub fn copyVectors(ring: *Ring, slot_index: u32, at: u64, count: u32) ?u64 {
        if (count > abi.vectors_max) return null;
        if (at > ring.parameter_bytes or count * 8 > ring.parameter_bytes - at) return null;
        const from: [*]align(1) const volatile u32 = @ptrCast(ring.parameters + @as(usize, @intCast(at)));
        const to: [*]liburing.Iovec = @ptrCast(@alignCast(ring.memoryOf(slot_index)[slots.first_at..]));
        var filled: usize = 0;
        for (0..count) |index| {
            const offset = from[2 * index];
            const bytes = from[2 * index + 1];
            if (!ring.inArena(offset, bytes)) return null;
            if (bytes == 0) continue;
            to[filled] = .{ .base = ring.arena_address + offset, .len = bytes };
            filled += 1;
        }
        if (filled < count) to[filled].len = 0;
        return @intFromPtr(to);
    }

    /// Of the vectors that were copied, of `count`: an empty one ends them.
    pub fn vectorCount(ring: *Ring, slot_index: u32, count: u32) u32 {
        const vectors: [*]const liburing.Iovec = @ptrCast(@alignCast(ring.memoryOf(slot_index)[slots.first_at..]));
        for (0..count) |index| {
            if (vectors[index].len == 0) return @intCast(index);
        }
        return count;
    }

    /// Where the arena is not pinned, rows use the opcodes that do not need it.
    pub fn usePlainOpcodes(ring: *Ring) void {
        for (abi.operations, &ring.opcodes) |row, *opcode| opcode.* = row.opcode;
    }

    pub inline fn sqe(ring: *Ring, position: u32) *liburing.Sqe {
        return &ring.sqes[position & ring.sq_mask];
    }

    pub inline fn sqpoll(ring: *const Ring) bool {
        return ring.setup_flags & abi.setup_flag.SQPOLL != 0;
    }

    /// Asks the kernel to cancel everything, and settles what ends before the deadline, delivering
    /// nothing. The result is what is still in flight then.
    pub fn drain(ring: *Ring, deadline_millis: u32) u32 {
        if (ring.in_flight > 0) ring.cancels = true;
        const deadline = kernel.nanoseconds() + @as(u64, deadline_millis) * std.time.ns_per_ms;
        ring.settleReady();
        var at_once = true;
        var all_at_once = true;
        // Where `cancelAtOnce` does not do, first everything by one request; a kernel before 5.19 does not
        // know how, so then one by one.
        var next: u32 = 0;
        while (ring.in_flight > 0) {
            at_once = at_once and ring.cancelAtOnce();
            // It does not see what a thread that polls has handed to other threads. An operation of theirs that
            // never ends, and a drain behind it: that nothing cancels but the end of the ring.
            const by_request = !at_once or (ring.sqpoll() and !ring.cancel_outstanding);
            if (by_request and ring.sq_tail == @atomicLoad(u32, ring.uring.sq.khead, .acquire)) {
                if (at_once or all_at_once) {
                    ring.putCancel(0, liburing.ASYNC_CANCEL_ALL | liburing.ASYNC_CANCEL_ANY);
                    all_at_once = false;
                } else {
                    var requests: u32 = 0;
                    while (next < ring.slot_count and requests < ring.sq_entries) : (next += 1) {
                        if (!ring.slots[next].busy) continue;
                        ring.putCancel(next | @as(u64, ring.slots[next].generation) << 32, 0);
                        requests += 1;
                    }
                }
                _ = @atomicRmw(u32, ring.uring.sq.ktail, .Xchg, ring.sq_tail, .seq_cst);
            }
            const now = kernel.nanoseconds();
            const nanoseconds_left = deadline -| now;
            var flags = liburing.ENTER_GETEVENTS;
            if (ring.sqpoll()) flags |= liburing.ENTER_SQ_WAKEUP;
            const submit = if (ring.sqpoll()) 0 else ring.sq_tail -% @atomicLoad(u32, ring.uring.sq.khead, .acquire);
            const rc = ring.enter(submit, @intFromBool(nanoseconds_left > 0), flags, if (at_once) @min(nanoseconds_left, round) else nanoseconds_left);
            ring.settleReady();
            if (rc < 0) switch (rc) {
                -kernel.EINTR, -kernel.EAGAIN, -kernel.EBUSY, -kernel.ETIME => {},
                else => break,
            };
            if (nanoseconds_left == 0) break;
        }
        return ring.in_flight;
    }

    /// A timeout of the kernel, which has no completion when its time is over: that it is over signals the
    /// eventfd, as all work does that waits for the owner of the ring. Nothing counts it as in flight, and
    /// it ends with the ring. A kernel that refuses it, or cancels it with all that there is, says so by a
    /// completion that belongs to nobody.
    pub fn setAlarm(ring: *Ring, micros: u32) void {
        if (ring.setup_flags & abi.setup_flag.DEFER_TASKRUN == 0) return;
        // The kernel copies it as it takes the SQE.
        const after: liburing.Timespec = .{
            .seconds = micros / std.time.us_per_s,
            .nanoseconds = micros % std.time.us_per_s * std.time.ns_per_us,
        };
        const before = ring.sq_tail;
        // There is one alarm: an earlier one is put to another time, unless it is about to go off. One that is
        // not found after all is said by a completion, which signals the eventfd as the alarm would have.
        const now = kernel.nanoseconds();
        const again = ring.alarm_at > now + alarm_margin;
        ring.alarm_at = now + @as(u64, micros) * std.time.ns_per_us;
        ring.sqe(before).* = if (again) std.mem.zeroInit(liburing.Sqe, .{
            .opcode = liburing.OP_TIMEOUT_REMOVE,
            .flags = liburing.SQE_CQE_SKIP_SUCCESS,
            .fd = -1,
            .off = @intFromPtr(&after),
            .addr = alarm_user_data,
            .op_flags = liburing.TIMEOUT_UPDATE,
            .user_data = alarm_user_data,
        }) else std.mem.zeroInit(liburing.Sqe, .{
            .opcode = liburing.OP_TIMEOUT,
            .flags = liburing.SQE_CQE_SKIP_SUCCESS,
            .fd = -1,
            .addr = @intFromPtr(&after),
            .len = 1,
            .op_flags = abi.timeout_flag.ETIME_SUCCESS,
            .user_data = alarm_user_data,
        });
        @atomicStore(u32, ring.uring.sq.ktail, before +% 1, .release);
        _ = ring.enter(1, 0, 0, null);
        // What was not taken is taken back: then there is no alarm.
        ring.sq_tail = @atomicLoad(u32, ring.uring.sq.khead, .acquire);
        @atomicStore(u32, ring.uring.sq.ktail, ring.sq_tail, .release);
    }

    const alarm_margin = std.time.ns_per_ms;

    /// What a drain had deferred starts when the operation before it was canceled, and is canceled in the next
    /// round.
    const round = 5 * std.time.ns_per_ms;

    /// Cancels whatever has started, without an SQE: that would wait, too, behind an operation with IO_DRAIN
    /// that never ends. `false` where the kernel, before 6.0, has no such call.
    fn cancelAtOnce(ring: *Ring) bool {
        var all: liburing.SyncCancel = .{
            .flags = liburing.ASYNC_CANCEL_ALL | liburing.ASYNC_CANCEL_ANY,
            // It does not wait for what was canceled.
            .timeout = .{ .seconds = 0, .nanoseconds = 0 },
        };
        const rc = liburing.io_uring_register_sync_cancel(&ring.uring, &all);
        return switch (rc) {
            -kernel.ENOENT, -kernel.EALREADY, -kernel.ETIME, -kernel.EINTR => true,
            else => rc >= 0,
        };
    }

    /// Those of the shim's own: no slot has these numbers, and without `message_bit` they are no message
    /// either, whatever another ring sends.
    const cancel_user_data: u64 = abi.message_bit - 1;
    const alarm_user_data: u64 = abi.message_bit - 2;
    comptime {
        std.debug.assert(abi.slots_max <= alarm_user_data);
    }

    fn putCancel(ring: *Ring, target: u64, flags: u32) void {
        ring.sqe(ring.sq_tail).* = std.mem.zeroInit(liburing.Sqe, .{
            .opcode = liburing.OP_ASYNC_CANCEL,
            .fd = -1,
            .addr = target,
            .op_flags = flags,
            .user_data = cancel_user_data,
        });
        ring.sq_tail +%= 1;
        ring.cancel_outstanding = true;
    }

    pub fn settleReady(ring: *Ring) void {
        while (ring.canceled_count > 0) {
            ring.canceled_count -= 1;
            _ = ring.settle(ring.canceled[ring.canceled_count], -kernel.ECANCELED, 0);
        }
        var head = ring.uring.cq.khead.*;
        const tail = @atomicLoad(u32, ring.uring.cq.ktail, .acquire);
        while (head != tail) : (head +%= 1) {
            const cqe = &ring.cqes[head & ring.cq_mask];
            const slot_index: u32 = @truncate(cqe.user_data);
            if (cqe.user_data == cancel_user_data) ring.cancel_outstanding = false;
            if (slot_index >= ring.slot_count) continue;
            const slot = &ring.slots[slot_index];
            if (!slot.busy or slot.generation != @as(u32, @truncate(cqe.user_data >> 32))) continue;
            // Nobody looks at results any more, and the parameter area may be gone.
            if (slot.kind == .result or slot.kind == .value) slot.kind = .private;
            _ = ring.settle(slot_index, cqe.res, cqe.flags);
        }
        @atomicStore(u32, ring.uring.cq.khead, head, .release);
    }
};

inline fn slotOf(sqe: *const liburing.Sqe) u32 {
    return @truncate(sqe.user_data);
}
