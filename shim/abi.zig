//! The boundary between TypeScript and the kernel, written once.
//!
//! Every layout, operation row, flag, error name and export signature stands here and nowhere else.
//! `generate.zig` walks this file and writes `src/abi/generated.ts`; the library carries a hash of
//! the same walk, so that a stale pair of library and TypeScript is refused at load.
//!
//! Integers are little-endian, as on both supported machines (x86-64, aarch64).

/// Raised whenever the meaning of something here changes in a way that the hash cannot see.
pub const version: u32 = 1;

// --- Limits ---------------------------------------------------------------------------------

/// Submission queue entries of one ring.
pub const entries_max: u32 = 4096;
/// Slots (operations in flight) of one ring, also its completion queue entries.
pub const slots_max: u32 = 16384;
/// File slots of one ring. A file reference is `slot | generation << file_slot_bits`, always positive
/// as an i32; a slot whose generation is used up is retired, never reused.
pub const file_slot_bits: u5 = 12;
pub const file_generation_bits: u5 = 19;
pub const files_max: u32 = 1 << file_slot_bits;
/// A file reference that names no file.
pub const file_none: u32 = 0xffff_ffff;
/// Bytes of a path, without its final NUL.
pub const path_bytes_max: u32 = 4095;
/// Bytes of one slot's place in the result part of the parameter area (a statx structure).
pub const result_bytes: u32 = 256;
/// Largest arena: 1 GiB is also the kernel's limit for one fixed buffer.
pub const arena_bytes_max: u32 = 1 << 30;
/// An arena that is aligned so, and is at least as large, is asked to be made of huge pages.
pub const huge_page_bytes: u32 = 2 << 20;
/// Largest single transfer: what the kernel moves in one read or write (INT_MAX rounded down to a page).
pub const transfer_bytes_max: u32 = 0x7fff_f000;
/// Vectors of one readv or writev.
pub const vectors_max: u32 = 256;
/// Bytes of the name of an extended attribute, without its NUL, as the kernel has it.
pub const xattr_name_bytes_max: u32 = 255;
/// Bytes of the value of an extended attribute; the kernel's own limit is 65,536, ext4's 4,096.
pub const value_bytes_max: u32 = 4096;
/// Messages of other rings that were delivered and not yet reaped.
pub const messages_max: u32 = 64;
/// In the low half of a user_data: it is no slot's, but a message. A slot's number never has it.
pub const message_bit: u32 = 0x8000_0000;
/// Rings of one process.
pub const rings_max: u32 = 1024;

// --- Shared memory --------------------------------------------------------------------------

/// One staged operation: 64 bytes in the places of an SQE. The shim reads each image once, checks it
/// against the row of its operation, and builds a fresh SQE from the fields that the row names.
/// A field that the row does not name must be zero.
pub const Image = extern struct {
    /// Index into `operations`, not the kernel's opcode.
    operation: u8,
    /// IOSQE_* of `sqe_flag`, as far as the row allows.
    flags: u8,
    ioprio: u16,
    /// A file reference, `file_none`, a ring's number, or zero where the row has no file.
    file: u32,
    /// File offset, or what the row says.
    offset: u64,
    /// Arena offset, parameter-area offset, or number, as the row says.
    addr: u64,
    /// Bytes, or what the row says.
    length: u32,
    /// rw_flags, open flags, fsync flags, and the like.
    op_flags: u32,
    /// The two halves of user_data.
    slot: u32,
    generation: u32,
    /// A second parameter-area offset (the target of a rename).
    addr2: u32,
    /// Its length.
    length2: u32,
    /// Further number of a row (mode of an open, mask of a statx), or a second file reference.
    extra: u32,
    zero: [3]u32,
};

/// Completion columns: four arrays of `slots` entries, one behind the other, in this order.
pub const columns = [_]Column{
    .{ .name = "slot", .type = .u32 },
    .{ .name = "generation", .type = .u32 },
    .{ .name = "res", .type = .i32 },
    .{ .name = "flags", .type = .u32 },
};
pub const Column = struct { name: []const u8, type: Scalar };

/// Written by the shim in every tick, but for `message_room`.
pub const Control = extern struct {
    /// Images of this tick that are the kernel's now (or were completed by the shim itself);
    /// the rest stays staged, in order, and the caller moves it to the front.
    consumed: u32,
    /// Completions in the columns.
    reaped: u32,
    /// Index of the image that made the tick give -EINVAL, else 0xffff_ffff.
    bad_index: u32,
    /// Which check it failed: a `bad_reason`.
    bad_reason: u32,
    /// Completion-queue overflows seen since open (nothing is lost by them).
    overflows: u32,
    /// Operations between submission and their last completion, after this tick.
    in_flight: u32,
    /// io_uring_enter calls since open.
    enters: u32,
    /// Completions whose slot was not in flight: seen, counted, not delivered.
    stale: u32,
    /// 1 when completions beyond the columns' capacity wait for the next tick.
    more: u32,
    /// Non-zero: the errno of io_uring_enter when it took nothing and asked to come again
    /// (EAGAIN, EBUSY). The images stay staged.
    again: u32,
    /// Written by TypeScript: messages that there is room for. Without room they stay in the kernel's queue,
    /// and what stands behind them.
    message_room: u32,
    reserved: [5]u32,
};

