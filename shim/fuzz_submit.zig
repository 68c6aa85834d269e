//! Random images and random calls against the real kernel: `fuzz submit SEED SESSIONS [MILLIS]`.
//!
//! A session opens a ring with random parameters over memory that ends at pages nobody may touch, ticks
//! random images, calls random exports, closes, and calls on with the number that is no more. In most
//! sessions another thread rewrites staging and parameters meanwhile (B2), in some also the memory that
//! only the shim should write to, and knocks with the ring's number. Each session has a seed of its own,
//! SEED plus its number, so that it can be run alone.
//!
//! What must hold: no crash; what was submitted completes once; after a close nothing is in flight and
//! the process has the descriptors that it had; memory around the shared buffers and descriptors that
//! are not the ring's are unchanged; no operation gives EFAULT, which would be an address that the shim
//! should have refused; and none EROFS: everything but the working directory is read-only for this
//! process, so that would be a file outside of it.

const std = @import("std");
const abi = @import("abi.zig");
const freestanding = @import("freestanding.zig");
const fuzz_images = @import("fuzz_images.zig");
const kernel = @import("kernel.zig");
const shim = @import("shim.zig");
const linux = std.os.linux;

comptime {
    _ = freestanding;
}

const page = 4096;
const entries_max = 64;
const slots_max = 128;
const steps_max = 60;
const decoys = 16;
const decoy_bytes = page;
const EFAULT = 14;
const EROFS = 30;
/// A close that takes longer than this does not end.
const close_millis = 30_000;
/// With SQPOLL there are operations that nothing cancels but the end of the ring; see `Ring.drain`. Their
/// memory stays.
const close_millis_polled = 500;
const call = shim.exported;

const Counts = struct {
    sessions: u64 = 0,
    refused_opens: u64 = 0,
    ticks: u64 = 0,
    images: u64 = 0,
    submitted: u64 = 0,
    refused: u64 = 0,
    completions: u64 = 0,
    calls: u64 = 0,
    rows: [abi.operations.len]u64 = @splat(0),
    succeeded: [abi.operations.len]u64 = @splat(0),
};
var counts: Counts = .{};
/// Of the session that runs, for messages.
var session_seed: u64 = 0;

pub fn run(seed: u64, sessions: u64, millis: ?u64) !void {
    // A path may be anything then.
    check(kernel.result(linux.chroot(".")) == 0, "chroot");
    var decoy: Decoys = undefined;
    decoy.make();
    for (&pipes) |*pipe| check(kernel.result(linux.syscall2(.pipe2, @intFromPtr(pipe), kernel.O_CLOEXEC)) == 0, "a pipe");
    // The eventfd of this thread belongs to what it has.
    check(call("uring_wake_fd")() > 0, "an eventfd");
    // For messages, and one that a ring can be attached to.
    var post: Shared = undefined;
    var post_generator = std.Random.DefaultPrng.init(1);
    post.make(post_generator.random());
    post.parameters.setup_flags = 0;
    const post_number = post.open();
    check(post_number > 0, "a ring");
    mailbox = @intCast(post_number);
    var before = descriptors();
    var rewriter: Rewriter = .{ .seed = seed };
    const thread = try std.Thread.spawn(.{}, Rewriter.loop, .{&rewriter});
    const deadline = if (millis) |some| kernel.nanoseconds() + some * std.time.ns_per_ms else std.math.maxInt(u64);
    var number: u64 = 0;
    while (number < sessions and kernel.nanoseconds() < deadline) : (number += 1) {
        session_seed = seed +% number;
        const whole = session(session_seed, &rewriter);
        // What was sent to it.
        const box: *volatile abi.Control = @ptrCast(@alignCast(post.control.start));
        box.message_room = abi.messages_max;
        check(call("uring_tick")(mailbox, 0, 0, 0) >= 0, "a ring takes messages");
        decoy.verify();
        const after = descriptors();
        // What an operation that has not ended names stays open: its number may not become another's.
        if (!whole) before = after;
        for (before, after, 0..) |had, has, fd| {
            if (had != has) fail("descriptor {d} {s}", .{ fd, if (has) "was left open" else "was closed" });
        }
        counts.sessions += 1;
    }
    @atomicStore(bool, &rewriter.ended, true, .release);
    thread.join();
    // A fuzz that gets nowhere has tested nothing.
    if (counts.refused_opens * 2 > counts.sessions) fail("{d} of {d} rings could not be opened", .{ counts.refused_opens, counts.sessions });
    report();
}

