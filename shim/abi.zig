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
    /// A file reference, `file_none`, or zero where the row has no file.
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
    /// Further number of a row (mode of an open, mask of a statx).
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

/// Written by the shim in every tick.
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
    reserved: [6]u32,
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

/// What a field of an image may be.
pub const FileKind = enum {
    /// No file: the field is zero.
    none,
    /// A file slot, by its registered (fixed) descriptor.
    fixed,
    /// A file slot, by its real descriptor (operations that refuse fixed ones).
    real,
    /// Paths are resolved against the working directory; the field is zero.
    cwd,
};
pub const FieldKind = enum {
    zero,
    /// Passed on as it is.
    number,
    /// `addr` is an arena offset, `length` its bytes.
    arena,
    /// Parameter-area offset and byte length (`length` beside `addr`, `length2` beside `addr2`) of a
    /// path without its NUL; copied to the slot's memory.
    path,
    /// The slot's private result memory; the field is zero. At completion the shim copies it to the
    /// parameter area, at `parameter_bytes + slot * result_bytes`.
    result,
    /// user_data of another operation: low half slot, high half generation.
    target,
};

pub const Row = struct {
    name: []const u8,
    opcode: u8,
    file: FileKind = .none,
    offset: FieldKind = .zero,
    addr: FieldKind = .zero,
    length: FieldKind = .zero,
    addr2: FieldKind = .zero,
    extra: FieldKind = .zero,
    /// Allowed bits of `op_flags`.
    op_flags: u32 = 0,
    /// Allowed bits of `flags`.
    sqe_flags: u8 = sqe_flag.ASYNC | sqe_flag.IO_LINK | sqe_flag.IO_HARDLINK | sqe_flag.IO_DRAIN,
    /// Kernel release that brought it: major * 1000 + minor. Whatever is newer than `since_least` is
    /// probed at open.
    since: u32 = since_least,

    pub const since_least: u32 = 5015;
};

/// The order is the numbering: append only, or raise `version`.
pub const operations = [_]Row{
    .{ .name = "nop", .opcode = 0 },
    .{ .name = "read", .opcode = 22, .file = .fixed, .offset = .number, .addr = .arena, .length = .number, .op_flags = rw_read },
    .{ .name = "write", .opcode = 23, .file = .fixed, .offset = .number, .addr = .arena, .length = .number, .op_flags = rw_write },
    .{ .name = "read_fixed", .opcode = 4, .file = .fixed, .offset = .number, .addr = .arena, .length = .number, .op_flags = rw_read },
    .{ .name = "write_fixed", .opcode = 5, .file = .fixed, .offset = .number, .addr = .arena, .length = .number, .op_flags = rw_write },
    // fsync of a range: offset and length; zero and zero is the whole file.
    .{ .name = "fsync", .opcode = 3, .file = .fixed, .offset = .number, .length = .number, .op_flags = fsync_flag.DATASYNC },
    // The kernel takes the length of an fallocate in `addr` and the mode in `len`.
    .{ .name = "fallocate", .opcode = 17, .file = .fixed, .offset = .number, .addr = .number, .length = .number },
    .{ .name = "ftruncate", .opcode = 55, .file = .fixed, .offset = .number, .since = 6009 },
    // A file slot is made: `res` is the file reference. O_CLOEXEC is always added.
    .{ .name = "openat", .opcode = 18, .file = .cwd, .addr = .path, .extra = .number, .op_flags = open_allowed, .sqe_flags = sqe_flag.ASYNC },
    .{ .name = "close", .opcode = 19, .file = .real, .sqe_flags = sqe_flag.ASYNC },
    // By path.
    .{ .name = "statx", .opcode = 21, .file = .cwd, .addr = .path, .offset = .result, .extra = .number, .op_flags = at_flag.SYMLINK_NOFOLLOW, .sqe_flags = sqe_flag.ASYNC },
    // By file: AT_EMPTY_PATH over the slot's real descriptor.
    .{ .name = "fstatx", .opcode = 21, .file = .real, .offset = .result, .extra = .number, .sqe_flags = sqe_flag.ASYNC },
    .{ .name = "renameat", .opcode = 35, .file = .cwd, .addr = .path, .addr2 = .path, .op_flags = rename_flag.NOREPLACE | rename_flag.EXCHANGE, .sqe_flags = sqe_flag.ASYNC },
    .{ .name = "unlinkat", .opcode = 36, .file = .cwd, .addr = .path, .op_flags = at_flag.REMOVEDIR, .sqe_flags = sqe_flag.ASYNC },
    .{ .name = "mkdirat", .opcode = 37, .file = .cwd, .addr = .path, .extra = .number, .sqe_flags = sqe_flag.ASYNC },
    .{ .name = "linkat", .opcode = 39, .file = .cwd, .addr = .path, .addr2 = .path, .sqe_flags = sqe_flag.ASYNC },
    // Advice 0 to 5 in op_flags (POSIX_FADV_*).
    .{ .name = "fadvise", .opcode = 24, .file = .fixed, .offset = .number, .length = .number, .op_flags = 7 },
    // Of one operation, by its slot and generation.
    .{ .name = "cancel", .opcode = 14, .addr = .target },
};

const rw_read = rw_flag.HIPRI | rw_flag.NOWAIT;
const rw_write = rw_flag.HIPRI | rw_flag.DSYNC | rw_flag.SYNC | rw_flag.NOWAIT | rw_flag.APPEND;

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
};
const open_allowed = open_flag.WRONLY | open_flag.RDWR | open_flag.CREAT | open_flag.EXCL | open_flag.TRUNC |
    open_flag.APPEND | open_flag.NONBLOCK | open_flag.DSYNC | open_flag.DIRECT | open_flag.DIRECTORY |
    open_flag.NOFOLLOW | open_flag.NOATIME;
pub const at_flag = struct {
    pub const SYMLINK_NOFOLLOW: u32 = 0x100;
    pub const REMOVEDIR: u32 = 0x200;
};
pub const rename_flag = struct {
    pub const NOREPLACE: u32 = 1;
    pub const EXCHANGE: u32 = 2;
};
pub const fallocate_flag = struct {
    pub const KEEP_SIZE: u32 = 1;
    pub const PUNCH_HOLE: u32 = 2;
    pub const ZERO_RANGE: u32 = 16;
};
pub const fadvise_flag = struct {
    pub const NORMAL: u32 = 0;
    pub const RANDOM: u32 = 1;
    pub const SEQUENTIAL: u32 = 2;
    pub const WILLNEED: u32 = 3;
    pub const DONTNEED: u32 = 4;
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
    .{ "cqe_flag", cqe_flag },             .{ "cancel_target", cancel_target },
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
    /// The range does not lie in the arena.
    arena,
    /// The path is empty, too long, has an inner NUL, or does not lie in the parameter area.
    path,
    /// No file slot is free.
    files_full,
    /// The kernel lacks this operation.
    unsupported,
    /// The last image of the tick is linked to one that is not there.
    chain,
    /// The range is not registered, and memory of a worker that is not pinned could go away.
    unpinned,
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
    // (out: 40 bytes: u32 version, u32 zero, 32 bytes SHA-256 of the layouts; out_bytes) -> 0
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
    // u8 type (DT_*), u8 zero, u16 name bytes, name. 0 at the end. Start-up only: blocks.
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
    // (ring, on): whether completions of this ring signal the eventfd. After arming, tick once more.
    .{ .name = "uring_wake_arm", .arguments = &.{ .u32, .u32 }, .result = .i32 },
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