/// What `uring_open` is asked for, and (second half) what it got.
pub const OpenParameters = extern struct {
    entries: u32,
    /// Slots; also the completion queue's entries.
    slots: u32,
    files: u32,
    arena_bytes: u32,
    /// Out: where the arena begins in the buffer passed for it; the shim sees the address and chooses the
    /// first multiple of 4,096, of 2 MiB where `arena_slack` leaves the room.
    arena_offset: u32,
    staging_bytes: u32,
    /// Bytes of the incoming part of the parameter area; results follow it, `result_bytes` a slot.
    parameter_bytes: u32,
    /// IORING_SETUP_* asked for beyond the ladder, from `setup_allowed`.
    setup_flags: u32,
    sqpoll_idle_millis: u32,
    /// CPU of the SQPOLL thread, `file_none` for any.
    sqpoll_cpu: u32,
    /// Non-zero: the calling thread is a worker, so an arena that cannot be registered is refused.
    in_worker: u32,
    /// First rung of the ladder to try, for tests: 0 is the best.
    rung: u32,
    /// Entries of the completion queue, from `entries` to `slots`; 0 for as many as slots. With fewer it
    /// can overflow: the kernel then keeps what has no room.
    completion_entries: u32,
    /// A ring of the calling thread whose kernel threads this one shares (ATTACH_WQ); 0 for none.
    attach: u32,
    /// 0: the whole arena is one fixed buffer. Else it is cut into so many slices of equal length, none of
    /// which is pinned; see `uring_update_buffer`.
    buffer_slices: u32,
    /// Bytes of the buffer passed for the arena beyond `arena_bytes`; at least 4,096.
    arena_slack: u32,
    // What it got.
    got_entries: u32,
    got_completion_entries: u32,
    got_setup_flags: u32,
    features: u32,
    /// The rung of `ladder` that the kernel took.
    got_rung: u32,
    /// 1 when the kernel has taken the arena as a fixed buffer (pinned), or the table of its slices.
    registered: u32,
    /// Errno of a refused registration, 0 otherwise.
    register_errno: u32,
    /// Which step of opening failed: an `open_step`.
    failed_step: u32,
    /// 1 when enters name the ring by its place among the thread's registered rings (sixteen at most).
    ring_registered: u32,
};

/// What stands in /proc, /sys, limits: Deno lets no program read them, the shim does.
pub const SystemInfo = extern struct {
    kernel_major: u32,
    kernel_minor: u32,
    kernel_patch: u32,
    page_bytes: u32,
    /// /proc/sys/kernel/io_uring_disabled: 0, 1, 2; 0xffff_ffff where there is none.
    io_uring_disabled: u32,
    reserved3: u32,
    /// Soft limits; 0xffff_ffff_ffff_ffff is unlimited.
    memlock_bytes: u64,
    nofile: u64,
    uid: u32,
    pid: u32,
    tid: u32,
    /// 2 when a seccomp filter is active (/proc/self/status), 1 strict, 0 none.
    seccomp: u32,
    /// CLOCK_BOOTTIME ticks at which this process started (/proc/self/stat, field 22).
    start_ticks: u64,
    /// 1 when the CRC32C instruction of the processor is used.
    crc32c_hardware: u32,
    reserved: u32,
    /// /proc/sys/kernel/random/boot_id, ASCII.
    boot_id: [36]u8,
    /// Host name, NUL-padded.
    host: [64]u8,
    /// Kernel release string, NUL-padded.
    release: [64]u8,
    reserved2: u32,
};

/// Of a file system: fstatfs.
pub const FileSystemInfo = extern struct {
    type: u64,
    block_bytes: u64,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
};

/// Where in a statx result the fields of interest lie (the kernel's structure, 256 bytes).
pub const Statx = extern struct {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare0: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    atime: StatxTime,
    btime: StatxTime,
    ctime: StatxTime,
    mtime: StatxTime,
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    mnt_id: u64,
    dio_mem_align: u32,
    dio_offset_align: u32,
    spare3: [12]u64,
};
pub const StatxTime = extern struct { seconds: i64, nanoseconds: u32, reserved: i32 };

/// One change of a ring's files, in and out: see `uring_update_files`.
pub const FileUpdate = extern struct {
    /// In: an open file whose slot changes, or `file_none` for any free slot. Out: the slot's file now,
    /// `file_none` when it is empty.
    file: u32,
    /// What the slot gets a duplicate of; -1 empties it.
    descriptor: i32,
};

/// Layouts that the generator writes out as offsets and sizes.
pub const layouts = .{ Image, Control, OpenParameters, SystemInfo, FileSystemInfo, Statx, StatxTime, FileUpdate };

// --- Operations -----------------------------------------------------------------------------

/// Which file the `fd` of an SQE names.
pub const FileKind = enum {
    /// No file: the image's field is zero.
    none,
    /// A file slot, by its registered (fixed) descriptor.
    fixed,
    /// A file slot, by its real descriptor (operations that refuse fixed ones).
    real,
    /// Paths are resolved against the working directory; the field is zero.
    cwd,
    /// A file slot by its real descriptor, or `file_none`: the working directory.
    directory,
    /// Not a file but a ring of this library, by its number, whichever thread has it.
    ring,
};

/// Where a field of an SQE comes from. `uses` says which fields of the image each reads; what none of a
/// row's sources reads must be zero in the image, and what has no source is zero in the SQE.
///
/// "Private" is memory of the shim that belongs to the slot until its last completion.
pub const Source = enum {
    zero,
    // Numbers, passed on as they are.
    offset,
    addr,
    length,
    extra,
    // Constants.
    /// 1: how many structures of time there are.
    one,
    /// The working directory, of a second path.
    cwd,
    /// Bytes of an `open_how`.
    how_bytes,
    /// Arena offset in `addr`, bytes in `length`.
    arena,
    /// The same, both multiples of 4,096.
    pages,
    /// Parameter-area offset in `addr`, `length` pairs of u32 there: arena offset and bytes. Private as
    /// iovecs, at most `vectors_max`. Empty ones are left out: the kernel refuses them in pinned memory.
    vectors,
    /// How many vectors there are then.
    vector_count,
    /// A path without its NUL: parameter-area offset in `addr`, bytes in `length`. Private.
    path,
    /// The same in `addr2` and `length2`.
    path2,
    /// The name of an extended attribute in `addr2` and `length2`, as a path. Private.
    name,
    /// The path of AT_EMPTY_PATH. Private.
    empty_path,
    /// An `open_how` of `op_flags` and the mode in `extra`. RESOLVE_NO_MAGICLINKS is always among its
    /// resolve flags: links of /proc lead to what others opened. Private.
    how,
    /// The same, with further resolve flags in `offset`.
    how_resolve,
    /// A time: seconds in `offset`, nanoseconds in `extra`. Private.
    timespec,
    /// A structure of `result_bytes` that the kernel writes. Private; at completion the shim copies it to
    /// the parameter area, at `parameter_bytes + slot * result_bytes`.
    result,
    /// A value of at most `value_bytes_max`: arena offset in `offset`, bytes in `extra`. Private, copied
    /// from the arena when the image is checked.
    value_in,
    /// The same; copied to the arena at completion.
    value_out,
    /// user_data of another operation, in `addr`: low half slot, high half generation.
    target,
    /// user_data of a completion that arrives in another ring, in `addr`; the shim adds `message_bit`.
    message,
};