/// `false` when operations were in flight at the end, which may be with SQPOLL only.
fn session(seed: u64, rewriter: *Rewriter) bool {
    var generator = std.Random.DefaultPrng.init(seed);
    const random = generator.random();
    var shared: Shared = undefined;
    shared.make(random);
    var keep = false;
    defer if (!keep) shared.unmap();
    const p = &shared.parameters;
    const rc = shared.open();
    if (rc < 0) {
        counts.refused_opens += 1;
        check(p.failed_step != 0, "a refused open names its step");
        return true;
    }
    var live: Session = .{ .number = @intCast(rc), .shared = &shared, .random = random, .race = random.uintLessThan(u8, 3), .rings = .{ @intCast(rc), mailbox, 7 } };
    live.adoptPipes();
    if (p.setup_flags & abi.setup_flag.R_DISABLED != 0) live.enable();
    if (live.race > 0) rewriter.begin(&live);
    for (0..random.uintLessThan(u32, steps_max)) |_| {
        if (fuzz_images.oneIn(random, 5)) live.callSomething() else live.tickSomething();
    }
    // What another thread turned into something else may wait for something that never comes.
    if (random.boolean()) live.drain();
    const polled = p.got_setup_flags & abi.setup_flag.SQPOLL != 0;
    const left = call("uring_close")(live.number, if (polled) close_millis_polled else close_millis);
    keep = left > 0;
    if (left != 0 and !polled) {
        for (live.flying, 0..) |one, slot| if (one) |staged| std.debug.print("slot {d}: {s} {any}\n", .{ slot, abi.operations[staged.operation].name, staged });
        fail("closing left {d} in flight, set-up flags {x}, race {d}", .{ left, p.got_setup_flags, live.race });
    }
    if (live.race > 0) rewriter.end();
    // The number names nothing any more.
    for (0..4) |_| live.callSomething();
    check(call("uring_tick")(live.number, 1, 0, 0) == -kernel.EBADF, "a tick after close is EBADF");
    check(call("uring_close")(live.number, 0) == -kernel.EBADF, "a second close is EBADF");
    shared.verify();
    return !keep;
}

/// Memory that ends at a page which nobody may touch. Before it, canaries from the page's beginning on;
/// with a margin also behind it.
const Guarded = struct {
    mapping: [*]u8,
    mapping_bytes: usize,
    start: [*]u8,
    bytes: usize,

    fn make(self: *Guarded, bytes: usize, margin: bool) void {
        const inner = std.mem.alignForward(usize, bytes, page) + @as(usize, if (margin) 2 * page else 0);
        self.mapping_bytes = inner + 2 * page;
        self.mapping = freestanding.map(self.mapping_bytes) orelse fail("no memory", .{});
        protect(self.mapping);
        protect(self.mapping + page + inner);
        @memset(self.mapping[page..][0..inner], canary);
        self.bytes = bytes;
        self.start = self.mapping + page + inner - @as(usize, if (margin) page else 0) - bytes;
        @memset(self.start[0..bytes], 0);
    }

    fn protect(at: [*]u8) void {
        check(linux.errno(linux.mprotect(at, page, .{})) == .SUCCESS, "mprotect");
    }

    fn verify(self: *const Guarded, name: []const u8) void {
        const first = self.mapping + page;
        const end = self.mapping + self.mapping_bytes - page;
        const before = first[0 .. self.start - first];
        const behind = (self.start + self.bytes)[0 .. end - (self.start + self.bytes)];
        for ([_][]const u8{ before, behind }) |part| {
            if (!std.mem.allEqual(u8, part, canary)) fail("memory beside {s} was written to", .{name});
        }
    }
};
const canary = 0xc5;

