//! Slots: one for each operation that may be in flight. Its number is the low half of user_data.

/// What a completion has to do beyond handing on `res`.
pub const Kind = enum(u8) {
    simple,
    /// The kernel reads something in the slot's memory: a path, vectors, a time.
    private,
    /// The file goes over by its descriptor, and the kernel may read something in the slot's memory.
    named,
    /// The kernel writes a structure into the slot's memory; it is copied out.
    result,
    /// `res` is a descriptor; it becomes a file slot.
    open,
    /// The same, below a directory that is the attached file.
    open_in,
    /// The file slot becomes free.
    close,
    /// Two files; the second is the attached one.
    pair,
    /// The kernel writes a value into the slot's memory; it is copied to the arena, to where the attachment
    /// says.
    value,
    /// The attached descriptor is another ring, and is closed.
    message,
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

/// What few operations keep beside their slot until they end.
pub const Attachment = struct {
    file: u16,
    descriptor: i32,
    value_at: u32,
    value_bytes: u32,
};

/// A slot's private memory: a path with its NUL or vectors; another path, or a value, or a structure; and
/// a result or a name.
pub const path_bytes = 4096;
pub const first_at = 0;
pub const second_at = path_bytes;
pub const result_at = 2 * path_bytes;
pub const memory_bytes = result_at + 256;

comptime {
    const std = @import("std");
    const abi = @import("abi.zig");
    const Iovec = @import("liburing.zig").Iovec;
    std.debug.assert(path_bytes == abi.path_bytes_max + 1);
    std.debug.assert(memory_bytes - result_at == abi.result_bytes);
    std.debug.assert(memory_bytes - result_at == abi.xattr_name_bytes_max + 1);
    std.debug.assert(abi.vectors_max * @sizeOf(Iovec) == second_at - first_at);
    std.debug.assert(abi.value_bytes_max == result_at - second_at);
    std.debug.assert(abi.files_max < no_file);
    std.debug.assert(abi.slots_max <= abi.message_bit);
    std.debug.assert(@sizeOf(Slot) == 8);
}
