//! Random images for the fuzz programs, from what `abi.operations` says: a row that is added there is
//! covered here by itself. Mostly nearly right: the interesting mistakes lie close to the borders.

const std = @import("std");
const abi = @import("abi.zig");

/// What images can name.
pub const World = struct {
    slots: u32,
    arena_bytes: u32,
    parameter_bytes: u32,
    /// File references, of any age. Not empty.
    files: []const u32,
    /// Numbers of rings, of any age. Not empty.
    rings: []const u32,
    /// The incoming part of the parameter area: vectors are written to it.
    area: []u8,
    /// Length of most paths, at the most.
    path_bytes_likely: u32,
};

const links = abi.sqe_flag.IO_LINK | abi.sqe_flag.IO_HARDLINK;
const page = 4096;

/// An image of a random operation in which nothing is wrong on purpose.
pub fn randomImage(random: std.Random, world: *const World) abi.Image {
    var image = std.mem.zeroes(abi.Image);
    const operation = random.uintLessThan(u8, abi.operations.len);
    const row = abi.operations[operation];
    image.operation = operation;
    image.slot = random.uintLessThan(u32, world.slots);
    image.generation = random.int(u32);
    if (oneIn(random, 4)) image.flags = random.int(u8) & row.sqe_flags & ~links;
    if (oneIn(random, 4)) image.op_flags = random.int(u32) & random.int(u32) & row.op_flags;
    if (row.op_values.len > 0) image.op_flags = row.op_values[random.uintLessThan(usize, row.op_values.len)];
    // Most of what can be opened is made first.
    if (row.effect == .opens and !oneIn(random, 4)) {
        image.op_flags = (image.op_flags & random.int(u32) | abi.open_flag.CREAT | abi.open_flag.RDWR) & row.op_flags;
    }
    switch (row.file) {
        .none, .cwd => {},
        .fixed, .real => image.file = oneOf(random, world.files),
        .directory => image.file = if (oneIn(random, 4)) oneOf(random, world.files) else abi.file_none,
        .ring => image.file = oneOf(random, world.rings),
    }
    for (row.sources()) |source| switch (source) {
        .zero, .one, .cwd, .how_bytes, .vector_count, .empty_path, .result => {},
        .offset => image.offset = if (oneIn(random, 8)) std.math.maxInt(u64) else someNumber(random, world.arena_bytes),
        .addr, .message => image.addr = someNumber(random, world.arena_bytes),
        .target => image.addr = random.uintLessThan(u32, world.slots) | @as(u64, random.int(u32)) << 32,
        .length => switch (row.addr) {
            .arena, .pages, .vectors => {},
            else => image.length = if (random.boolean()) random.uintAtMost(u32, 8) else @truncate(someNumber(random, world.arena_bytes)),
        },
        .extra => if (image.extra == 0) {
            image.extra = if (random.boolean()) random.int(u32) else 0o777;
        },
        .arena => {
            image.addr = random.uintAtMost(u64, world.arena_bytes);
            image.length = @truncate(random.uintAtMost(u64, world.arena_bytes - image.addr));
        },
        .pages => {
            const pages = world.arena_bytes / page;
            image.addr = random.uintAtMost(u64, pages) * page;
            image.length = @truncate(random.uintAtMost(u64, pages - image.addr / page) * page);
        },
        .vectors => someVectors(random, world, &image),
        .path => {
            image.length = pathBytes(random, world);
            image.addr = somePath(random, world, image.length);
        },
        .path2, .name => {
            image.length2 = pathBytes(random, world);
            image.addr2 = somePath(random, world, image.length2);
        },
        .how, .how_resolve => {
            image.extra = random.uintAtMost(u32, 0o7777);
            if (source == .how_resolve) image.offset = random.uintLessThan(u32, 64);
        },
        .timespec => {
            image.offset = if (random.boolean()) 0 else someNumber(random, 1 << 40);
            image.extra = if (random.boolean()) random.uintAtMost(u32, 1_000_000) else random.int(u32);
        },
        .value_in, .value_out => {
            image.offset = random.uintAtMost(u64, world.arena_bytes);
            const room = @min(abi.value_bytes_max, world.arena_bytes - image.offset);
            image.extra = @intCast(random.uintAtMost(u64, room));
        },
    };
    if (row.second != .none) image.extra = oneOf(random, world.files);
    return image;
}