/// What TypeScript would share with the shim.
const Shared = struct {
    parameters: abi.OpenParameters,
    staging: Guarded,
    area: Guarded,
    columns: Guarded,
    control: Guarded,
    arena: Guarded,

    fn make(shared: *Shared, random: std.Random) void {
        const entries = random.intRangeAtMost(u32, 1, entries_max);
        const slots = random.intRangeAtMost(u32, entries, slots_max);
        const arena_bytes = page * random.intRangeAtMost(u32, 1, 64);
        const parameter_bytes = random.uintAtMost(u32, 8192);
        shared.parameters = std.mem.zeroInit(abi.OpenParameters, .{
            .entries = entries,
            .slots = slots,
            .files = random.uintAtMost(u32, 16),
            .arena_bytes = arena_bytes,
            .arena_slack = page,
            .staging_bytes = entries * @sizeOf(abi.Image),
            .parameter_bytes = parameter_bytes,
            .sqpoll_cpu = abi.file_none,
            .sqpoll_idle_millis = 1,
            .rung = random.uintLessThan(u32, abi.ladder.len),
        });
        const p = &shared.parameters;
        if (fuzz_images.oneIn(random, 16)) p.setup_flags |= abi.setup_flag.SQPOLL;
        if (fuzz_images.oneIn(random, 32)) p.setup_flags |= abi.setup_flag.IOPOLL;
        if (fuzz_images.oneIn(random, 8)) p.setup_flags |= abi.setup_flag.CLAMP;
        if (fuzz_images.oneIn(random, 16)) p.setup_flags |= abi.setup_flag.R_DISABLED;
        // So few that the queue overflows.
        if (fuzz_images.oneIn(random, 4)) p.completion_entries = random.intRangeAtMost(u32, entries, slots);
        if (mailbox != 0 and fuzz_images.oneIn(random, 16)) p.attach = mailbox;
        if (fuzz_images.oneIn(random, 6)) p.buffer_slices = arena_bytes / page / random.intRangeAtMost(u32, 1, 2);
        shared.staging.make(p.staging_bytes, false);
        shared.area.make(parameter_bytes + slots * abi.result_bytes, false);
        shared.columns.make(slots * 16, false);
        shared.control.make(@sizeOf(abi.Control), false);
        shared.arena.make(arena_bytes, random.boolean());
        for (shared.area.start[0..parameter_bytes]) |*byte| byte.* = letter(random);
        if (fuzz_images.oneIn(random, 32)) {
            // Out of range, as a rule; whatever it is, the memory is large enough for it.
            const words: *[@offsetOf(abi.OpenParameters, "got_entries") / 4]u32 = @ptrCast(p);
            const at = random.uintLessThan(usize, words.len);
            switch (at) {
                // Sizes that the memory would not have.
                0, 1, 3, 5, 6 => words[at] = 0,
                4 => {},
                else => words[at] = @truncate(fuzz_images.someNumber(random, 64)),
            }
            // A poller that never sleeps would keep a processor.
            p.sqpoll_idle_millis = 1;
        }
    }

    fn open(shared: *Shared) i32 {
        return call("uring_open")(
            &shared.parameters,
            shared.staging.start,
            shared.area.start,
            shared.columns.start,
            shared.control.start,
            shared.arena.start,
        );
    }

    fn all(shared: *Shared) [5]*Guarded {
        return .{ &shared.staging, &shared.area, &shared.columns, &shared.control, &shared.arena };
    }

    fn verify(shared: *Shared) void {
        const names = [_][]const u8{ "staging", "the parameter area", "the columns", "the control words", "the arena" };
        for (shared.all(), names) |one, name| one.verify(name);
    }

    fn unmap(shared: *Shared) void {
        for (shared.all()) |one| freestanding.unmap(one.mapping, one.mapping_bytes);
    }
};

/// Names of files: few, so that operations meet, and none that leads out of the directory.
fn letter(random: std.Random) u8 {
    return if (fuzz_images.oneIn(random, 64)) 0 else random.intRangeAtMost(u8, 'a', 'd');
}

const Staged = struct { operation: u8, flags: u8, file: u32, generation: u32, length: u32 };

