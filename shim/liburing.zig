//! The part of liburing and of the kernel's interface that the shim uses, declared by hand: translated
//! headers turn liburing's inline functions into undefined symbols. The structures have been the same
//! since liburing 2.0 and are part of its stable ABI (soname liburing.so.2).

pub const Sqe = extern struct {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    buf_index: u16,
    personality: u16,
    file_index: u32,
    addr3: u64,
    pad: u64,
};

pub const Cqe = extern struct {
    user_data: u64,
    res: i32,
    flags: u32,
};

pub const Sq = extern struct {
    khead: *u32,
    ktail: *u32,
    kring_mask: *u32,
    kring_entries: *u32,
    kflags: *u32,
    kdropped: *u32,
    array: ?[*]u32,
    sqes: [*]Sqe,
    sqe_head: u32,
    sqe_tail: u32,
    ring_sz: usize,
    ring_ptr: ?*anyopaque,
    /// `ring_mask` and `ring_entries` of newer releases; 2.1 and older leave them out.
    pad: [4]u32,
};

pub const Cq = extern struct {
    khead: *u32,
    ktail: *u32,
    kring_mask: *u32,
    kring_entries: *u32,
    kflags: ?*u32,
    koverflow: *u32,
    cqes: [*]Cqe,
    ring_sz: usize,
    ring_ptr: ?*anyopaque,
    pad: [4]u32,
};

pub const Ring = extern struct {
    sq: Sq,
    cq: Cq,
    flags: u32,
    ring_fd: i32,
    features: u32,
    enter_ring_fd: i32,
    int_flags: u8,
    pad: [3]u8,
    pad2: u32,
};

/// In `Ring.int_flags`: `enter_ring_fd` is an index of the thread's registered rings.
pub const INT_FLAG_REG_RING: u8 = 1;
/// Calls of io_uring_register go by that index, too.
pub const INT_FLAG_REG_REG_RING: u8 = 2;

pub const SqOffsets = extern struct { words: [8]u32, resv2: u64 };
pub const CqOffsets = extern struct { words: [8]u32, resv2: u64 };
pub const Params = extern struct {
    sq_entries: u32 = 0,
    cq_entries: u32 = 0,
    flags: u32 = 0,
    sq_thread_cpu: u32 = 0,
    sq_thread_idle: u32 = 0,
    features: u32 = 0,
    wq_fd: u32 = 0,
    resv: [3]u32 = @splat(0),
    sq_off: SqOffsets = .{ .words = @splat(0), .resv2 = 0 },
    cq_off: CqOffsets = .{ .words = @splat(0), .resv2 = 0 },
};

pub const Iovec = extern struct { base: usize, len: usize };
pub const Timespec = extern struct { seconds: i64, nanoseconds: i64 };
pub const GetEventsArg = extern struct { sigmask: u64 = 0, sigmask_sz: u32 = 0, pad: u32 = 0, ts: u64 };

pub const ProbeOp = extern struct { op: u8, resv: u8, flags: u16, resv2: u32 };
pub const Probe = extern struct {
    last_op: u8 = 0,
    ops_len: u8 = 0,
    resv: u16 = 0,
    resv2: [3]u32 = @splat(0),
    ops: [256]ProbeOp = @splat(.{ .op = 0, .resv = 0, .flags = 0, .resv2 = 0 }),
};
pub const OP_SUPPORTED: u16 = 1;

/// One entry of an allow-list: `what` is a RESTRICT_*, `value` what that allows.
pub const Restriction = extern struct { what: u16, value: u8, resv: u8 = 0, resv2: [3]u32 = @splat(0) };
pub const RESTRICT_REGISTER: u16 = 0;
pub const RESTRICT_SQE: u16 = 1;
pub const RESTRICT_SQE_FLAGS: u16 = 2;

pub const SyncCancel = extern struct {
    addr: u64 = 0,
    fd: i32 = -1,
    flags: u32 = 0,
    timeout: Timespec,
    opcode: u8 = 0,
    pad: [7]u8 = @splat(0),
    pad2: [3]u64 = @splat(0),
};

