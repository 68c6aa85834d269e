//! The fuzz programs of the shim.
//!
//!     fuzz images SEED COUNT [race]
//!
//! throws random images at the check and writes what it built to standard output, for
//! `tests/abi/decode.py`, which judges by the manual pages alone where the kernel would reach. No kernel
//! sees any of it. With `race` another thread rewrites staging and parameters all the time.
//!
//!     fuzz submit SEED SESSIONS [MILLIS]
//!
//! submits them: see `fuzz_submit.zig`. It belongs into a file system of its own (tests/fault/_abi.ts).
//!
//! Output of `images`, little-endian. Header: "URFZ", u32 zero, u64 arena address, u64 arena bytes, u64
//! slot memory address, u64 slots, u64 bytes a slot, u64 slices. Then for each image: u32 reason, the ring's
//! shape (u32 1 where the kernel has the table of files, u32 0 for an arena that is pinned as a whole, 1 in
//! parts, 2 not at all, u32 1 in a worker; for each slice u32 start and end of the pinned part of the arena
//! around it), u32 files, for each
//! file that is open i32 descriptor and i32 index in the kernel's table (for a descriptor of another ring
//! -1), 64 bytes image as it was staged; if the reason is 0, 64 bytes SQE, u32 bytes of the slot's memory
//! that follow, and these.

const std = @import("std");
const abi = @import("abi.zig");
const liburing = @import("liburing.zig");
const slots = @import("slots.zig");
const fake_ring = @import("fake.zig");
const fuzz_images = @import("fuzz_images.zig");
const fuzz_submit = @import("fuzz_submit.zig");
const kernel = @import("kernel.zig");
const table = @import("table.zig");
const Ring = @import("ring.zig").Ring;
const linux = std.os.linux;

var fake: fake_ring.Fake = undefined;
var stop = false;
/// A ring for messages: a descriptor of a file, and its number.
var other_ring: Ring = undefined;
var target_ring: u32 = 0;
const ring_index = 0xffff_ffff;

pub fn main(init: std.process.Init.Minimal) !void {
    var arguments = init.args.iterate();
    _ = arguments.next();
    const verb = arguments.next() orelse return error.Usage;
    const seed = try number(arguments.next() orelse return error.Usage);
    const count = try number(arguments.next() orelse return error.Usage);
    if (std.mem.eql(u8, verb, "submit")) {
        const millis = arguments.next();
        return fuzz_submit.run(seed, count, if (millis) |text| try number(text) else null);
    }
    if (!std.mem.eql(u8, verb, "images")) return error.Usage;
    try images(seed, count, arguments.next() != null);
}

fn number(text: []const u8) !u64 {
    return std.fmt.parseInt(u64, text, 10);
}

fn images(seed: u64, count: u64, race: bool) !void {
    var generator = std.Random.DefaultPrng.init(seed);
    const random = generator.random();
    fake.init();
    other_ring.uring.ring_fd = kernel.open("/dev/null", 0);
    target_ring = table.publish(table.reserve().?, &other_ring, 0);
    for (fake.area[0..fake_ring.parameter_bytes]) |*byte| byte.* = random.intRangeAtMost(u8, 'a', 'z');
    // Paths end somewhere.
    for (0..6) |_| fake.area[random.uintLessThan(usize, fake_ring.parameter_bytes)] = 0;

    write("URFZ\x00\x00\x00\x00");
    for ([_]u64{
        @intFromPtr(&fake.arena),       fake_ring.arena_bytes,
        @intFromPtr(&fake.slot_memory), fake_ring.slot_count,
        slots.memory_bytes,             fake_ring.slice_count,
    }) |one_number| writeInt(u64, one_number);

    const thread = if (race) try std.Thread.spawn(.{}, rewrite, .{seed}) else null;
    for (0..count) |_| one(random);
    @atomicStore(bool, &stop, true, .monotonic);
    if (thread) |running| running.join();
    flush();
}

