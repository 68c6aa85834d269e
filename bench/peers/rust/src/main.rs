//! okaywal as a child of `./dev bench peers`.
//!
//! It reads one command a line and answers each with one line of JSON:
//!
//! - `open DIR BATCH`: makes a log; appends will be of BATCH records, durable before the next begins
//! - `run MILLIS MAX`: appends until the time is over or MAX records are in: `{"records":N,"seconds":S}`
//! - `close`: closes the log, opens it again, and reads and checks every record that it still has:
//!   `{"records":N,"read":R}`, of which the log had given up N - R as checkpointed
//!
//! A log has its usual configuration: files of 1 MiB that are written again once they are checkpointed.
//! Checkpointing here is only noting how far the log had come.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use okaywal::{Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

const RECORD_BYTES: usize = 256;
/// Different records; a power of two.
const PATTERNS: usize = 1024;

fn make_records() -> Vec<Vec<u8>> {
    (0..PATTERNS)
        .map(|i| {
            (0..RECORD_BYTES)
                .map(|at| (32 + (i * 31 + at * 7) % 95) as u8)
                .collect()
        })
        .collect()
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What a manager has seen, by entries, which are numbered from 1.
#[derive(Debug, Default)]
struct Seen {
    checkpointed: AtomicU64,
    recovered: AtomicU64,
    first_recovered: AtomicU64,
    last_recovered: AtomicU64,
}

#[derive(Debug)]
struct Manager {
    seen: Arc<Seen>,
    batch: usize,
    records: Arc<Vec<Vec<u8>>>,
}

impl LogManager for Manager {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let id = entry.id().0;
        let Some(chunks) = entry.read_all_chunks()? else {
            return Err(invalid(format!("entry {id} is not whole")));
        };
        let before = self.seen.last_recovered.swap(id, Ordering::Relaxed);
        if before == 0 {
            self.seen.first_recovered.store(id, Ordering::Relaxed);
        } else if before + 1 != id {
            return Err(invalid(format!("entry {id} follows {before}")));
        }
        let first = (id as usize - 1) * self.batch;
        let right = chunks.len() == self.batch
            && (chunks.iter().enumerate())
                .all(|(i, chunk)| *chunk == self.records[(first + i) % PATTERNS]);
        if !right {
            return Err(invalid(format!("entry {id} is not what was appended")));
        }
        self.seen.recovered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        last_checkpointed_id: EntryId,
        _checkpointed_entries: &mut SegmentReader,
        _wal: &WriteAheadLog,
    ) -> io::Result<()> {
        self.seen
            .checkpointed
            .store(last_checkpointed_id.0, Ordering::Relaxed);
        Ok(())
    }
}

/// A log that is open, and how many records it was given.
struct Open {
    log: WriteAheadLog,
    directory: PathBuf,
    batch: usize,
    appended: usize,
    seen: Arc<Seen>,
}

struct Peer {
    records: Arc<Vec<Vec<u8>>>,
    open: Option<Open>,
}

impl Peer {
    fn recover(&self, directory: &PathBuf, batch: usize) -> io::Result<(WriteAheadLog, Arc<Seen>)> {
        let seen = Arc::new(Seen::default());
        let manager = Manager {
            seen: seen.clone(),
            batch,
            records: self.records.clone(),
        };
        Ok((WriteAheadLog::recover(directory, manager)?, seen))
    }

    fn open(&mut self, directory: PathBuf, batch: usize) -> io::Result<String> {
        let (log, seen) = self.recover(&directory, batch)?;
        self.open = Some(Open {
            log,
            directory,
            batch,
            appended: 0,
            seen,
        });
        Ok("{}".into())
    }

    fn run(&mut self, millis: u64, most: usize) -> io::Result<String> {
        let open = self.open.as_mut().ok_or(invalid("no log is open".into()))?;
        let first = open.appended;
        let start = Instant::now();
        let end = start + Duration::from_millis(millis);
        while Instant::now() < end && open.appended - first < most {
            let mut entry = open.log.begin_entry()?;
            for i in 0..open.batch {
                entry.write_chunk(&self.records[(open.appended + i) % PATTERNS])?;
            }
            entry.commit()?;
            open.appended += open.batch;
        }
        Ok(format!(
            "{{\"records\":{},\"seconds\":{}}}",
            open.appended - first,
            start.elapsed().as_secs_f64()
        ))
    }

    fn close(&mut self) -> io::Result<String> {
        let open = self.open.take().ok_or(invalid("no log is open".into()))?;
        open.log.shutdown()?;
        let checkpointed = open.seen.checkpointed.load(Ordering::Relaxed);
        let (log, seen) = self.recover(&open.directory, open.batch)?;
        log.shutdown()?;
        let first = seen.first_recovered.load(Ordering::Relaxed);
        let last = seen.last_recovered.load(Ordering::Relaxed);
        let recovered = seen.recovered.load(Ordering::Relaxed);
        if recovered > 0 && first > checkpointed + 1 {
            return Err(invalid(format!(
                "it goes on at entry {first}, checkpointed until {checkpointed}"
            )));
        }
        Ok(format!(
            "{{\"records\":{},\"read\":{}}}",
            last.max(checkpointed) * open.batch as u64,
            recovered * open.batch as u64
        ))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut peer = Peer {
        records: Arc::new(make_records()),
        open: None,
    };
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["open", directory, batch] => peer.open(directory.into(), batch.parse()?)?,
            ["run", millis, most] => peer.run(millis.parse()?, most.parse()?)?,
            ["close"] => peer.close()?,
            _ => return Err(format!("no such command: {line}").into()),
        };
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}
