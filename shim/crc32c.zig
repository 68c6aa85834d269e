//! CRC32C (Castagnoli), by the processor's instruction where it has one, by tables otherwise.
//!
//! The instruction takes three times as long as it takes to start the next one, so three stretches of
//! the data run side by side; a table then moves each part's result over the bytes that follow it.

const std = @import("std");
const builtin = @import("builtin");
const system = @import("system.zig");

const polynomial = 0x82f6_3b78;

/// `seed` is the CRC32C of what came before, 0 at the beginning.
pub fn update(seed: u32, data: []const u8) u32 {
    return ~(if (hardware()) byInstruction(~seed, data) else byTables(~seed, data));
}

var instruction: enum(u8) { unknown, missing, present } = .unknown;

/// Whether the processor has the instruction.
pub fn hardware() bool {
    return switch (@atomicLoad(@TypeOf(instruction), &instruction, .monotonic)) {
        .present => true,
        .missing => false,
        .unknown => unknown: {
            const found = detect();
            @atomicStore(@TypeOf(instruction), &instruction, if (found) .present else .missing, .monotonic);
            break :unknown found;
        },
    };
}

fn detect() bool {
    switch (builtin.cpu.arch) {
        .x86_64 => {
            var ecx: u32 = undefined;
            asm volatile ("cpuid"
                : [ecx] "={ecx}" (ecx),
                : [leaf] "{eax}" (@as(u32, 1)),
                  [sub] "{ecx}" (@as(u32, 0)),
                : .{ .eax = true, .ebx = true, .edx = true });
            const SSE42 = 1 << 20;
            return ecx & SSE42 != 0;
        },
        .aarch64 => {
            const HWCAP_CRC32 = 1 << 7;
            return (system.auxiliary(system.AT_HWCAP) orelse 0) & HWCAP_CRC32 != 0;
        },
        else => return false,
    }
}

inline fn step(crc: u64, word: u64) u64 {
    return switch (builtin.cpu.arch) {
        .x86_64 => asm ("crc32q %[word], %[crc]"
            : [crc] "=r" (-> u64),
            : [word] "r" (word),
              [before] "0" (crc),
        ),
        .aarch64 => asm (
            \\.arch_extension crc
            \\crc32cx %[crc:w], %[before:w], %[word]
            : [crc] "=r" (-> u64),
            : [word] "r" (word),
              [before] "r" (crc),
        ),
        else => unreachable,
    };
}

inline fn stepByte(crc: u64, byte: u8) u64 {
    return switch (builtin.cpu.arch) {
        .x86_64 => asm ("crc32b %[byte], %[crc]"
            : [crc] "=r" (-> u32),
            : [byte] "r" (byte),
              [before] "0" (@as(u32, @truncate(crc))),
        ),
        .aarch64 => asm (
            \\.arch_extension crc
            \\crc32cb %[crc:w], %[before:w], %[byte:w]
            : [crc] "=r" (-> u64),
            : [byte] "r" (@as(u64, byte)),
              [before] "r" (crc),
        ),
        else => unreachable,
    };
}

/// Bytes of one stretch, where there is much data and where there is some.
const long = 4096;
const short = 256;

fn byInstruction(initial: u32, data: []const u8) u32 {
    var crc: u64 = initial;
    var at = data.ptr;
    var left = data.len;
    inline for (.{ long, short }) |stretch| {
        while (left >= 3 * stretch) {
            var second: u64 = 0;
            var third: u64 = 0;
            var offset: usize = 0;
            while (offset < stretch) : (offset += 16) {
                inline for (.{ 0, 8 }) |more| {
                    crc = step(crc, load(at + offset + more));
                    second = step(second, load(at + stretch + offset + more));
                    third = step(third, load(at + 2 * stretch + offset + more));
                }
            }
            crc = moved(stretch, crc) ^ second;
            crc = moved(stretch, crc) ^ third;
            at += 3 * stretch;
            left -= 3 * stretch;
        }
    }
    while (left >= 8) {
        crc = step(crc, load(at));
        at += 8;
        left -= 8;
    }
    while (left > 0) {
        crc = stepByte(crc, at[0]);
        at += 1;
        left -= 1;
    }
    return @truncate(crc);
}

inline fn load(at: [*]const u8) u64 {
    return @as(*align(1) const u64, @ptrCast(at)).*;
}

/// The state after `bytes` bytes of zero.
inline fn moved(comptime bytes: usize, crc: u64) u64 {
    const table = &struct {
        const made = zeros(bytes);
    }.made;
    const state: u32 = @truncate(crc);
    return table[0][@as(u8, @truncate(state))] ^ table[1][@as(u8, @truncate(state >> 8))] ^
        table[2][@as(u8, @truncate(state >> 16))] ^ table[3][@as(u8, @truncate(state >> 24))];
}