/// A field of the image that a source reads: what a trace calls it, and which bits it may have.
pub const Use = struct { field: []const u8, label: []const u8, mask: u64 = all };
const all = 0xffff_ffff_ffff_ffff;

pub fn uses(source: Source) []const Use {
    return switch (source) {
        .zero, .one, .cwd, .how_bytes, .vector_count, .empty_path, .result => &.{},
        .offset => &.{.{ .field = "offset", .label = "offset" }},
        .addr => &.{.{ .field = "addr", .label = "addr" }},
        .length => &.{.{ .field = "length", .label = "length" }},
        .extra => &.{.{ .field = "extra", .label = "extra" }},
        .arena, .pages => &.{ .{ .field = "addr", .label = "addr" }, .{ .field = "length", .label = "length" } },
        .vectors => &.{ .{ .field = "addr", .label = "vectors" }, .{ .field = "length", .label = "count" } },
        .path => &.{ .{ .field = "addr", .label = "path" }, .{ .field = "length", .label = "length" } },
        .path2 => &.{ .{ .field = "addr2", .label = "path2" }, .{ .field = "length2", .label = "length2" } },
        .name => &.{ .{ .field = "addr2", .label = "name" }, .{ .field = "length2", .label = "length2" } },
        .how => &.{.{ .field = "extra", .label = "mode", .mask = 0o7777 }},
        .how_resolve => &.{
            .{ .field = "extra", .label = "mode", .mask = 0o7777 },
            .{ .field = "offset", .label = "resolve", .mask = resolve_allowed },
        },
        .timespec => &.{ .{ .field = "offset", .label = "seconds" }, .{ .field = "extra", .label = "nanoseconds" } },
        .value_in, .value_out => &.{ .{ .field = "offset", .label = "value" }, .{ .field = "extra", .label = "bytes" } },
        .target => &.{.{ .field = "addr", .label = "target" }},
        .message => &.{.{ .field = "addr", .label = "message" }},
    };
}

/// What an operation does to file slots.
pub const Effect = enum {
    none,
    /// A file slot is made: `res` is the file reference. O_CLOEXEC is always added.
    opens,
    /// The slot becomes free, whatever `res` is.
    closes,
};

/// One operation: what its image may hold, and what becomes of it. `prep.zig` makes its check and its SQE
/// from this alone.
pub const Row = struct {
    name: []const u8,
    opcode: u8,
    /// The opcode where the arena is registered, if there is another for pinned memory.
    pinned: u8 = 0,
    /// `fd`.
    file: FileKind = .none,
    /// `file_index`: a second file, whose reference is in `extra`.
    second: FileKind = .none,
    /// `off`, which is `addr2` too.
    off: Source = .zero,
    addr: Source = .zero,
    len: Source = .zero,
    /// `addr3`.
    third: Source = .zero,
    /// The set of `flag_sets` that `op_flags` is of.
    flags_of: ?[]const u8 = null,
    /// Allowed bits of `op_flags`.
    op_flags: u32 = 0,
    /// Where it is no set of bits: the allowed values of `op_flags`.
    op_values: []const u32 = &.{},
    /// Always added to `op_flags` in the SQE.
    op_set: u32 = 0,
    /// Allowed bits of `flags`.
    sqe_flags: u8 = sqe_flag.ASYNC | links | sqe_flag.IO_DRAIN,
    effect: Effect = .none,
    /// Whether its failure ends a chain. The kernel lets some fail as if they had succeeded (measured on
    /// 6.18: fsync, fallocate, rename, ...), and starts what is linked behind them.
    breaks: bool = true,
    /// Kernel release that brought it: major * 1000 + minor. What is newer than `since_least` is probed at
    /// open.
    since: u32 = since_least,
    /// The opcode that tells whether the kernel has it, where it is a new use of an old opcode: one of the
    /// same release.
    probe: u8 = 0,
    /// Kernel release that brought `pinned`. A ring in a worker has the operation only from there on: memory
    /// that is not pinned can go with the worker while the kernel writes to it.
    pinned_since: u32 = since_least,

    pub const since_least: u32 = 5015;

    pub fn probed(row: Row) bool {
        return row.since > since_least or row.pinned_since > since_least;
    }

    pub fn sources(row: Row) [4]Source {
        return .{ row.off, row.addr, row.len, row.third };
    }
};

const links = sqe_flag.IO_LINK | sqe_flag.IO_HARDLINK;

