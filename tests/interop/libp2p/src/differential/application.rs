//! The application on top of either implementation. It never waits: it does what it
//! can do at once, and records what it observes.

use super::script::{Behaviour, bytes};

/// How a stream ended for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer ended its direction gracefully.
    Graceful,
    /// The stream was reset, or the connection ended.
    Broken,
    /// The implementation does not reveal which.
    Unknown,
}

/// The result of a read.
pub enum ReadResult {
    Bytes(usize),
    Nothing,
    End(End),
}

/// The result of a write.
pub enum WriteResult {
    Bytes(usize),
    Nothing,
    Broken,
}

/// A stream of one of the implementations, with operations that never wait.
pub trait WaitFreeStream {
    fn read(&mut self, buf: &mut [u8]) -> ReadResult;
    fn write(&mut self, bytes: &[u8]) -> WriteResult;
    /// Ends the stream's sending half. Returns whether that is done.
    fn finish(&mut self) -> bool;
    fn reset(self);
}

/// What the application has observed of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Accepted,
    /// This many bytes, which were the next ones of the stream.
    Bytes(u64),
    /// Bytes that were not the next ones of the stream.
    Garbled,
    End(End),
}

pub struct Application<D> {
    behaviour: Behaviour,
    tasks: Vec<Task<D>>,
    seen: Vec<(u32, Seen)>,
    buf: Vec<u8>,
}

struct Task<D> {
    id: u32,
    stream: D,
    read: u64,
    /// Bytes to be echoed.
    pending: Vec<u8>,
    end: Option<End>,
    finish: bool,
    finished: bool,
}

impl<D: WaitFreeStream> Application<D> {
    pub fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            tasks: Vec::new(),
            seen: Vec::new(),
            buf: vec![0; 64 * 1024],
        }
    }

    pub fn accept(&mut self, id: u32, stream: D) {
        self.seen.push((id, Seen::Accepted));
        self.add(id, stream);
    }

    pub fn add(&mut self, id: u32, stream: D) {
        self.tasks.push(Task {
            id,
            stream,
            read: 0,
            pending: Vec::new(),
            end: None,
            finish: false,
            finished: false,
        });
    }

    pub fn finish(&mut self, id: u32) {
        if let Some(task) = self.tasks.iter_mut().rfind(|task| task.id == id) {
            task.finish = true;
            task.pending.clear();
        }
    }

    pub fn reset(&mut self, id: u32) {
        if let Some(index) = self.tasks.iter().rposition(|task| task.id == id) {
            self.tasks.remove(index).stream.reset();
        }
    }

    /// Does everything that is possible at once. Returns whether there was anything.
    pub fn progress(&mut self) -> bool {
        let mut moved = false;
        for task in &mut self.tasks {
            moved |= task.progress(self.behaviour, &mut self.buf, &mut self.seen);
        }
        self.tasks.retain(|task| !task.is_over());
        moved
    }

    pub fn take_seen(&mut self) -> Vec<(u32, Seen)> {
        std::mem::take(&mut self.seen)
    }
}

impl<D: WaitFreeStream> Task<D> {
    fn progress(
        &mut self,
        behaviour: Behaviour,
        buf: &mut [u8],
        seen: &mut Vec<(u32, Seen)>,
    ) -> bool {
        let mut moved = false;
        if behaviour != Behaviour::Ignore {
            loop {
                moved |= self.write();
                if !self.pending.is_empty() || !self.read(behaviour, buf, seen) {
                    break;
                }
                moved = true;
            }
            self.finish |= self.end == Some(End::Graceful) || self.end == Some(End::Unknown);
        }
        if self.finish && !self.finished && self.pending.is_empty() {
            self.finished = self.stream.finish();
            moved |= self.finished;
        }
        moved
    }

    /// Writes the pending bytes. Returns whether any of them were written.
    fn write(&mut self) -> bool {
        let mut moved = false;
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                WriteResult::Bytes(count) => _ = self.pending.drain(..count),
                WriteResult::Nothing => break,
                WriteResult::Broken => self.pending.clear(),
            }
            moved = true;
        }
        moved
    }

    fn read(&mut self, behaviour: Behaviour, buf: &mut [u8], seen: &mut Vec<(u32, Seen)>) -> bool {
        if self.end.is_some() {
            return false;
        }
        let what = match self.stream.read(buf) {
            ReadResult::Nothing => return false,
            ReadResult::End(end) => {
                self.end = Some(end);
                Seen::End(end)
            }
            ReadResult::Bytes(count) => {
                let right = buf[..count] == *bytes(self.id, self.read, count);
                self.read += count as u64;
                if behaviour == Behaviour::Echo && !self.finish {
                    self.pending.extend_from_slice(&buf[..count]);
                }
                if right {
                    Seen::Bytes(count as u64)
                } else {
                    Seen::Garbled
                }
            }
        };
        seen.push((self.id, what));
        true
    }

    fn is_over(&self) -> bool {
        self.end == Some(End::Broken) || (self.end.is_some() && self.finished)
    }
}