/// What `bytes` bytes of zero do to a state, for each byte of it. They act on its bits independently.
fn zeros(comptime bytes: usize) [4][256]u32 {
    @setEvalBranchQuota(1_000_000);
    comptime std.debug.assert(std.math.isPowerOfTwo(bytes));
    var bits: [32]u32 = undefined;
    for (&bits, 0..) |*effect, bit| {
        var state: u32 = 1 << bit;
        for (0..8) |_| state = if (state & 1 != 0) state >> 1 ^ polynomial else state >> 1;
        effect.* = state;
    }
    var done: usize = 1;
    while (done < bytes) : (done *= 2) {
        // Twice the way: the effect upon the effect.
        var twice: [32]u32 = undefined;
        for (&twice, bits) |*effect, once| effect.* = apply(bits, once);
        bits = twice;
    }
    var table: [4][256]u32 = undefined;
    for (&table, 0..) |*part, place| {
        for (part, 0..) |*effect, byte| effect.* = apply(bits, @as(u32, byte) << (8 * place));
    }
    return table;
}

fn apply(bits: [32]u32, state: u32) u32 {
    var out: u32 = 0;
    for (bits, 0..) |effect, bit| {
        if (state >> bit & 1 != 0) out ^= effect;
    }
    return out;
}

/// Slicing by 8: table n is the effect of a byte n places further on.
const tables: [8][256]u32 = blk: {
    @setEvalBranchQuota(100_000);
    var made: [8][256]u32 = undefined;
    for (0..256) |byte| {
        var crc: u32 = byte;
        for (0..8) |_| crc = if (crc & 1 != 0) crc >> 1 ^ polynomial else crc >> 1;
        made[0][byte] = crc;
    }
    for (1..8) |n| for (0..256) |byte| {
        const before = made[n - 1][byte];
        made[n][byte] = before >> 8 ^ made[0][before & 0xff];
    };
    break :blk made;
};

fn byTables(initial: u32, data: []const u8) u32 {
    var crc = initial;
    var rest = data;
    while (rest.len >= 8) : (rest = rest[8..]) {
        const bits = std.mem.readInt(u64, rest[0..8], .little) ^ crc;
        crc = 0;
        inline for (0..8) |byte| crc ^= tables[7 - byte][@as(u8, @truncate(bits >> (8 * byte)))];
    }
    for (rest) |byte| crc = crc >> 8 ^ tables[0][@as(u8, @truncate(crc)) ^ byte];
    return crc;
}

test "vectors of RFC 3720, B.4" {
    const expect = std.testing.expectEqual;
    var rising: [32]u8 = undefined;
    var falling: [32]u8 = undefined;
    for (&rising, 0..) |*byte, index| byte.* = @intCast(index);
    for (&falling, 0..) |*byte, index| byte.* = @intCast(31 - index);
    const read_pdu = [48]u8{
        0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18,
        0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    };
    const zero: [32]u8 = @splat(0);
    const ones: [32]u8 = @splat(0xff);
    inline for (.{ byTables, byInstruction }) |way| {
        if (way != byTables and !hardware()) return error.SkipZigTest;
        try expect(0x8a9136aa, ~way(~@as(u32, 0), &zero));
        try expect(0x62a8ab43, ~way(~@as(u32, 0), &ones));
        try expect(0x46dd794e, ~way(~@as(u32, 0), &rising));
        try expect(0x113fdb5c, ~way(~@as(u32, 0), &falling));
        try expect(0xd9963a56, ~way(~@as(u32, 0), &read_pdu));
        try expect(0xe3069283, ~way(~@as(u32, 0), "123456789"));
    }
    try expect(0, update(0, ""));
    try expect(update(0, "123456789"), update(update(0, "1234"), "56789"));
}

test "the instruction and the tables agree on any length and alignment" {
    if (!hardware()) return error.SkipZigTest;
    var random = std.Random.DefaultPrng.init(3720);
    var data: [40_000]u8 = undefined;
    random.random().bytes(&data);
    for (0..2_000) |round| {
        const from = random.random().uintLessThan(usize, 16);
        const most = if (round % 4 == 0) data.len - from else 2_000;
        const length = random.random().uintAtMost(usize, most);
        const seed = random.random().int(u32);
        try std.testing.expectEqual(byTables(seed, data[from..][0..length]), byInstruction(seed, data[from..][0..length]));
    }
}
