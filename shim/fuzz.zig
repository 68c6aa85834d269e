//! Throws random images at the check and writes what it built to standard output, for
//! `tests/abi/decode.py`, which judges by the manual pages alone where the kernel would reach:
//!
//!     fuzz SEED COUNT [race]
//!
//! No kernel sees any of it. With `race` another thread rewrites staging and parameters all the time.
//!
//! Output, little-endian. Header: "URFZ", u32 zero, u64 arena address, u64 arena bytes, u64 slot memory
//! address, u64 slots, u64 bytes a slot. Then for each image: u32 reason, u32 files, for each file that
//! is open i32 descriptor and i32 index in the kernel's table (for a descriptor of another ring -1), 64 bytes image as it was staged; if the
//! reason is 0, 64 bytes SQE, u32 bytes of the slot's memory that follow, and these.

const std = @import("std");
const abi = @import("abi.zig");
const liburing = @import("liburing.zig");
const slots = @import("slots.zig");
const fake_ring = @import("fake.zig");
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
    const seed = try std.fmt.parseInt(u64, arguments.next() orelse return error.Usage, 10);
    const count = try std.fmt.parseInt(u64, arguments.next() orelse return error.Usage, 10);
    const race = arguments.next() != null;

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
        slots.memory_bytes,
    }) |number| writeInt(u64, number);

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

    const image = randomImage(random);
    fake.images[0] = image;
    const reason: abi.bad_reason = switch (fake.ring.stage(1)) {
        .built => .none,
        .bad => |bad| bad.reason,
    };
    writeInt(u32, @backingInt(reason));
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
        .private, .result, .open, .open_in, .value => {
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

/// The descriptor of another ring that was made for the image staged last.
fn sent(reason: abi.bad_reason) ?i32 {
    if (reason != .none) return null;
    const slot: u32 = @truncate(fake.ring.sqe(fake.ring.sq_tail).user_data);
    if (fake.slots[slot].kind != .message) return null;
    return fake.attachments[slot].descriptor;
}

/// Mostly nearly right: the interesting mistakes lie close to the borders.
fn randomImage(random: std.Random) abi.Image {
    var image = std.mem.zeroes(abi.Image);
    const operation = random.uintLessThan(u8, abi.operations.len);
    const row = abi.operations[operation];
    image.operation = operation;
    image.slot = random.uintLessThan(u32, fake_ring.slot_count);
    image.generation = random.int(u32);
    if (random.uintLessThan(u32, 4) == 0) image.flags = random.int(u8) & row.sqe_flags & ~@as(u8, abi.sqe_flag.IO_LINK | abi.sqe_flag.IO_HARDLINK);
    if (random.uintLessThan(u32, 4) == 0) image.op_flags = random.int(u32) & row.op_flags;
    if (row.op_values.len > 0) image.op_flags = row.op_values[random.uintLessThan(usize, row.op_values.len)];
    const some_file = fake.files[random.uintLessThan(usize, fake_ring.file_count)].ref;
    switch (row.file) {
        .none, .cwd => {},
        .fixed, .real => image.file = some_file,
        .directory => image.file = if (random.boolean()) some_file else abi.file_none,
        .ring => image.file = target_ring,
    }
    for (row.sources()) |source| switch (source) {
        .zero, .one, .cwd, .how_bytes, .vector_count, .empty_path, .result => {},
        .offset => image.offset = someNumber(random, fake_ring.arena_bytes),
        .addr, .target, .message => image.addr = someNumber(random, 1 << 32),
        .length => switch (row.addr) {
            .arena, .pages, .vectors => {},
            else => image.length = random.int(u32),
        },
        .extra => if (image.extra == 0) {
            image.extra = random.int(u32);
        },
        .arena => {
            image.addr = random.uintAtMost(u64, fake_ring.arena_bytes);
            image.length = @truncate(random.uintAtMost(u64, fake_ring.arena_bytes - image.addr));
        },
        .pages => {
            const pages = fake_ring.arena_bytes / 4096;
            image.addr = random.uintAtMost(u64, pages) * 4096;
            image.length = @truncate(random.uintAtMost(u64, pages - image.addr / 4096) * 4096);
        },
        .vectors => {
            image.length = random.uintAtMost(u32, if (random.boolean()) 4 else abi.vectors_max);
            image.addr = random.uintAtMost(u64, fake_ring.parameter_bytes - 8 * image.length);
            for (0..image.length) |index| {
                const pair = fake.area[@as(usize, @intCast(image.addr)) + 8 * index ..][0..8];
                const offset = random.uintAtMost(u32, fake_ring.arena_bytes);
                std.mem.writeInt(u32, pair[0..4], offset, .little);
                std.mem.writeInt(u32, pair[4..8], random.uintAtMost(u32, fake_ring.arena_bytes - offset), .little);
            }
            if (image.length > 0 and random.uintLessThan(u32, 8) == 0) {
                const word = fake.area[@as(usize, @intCast(image.addr)) + 4 * random.uintLessThan(usize, 2 * image.length) ..][0..4];
                std.mem.writeInt(u32, word, @truncate(someNumber(random, fake_ring.arena_bytes)), .little);
            }
        },
        .path => {
            image.addr = somePath(random);
            image.length = random.uintAtMost(u32, 300);
        },
        .path2, .name => {
            image.addr2 = somePath(random);
            image.length2 = random.uintAtMost(u32, 300);
        },
        .how, .how_resolve => {
            image.extra = random.uintAtMost(u32, 0o7777);
            if (source == .how_resolve) image.offset = random.uintLessThan(u32, 64);
        },
        .timespec => {
            image.offset = someNumber(random, 1 << 40);
            image.extra = random.int(u32);
        },
        .value_in, .value_out => {
            image.offset = random.uintAtMost(u64, fake_ring.arena_bytes);
            const room = @min(abi.value_bytes_max, fake_ring.arena_bytes - image.offset);
            image.extra = @intCast(random.uintAtMost(u64, room));
        },
    };
    if (row.second != .none) image.extra = fake.files[random.uintLessThan(usize, fake_ring.file_count)].ref;

    // And then something is off.
    const bytes = std.mem.asBytes(&image);
    switch (random.uintLessThan(u32, 6)) {
        0 => bytes[random.uintLessThan(usize, bytes.len)] ^= @as(u8, 1) << random.int(u3),
        1 => bytes[random.uintLessThan(usize, bytes.len)] = random.int(u8),
        2 => switch (random.uintLessThan(u32, 8)) {
            0 => image.addr = someNumber(random, fake_ring.arena_bytes),
            1 => image.length = @truncate(someNumber(random, fake_ring.arena_bytes)),
            2 => image.file = @truncate(someNumber(random, 1 << 12)),
            3 => image.addr2 = @truncate(someNumber(random, fake_ring.parameter_bytes)),
            6 => image.offset = someNumber(random, fake_ring.arena_bytes),
            7 => image.extra = @truncate(someNumber(random, abi.value_bytes_max)),
            4 => image.length2 = @truncate(someNumber(random, abi.path_bytes_max)),
            else => image.slot = @truncate(someNumber(random, fake_ring.slot_count)),
        },
        3 => if (random.uintLessThan(u32, 10) == 0) random.bytes(bytes),
        else => {},
    }
    return image;
}

/// Where letters stand, mostly: vectors leave zeros behind them.
fn somePath(random: std.Random) u32 {
    const at = random.uintLessThan(u32, fake_ring.parameter_bytes);
    const room = @min(fake_ring.parameter_bytes - at, 300);
    if (random.uintLessThan(u32, 4) != 0) {
        for (fake.area[at..][0..room]) |*byte| {
            if (byte.* == 0) byte.* = 'z';
        }
    }
    return at;
}

/// Around zero, around the limit, around a power of two, or anything.
fn someNumber(random: std.Random, limit: u64) u64 {
    const near = random.uintAtMost(u64, 8) -% 4;
    return switch (random.uintLessThan(u32, 5)) {
        0 => near,
        1 => limit +% near,
        2 => (@as(u64, 1) << random.int(u6)) +% near,
        3 => random.int(u64),
        else => random.uintLessThan(u64, limit),
    };
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

fn writeInt(comptime T: type, number: T) void {
    var bytes: [@sizeOf(T)]u8 = undefined;
    std.mem.writeInt(T, &bytes, number, .little);
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