const Session = struct {
    number: u32,
    shared: *Shared,
    random: std.Random,
    /// 0: nobody else. 1: staging and parameters are rewritten. 2: columns and control words, too.
    race: u8,
    /// References that were given out, of which the older may be closed.
    files: [32]u32 = @splat(abi.file_none),
    file_count: u32 = 1,
    /// This one, another of this thread, and one that there is not.
    rings: [3]u32,
    /// By index: the reference that names an open file.
    open: [abi.files_max]u32 = @splat(abi.file_none),
    /// The slot of the next image.
    slot: u32 = 0,
    /// By slot, without a race: what is in flight.
    flying: [slots_max]?Staged = @splat(null),
    in_flight: u64 = 0,
    /// Images that the kernel has not taken.
    left: u32 = 0,

    fn control(self: *Session) *volatile abi.Control {
        return @ptrCast(@alignCast(self.shared.control.start));
    }

    fn image(self: *Session, place: u32) *abi.Image {
        return @ptrCast(@alignCast(self.shared.staging.start + place * @sizeOf(abi.Image)));
    }

    fn remember(self: *Session, file: i32) void {
        if (file <= 0) return;
        self.open[@as(u32, @intCast(file)) % abi.files_max] = @intCast(file);
        if (self.file_count < self.files.len) self.file_count += 1;
        const place = if (self.file_count < self.files.len) self.file_count - 1 else self.random.uintLessThan(u32, self.file_count);
        self.files[place] = @intCast(file);
    }

    /// As a rule; the others name a file that is no more.
    fn forget(self: *Session, file: u32) void {
        if (fuzz_images.oneIn(self.random, 4)) return;
        const known = self.files[0..self.file_count];
        const place = std.mem.indexOfScalar(u32, known, file) orelse return;
        known[place] = known[known.len - 1];
        if (known.len > 1) self.file_count -= 1;
    }

    fn adoptPipes(self: *Session) void {
        for (pipes) |pipe| for (pipe) |end| self.remember(call("uring_adopt")(self.number, end));
    }

    /// For a part of the operations, as a rule.
    fn enable(self: *Session) void {
        const random = self.random;
        if (fuzz_images.oneIn(random, 8)) return;
        for (&scratch) |*byte| byte.* = @intFromBool(!fuzz_images.oneIn(random, 8));
        const rc = call("uring_enable")(self.number, &scratch, if (random.boolean()) 0 else abi.operations.len);
        check(rc == 0, "a ring that is disabled can be enabled");
    }

    fn world(self: *Session) fuzz_images.World {
        const p = &self.shared.parameters;
        return .{
            .slots = p.slots,
            .arena_bytes = p.arena_bytes,
            .parameter_bytes = p.parameter_bytes,
            .files = self.files[0..self.file_count],
            .rings = &self.rings,
            .area = self.shared.area.start[0..p.parameter_bytes],
            .path_bytes_likely = 3,
        };
    }

    fn tickSomething(self: *Session) void {
        const random = self.random;
        const p = &self.shared.parameters;
        const here = self.world();
        // As many as nobody could have staged, now and then.
        const room = p.entries;
        const wanted = random.uintAtMost(u32, @min(room, if (fuzz_images.oneIn(random, 4)) room else 4));
        const count = @max(wanted, self.left);
        for (self.left..count) |place| {
            var one = fuzz_images.randomImage(random, &here);
            one.slot = self.freeSlot();
            for (abi.operations[one.operation].sources()) |source| if (source == .target) self.aim(&one);
            self.image(@intCast(place)).* = one;
            counts.images += 1;
        }
        // One bad image drops all of a tick.
        if (count > self.left and fuzz_images.oneIn(random, 3)) {
            fuzz_images.spoil(random, &here, self.image(random.intRangeLessThan(u32, self.left, count)));
        }
        for (0..random.uintLessThan(u32, 3)) |_| {
            if (p.parameter_bytes > 0) self.shared.area.start[random.uintLessThan(usize, p.parameter_bytes)] = letter(random);
        }
        const staged = if (fuzz_images.oneIn(random, 64)) random.int(u32) else count;
        var copies: [entries_max]abi.Image = undefined;
        for (0..count) |place| copies[place] = self.image(@intCast(place)).*;
        self.tick(staged, random.uintLessThan(u32, 4), if (random.boolean()) 0 else random.uintAtMost(u32, 300), copies[0..count]);
    }

    /// At an operation that is in flight, if there is one.
    fn aim(self: *Session, one: *abi.Image) void {
        for (self.flying, 0..) |flying, slot| if (flying) |staged| {
            one.addr = slot | @as(u64, staged.generation) << 32;
            if (self.random.boolean()) return;
        };
    }

    fn freeSlot(self: *Session) u32 {
        const slots = self.shared.parameters.slots;
        for (0..slots) |_| {
            self.slot = (self.slot + 1) % slots;
            if (self.flying[self.slot] == null) break;
        }
        return self.slot;
    }

    fn tick(self: *Session, staged: u32, wait: u32, micros: u32, copies: []const abi.Image) void {
        if (self.race < 2) self.control().message_room = self.random.uintAtMost(u32, abi.messages_max);
        const rc = call("uring_tick")(self.number, staged, wait, micros);
        counts.ticks += 1;
        const slots = self.shared.parameters.slots;
        check(rc <= @as(i32, @intCast(slots)), "no more completions than slots");
        check(rc != -kernel.EBADF and rc != -kernel.EXDEV, "the ring is there");
        self.left = 0;
        if (self.race == 2) return;
        const now = self.control().*;
        if (now.bad_index != 0xffff_ffff) {
            check(rc == -kernel.EINVAL and now.consumed == 0 and now.reaped == 0, "a bad image submits nothing");
            check(now.bad_index < staged, "the bad image is one of the staged");
            counts.refused += 1;
            return;
        }
        if (staged > copies.len) {
            check(now.consumed <= copies.len or rc < 0 or staged <= self.shared.parameters.got_entries, "no more than is staged");
        }
        counts.submitted += now.consumed;
        self.in_flight += now.consumed;
        for (0..@min(now.consumed, copies.len)) |place| {
            const one = copies[place];
            if (self.race > 0) break;
            check(one.slot < slots and self.flying[one.slot] == null, "a slot has one operation");
            check(one.operation < abi.operations.len, "only rows are submitted");
            const row = abi.operations[one.operation];
            if (row.second != .none) self.mustBeOpen(one.extra);
            switch (row.file) {
                .none, .cwd => {},
                .ring => check(one.file != self.rings[2], "only rings that are open are named"),
                .directory => if (one.file != abi.file_none) self.mustBeOpen(one.file),
                .fixed, .real => self.mustBeOpen(one.file),
            }
            if (row.effect == .closes) self.open[one.file % abi.files_max] = abi.file_none;
            self.flying[one.slot] = .{ .operation = one.operation, .flags = one.flags, .file = one.file, .generation = one.generation, .length = one.length };
            counts.rows[one.operation] += 1;
        }
        // The rest stays staged, in order.
        if (rc >= 0 and now.consumed < copies.len and staged == copies.len) {
            for (copies[now.consumed..], 0..) |one, place| self.image(@intCast(place)).* = one;
            self.left = @intCast(copies.len - now.consumed);
        }
        if (rc <= 0) return;
        check(now.reaped == rc, "the result is what was reaped");
        const columns: [*]const u32 = @ptrCast(@alignCast(self.shared.columns.start));
        for (0..@intCast(rc)) |place| {
            self.completed(columns[place], columns[slots + place], @bitCast(columns[2 * slots + place]), columns[3 * slots + place]);
        }
        check(now.in_flight == self.in_flight, "in flight is what was submitted and has not completed");
    }

    fn mustBeOpen(self: *Session, file: u32) void {
        check(self.open[file % abi.files_max] == file, "only files that are open are named");
    }

    fn completed(self: *Session, slot: u32, generation: u32, res: i32, flags: u32) void {
        const more = flags & 2 != 0;
        counts.completions += 1;
        if (flags & abi.cqe_flag.MESSAGE != 0) return;
        check(self.in_flight > 0, "nothing completes that was not submitted");
        if (!more) self.in_flight -= 1;
        // A slice of the arena can be taken back before an operation that waits gets at it.
        if (res == -EFAULT and self.shared.parameters.buffer_slices == 0) fail("slot {d} gave EFAULT: {?}", .{ slot, self.flying[slot] });
        if (res == -EROFS) fail("slot {d} gave EROFS: {?}", .{ slot, self.flying[slot] });
        if (self.race > 0) {
            // It may be a file.
            if (res > 1 << abi.file_slot_bits) self.remember(res);
            return;
        }
        const one = self.flying[slot] orelse fail("slot {d} completed twice", .{slot});
        check(one.generation == generation, "a completion has its generation");
        if (!more) self.flying[slot] = null;
        const row = abi.operations[one.operation];
        if (res >= 0) counts.succeeded[one.operation] += 1;
        if (row.addr == .arena and res > 0) check(res <= one.length, "no more bytes than asked for");
        switch (row.effect) {
            .none => {},
            .opens => self.remember(res),
            .closes => self.forget(one.file),
        }
    }

    /// What ends by itself ends; a close has to cancel the rest.
    fn drain(self: *Session) void {
        for (0..20) |_| {
            if (self.race < 2 and self.in_flight == 0) return;
            self.tick(0, 4, 500, &.{});
        }
    }

    /// Any export with arguments of about the right kind.
    fn callSomething(self: *Session) void {
        const choice = self.random.uintLessThan(usize, abi.exports.len);
        counts.calls += 1;
        inline for (abi.exports, 0..) |one, index| {
            if (index == choice and comptime !hasItsOwnPlace(one.name)) self.callWithAnything(one);
        }
    }

    fn hasItsOwnPlace(comptime name: []const u8) bool {
        for ([_][]const u8{ "uring_open", "uring_close", "uring_tick", "uring_adopt" }) |own| {
            if (std.mem.eql(u8, name, own)) return true;
        }
        return false;
    }

    fn callWithAnything(self: *Session, comptime one: abi.Export) void {
        const random = self.random;
        const function = call(one.name);
        var arguments: std.meta.ArgsTuple(@TypeOf(function)) = undefined;
        inline for (one.arguments, 0..) |kind, index| {
            arguments[index] = switch (kind) {
                .buffer => somethingToReadFrom(random, self.files[0..self.file_count]),
                .i32 => -1,
                .u32 => if (index > 0 and one.arguments[index - 1] == .buffer)
                    random.uintAtMost(u32, scratch.len)
                else if (comptime (one.blocking or std.mem.eql(u8, one.name, "uring_cancel_sync")) and index + 1 == one.arguments.len)
                    // Milliseconds.
                    random.uintAtMost(u32, 1)
                else if (index == 0)
                    (if (fuzz_images.oneIn(random, 8)) random.int(u32) else self.number)
                else switch (random.uintLessThan(u32, 5)) {
                    0 => random.int(u32),
                    1 => random.uintAtMost(u32, 8),
                    2 => page * random.uintAtMost(u32, 8),
                    else => self.files[random.uintLessThan(u32, self.file_count)],
                },
            };
        }
        _ = @call(.auto, function, arguments);
    }
};

