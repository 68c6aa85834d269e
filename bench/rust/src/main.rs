//! Durable frames of records through raw io_uring: `frames FILE BYTES BATCH SECONDS`.
//!
//! Overwrites FILE, which was filled before and has BYTES, from its start to its end and again: frames of
//! BATCH records of 256 bytes, each with its length and CRC32C, in fixed buffers, direct, RWF_DSYNC, four
//! in flight, acknowledged in order. Prints records a second.

use io_uring::{opcode, types, IoUring};
use std::alloc::{alloc_zeroed, Layout};
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

const RECORD: usize = 256;
const RECORDS: usize = 1024;
/// Length and CRC32C of a record.
const RECORD_HEADER: usize = 8;
/// Magic, record count, number of the first record, bytes, zeros.
const FRAME_HEADER: usize = 64;
const UNIT: usize = 4096;
const DEPTH: usize = 4;

fn fail(what: &str) -> ! {
    eprintln!("{what}");
    std::process::exit(1)
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, bytes, batch, seconds] = arguments.as_slice() else {
        fail("usage: frames FILE BYTES BATCH SECONDS")
    };
    let number = |text: &String| text.parse::<f64>().unwrap_or_else(|_| fail("not a number"));
    let (file_bytes, batch) = (number(bytes) as usize, number(batch) as usize);
    let used = FRAME_HEADER + batch * (RECORD_HEADER + RECORD);
    let frame_bytes = used.div_ceil(UNIT) * UNIT;

    let records: Vec<[u8; RECORD]> = (0..RECORDS)
        .map(|i| std::array::from_fn(|at| (32 + (i * 31 + at * 7) % 95) as u8))
        .collect();
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path)?;
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(8)?;
    let layout = Layout::from_size_align(frame_bytes * DEPTH, UNIT).expect("a layout");
    // SAFETY: the layout is not empty; the memory lives until the process ends.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        fail("no memory");
    }
    let buffers: Vec<libc::iovec> = (0..DEPTH)
        .map(|i| libc::iovec {
            // SAFETY: within the allocation.
            iov_base: unsafe { memory.add(i * frame_bytes) }.cast(),
            iov_len: frame_bytes,
        })
        .collect();
    // SAFETY: the buffers outlive the ring.
    unsafe { ring.submitter().register_buffers(&buffers)? };
    ring.submitter().register_files(&[file.as_raw_fd()])?;

    let mut offset = 0;
    let (mut submitted, mut acknowledged) = (0usize, 0usize);
    let mut written = [false; DEPTH];
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(number(seconds));
    let mut more = true;
    while more || acknowledged < submitted {
        if more && submitted - acknowledged < DEPTH {
            let index = submitted % DEPTH;
            // SAFETY: the kernel is done with this buffer: its frame was acknowledged.
            let frame = unsafe {
                std::slice::from_raw_parts_mut(memory.add(index * frame_bytes), frame_bytes)
            };
            fill(frame, submitted * batch, batch, &records);
            if offset + frame_bytes > file_bytes {
                offset = 0;
            }
            let write = opcode::WriteFixed::new(
                types::Fixed(0),
                frame.as_ptr(),
                frame_bytes as u32,
                index as u16,
            )
            .offset(offset as u64)
            .rw_flags(libc::RWF_DSYNC)
            .build()
            .user_data(index as u64);
            // SAFETY: buffer and file are registered, and stay until the completion.
            unsafe { ring.submission().push(&write) }.expect("room in the queue");
            written[index] = false;
            offset += frame_bytes;
            submitted += 1;
            ring.submit()?;
        } else {
            ring.submit_and_wait(1)?;
        }
        for completion in ring.completion() {
            if completion.result() != frame_bytes as i32 {
                fail(&format!("a write gave {}", completion.result()));
            }
            written[completion.user_data() as usize] = true;
        }
        while acknowledged < submitted && written[acknowledged % DEPTH] {
            acknowledged += 1;
        }
        more = more && Instant::now() < end;
    }
    println!("{}", (acknowledged * batch) as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// Writes a frame: header, then each record behind its length and CRC32C.
fn fill(frame: &mut [u8], first: usize, batch: usize, records: &[[u8; RECORD]]) {
    let used = FRAME_HEADER + batch * (RECORD_HEADER + RECORD);
    frame[0..4].copy_from_slice(b"RUST");
    frame[4..8].copy_from_slice(&(batch as u32).to_le_bytes());
    frame[8..16].copy_from_slice(&(first as u64).to_le_bytes());
    frame[16..20].copy_from_slice(&(used as u32).to_le_bytes());
    let slots = frame[FRAME_HEADER..used].chunks_exact_mut(RECORD_HEADER + RECORD);
    for (i, slot) in slots.enumerate() {
        let record = &records[(first + i) % RECORDS];
        slot[0..4].copy_from_slice(&(RECORD as u32).to_le_bytes());
        slot[4..8].copy_from_slice(&crc32c::crc32c(record).to_le_bytes());
        slot[RECORD_HEADER..].copy_from_slice(record);
    }
}
