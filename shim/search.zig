//! Finding a byte again and again: where lines end.

const std = @import("std");

const lanes = 32;
const Block = @Vector(lanes, u8);

/// Writes `base` plus the place of each `value` in `data` to `out`, rising; gives how many. Ends early
/// when `out` is full.
pub fn places(data: []const u8, value: u8, base: u32, out: []align(1) u32) u32 {
    const wanted: Block = @splat(value);
    var count: u32 = 0;
    var at: usize = 0;
    while (at + lanes <= data.len) : (at += lanes) {
        const block: Block = data[at..][0..lanes].*;
        var found: u32 = @bitCast(block == wanted);
        while (found != 0) : (found &= found - 1) {
            if (count == out.len) return count;
            out[count] = base +% @as(u32, @intCast(at)) +% @ctz(found);
            count += 1;
        }
    }
    while (at < data.len) : (at += 1) {
        if (data[at] != value) continue;
        if (count == out.len) return count;
        out[count] = base +% @as(u32, @intCast(at));
        count += 1;
    }
    return count;
}

test "places of a byte, against a plain loop, at every length and density" {
    var random = std.Random.DefaultPrng.init(7);
    var data: [300]u8 = undefined;
    var out: [300]u32 = undefined;
    for (0..2000) |round| {
        const length = random.random().uintAtMost(usize, data.len);
        for (data[0..length]) |*byte| byte.* = random.random().uintAtMost(u8, @intCast(1 + round % 40));
        const room = if (round % 3 == 0) random.random().uintAtMost(usize, 20) else out.len;
        const got = places(data[0..length], 1, 1000, out[0..room]);
        var expected: u32 = 0;
        for (data[0..length], 0..) |byte, index| {
            if (byte != 1 or expected == room) continue;
            try std.testing.expectEqual(@as(u32, @intCast(1000 + index)), out[expected]);
            expected += 1;
        }
        try std.testing.expectEqual(expected, got);
    }
}