/// Letters, or file references and descriptors that a ring may have.
fn somethingToReadFrom(random: std.Random, files: []const u32) *[page]u8 {
    for (&scratch) |*byte| byte.* = letter(random);
    if (random.boolean()) return &scratch;
    const words: *[page / 4]u32 = @ptrCast(&scratch);
    for (words[0..64]) |*word| word.* = switch (random.uintLessThan(u32, 4)) {
        0 => abi.file_none,
        1 => @intCast(pipes[random.uintLessThan(usize, 2)][random.uintLessThan(usize, 2)]),
        else => files[random.uintLessThan(usize, files.len)],
    };
    return &scratch;
}

var scratch: [page]u8 align(8) = undefined;
var mailbox: u32 = 0;
/// Reads of these wait, while nobody writes.
var pipes: [2][2]i32 = undefined;

/// Another thread that writes to what is shared, as long as a session lets it.
const Rewriter = struct {
    seed: u64,
    ended: bool = false,
    lock: @import("table.zig").Lock = .{},
    session: ?*Session = null,

    fn begin(self: *Rewriter, live: *Session) void {
        self.lock.acquire();
        defer self.lock.release();
        self.session = live;
    }

    fn end(self: *Rewriter) void {
        self.lock.acquire();
        defer self.lock.release();
        self.session = null;
    }

    fn loop(self: *Rewriter) void {
        var generator = std.Random.DefaultPrng.init(~self.seed);
        const random = generator.random();
        while (!@atomicLoad(bool, &self.ended, .acquire)) {
            {
                self.lock.acquire();
                defer self.lock.release();
                if (self.session) |live| self.rewrite(random, live);
            }
            _ = linux.syscall0(.sched_yield);
        }
    }

    fn rewrite(_: *Rewriter, random: std.Random, live: *Session) void {
        const shared = live.shared;
        const here = live.world();
        for (0..64) |_| {
            const image: *volatile abi.Image = live.image(random.uintLessThan(u32, shared.parameters.entries));
            const bytes: *volatile [64]u8 = @ptrCast(image);
            switch (random.uintLessThan(u32, 4)) {
                // Another one that is right, word by word.
                0 => image.* = fuzz_images.randomImage(random, &here),
                1 => bytes[random.uintLessThan(usize, 64)] = random.int(u8),
                // There and back.
                2 => {
                    const at = random.uintLessThan(usize, 64);
                    const old = bytes[at];
                    bytes[at] = random.int(u8);
                    bytes[at] = old;
                },
                else => {
                    const count = shared.parameters.parameter_bytes;
                    if (count == 0) continue;
                    const byte: *volatile u8 = &shared.area.start[random.uintLessThan(usize, count)];
                    byte.* = letter(random);
                },
            }
            if (live.race == 2) for ([_]*Guarded{ &shared.columns, &shared.control }) |memory| {
                const byte: *volatile u8 = &memory.start[random.uintLessThan(usize, memory.bytes)];
                byte.* = random.int(u8);
            };
        }
        // The ring is another thread's.
        const answers = [_]i32{
            call("uring_tick")(live.number, 1, 0, 0),
            call("uring_close")(live.number, 0),
            call("uring_adopt")(live.number, 0),
        };
        for (answers) |rc| check(rc == -kernel.EXDEV or rc == -kernel.EBADF, "another thread's ring is refused");
    }
};