comptime {
    const assert = @import("std").debug.assert;
    assert(@sizeOf(Sqe) == 64);
    assert(@sizeOf(Cqe) == 16);
    assert(@sizeOf(Sq) == 104);
    assert(@sizeOf(Cq) == 88);
    assert(@sizeOf(Ring) == 216);
    assert(@sizeOf(Params) == 120);
    assert(@sizeOf(GetEventsArg) == 24);
    assert(@sizeOf(ProbeOp) == 8);
    assert(@sizeOf(Restriction) == 16);
    assert(@sizeOf(SyncCancel) == 64);
}

pub const OP_NOP = 0;
pub const OP_READ_FIXED = 4;
pub const OP_WRITE_FIXED = 5;
pub const OP_TIMEOUT = 11;
pub const OP_TIMEOUT_REMOVE = 12;
pub const TIMEOUT_UPDATE: u32 = 1 << 1;
pub const OP_ASYNC_CANCEL = 14;
pub const OP_CLOSE = 19;
pub const OP_READ = 22;
pub const OP_WRITE = 23;

pub const SQE_CQE_SKIP_SUCCESS: u8 = 64;

pub const ASYNC_CANCEL_ALL: u32 = 1;
pub const ASYNC_CANCEL_FD: u32 = 2;
pub const ASYNC_CANCEL_ANY: u32 = 4;
pub const ASYNC_CANCEL_FD_FIXED: u32 = 8;

pub const UNREGISTER_BUFFERS = 1;
pub const REGISTER_EVENTFD = 4;
pub const REGISTER_FILES_UPDATE = 6;
pub const REGISTER_BUFFERS_UPDATE = 16;
pub const REGISTER_IOWQ_MAX_WORKERS = 19;
pub const REGISTER_RING_FDS = 20;
pub const UNREGISTER_RING_FDS = 21;
pub const REGISTER_SYNC_CANCEL = 24;

pub const SETUP_NO_SQARRAY: u32 = 1 << 16;

pub const FEAT_NODROP: u32 = 1 << 1;
pub const FEAT_SUBMIT_STABLE: u32 = 1 << 2;
pub const FEAT_EXT_ARG: u32 = 1 << 8;

pub const ENTER_GETEVENTS: u32 = 1 << 0;
pub const ENTER_SQ_WAKEUP: u32 = 1 << 1;
pub const ENTER_EXT_ARG: u32 = 1 << 3;
pub const ENTER_REGISTERED_RING: u32 = 1 << 4;

pub const SQ_NEED_WAKEUP: u32 = 1 << 0;
pub const SQ_CQ_OVERFLOW: u32 = 1 << 1;
pub const SQ_TASKRUN: u32 = 1 << 2;

pub const CQ_EVENTFD_DISABLED: u32 = 1 << 0;
pub const CQE_F_MORE: u32 = 1 << 1;

pub extern fn io_uring_queue_init_params(entries: c_uint, ring: *Ring, params: *Params) c_int;
pub extern fn io_uring_queue_exit(ring: *Ring) void;
pub extern fn io_uring_register_ring_fd(ring: *Ring) c_int;
pub extern fn io_uring_register_probe(ring: *Ring, probe: *Probe, ops: c_uint) c_int;
pub extern fn io_uring_register_buffers(ring: *Ring, iovecs: [*]const Iovec, count: c_uint) c_int;
pub extern fn io_uring_unregister_buffers(ring: *Ring) c_int;
pub extern fn io_uring_register_files_sparse(ring: *Ring, count: c_uint) c_int;
pub extern fn io_uring_register_files(ring: *Ring, files: [*]const c_int, count: c_uint) c_int;
pub extern fn io_uring_register_files_update(ring: *Ring, offset: c_uint, files: [*]const c_int, count: c_uint) c_int;
pub extern fn io_uring_register_eventfd(ring: *Ring, fd: c_int) c_int;
pub extern fn io_uring_register_buffers_update_tag(ring: *Ring, offset: c_uint, iovecs: [*]const Iovec, tags: ?[*]const u64, count: c_uint) c_int;
pub extern fn io_uring_register_restrictions(ring: *Ring, restrictions: [*]Restriction, count: c_uint) c_int;
pub extern fn io_uring_enable_rings(ring: *Ring) c_int;
pub extern fn io_uring_register_iowq_max_workers(ring: *Ring, values: *[2]c_uint) c_int;
pub extern fn io_uring_register_sync_cancel(ring: *Ring, request: *SyncCancel) c_int;