/// The order is the numbering: append only, or raise `version`.
pub const operations = [_]Row{
    .{ .name = "nop", .opcode = 0 },
    .{ .name = "read", .flags_of = "rw_flag", .opcode = 22, .pinned = 4, .file = .fixed, .off = .offset, .addr = .arena, .len = .length, .op_flags = rw_read },
    .{ .name = "write", .flags_of = "rw_flag", .opcode = 23, .pinned = 5, .file = .fixed, .off = .offset, .addr = .arena, .len = .length, .op_flags = rw_write },
    .{ .name = "read_fixed", .flags_of = "rw_flag", .opcode = 22, .pinned = 4, .file = .fixed, .off = .offset, .addr = .arena, .len = .length, .op_flags = rw_read },
    .{ .name = "write_fixed", .flags_of = "rw_flag", .opcode = 23, .pinned = 5, .file = .fixed, .off = .offset, .addr = .arena, .len = .length, .op_flags = rw_write },
    // fsync of a range: offset and length; zero and zero is the whole file.
    .{ .name = "fsync", .breaks = false, .flags_of = "fsync_flag", .opcode = 3, .file = .fixed, .off = .offset, .len = .length, .op_flags = fsync_flag.DATASYNC },
    // The kernel takes the length of an fallocate in `addr` and the mode in `len`.
    .{ .name = "fallocate", .breaks = false, .opcode = 17, .file = .fixed, .off = .offset, .addr = .addr, .len = .length },
    .{ .name = "ftruncate", .breaks = false, .opcode = 55, .file = .fixed, .off = .offset, .since = 6009 },
    // By openat2, which can be told to follow no links of /proc.
    .{ .name = "openat", .flags_of = "open_flag", .opcode = 28, .file = .cwd, .addr = .path, .off = .how, .len = .how_bytes, .op_flags = open_allowed, .effect = .opens },
    // Not in a chain: it closes even when it is canceled.
    .{ .name = "close", .opcode = 19, .file = .real, .sqe_flags = sqe_flag.ASYNC, .effect = .closes },
    // By path.
    .{ .name = "statx", .breaks = false, .flags_of = "at_flag", .opcode = 21, .file = .cwd, .addr = .path, .off = .result, .len = .extra, .op_flags = statx_flags | at_flag.SYMLINK_NOFOLLOW | at_flag.NO_AUTOMOUNT },
    // By file: over the slot's real descriptor.
    .{ .name = "fstatx", .breaks = false, .flags_of = "at_flag", .opcode = 21, .file = .real, .addr = .empty_path, .off = .result, .len = .extra, .op_flags = statx_flags, .op_set = AT_EMPTY_PATH },
    .{ .name = "renameat", .breaks = false, .flags_of = "rename_flag", .opcode = 35, .file = .cwd, .addr = .path, .off = .path2, .len = .cwd, .op_flags = rename_flag.NOREPLACE | rename_flag.EXCHANGE },
    .{ .name = "unlinkat", .breaks = false, .flags_of = "at_flag", .opcode = 36, .file = .cwd, .addr = .path, .op_flags = at_flag.REMOVEDIR },
    .{ .name = "mkdirat", .breaks = false, .opcode = 37, .file = .cwd, .addr = .path, .len = .extra },
    .{ .name = "linkat", .breaks = false, .opcode = 39, .file = .cwd, .addr = .path, .off = .path2, .len = .cwd },
    .{ .name = "fadvise", .flags_of = "fadvise_flag", .opcode = 24, .file = .fixed, .off = .offset, .len = .length, .op_values = &.{ 0, 1, 2, 3, 4, 5 } },
    // Of one operation, by its slot and generation.
    .{ .name = "cancel", .opcode = 14, .addr = .target },
    .{ .name = "readv", .flags_of = "rw_flag", .opcode = 1, .pinned = 60, .file = .fixed, .off = .offset, .addr = .vectors, .len = .vector_count, .op_flags = rw_read, .pinned_since = 6015 },
    .{ .name = "writev", .flags_of = "rw_flag", .opcode = 2, .pinned = 61, .file = .fixed, .off = .offset, .addr = .vectors, .len = .vector_count, .op_flags = rw_write, .pinned_since = 6015 },
    .{ .name = "sync_file_range", .breaks = false, .flags_of = "sync_range_flag", .opcode = 8, .file = .fixed, .off = .offset, .len = .length, .op_flags = sync_range_flag.WAIT_BEFORE | sync_range_flag.WRITE | sync_range_flag.WAIT_AFTER },
    // Of the arena, and nothing that would part the program's memory from what the kernel has pinned.
    .{ .name = "madvise", .breaks = false, .flags_of = "madvise_flag", .opcode = 25, .addr = .pages, .len = .length, .op_values = &.{
        madvise_flag.NORMAL,        madvise_flag.WILLNEED,       madvise_flag.HUGEPAGE,
        madvise_flag.POPULATE_READ, madvise_flag.POPULATE_WRITE,
    } },
    .{ .name = "openat2", .flags_of = "open_flag", .opcode = 28, .file = .directory, .addr = .path, .off = .how_resolve, .len = .how_bytes, .op_flags = open_allowed, .effect = .opens },
    .{ .name = "symlinkat", .breaks = false, .opcode = 38, .file = .cwd, .addr = .path, .off = .path2 },
    .{ .name = "getxattr", .breaks = false, .opcode = 44, .addr = .name, .off = .value_out, .len = .extra, .third = .path, .since = 5019 },
    .{ .name = "setxattr", .breaks = false, .flags_of = "xattr_flag", .opcode = 42, .addr = .name, .off = .value_in, .len = .extra, .third = .path, .op_flags = xattr_flag.CREATE | xattr_flag.REPLACE, .since = 5019 },
    .{ .name = "fgetxattr", .breaks = false, .opcode = 43, .file = .real, .addr = .name, .off = .value_out, .len = .extra, .since = 5019 },
    .{ .name = "fsetxattr", .breaks = false, .flags_of = "xattr_flag", .opcode = 41, .file = .real, .addr = .name, .off = .value_in, .len = .extra, .op_flags = xattr_flag.CREATE | xattr_flag.REPLACE, .since = 5019 },
    // To `file` at `offset` from the second file at `addr`; an offset of all ones is none, for a pipe.
    .{ .name = "splice", .flags_of = "splice_flag", .opcode = 30, .file = .fixed, .second = .fixed, .off = .offset, .addr = .addr, .len = .length, .op_flags = splice_flag.MOVE | splice_flag.NONBLOCK | splice_flag.MORE },
    // Once. Multishot would be a flag in `len`.
    .{ .name = "poll_add", .flags_of = "poll_flag", .opcode = 6, .file = .fixed, .op_flags = poll_allowed },
    .{ .name = "poll_remove", .opcode = 7, .addr = .target },
    // Data only: `len` becomes the res of the other ring's completion.
    .{ .name = "msg_ring", .opcode = 40, .file = .ring, .off = .message, .len = .length, .since = 5018 },
    // After so long, or after as many completions as `length` says if it is not 0.
    .{ .name = "timeout", .flags_of = "timeout_flag", .opcode = 11, .off = .length, .addr = .timespec, .len = .one, .op_flags = timeout_flag.ABS | timeout_flag.BOOTTIME | timeout_flag.REALTIME | timeout_flag.ETIME_SUCCESS },
    .{ .name = "timeout_remove", .opcode = 12, .addr = .target },
    .{ .name = "timeout_update", .flags_of = "timeout_flag", .opcode = 12, .addr = .target, .off = .timespec, .op_flags = timeout_flag.ABS | timeout_flag.LINK_UPDATE, .op_set = TIMEOUT_UPDATE },
    // Behind the operation that it limits, in one chain.
    .{ .name = "link_timeout", .flags_of = "timeout_flag", .opcode = 15, .addr = .timespec, .len = .one, .op_flags = timeout_flag.ABS | timeout_flag.BOOTTIME | timeout_flag.REALTIME | timeout_flag.ETIME_SUCCESS, .sqe_flags = links },
    // Operations of a file: one, or all. The kernel compares open files, so the real descriptor finds those
    // that name the registered one.
    .{ .name = "cancel_file", .flags_of = "cancel_flag", .opcode = 14, .file = .real, .op_flags = cancel_flag.ALL, .op_set = CANCEL_FD, .since = 5019, .probe = OP_SOCKET },
    // The kernel takes ANY for all of them, with or without ALL.
    .{ .name = "cancel_any", .opcode = 14, .op_set = CANCEL_ANY | cancel_flag.ALL, .since = 5019, .probe = OP_SOCKET },
};

