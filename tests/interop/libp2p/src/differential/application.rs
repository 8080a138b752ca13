//! The application behind either implementation. It never waits: it does what
//! there is to do, and says what it has seen.

use super::script::{Manner, bytes};

/// How a stream ended for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer has said all.
    Clean,
    /// It was reset, or the connection ended under it.
    Broken,
    /// The implementation does not tell which.
    Untold,
}

/// What a read found.
pub enum Got {
    Bytes(usize),
    Nothing,
    End(End),
}

/// What a write did.
pub enum Put {
    Bytes(usize),
    Nothing,
    Broken,
}

/// A stream of one of the implementations, as something that never waits.
pub trait Duct {
    fn read(&mut self, buf: &mut [u8]) -> Got;
    fn write(&mut self, bytes: &[u8]) -> Put;
    /// Ends our half; whether that is done.
    fn finish(&mut self) -> bool;
    fn reset(self);
}

/// What the application has seen of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Accepted,
    /// The next so many of the stream's bytes.
    Bytes(u64),
    /// Other bytes.
    Garbled,
    End(End),
}

pub struct Application<D> {
    manner: Manner,
    tasks: Vec<Task<D>>,
    seen: Vec<(u32, Seen)>,
    buf: Vec<u8>,
}

struct Task<D> {
    id: u32,
    duct: D,
    read: u64,
    /// To be sent back.
    pending: Vec<u8>,
    end: Option<End>,
    finish: bool,
    finished: bool,
}

impl<D: Duct> Application<D> {
    pub fn new(manner: Manner) -> Self {
        Self {
            manner,
            tasks: Vec::new(),
            seen: Vec::new(),
            buf: vec![0; 64 * 1024],
        }
    }

    pub fn accept(&mut self, id: u32, duct: D) {
        self.seen.push((id, Seen::Accepted));
        self.add(id, duct);
    }

    pub fn add(&mut self, id: u32, duct: D) {
        self.tasks.push(Task {
            id,
            duct,
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
            self.tasks.remove(index).duct.reset();
        }
    }

    /// Does what can be done; whether there was anything.
    pub fn turn(&mut self) -> bool {
        let mut moved = false;
        for task in &mut self.tasks {
            moved |= task.turn(self.manner, &mut self.buf, &mut self.seen);
        }
        self.tasks.retain(|task| !task.is_over());
        moved
    }

    pub fn take_seen(&mut self) -> Vec<(u32, Seen)> {
        std::mem::take(&mut self.seen)
    }
}

impl<D: Duct> Task<D> {
    fn turn(&mut self, manner: Manner, buf: &mut [u8], seen: &mut Vec<(u32, Seen)>) -> bool {
        let mut moved = false;
        if manner != Manner::Ignore {
            loop {
                moved |= self.write();
                if !self.pending.is_empty() || !self.read(manner, buf, seen) {
                    break;
                }
                moved = true;
            }
            self.finish |= self.end == Some(End::Clean) || self.end == Some(End::Untold);
        }
        if self.finish && !self.finished && self.pending.is_empty() {
            self.finished = self.duct.finish();
            moved |= self.finished;
        }
        moved
    }

    /// Writes what there is; whether any of it left.
    fn write(&mut self) -> bool {
        let mut moved = false;
        while !self.pending.is_empty() {
            match self.duct.write(&self.pending) {
                Put::Bytes(count) => _ = self.pending.drain(..count),
                Put::Nothing => break,
                Put::Broken => self.pending.clear(),
            }
            moved = true;
        }
        moved
    }

    fn read(&mut self, manner: Manner, buf: &mut [u8], seen: &mut Vec<(u32, Seen)>) -> bool {
        if self.end.is_some() {
            return false;
        }
        let what = match self.duct.read(buf) {
            Got::Nothing => return false,
            Got::End(end) => {
                self.end = Some(end);
                Seen::End(end)
            }
            Got::Bytes(count) => {
                let right = buf[..count] == *bytes(self.id, self.read, count);
                self.read += count as u64;
                if manner == Manner::Echo && !self.finish {
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
