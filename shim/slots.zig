//! Slots: one for each operation that may be in flight. Its number is the low half of user_data.

/// What a completion has to do beyond handing on `res`.
pub const Kind = enum(u8) {
    simple,
    /// The kernel reads a path in the slot's memory.
    path,
    /// The kernel writes a structure into the slot's memory; it is copied out.
    result,
    /// `res` is a descriptor; it becomes a file slot.
    open,
    /// The file slot becomes free.
    close,
};

pub const no_file: u16 = 0xffff;

pub const Slot = struct {
    generation: u32,
    file: u16,
    kind: Kind,
    busy: bool,
};

/// A registered range of the arena, from `start` up to `end`; nothing when both are 0.
pub const Pin = struct { start: u32 = 0, end: u32 = 0 };

/// A slot's private memory: two paths with their NUL, and a result.
pub const path_bytes = 4096;
pub const result_at = 2 * path_bytes;
pub const memory_bytes = result_at + 256;

comptime {
    const std = @import("std");
    const abi = @import("abi.zig");
    std.debug.assert(path_bytes == abi.path_bytes_max + 1);
    std.debug.assert(memory_bytes - result_at == abi.result_bytes);
    std.debug.assert(abi.files_max < no_file);
    std.debug.assert(@sizeOf(Slot) == 8);
}