const AT_EMPTY_PATH = 0x1000;
const TIMEOUT_UPDATE = 1 << 1;
const CANCEL_FD = 1 << 1;
const CANCEL_ANY = 1 << 2;
const OP_SOCKET = 45;
const statx_flags = at_flag.STATX_FORCE_SYNC | at_flag.STATX_DONT_SYNC;
const poll_allowed = poll_flag.IN | poll_flag.PRI | poll_flag.OUT | poll_flag.ERR | poll_flag.HUP | poll_flag.RDHUP;
const rw_read = rw_flag.HIPRI | rw_flag.NOWAIT | rw_flag.DONTCACHE;
const rw_write = rw_flag.HIPRI | rw_flag.DSYNC | rw_flag.SYNC | rw_flag.NOWAIT | rw_flag.APPEND | rw_flag.ATOMIC | rw_flag.DONTCACHE;

// --- Flags: the kernel's numbers ------------------------------------------------------------

pub const sqe_flag = struct {
    pub const FIXED_FILE: u8 = 1;
    pub const IO_DRAIN: u8 = 2;
    pub const IO_LINK: u8 = 4;
    pub const IO_HARDLINK: u8 = 8;
    pub const ASYNC: u8 = 16;
};
pub const rw_flag = struct {
    pub const HIPRI: u32 = 1;
    pub const DSYNC: u32 = 2;
    pub const SYNC: u32 = 4;
    pub const NOWAIT: u32 = 8;
    pub const APPEND: u32 = 16;
    /// Linux 6.11: all of it or nothing after a power cut. It is not durability.
    pub const ATOMIC: u32 = 64;
    /// Linux 6.14: what went through the page cache leaves it again.
    pub const DONTCACHE: u32 = 128;
};
pub const fsync_flag = struct {
    pub const DATASYNC: u32 = 1;
};
/// x86-64's numbers; the shim translates where another machine's differ (DIRECT, DIRECTORY, NOFOLLOW).
pub const open_flag = struct {
    pub const RDONLY: u32 = 0;
    pub const WRONLY: u32 = 0o1;
    pub const RDWR: u32 = 0o2;
    pub const CREAT: u32 = 0o100;
    pub const EXCL: u32 = 0o200;
    pub const TRUNC: u32 = 0o1000;
    pub const APPEND: u32 = 0o2000;
    pub const NONBLOCK: u32 = 0o4000;
    pub const DSYNC: u32 = 0o10000;
    pub const DIRECT: u32 = 0o40000;
    pub const DIRECTORY: u32 = 0o200000;
    pub const NOFOLLOW: u32 = 0o400000;
    pub const NOATIME: u32 = 0o1000000;
    /// With the bit of DSYNC in it.
    pub const SYNC: u32 = 0o4010000;
};
const open_allowed = open_flag.WRONLY | open_flag.RDWR | open_flag.CREAT | open_flag.EXCL | open_flag.TRUNC |
    open_flag.APPEND | open_flag.NONBLOCK | open_flag.DSYNC | open_flag.DIRECT | open_flag.DIRECTORY |
    open_flag.NOFOLLOW | open_flag.NOATIME | open_flag.SYNC;
pub const resolve_flag = struct {
    pub const NO_XDEV: u32 = 1;
    pub const NO_MAGICLINKS: u32 = 2;
    pub const NO_SYMLINKS: u32 = 4;
    pub const BENEATH: u32 = 8;
    pub const IN_ROOT: u32 = 16;
    pub const CACHED: u32 = 32;
};
const resolve_allowed = resolve_flag.NO_XDEV | resolve_flag.NO_MAGICLINKS | resolve_flag.NO_SYMLINKS |
    resolve_flag.BENEATH | resolve_flag.IN_ROOT | resolve_flag.CACHED;
