//! The contract of `abi.zig` as one text, and its hash: what two sides must share to understand each
//! other. Names of errors and their words are not in it, they change nothing.

const std = @import("std");
const abi = @import("abi.zig");

/// One line a fact, in the order of `abi.zig`.
pub const text: []const u8 = blk: {
    @setEvalBranchQuota(2_000_000);
    var out: []const u8 = "";
    for (limits) |limit| out = out ++ print("limit {s} {d}\n", .{ limit[0], limit[1] });
    for (abi.layouts) |Layout| {
        out = out ++ print("layout {s} {d}\n", .{ shortName(Layout), @sizeOf(Layout) });
        const info = @typeInfo(Layout).@"struct";
        for (info.field_names, info.field_types) |name, Field| {
            out = out ++ print("  {s} {d} {d}\n", .{ name, @offsetOf(Layout, name), @sizeOf(Field) });
        }
    }
    for (abi.columns) |column| out = out ++ print("column {s} {t}\n", .{ column.name, column.type });
    for (abi.operations) |row| {
        out = out ++ print("operation {s} {d} {d} {t} {t} {t} {t} {t} {t} {x} {any} {x} {x} {t} {}\n", .{
            row.name,   row.opcode, row.pinned,   row.file,      row.second, row.off,       row.addr,
            row.len,    row.third,  row.op_flags, row.op_values, row.op_set, row.sqe_flags, row.effect,
            row.breaks,
        });
    }
    for (abi.flag_sets) |set| {
        out = out ++ print("flags {s}\n", .{set[0]});
        for (@typeInfo(set[1]).@"struct".decl_names) |name| {
            out = out ++ print("  {s} {x}\n", .{ name, @field(set[1], name) });
        }
    }
    out = out ++ print("setup {x}\n", .{abi.setup_allowed});
    for (abi.ladder) |rung| out = out ++ print("rung {x}\n", .{rung});
    for (abi.reason_sets) |set| {
        const info = @typeInfo(set[1]).@"enum";
        for (info.field_names, info.field_values) |name, value| {
            out = out ++ print("{s} {s} {d}\n", .{ set[0], name, value });
        }
    }
    for (abi.exports) |one| {
        out = out ++ print("export {s} {t} {}", .{ one.name, one.result, one.blocking });
        for (one.arguments) |argument| out = out ++ print(" {t}", .{argument});
        out = out ++ "\n";
    }
    break :blk out;
};

/// SHA-256 of `text`.
pub const hash: [32]u8 = blk: {
    @setEvalBranchQuota(20_000_000);
    var digest: [32]u8 = undefined;
    std.crypto.hash.sha2.Sha256.hash(text, &digest, .{});
    break :blk digest;
};

/// The numbers of `abi.zig` that are limits: every plain constant but the version.
pub const limits = blk: {
    @setEvalBranchQuota(100_000);
    const Limit = struct { []const u8, u64 };
    var found: []const Limit = &.{};
    for (@typeInfo(abi).@"struct".decl_names) |name| {
        const T = @TypeOf(@field(abi, name));
        if (@typeInfo(T) != .int) continue;
        if (std.mem.eql(u8, name, "version") or std.mem.eql(u8, name, "setup_allowed")) continue;
        found = found ++ .{Limit{ name, @field(abi, name) }};
    }
    break :blk found;
};

/// `Image` of `abi.Image`.
pub fn shortName(comptime T: type) []const u8 {
    const whole = @typeName(T);
    const dot = std.mem.lastIndexOfScalar(u8, whole, '.') orelse return whole;
    return whole[dot + 1 ..];
}

fn print(comptime format: []const u8, comptime arguments: anytype) []const u8 {
    return std.fmt.comptimePrint(format, arguments);
}