/// Descriptors that no ring may touch: the lowest numbers after the standard ones, which are also the
/// numbers of file slots.
const Decoys = struct {
    fds: [decoys]i32,

    fn make(self: *Decoys) void {
        const pattern: [decoy_bytes]u8 = @splat(canary);
        for (&self.fds) |*fd| {
            fd.* = kernel.result(linux.syscall2(.memfd_create, @intFromPtr("decoy"), 1));
            check(fd.* > 0, "a decoy");
            check(linux.pwrite(fd.*, &pattern, pattern.len, 0) == pattern.len, "writing a decoy");
        }
    }

    fn verify(self: *const Decoys) void {
        for (self.fds) |fd| {
            var found: [decoy_bytes + 1]u8 = undefined;
            const bytes = linux.pread(fd, &found, found.len, 0);
            if (bytes != decoy_bytes or !std.mem.allEqual(u8, found[0..decoy_bytes], canary)) {
                fail("descriptor {d}, which is no ring's, was changed", .{fd});
            }
            check(linux.lseek(fd, 0, linux.SEEK.CUR) == 0, "the position of a foreign descriptor");
        }
    }
};

/// Which numbers are descriptors.
fn descriptors() [256]bool {
    const F_GETFD = 1;
    var out: [256]bool = undefined;
    for (&out, 0..) |*one, fd| one.* = kernel.result(linux.syscall2(.fcntl, fd, F_GETFD)) >= 0;
    return out;
}

fn check(holds: bool, comptime what: []const u8) void {
    if (!holds) fail("this does not hold: " ++ what, .{});
}

fn fail(comptime format: []const u8, arguments: anytype) noreturn {
    @branchHint(.cold);
    std.debug.print("session {d}: " ++ format ++ "\n", .{session_seed} ++ arguments);
    linux.exit_group(1);
}

/// One line of JSON.
fn report() void {
    var text: [4096]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&text);
    inline for (.{ "sessions", "refused_opens", "ticks", "images", "submitted", "refused", "completions", "calls" }, 0..) |name, index| {
        writer.print("{s}\"{s}\":{d}", .{ if (index == 0) "{" else ",", name, @field(counts, name) }) catch unreachable;
    }
    writer.writeAll(",\"succeeded\":{") catch unreachable;
    inline for (abi.operations, 0..) |row, index| {
        writer.print("{s}\"{s}\":{d}", .{ if (index == 0) "" else ",", row.name, counts.succeeded[index] }) catch unreachable;
    }
    writer.writeAll("}}\n") catch unreachable;
    const out = writer.buffered();
    _ = linux.write(1, out.ptr, out.len);
}