/// And then something is off.
pub fn spoil(random: std.Random, world: *const World, image: *abi.Image) void {
    const bytes = std.mem.asBytes(image);
    switch (random.uintLessThan(u32, 8)) {
        0, 1 => bytes[random.uintLessThan(usize, bytes.len)] ^= @as(u8, 1) << random.int(u3),
        2 => bytes[random.uintLessThan(usize, bytes.len)] = random.int(u8),
        3 => image.flags |= abi.sqe_flag.IO_LINK,
        4, 5, 6 => switch (random.uintLessThan(u32, 9)) {
            0 => image.addr = someNumber(random, world.arena_bytes),
            1 => image.length = @truncate(someNumber(random, world.arena_bytes)),
            2 => image.file = @truncate(someNumber(random, 1 << 12)),
            3 => image.addr2 = @truncate(someNumber(random, world.parameter_bytes)),
            4 => image.length2 = @truncate(someNumber(random, abi.path_bytes_max)),
            5 => image.slot = @truncate(someNumber(random, world.slots)),
            6 => image.offset = someNumber(random, world.arena_bytes),
            7 => image.extra = @truncate(someNumber(random, abi.value_bytes_max)),
            // Another operation with these fields.
            else => image.operation = random.uintAtMost(u8, abi.operations.len),
        },
        else => if (oneIn(random, 4)) random.bytes(bytes),
    }
}

pub fn oneIn(random: std.Random, count: u32) bool {
    return random.uintLessThan(u32, count) == 0;
}

fn oneOf(random: std.Random, numbers: []const u32) u32 {
    return numbers[random.uintLessThan(usize, numbers.len)];
}

/// Pairs of arena offset and bytes, of which now and then one is off.
fn someVectors(random: std.Random, world: *const World, image: *abi.Image) void {
    const room: u32 = world.parameter_bytes / 8;
    image.length = @min(room, random.uintAtMost(u32, if (oneIn(random, 8)) abi.vectors_max else 4));
    image.addr = random.uintAtMost(u64, world.parameter_bytes - 8 * image.length);
    const pairs = world.area[@intCast(image.addr)..][0 .. 8 * image.length];
    for (0..image.length) |index| {
        const offset = random.uintAtMost(u32, world.arena_bytes);
        std.mem.writeInt(u32, pairs[8 * index ..][0..4], offset, .little);
        std.mem.writeInt(u32, pairs[8 * index + 4 ..][0..4], random.uintAtMost(u32, world.arena_bytes - offset), .little);
    }
    if (image.length > 0 and oneIn(random, 8)) {
        const word = pairs[4 * random.uintLessThan(usize, 2 * image.length) ..][0..4];
        std.mem.writeInt(u32, word, @truncate(someNumber(random, world.arena_bytes)), .little);
    }
}

fn pathBytes(random: std.Random, world: *const World) u32 {
    return if (oneIn(random, 16)) random.uintAtMost(u32, 300) else random.intRangeAtMost(u32, 1, world.path_bytes_likely);
}

/// Letters, mostly: vectors leave other things behind.
fn somePath(random: std.Random, world: *const World, bytes: u32) u32 {
    const at = random.uintAtMost(u32, world.parameter_bytes -| 4);
    if (oneIn(random, 4)) return at;
    const room = @min(world.parameter_bytes - at, bytes);
    for (world.area[at..][0..room]) |*byte| byte.* = random.intRangeAtMost(u8, 'a', 'd');
    return at;
}

/// Around zero, around the limit, around a power of two, or anything.
pub fn someNumber(random: std.Random, limit: u64) u64 {
    const near = random.uintAtMost(u64, 8) -% 4;
    return switch (random.uintLessThan(u32, 6)) {
        0 => near,
        1 => limit +% near,
        2 => (@as(u64, 1) << random.int(u6)) +% near,
        3 => random.int(u64),
        else => if (limit == 0) 0 else random.uintLessThan(u64, limit),
    };
}