pub const at_flag = struct {
    pub const SYMLINK_NOFOLLOW: u32 = 0x100;
    pub const REMOVEDIR: u32 = 0x200;
    pub const NO_AUTOMOUNT: u32 = 0x800;
    pub const STATX_FORCE_SYNC: u32 = 0x2000;
    pub const STATX_DONT_SYNC: u32 = 0x4000;
};
pub const rename_flag = struct {
    pub const NOREPLACE: u32 = 1;
    pub const EXCHANGE: u32 = 2;
};
pub const fallocate_flag = struct {
    pub const KEEP_SIZE: u32 = 1;
    pub const PUNCH_HOLE: u32 = 2;
    pub const COLLAPSE_RANGE: u32 = 8;
    pub const ZERO_RANGE: u32 = 16;
    pub const INSERT_RANGE: u32 = 32;
};
pub const fadvise_flag = struct {
    pub const NORMAL: u32 = 0;
    pub const RANDOM: u32 = 1;
    pub const SEQUENTIAL: u32 = 2;
    pub const WILLNEED: u32 = 3;
    pub const DONTNEED: u32 = 4;
    pub const NOREUSE: u32 = 5;
};
pub const madvise_flag = struct {
    pub const NORMAL: u32 = 0;
    pub const WILLNEED: u32 = 3;
    pub const HUGEPAGE: u32 = 14;
    pub const POPULATE_READ: u32 = 22;
    pub const POPULATE_WRITE: u32 = 23;
};
pub const sync_range_flag = struct {
    pub const WAIT_BEFORE: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const WAIT_AFTER: u32 = 4;
};
pub const xattr_flag = struct {
    pub const CREATE: u32 = 1;
    pub const REPLACE: u32 = 2;
};
pub const splice_flag = struct {
    pub const MOVE: u32 = 1;
    pub const NONBLOCK: u32 = 2;
    pub const MORE: u32 = 4;
};
pub const poll_flag = struct {
    pub const IN: u32 = 1;
    pub const PRI: u32 = 2;
    pub const OUT: u32 = 4;
    pub const ERR: u32 = 8;
    pub const HUP: u32 = 16;
    pub const RDHUP: u32 = 0x2000;
};
pub const timeout_flag = struct {
    pub const ABS: u32 = 1;
    pub const BOOTTIME: u32 = 4;
    pub const REALTIME: u32 = 8;
    pub const LINK_UPDATE: u32 = 16;
    pub const ETIME_SUCCESS: u32 = 32;
};
pub const cancel_flag = struct {
    pub const ALL: u32 = 1;
};
pub const statx_mask = struct {
    pub const BASIC_STATS: u32 = 0x7ff;
    pub const BTIME: u32 = 0x800;
    pub const DIOALIGN: u32 = 0x2000;
};
pub const lock_flag = struct {
    pub const SHARED: u32 = 1;
    pub const EXCLUSIVE: u32 = 2;
    pub const NONBLOCK: u32 = 4;
    pub const UNLOCK: u32 = 8;
};
pub const setup_flag = struct {
    pub const IOPOLL: u32 = 1 << 0;
    pub const SQPOLL: u32 = 1 << 1;
    pub const SQ_AFF: u32 = 1 << 2;
    pub const CQSIZE: u32 = 1 << 3;
    pub const CLAMP: u32 = 1 << 4;
    pub const ATTACH_WQ: u32 = 1 << 5;
    pub const R_DISABLED: u32 = 1 << 6;
    pub const SUBMIT_ALL: u32 = 1 << 7;
    pub const COOP_TASKRUN: u32 = 1 << 8;
    pub const TASKRUN_FLAG: u32 = 1 << 9;
    pub const SINGLE_ISSUER: u32 = 1 << 12;
    pub const DEFER_TASKRUN: u32 = 1 << 13;
};
/// What a caller may ask for; the rest is the shim's own business. Unknown bits are refused.
pub const setup_allowed: u32 = setup_flag.IOPOLL | setup_flag.SQPOLL | setup_flag.CLAMP | setup_flag.R_DISABLED;
/// Rungs, best first; the shim goes down on EINVAL (a flag that the kernel lacks). TASKRUN_FLAG tells
/// a tick that submits nothing and waits for nothing whether an enter would bring anything. With
/// SQPOLL the shim leaves out DEFER_TASKRUN, COOP_TASKRUN and TASKRUN_FLAG, which exclude it.
pub const ladder = [_]u32{
    setup_flag.SUBMIT_ALL | setup_flag.SINGLE_ISSUER | setup_flag.DEFER_TASKRUN | setup_flag.TASKRUN_FLAG,
    setup_flag.SUBMIT_ALL | setup_flag.COOP_TASKRUN | setup_flag.TASKRUN_FLAG,
    0,
};

/// What a kernel can do, told by io_uring_setup.
pub const feature_flag = struct {
    pub const SINGLE_MMAP: u32 = 1 << 0;
    pub const NODROP: u32 = 1 << 1;
    pub const SUBMIT_STABLE: u32 = 1 << 2;
    pub const RW_CUR_POS: u32 = 1 << 3;
    pub const CUR_PERSONALITY: u32 = 1 << 4;
    pub const FAST_POLL: u32 = 1 << 5;
    pub const POLL_32BITS: u32 = 1 << 6;
    pub const SQPOLL_NONFIXED: u32 = 1 << 7;
    pub const EXT_ARG: u32 = 1 << 8;
    pub const NATIVE_WORKERS: u32 = 1 << 9;
    pub const RSRC_TAGS: u32 = 1 << 10;
    pub const CQE_SKIP: u32 = 1 << 11;
    pub const LINKED_FILE: u32 = 1 << 12;
    pub const REG_REG_RING: u32 = 1 << 13;
    pub const RECVSEND_BUNDLE: u32 = 1 << 14;
    pub const MIN_TIMEOUT: u32 = 1 << 15;
    pub const RW_ATTR: u32 = 1 << 16;
    pub const NO_IOWAIT: u32 = 1 << 17;
};
/// Of a completion.
pub const cqe_flag = struct {
    pub const BUFFER: u32 = 1 << 0;
    pub const MORE: u32 = 1 << 1;
    pub const SOCK_NONEMPTY: u32 = 1 << 2;
    pub const NOTIF: u32 = 1 << 3;
    /// The shim's own: from another ring, by msg_ring.
    pub const MESSAGE: u32 = 1 << 31;
};
/// What `uring_cancel_sync` looks for.
pub const cancel_target = struct {
    /// Everything that is in flight.
    pub const ANY: u32 = 0;
    /// One operation, by slot and generation.
    pub const OPERATION: u32 = 1;
    /// Every operation on a file.
    pub const FILE: u32 = 2;
};

/// Flag sets that the generator writes out.
pub const flag_sets = .{
    .{ "sqe_flag", sqe_flag },             .{ "rw_flag", rw_flag },             .{ "fsync_flag", fsync_flag },
    .{ "open_flag", open_flag },           .{ "at_flag", at_flag },             .{ "rename_flag", rename_flag },
    .{ "fallocate_flag", fallocate_flag }, .{ "fadvise_flag", fadvise_flag },   .{ "statx_mask", statx_mask },
    .{ "lock_flag", lock_flag },           .{ "setup_flag", setup_flag },       .{ "feature_flag", feature_flag },
    .{ "cqe_flag", cqe_flag },             .{ "cancel_target", cancel_target }, .{ "resolve_flag", resolve_flag },
    .{ "madvise_flag", madvise_flag },     .{ "xattr_flag", xattr_flag },       .{ "sync_range_flag", sync_range_flag },
    .{ "splice_flag", splice_flag },       .{ "poll_flag", poll_flag },         .{ "timeout_flag", timeout_flag },
    .{ "cancel_flag", cancel_flag },
};

