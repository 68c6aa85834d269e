//! The rings of this process and the threads that own them.
//!
//! A ring's number is its index in the table and a generation, so that a number used after close names
//! nothing. The owner is recognised by its thread pointer, which costs no system call. That address
//! can come back for a later thread: the first call of every thread (`uring_abi`), and every open, takes
//! rings away from an earlier thread that had it. Every open sweeps what threads left behind that are
//! gone. Generations start at a random number, so that nobody hits on a ring by counting, and entries are
//! used in turn, so that one comes back to a number only after two thousand million rings.

const std = @import("std");
const abi = @import("abi.zig");
const kernel = @import("kernel.zig");
const linux = std.os.linux;
const Ring = @import("ring.zig").Ring;

const index_bits = 10;
const index_mask = abi.rings_max - 1;
const generation_bits = 31 - index_bits;
comptime {
    std.debug.assert(1 << index_bits == abi.rings_max);
}

/// No ring has it: generations begin at 1.
const vacant: u32 = 0;

pub const Entry = struct {
    /// What the owner passes; `vacant` while there is no ring.
    number: u32 = vacant,
    /// Taken by an open that has not ended.
    reserved: bool = false,
    generation: u32 = 0,
    owner: usize = 0,
    tid: i32 = 0,
    ring: *Ring = undefined,
};

pub var entries: [abi.rings_max]Entry = @splat(.{});
var seeded: bool = false;
/// Where the search for a vacant entry goes on.
var turn: usize = 0;

/// Held while the table changes (open, close, sweep, waiters), never by a tick.
pub const Lock = struct {
    word: u32 = 0,

    pub fn acquire(self: *Lock) void {
        while (@cmpxchgWeak(u32, &self.word, 0, 1, .acquire, .monotonic) != null) {
            _ = linux.syscall0(.sched_yield);
        }
    }
    pub fn release(self: *Lock) void {
        @atomicStore(u32, &self.word, 0, .release);
    }
};
pub var lock: Lock = .{};

pub const Found = union(enum) { ring: *Ring, failed: i32 };

/// The ring of that number, if the calling thread owns it.
pub inline fn find(number: u32) Found {
    const entry = &entries[number & index_mask];
    if (@atomicLoad(u32, &entry.number, .acquire) != number or number == vacant) return .{ .failed = -kernel.EBADF };
    if (@atomicLoad(usize, &entry.owner, .monotonic) != kernel.threadPointer()) return .{ .failed = -kernel.EXDEV };
    return .{ .ring = entry.ring };
}

/// Under the lock.
pub fn reserve() ?*Entry {
    if (!seeded) {
        seeded = true;
        var random: [abi.rings_max]u32 = undefined;
        const bytes = linux.syscall3(.getrandom, @intFromPtr(&random), @sizeOf(@TypeOf(random)), 1);
        if (kernel.result(bytes) == @sizeOf(@TypeOf(random))) {
            for (&entries, random) |*entry, number| entry.generation = number >> (32 - generation_bits);
        }
    }
    for (0..entries.len) |_| {
        const entry = &entries[turn];
        turn = (turn + 1) & index_mask;
        if (entry.number != vacant or entry.reserved) continue;
        entry.reserved = true;
        return entry;
    }
    return null;
}

/// Under the lock: rings of an earlier thread with the thread pointer of this one are nobody's any more. A
/// tick only compares the pointer.
pub fn disown() void {
    const owner = kernel.threadPointer();
    const tid = kernel.gettid();
    for (&entries) |*entry| {
        if (entry.number == vacant or entry.owner != owner or entry.tid == tid) continue;
        @atomicStore(usize, &entry.owner, 0, .monotonic);
    }
}

/// Under the lock: the ring is open, its number is the result.
pub fn publish(entry: *Entry, ring: *Ring, tid: i32) u32 {
    const index: u32 = @intCast((@intFromPtr(entry) - @intFromPtr(&entries)) / @sizeOf(Entry));
    entry.generation = entry.generation % ((1 << generation_bits) - 1) + 1;
    const number = index | entry.generation << index_bits;
    entry.ring = ring;
    entry.tid = tid;
    entry.reserved = false;
    @atomicStore(usize, &entry.owner, kernel.threadPointer(), .monotonic);
    @atomicStore(u32, &entry.number, number, .release);
    return number;
}

/// Under the lock: nobody finds it any more.
pub fn vacate(entry: *Entry) void {
    @atomicStore(u32, &entry.number, vacant, .release);
    @atomicStore(usize, &entry.owner, 0, .monotonic);
    entry.tid = 0;
    entry.reserved = false;
}

/// A descriptor of one's own for a ring of any thread, or a negative errno. What it names stays that ring,
/// also when its owner closes it.
pub fn duplicate(number: u32) i32 {
    lock.acquire();
    defer lock.release();
    const entry = &entries[number & index_mask];
    if (number == vacant or entry.number != number) return -kernel.EBADF;
    return kernel.duplicate(entry.ring.uring.ring_fd);
}

pub fn entryOf(number: u32) *Entry {
    return &entries[number & index_mask];
}
