//! A ring without a kernel, for tests: its queues are plain memory, and a test plays the kernel.

const std = @import("std");
const abi = @import("abi.zig");
const files = @import("files.zig");
const liburing = @import("liburing.zig");
const slots = @import("slots.zig");
const Ring = @import("ring.zig").Ring;

pub const entries = 16;
pub const slot_count = 32;
pub const file_count = 8;
pub const arena_bytes = 65_536;
/// Where the arena is cut.
pub const slice_count = 16;
pub const parameter_bytes = 20_000;
/// Descriptors of `openFile` begin here; operations with FIXED_FILE name the index instead.
pub const first_fd = 1000;

pub const Fake = struct {
    ring: Ring,
    sq_head: u32 = 0,
    sq_tail: u32 = 0,
    sq_flags: u32 = 0,
    cq_head: u32 = 0,
    cq_tail: u32 = 0,
    cq_flags: u32 = 0,
    zero: u32 = 0,
    sqes: [entries]liburing.Sqe = undefined,
    cqes: [2 * slot_count]liburing.Cqe = undefined,
    images: [entries]abi.Image align(8) = @splat(std.mem.zeroes(abi.Image)),
    area: [parameter_bytes + slot_count * abi.result_bytes]u8 = @splat(0),
    columns: [4 * slot_count]u32 = @splat(0),
    control: abi.Control = std.mem.zeroes(abi.Control),
    slots: [slot_count]slots.Slot = @splat(.{ .generation = 0, .file = 0, .kind = .simple, .busy = false }),
    attachments: [slot_count]slots.Attachment = undefined,
    pins: [slice_count]slots.Pin = @splat(.{}),
    slot_memory: [slot_count * slots.memory_bytes]u8 align(8) = undefined,
    files: [file_count]files.File = undefined,
    free: [file_count]u16 = undefined,
    canceled: [slot_count]u32 = undefined,
    arena: [arena_bytes]u8 align(4096) = undefined,

    /// In place: the ring points into it.
    pub fn init(fake: *Fake) void {
        fake.* = .{ .ring = undefined };
        fake.ring = .{
            .uring = std.mem.zeroInit(liburing.Ring, .{
                .sq = std.mem.zeroInit(liburing.Sq, .{
                    .khead = &fake.sq_head,
                    .ktail = &fake.sq_tail,
                    .kring_mask = &fake.zero,
                    .kring_entries = &fake.zero,
                    .kflags = &fake.sq_flags,
                    .kdropped = &fake.zero,
                    .sqes = &fake.sqes,
                }),
                .cq = std.mem.zeroInit(liburing.Cq, .{
                    .khead = &fake.cq_head,
                    .ktail = &fake.cq_tail,
                    .kring_mask = &fake.zero,
                    .kring_entries = &fake.zero,
                    .kflags = &fake.cq_flags,
                    .koverflow = &fake.zero,
                    .cqes = &fake.cqes,
                }),
                .ring_fd = -1,
                .enter_ring_fd = -1,
            }),
            .sqes = &fake.sqes,
            .sq_mask = entries - 1,
            .sq_entries = entries,
            .sq_tail = 0,
            .cqes = &fake.cqes,
            .cq_mask = fake.cqes.len - 1,
            .setup_flags = 0,
            .enter_flags = 0,
            .staging = @ptrCast(&fake.images),
            .staged_max = entries,
            .staged_room = entries,
            .parameters = &fake.area,
            .parameter_bytes = parameter_bytes,
            .columns = &fake.columns,
            .control = &fake.control,
            .arena_address = @intFromPtr(&fake.arena),
            .arena_bytes = arena_bytes,
            .page_bytes = 4096,
            .registered = true,
            .opcodes = undefined,
            .file_flag = abi.sqe_flag.FIXED_FILE,
            .eventfd_registered = false,
            .alarm_at = 0,
            .in_worker = false,
            .slice_bytes = 0,
            .pins = &fake.pins,
            .slots = &fake.slots,
            .slot_count = slot_count,
            .attachments = &fake.attachments,
            .slot_memory = &fake.slot_memory,
            .files = undefined,
            .canceled = &fake.canceled,
            .canceled_count = 0,
            .closes_staged = 0,
            .supported = @splat(true),
            .in_flight = 0,
            .enters = 0,
            .overflows = 0,
            .stale = 0,
            .cancel_outstanding = false,
            .cancels = false,
            .mapping_bytes = 0,
            .slot_memory_bytes = 0,
            .enter_for_test = undefined,
        };
        for (abi.operations, &fake.ring.opcodes) |row, *opcode| {
            opcode.* = if (row.pinned != 0) row.pinned else row.opcode;
        }
        fake.control.message_room = abi.messages_max;
        fake.ring.files.init(&fake.files, &fake.free, file_count);
    }

    /// A file slot over a descriptor that nobody has.
    pub fn openFile(fake: *Fake) u32 {
        const file = fake.ring.files.reserve().?;
        const index = fake.ring.files.indexOf(file);
        file.fd = first_fd + @as(i32, index);
        file.target = if (fake.ring.file_flag != 0) index else file.fd;
        file.state = .open;
        file.ref = index | file.generation << abi.file_slot_bits;
        return file.ref;
    }

    /// The kernel takes `count` SQEs.
    pub fn take(fake: *Fake, count: u32) void {
        fake.sq_head +%= count;
    }

    pub fn complete(fake: *Fake, slot: u32, generation: u32, res: i32, flags: u32) void {
        fake.cqes[fake.cq_tail & (fake.cqes.len - 1)] = .{
            .user_data = slot | @as(u64, generation) << 32,
            .res = res,
            .flags = flags,
        };
        fake.cq_tail +%= 1;
    }
};
