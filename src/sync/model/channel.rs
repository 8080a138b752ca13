//! The part of crossbeam's channels that the library uses.

use super::{Condvar, Mutex};
use std::{collections::VecDeque, sync::Arc};

#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Channel<T>>);

#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

#[derive(Debug)]
struct Channel<T> {
    capacity: usize,
    state: Mutex<ChannelState<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct ChannelState<T> {
    messages: VecDeque<T>,
    /// The sender or the receiver was dropped.
    disconnected: bool,
}

pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        capacity,
        state: Mutex::new(ChannelState {
            messages: VecDeque::new(),
            disconnected: false,
        }),
        changed: Condvar::new(),
    });
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

impl<T> Sender<T> {
    /// Returns the message if the channel is full or disconnected.
    pub(crate) fn try_send(&self, message: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        if state.disconnected || state.messages.len() >= self.0.capacity {
            return Err(message);
        }
        state.messages.push_back(message);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.state.lock().messages.len()
    }
}

impl<T> Receiver<T> {
    pub(crate) fn recv(&self) -> Result<T, Disconnected> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(message) = state.messages.pop_front() {
                return Ok(message);
            }
            if state.disconnected {
                return Err(Disconnected);
            }
            self.0.changed.wait(&mut state);
        }
    }

    pub(crate) fn try_recv(&self) -> Result<T, Disconnected> {
        self.0.state.lock().messages.pop_front().ok_or(Disconnected)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disconnected;

impl<T> Channel<T> {
    fn disconnect(&self) {
        self.state.lock().disconnected = true;
        self.changed.notify_all();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.disconnect();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Messages may own channels whose disconnection others wait for.
        let messages = std::mem::take(&mut self.0.state.lock().messages);
        drop(messages);
        self.0.disconnect();
    }
}
