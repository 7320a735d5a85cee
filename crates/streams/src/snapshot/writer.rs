//! Writes one snapshot file on a thread of its own, so that a slow or full disk holds no stream thread up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vigie_clock::SharedClock;

use super::format::{MAGIC, seal};

/// Blocks that wait for the disk: with those of a walk, all the memory that a snapshot takes.
const QUEUE: usize = 4;

enum Message {
    Block(Vec<u8>),
    /// The last block: the file is whole with it.
    Last(Vec<u8>),
}

/// What became of a block.
pub(crate) enum Taken {
    Yes,
    /// The disk is behind: offer it again.
    NotYet(Vec<u8>),
    /// The writer gave up; [`Writer::outcome`] says why.
    Never,
}

/// A file that is being written. Dropped before its last block, it leaves nothing behind.
pub(crate) struct Writer {
    sender: Option<SyncSender<Message>>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Writer {
    /// Begins to write `path`, by way of `temporary` in the same folder, which is made if need be.
    pub(crate) fn begin(path: PathBuf, temporary: PathBuf, header: Vec<u8>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        let write = move || {
            let written = write(&path, &temporary, &header, &receiver);
            if !matches!(written, Ok(Some(_))) {
                // Nothing may be there to remove, and nothing can be done if it cannot be.
                let _ = fs::remove_file(&temporary);
            }
            written.map(Option::unwrap_or_default)
        };
        let thread = thread::Builder::new().name("snapshot".to_owned()).spawn(write)?;
        Ok(Self { sender: Some(sender), thread })
    }

    /// Offers a block; the `last` one makes the file whole.
    pub(crate) fn offer(&mut self, block: Vec<u8>, last: bool) -> Taken {
        let Some(sender) = &self.sender else { return Taken::Never };
        match sender.try_send(if last { Message::Last(block) } else { Message::Block(block) }) {
            Ok(()) => {
                if last {
                    self.sender = None;
                }
                Taken::Yes
            }
            Err(TrySendError::Full(Message::Block(block) | Message::Last(block))) => Taken::NotYet(block),
            Err(TrySendError::Disconnected(_)) => Taken::Never,
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end, up to the time `until` of `clock`; the bytes written, or `None` if it takes longer.
    pub(crate) fn outcome(self, clock: &SharedClock, until: Duration) -> Option<io::Result<u64>> {
        drop(self.sender);
        while !self.thread.is_finished() {
            if clock.monotonic() >= until {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
        Some(self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked"))))
    }
}

/// The bytes of the file; `None` if it was abandoned.
fn write(path: &Path, temporary: &Path, header: &[u8], blocks: &Receiver<Message>) -> io::Result<Option<u64>> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = File::create(temporary)?;
    file.write_all(&MAGIC)?;
    let mut bytes = MAGIC.len() as u64;
    let mut chain = 0;
    let mut frame = |file: &mut File, payload: &[u8]| {
        let (head, next) = seal(payload, chain);
        chain = next;
        bytes += (head.len() + payload.len()) as u64;
        file.write_all(&head)?;
        file.write_all(payload)
    };
    frame(&mut file, header)?;
    loop {
        match blocks.recv() {
            Ok(Message::Block(payload)) => frame(&mut file, &payload)?,
            Ok(Message::Last(payload)) => {
                frame(&mut file, &payload)?;
                break;
            }
            Err(_) => return Ok(None),
        }
    }
    file.sync_all()?;
    fs::rename(temporary, path)?;
    // The rename itself survives a power cut only with its folder.
    File::open(folder)?.sync_all()?;
    Ok(Some(bytes))
}