// --- Why an image or an open was refused ----------------------------------------------------

pub const bad_reason = enum(u32) {
    none = 0,
    /// No such operation.
    operation,
    /// A flag that the row does not allow (`flags`).
    sqe_flags,
    /// A flag that the row does not allow (`op_flags`).
    op_flags,
    /// A field that the row does not name is not zero.
    not_zero,
    /// The slot is out of range, or still in flight.
    slot,
    /// The file reference is out of range, closed, or of an older generation.
    file,
    /// The file has operations in flight and cannot be closed.
    file_busy,
    /// The range, or one of the vectors, does not lie in the arena; there are too many vectors, or the list
    /// does not lie in the parameter area; a value is too long; pages are not whole.
    arena,
    /// The path or name is empty, too long, has an inner NUL, or does not lie in the parameter area.
    path,
    /// No file slot is free.
    files_full,
    /// The kernel lacks this operation.
    unsupported,
    /// The last image of the tick is linked to one that is not there.
    chain,
    /// The range is not registered, and memory of a worker that is not pinned could go away.
    unpinned,
    /// No ring has that number.
    ring,
};

pub const open_step = enum(u32) {
    none = 0,
    /// A parameter is out of its range.
    parameters,
    /// io_uring_setup.
    setup,
    /// A feature that the shim relies on is missing (EXT_ARG, NODROP).
    features,
    /// Registering the arena, from a worker.
    buffers,
    /// Registering the file table.
    files,
    /// The eventfd of the thread.
    eventfd,
    /// Memory of the shim.
    memory,
    /// The table of rings is full.
    rings,
};
pub const reason_sets = .{ .{ "bad_reason", bad_reason }, .{ "open_step", open_step } };

// --- Exports --------------------------------------------------------------------------------

pub const Scalar = enum { u32, i32, buffer };
pub const Export = struct {
    name: []const u8,
    arguments: []const Scalar,
    result: Scalar,
    /// May block: Deno calls it off-thread.
    blocking: bool = false,
};

/// All results that can fail are a negative errno. Every call that names a ring checks that the
/// calling thread is its owner (-EXDEV otherwise) and that it is open (-EBADF otherwise).
pub const exports = [_]Export{
    // (out: 40 bytes: u32 version, u32 zero, 32 bytes SHA-256 of the layouts; out_bytes) -> 0. Each thread
    // calls it before all else: rings of a thread that is gone, whose thread pointer this one has, are no
    // longer anybody's.
    .{ .name = "uring_abi", .arguments = &.{ .buffer, .u32 }, .result = .i32 },
    // (parameters: OpenParameters in and out, staging, parameter area, columns, control, arena) -> ring
    .{ .name = "uring_open", .arguments = &.{ .buffer, .buffer, .buffer, .buffer, .buffer, .buffer }, .result = .i32 },
    // (ring, staged, wait, timeout_micros; 0xffff_ffff waits without end) -> completions in the columns
    .{ .name = "uring_tick", .arguments = &.{ .u32, .u32, .u32, .u32 }, .result = .i32 },
    // (ring, deadline_millis): cancel, drain, close. -> operations that were still in flight at the
    // deadline: above 0 the arena must be kept for the life of the process.
    .{ .name = "uring_close", .arguments = &.{ .u32, .u32 }, .result = .i32 },
    // (ring, out: one byte an operation row, 1 where the kernel has it; bytes) -> rows
    .{ .name = "uring_probe", .arguments = &.{ .u32, .buffer, .u32 }, .result = .i32 },
    // (ring, descriptor) -> file reference. Duplicates it; refuses /proc, /sys, rings, /dev/mem.
    .{ .name = "uring_adopt", .arguments = &.{ .u32, .i32 }, .result = .i32 },
    // (ring, other ring of the thread, file of that) -> file reference. One opening in two rings.
    .{ .name = "uring_adopt_file", .arguments = &.{ .u32, .u32, .u32 }, .result = .i32 },
    // (ring, updates: FileUpdate each, bytes): changes the files of many slots, all or none -> how many.
    // -EBUSY while an operation on one of the files is in flight.
    .{ .name = "uring_update_files", .arguments = &.{ .u32, .buffer, .u32 }, .result = .i32 },
    // (ring, arena offset, bytes, on): registers whole slices of the arena as a fixed buffer in the place
    // of the first of them, or takes that back -> 0. -EEXIST, -ENOENT: they are, they are not.
    .{ .name = "uring_update_buffer", .arguments = &.{ .u32, .u32, .u32, .u32 }, .result = .i32 },
    // (ring, operations: one byte a row, bytes; 0 bytes for all): starts a ring that was opened with
    // R_DISABLED, for ever allowing only operations with a 1, and close and cancel -> 0
    .{ .name = "uring_enable", .arguments = &.{ .u32, .buffer, .u32 }, .result = .i32 },
    // (ring, limits: u32 bounded and u32 unbounded, in and out; bytes): worker threads of the kernel for
    // this thread's rings; 0 changes nothing. Out: what was -> 0
    .{ .name = "uring_workers", .arguments = &.{ .u32, .buffer, .u32 }, .result = .i32 },
    // (ring, cancel_target, slot or file, generation, timeout_millis): cancels, and waits until what was
    // found has ended -> 0, -ENOENT nothing found, -ETIME
    .{ .name = "uring_cancel_sync", .arguments = &.{ .u32, .u32, .u32, .u32, .u32 }, .result = .i32 },
    // (ring, file, lock_flag) -> 0
    .{ .name = "uring_flock", .arguments = &.{ .u32, .u32, .u32 }, .result = .i32 },
    // (ring, file, out: FileSystemInfo, bytes) -> 0
    .{ .name = "uring_fstatfs", .arguments = &.{ .u32, .u32, .buffer, .u32 }, .result = .i32 },
    // (ring, file, size low, size high) -> 0
    .{ .name = "uring_ftruncate", .arguments = &.{ .u32, .u32, .u32, .u32 }, .result = .i32 },
    // (ring, file, arena offset, bytes, file offset low, high): pread(2) and pwrite(2) -> bytes moved
    .{ .name = "uring_pread", .arguments = &.{ .u32, .u32, .u32, .u32, .u32, .u32 }, .result = .i32 },
    .{ .name = "uring_pwrite", .arguments = &.{ .u32, .u32, .u32, .u32, .u32, .u32 }, .result = .i32 },
    // (ring, file): FS_NOCOW_FL on an empty file -> 1 set, 0 not supported here
    .{ .name = "uring_nocow", .arguments = &.{ .u32, .u32 }, .result = .i32 },
    // (ring, file) -> physical block size of the device under the file, 0 unknown
    .{ .name = "uring_physical_block_bytes", .arguments = &.{ .u32, .u32 }, .result = .i32 },
    // (path, path_bytes, out, out_bytes, skip) -> bytes written: entries from the skip-th one on, each
    // u8 type (DT_*), u8 zero, u16 name bytes, name. 0 at the end. A call that goes on where the one before
    // ended has the directory of that one. Start-up only: blocks.
    .{ .name = "uring_list_directory", .arguments = &.{ .buffer, .u32, .buffer, .u32, .u32 }, .result = .i32 },
    // (seed, data, bytes) -> CRC32C, as bits of an i32
    .{ .name = "uring_crc32c", .arguments = &.{ .u32, .buffer, .u32 }, .result = .u32 },
    // (data, bytes, value, base, out: u32 each, out_bytes) -> how many: `base` plus the place of each
    // byte of that value, rising, as many as there is room for
    .{ .name = "uring_find_byte", .arguments = &.{ .buffer, .u32, .u32, .u32, .buffer, .u32 }, .result = .i32 },
    // (ring, seed, arena offset, bytes) -> CRC32C. Of a range outside the arena, or a ring that is
    // not the caller's: 0 (checked before anything is read).
    .{ .name = "uring_crc32c_arena", .arguments = &.{ .u32, .u32, .u32, .u32 }, .result = .u32 },
    // (out: SystemInfo, bytes) -> 0
    .{ .name = "uring_system", .arguments = &.{ .buffer, .u32 }, .result = .i32 },
    // () -> the number of this thread's eventfd (nonblocking, one for all rings of the thread)
    .{ .name = "uring_wake_fd", .arguments = &.{}, .result = .i32 },
    // (ring, on, alarm_micros): whether completions of this ring signal the eventfd. After arming, tick
    // once more. An alarm signals it once, so much later, where nothing has by then; 0 for none. Rings
    // that have no DEFER_TASKRUN ring no alarms.
    .{ .name = "uring_wake_arm", .arguments = &.{ .u32, .u32, .u32 }, .result = .i32 },
    // (waiter, timeout_millis): waits off-thread for the eventfd of the thread that `uring_wake_waiter`
    // named, and drains it -> 1 woken, 0 time-out, -EBADF when that thread's eventfd is gone
    .{ .name = "uring_wake_wait", .arguments = &.{ .u32, .u32 }, .result = .i32, .blocking = true },
    // () -> the number of this thread's waiter (table index and generation)
    .{ .name = "uring_wake_waiter", .arguments = &.{}, .result = .i32 },
    // (): signals this thread's eventfd, so that a waiter returns
    .{ .name = "uring_wake_signal", .arguments = &.{}, .result = .i32 },
    // (): reads this thread's eventfd empty
    .{ .name = "uring_wake_drain", .arguments = &.{}, .result = .i32 },
};