fn one(random: std.Random) void {
    // Files come and go, and operations end.
    if (random.uintLessThan(u32, 8) == 0 and fake.ring.files.free_count > 2) _ = fake.openFile();
    while (fake.ring.in_flight > 0 and (fake.ring.in_flight > 20 or random.boolean())) {
        for (&fake.slots, 0..) |*slot, index| {
            if (!slot.busy or random.uintLessThan(u32, 4) != 0) continue;
            const res: i32 = if (slot.kind == .open or slot.kind == .open_in) -2 else 0;
            fake.complete(@intCast(index), slot.generation, res, 0);
        }
        fake.ring.settleReady();
    }

    if (random.uintLessThan(u32, 64) == 0) reshape(random);
    var refs: [fake_ring.file_count]u32 = undefined;
    for (&refs, fake.files) |*ref, file| ref.* = file.ref;
    const world: fuzz_images.World = .{
        .slots = fake_ring.slot_count,
        .arena_bytes = fake_ring.arena_bytes,
        .parameter_bytes = fake_ring.parameter_bytes,
        .files = &refs,
        .rings = &.{target_ring},
        .area = fake.area[0..fake_ring.parameter_bytes],
        .path_bytes_likely = 300,
    };
    var image = fuzz_images.randomImage(random, &world);
    if (random.boolean()) fuzz_images.spoil(random, &world, &image);
    fake.images[0] = image;
    const reason: abi.bad_reason = switch (fake.ring.stage(1)) {
        .built => .none,
        .bad => |bad| bad.reason,
    };
    writeInt(u32, @backingInt(reason));
    writeInt(u32, @intFromBool(fake.ring.file_flag != 0));
    writeInt(u32, @backingInt(pinned));
    writeInt(u32, @intFromBool(fake.ring.in_worker));
    for (fake.pins) |pin| {
        writeInt(u32, pin.start);
        writeInt(u32, pin.end);
    }
    var open: u32 = 0;
    // A close that was just staged still names its descriptor.
    for (fake.files) |file| open += @intFromBool(file.state == .open or file.state == .closing);
    const message = sent(reason);
    writeInt(u32, open + @intFromBool(message != null));
    for (fake.files, 0..) |file, index| {
        if (file.state != .open and file.state != .closing) continue;
        writeInt(u32, @bitCast(file.fd));
        writeInt(u32, @intCast(index));
    }
    if (message) |descriptor| {
        writeInt(u32, @bitCast(descriptor));
        writeInt(u32, ring_index);
    }
    write(std.mem.asBytes(&image));
    if (reason != .none) return;

    const sqe = fake.ring.sqe(fake.ring.sq_tail);
    write(std.mem.asBytes(sqe));
    const slot: u32 = @truncate(sqe.user_data);
    switch (fake.slots[slot].kind) {
        .private, .named, .result, .open, .open_in, .value => {
            writeInt(u32, slots.memory_bytes);
            write(fake.slot_memory[slot * slots.memory_bytes ..][0..slots.memory_bytes]);
        },
        else => writeInt(u32, 0),
    }
    // Submitted.
    fake.ring.sq_tail +%= 1;
    fake.sq_head +%= 1;
    fake.sq_tail +%= 1;
    fake.ring.in_flight += 1;
}

var pinned: enum(u32) { whole, parts, nothing } = .whole;

/// Another kernel, other options: with the table of files or without; an arena that is pinned as a whole, in
/// parts that change, or not at all; in a worker, where it must be, or on the main thread.
fn reshape(random: std.Random) void {
    const ring = &fake.ring;
    const registered = random.uintLessThan(u32, 3) != 0;
    ring.file_flag = if (registered) abi.sqe_flag.FIXED_FILE else 0;
    for (&fake.files, 0..) |*file, index| {
        if (file.state == .open) file.target = if (registered) @intCast(index) else file.fd;
    }
    pinned = random.enumValue(@TypeOf(pinned));
    ring.in_worker = pinned != .nothing and random.boolean();
    ring.slice_bytes = if (pinned == .parts) fake_ring.arena_bytes / fake_ring.slice_count else 0;
    ring.usePlainOpcodes();
    if (pinned != .nothing) {
        for (abi.operations, &ring.opcodes) |row, *opcode| {
            if (row.pinned != 0) opcode.* = row.pinned;
        }
    }
    fake.pins = @splat(.{});
    if (pinned != .parts) return;
    var first: u32 = 0;
    while (first < fake_ring.slice_count) {
        const count = @min(random.intRangeAtMost(u32, 1, 5), fake_ring.slice_count - first);
        if (random.boolean()) {
            for (fake.pins[first..][0..count]) |*pin| pin.* = .{
                .start = first * ring.slice_bytes,
                .end = (first + count) * ring.slice_bytes,
            };
        }
        first += count;
    }
}

/// The descriptor of another ring that was made for the image staged last.
fn sent(reason: abi.bad_reason) ?i32 {
    if (reason != .none) return null;
    const slot: u32 = @truncate(fake.ring.sqe(fake.ring.sq_tail).user_data);
    if (fake.slots[slot].kind != .message) return null;
    return fake.attachments[slot].descriptor;
}

fn rewrite(seed: u64) void {
    var generator = std.Random.DefaultPrng.init(~seed);
    const random = generator.random();
    const image: *volatile [64]u8 = @ptrCast(&fake.images[0]);
    while (!@atomicLoad(bool, &stop, .monotonic)) {
        image[random.uintLessThan(usize, 64)] = random.int(u8);
        const area: *volatile u8 = &fake.area[random.uintLessThan(usize, fake_ring.parameter_bytes)];
        const before = area.*;
        area.* = 0;
        area.* = before;
    }
}

var buffered: [1 << 16]u8 = undefined;
var used: usize = 0;

fn writeInt(comptime T: type, value: T) void {
    var bytes: [@sizeOf(T)]u8 = undefined;
    std.mem.writeInt(T, &bytes, value, .little);
    write(&bytes);
}

fn write(bytes: []const u8) void {
    if (buffered.len - used < bytes.len) flush();
    @memcpy(buffered[used..][0..bytes.len], bytes);
    used += bytes.len;
}

fn flush() void {
    var rest: []const u8 = buffered[0..used];
    while (rest.len > 0) {
        const written = linux.write(1, rest.ptr, rest.len);
        if (linux.errno(written) != .SUCCESS) std.process.exit(1);
        rest = rest[written..];
    }
    used = 0;
}
