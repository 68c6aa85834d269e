//! Writes `src/abi/generated.ts` to standard output: `abi.zig` in TypeScript. `tools/generate.sh`
//! runs it and formats what comes.
//!
//! Names become camelCase, types and sets CONSTANT_CASE; flags and errors keep the kernel's names.

const std = @import("std");
const abi = @import("abi.zig");
const canonical = @import("canonical.zig");

pub fn main() !void {
    @setEvalBranchQuota(1_000_000);
    write(
        \\// Written by shim/generate.zig from shim/abi.zig. Do not edit: run `tools/generate.sh`.
        \\
        \\/** Raised when the meaning of the boundary changes in a way that the hash cannot see. */
        \\
    );
    print("export const ABI_VERSION = {d};\n", .{abi.version});
    write("/** SHA-256 over all layouts, rows, flags and signatures; the library carries the same. */\n");
    print("export const ABI_HASH = \"{s}\";\n", .{&std.fmt.bytesToHex(canonical.hash, .lower)});

    write("\n// Limits.\n");
    inline for (canonical.limits) |limit| {
        print("export const {s} = {d};\n", .{ comptime constantCase(limit[0]), limit[1] });
    }

    write("\n// Layouts: bytes of the whole, then the byte offset of each field; of an array also its bytes.\n");
    inline for (abi.layouts) |Layout| {
        print("export const {s} = {{\n  bytes: {d},\n", .{ comptime constantCase(canonical.shortName(Layout)), @sizeOf(Layout) });
        const info = @typeInfo(Layout).@"struct";
        inline for (info.field_names, info.field_types) |name, Field| {
            print("  {s}: {d},\n", .{ comptime camelCase(name), @offsetOf(Layout, name) });
            if (@typeInfo(Field) == .array) print("  {s}Bytes: {d},\n", .{ comptime camelCase(name), @sizeOf(Field) });
        }
        write("} as const;\n");
    }

    write("\n/** Completion columns: the place of each in the columns' buffer, in units of `slots` numbers of 32 bits. */\n");
    write("export const COLUMN = {\n");
    inline for (abi.columns, 0..) |column, index| print("  {s}: {d},\n", .{ comptime camelCase(column.name), index });
    write("} as const;\n");

    write("\n/** The number of each operation in an image. */\nexport const OPERATION = {\n");
    inline for (abi.operations, 0..) |row, index| print("  {s}: {d},\n", .{ comptime camelCase(row.name), index });
    write("} as const;\n");
    write("\n// The kernel's flags.\n");
    inline for (abi.flag_sets) |set| {
        print("/** The kernel's numbers of `{s}`. */\n", .{set[0]});
        print("export const {s} = {{\n", .{comptime constantCase(set[0])});
        inline for (@typeInfo(set[1]).@"struct".decl_names) |name| print("  {s}: 0x{x},\n", .{ name, @field(set[1], name) });
        write("} as const;\n");
    }
    write("/** What `OPEN_PARAMETERS.setupFlags` may ask for. */\n");
    print("export const SETUP_ALLOWED = 0x{x};\n", .{abi.setup_allowed});
    write("/** Set-up flags that an open tries, best first. */\nexport const LADDER = [");
    inline for (abi.ladder) |rung| print("0x{x}, ", .{rung});
    write("] as const;\n");

    write(
        \\
        \\/** What an image of an operation may hold. */
        \\export interface OperationRow {
        \\  readonly name: string;
        \\  readonly opcode: number;
        \\  /** What its file is; "none", "cwd" and "ring" are none of the ring's. */
        \\  readonly file: "none" | "fixed" | "real" | "cwd" | "directory" | "ring";
        \\  /** Whether `extra` is a second file. */
        \\  readonly second: "none" | "fixed";
        \\  /** The fields of an image that it reads, and what a trace calls each. */
        \\  readonly fields: readonly (readonly [ImageField, string])[];
        \\  /** The names of its flags or advice. */
        \\  readonly flagNames: Readonly<Record<string, number>>;
        \\  /** Allowed bits of `opFlags`. */
        \\  readonly opFlags: number;
        \\  /** Where it is no set of bits: its allowed values. */
        \\  readonly opValues: readonly number[];
        \\  readonly sqeFlags: number;
        \\  /** The kernel that brought the operation. */
        \\  readonly since: string;
        \\  /** The kernel that brought it for pinned memory, which a ring in a worker needs. */
        \\  readonly pinnedSince: string;
        \\  /** Whether its failure ends a chain. */
        \\  readonly breaks: boolean;
        \\  /** Whether a kernel may lack it. */
        \\  readonly probed: boolean;
        \\}
        \\/** Fields of an image that the rows name. */
        \\export type ImageField = "offset" | "addr" | "length" | "addr2" | "length2" | "extra";
        \\/** Rows by number. */
        \\export const OPERATIONS: readonly OperationRow[] = [
        \\
    );
    inline for (abi.operations) |row| {
        print("  {{ name: \"{s}\", opcode: {d}, file: \"{t}\", second: \"{t}\", fields: [", .{
            row.name, row.opcode, row.file, row.second,
        });
        inline for (comptime fieldsOf(row)) |use| {
            print("[\"{s}\", \"{s}\"], ", .{ use.field, use.label });
        }
        if (row.second != .none) write("[\"extra\", \"file2\"], ");
        const names = if (row.flags_of) |set| comptime constantCase(set) else "{}";
        print("], flagNames: {s}, opFlags: 0x{x}, opValues: [", .{ names, row.op_flags });
        inline for (row.op_values) |value| print("{d}, ", .{value});
        print("], sqeFlags: 0x{x}, since: \"{d}.{d}\", pinnedSince: \"{d}.{d}\", breaks: {}, probed: {} }},\n", .{
            row.sqe_flags,           row.since / 1000,        row.since % 1000,
            row.pinned_since / 1000, row.pinned_since % 1000, row.breaks,
            row.probed(),
        });
    }
    write("];\n");

    write("\n// Why something was refused, by number; the names in the same order.\n");
    inline for (abi.reason_sets) |set| {
        const info = @typeInfo(set[1]).@"enum";
        print("export const {s} = {{\n", .{comptime constantCase(set[0])});
        inline for (info.field_names, info.field_values) |name, value| print("  {s}: {d},\n", .{ comptime camelCase(name), value });
        write("} as const;\n");
        print("export const {s}_NAMES = [\n", .{comptime constantCase(set[0])});
        inline for (info.field_names) |name| print("  \"{s}\",\n", .{comptime camelCase(name)});
        write("] as const;\n");
    }

    write(
        \\
        \\/** The library's exports in words of no runtime. `blocking` ones are called off-thread in Deno. */
        \\export const EXPORTS = [
        \\
    );
    inline for (abi.exports) |one| {
        print("  {{ name: \"{s}\", arguments: [", .{one.name});
        inline for (one.arguments) |argument| print("\"{t}\", ", .{argument});
        print("], result: \"{t}\", blocking: {} }},\n", .{ one.result, one.blocking });
    }
    write("] as const;\n");

    write("\n/** Errors by name. */\nexport const ERRNO = {\n");
    inline for (abi.errors) |one| print("  {s}: {d},\n", .{ one[1], one[0] });
    write("} as const;\n\n/** Number, name and words of each error. */\nexport const ERRORS = [\n");
    inline for (abi.errors) |one| print("  [{d}, \"{s}\", \"{s}\"],\n", .{ one[0], one[1], one[2] });
    write("] as const;\n");
}

/// The fields of the image that a row's sources read, each once, in the order of an image.
fn fieldsOf(comptime row: abi.Row) []const abi.Use {
    var found: []const abi.Use = &.{};
    for (@typeInfo(abi.Image).@"struct".field_names) |name| {
        const use = for (row.sources()) |source| {
            const hit = for (abi.uses(source)) |one| {
                if (std.mem.eql(u8, one.field, name)) break one;
            } else continue;
            break hit;
        } else continue;
        found = found ++ .{use};
    }
    return found;
}

fn write(bytes: []const u8) void {
    var rest = bytes;
    while (rest.len > 0) {
        const written = std.os.linux.write(1, rest.ptr, rest.len);
        if (std.os.linux.errno(written) != .SUCCESS) std.process.exit(1);
        rest = rest[written..];
    }
}

fn print(comptime format: []const u8, arguments: anytype) void {
    var line: [1024]u8 = undefined;
    write(std.fmt.bufPrint(&line, format, arguments) catch unreachable);
}

fn camelCase(comptime name: []const u8) []const u8 {
    var out: []const u8 = "";
    var upper = false;
    for (name) |byte| {
        if (byte == '_') {
            upper = true;
        } else {
            out = out ++ .{if (upper) std.ascii.toUpper(byte) else byte};
            upper = false;
        }
    }
    return out;
}

/// Of `OpenParameters` as well as of `open_step`.
fn constantCase(comptime name: []const u8) []const u8 {
    var out: []const u8 = "";
    for (name, 0..) |byte, index| {
        if (index > 0 and std.ascii.isUpper(byte)) out = out ++ "_";
        out = out ++ .{std.ascii.toUpper(byte)};
    }
    return out;
}