// --- Errors ---------------------------------------------------------------------------------

/// Names of errno values, the same on x86-64 and aarch64 (asm-generic).
pub const errors = [_]Errno{
    .{ 1, "EPERM", "operation not permitted" },
    .{ 2, "ENOENT", "no such file or directory" },
    .{ 4, "EINTR", "interrupted" },
    .{ 5, "EIO", "input/output error" },
    .{ 6, "ENXIO", "no such device or address" },
    .{ 7, "E2BIG", "argument list too long" },
    .{ 9, "EBADF", "bad file descriptor" },
    .{ 11, "EAGAIN", "try again" },
    .{ 12, "ENOMEM", "out of memory" },
    .{ 13, "EACCES", "permission denied" },
    .{ 14, "EFAULT", "bad address" },
    .{ 16, "EBUSY", "device or resource busy" },
    .{ 17, "EEXIST", "file exists" },
    .{ 18, "EXDEV", "invalid cross-device link" },
    .{ 19, "ENODEV", "no such device" },
    .{ 20, "ENOTDIR", "not a directory" },
    .{ 21, "EISDIR", "is a directory" },
    .{ 22, "EINVAL", "invalid argument" },
    .{ 23, "ENFILE", "too many open files in the system" },
    .{ 24, "EMFILE", "too many open files" },
    .{ 26, "ETXTBSY", "text file busy" },
    .{ 27, "EFBIG", "file too large" },
    .{ 28, "ENOSPC", "no space left on device" },
    .{ 29, "ESPIPE", "illegal seek" },
    .{ 30, "EROFS", "read-only file system" },
    .{ 31, "EMLINK", "too many links" },
    .{ 32, "EPIPE", "broken pipe" },
    .{ 34, "ERANGE", "result out of range" },
    .{ 36, "ENAMETOOLONG", "file name too long" },
    .{ 38, "ENOSYS", "function not implemented" },
    .{ 39, "ENOTEMPTY", "directory not empty" },
    .{ 40, "ELOOP", "too many symbolic links" },
    .{ 61, "ENODATA", "no data available" },
    .{ 62, "ETIME", "timer expired" },
    .{ 75, "EOVERFLOW", "value too large" },
    .{ 77, "EBADFD", "not in a state for this" },
    .{ 95, "EOPNOTSUPP", "operation not supported" },
    .{ 110, "ETIMEDOUT", "timed out" },
    .{ 114, "EALREADY", "operation already in progress" },
    .{ 116, "ESTALE", "stale file handle" },
    .{ 117, "EUCLEAN", "structure needs cleaning" },
    .{ 122, "EDQUOT", "disk quota exceeded" },
    .{ 125, "ECANCELED", "operation canceled" },
};
pub const Errno = struct { u32, []const u8, []const u8 };
