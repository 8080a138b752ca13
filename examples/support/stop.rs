//! Stops the program on Ctrl-C or SIGTERM: closes its wires and wakes the
//! threads that wait.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::{
    convert::Infallible,
    io::{self, Read},
    mem, process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use wirenet::Wire;

/// A request to stop the program. Clones share it.
#[derive(Clone)]
pub struct Stop {
    /// Never receives a message. Dropping the sender wakes all receivers.
    requested: Receiver<Infallible>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Dropped to request a stop.
    sender: Option<Sender<Infallible>>,
    wires: Vec<Wire>,
    interrupted: bool,
}

impl Stop {
    /// Requests a stop on Ctrl-C or SIGTERM. A second signal ends the program
    /// at once.
    pub fn on_signal() -> io::Result<Self> {
        let (sender, requested) = bounded(0);
        let state = Arc::new(Mutex::new(State {
            sender: Some(sender),
            wires: Vec::new(),
            interrupted: false,
        }));
        let stop = Self { requested, state };
        let on_signal = stop.clone();
        let handler = move || {
            if mem::replace(&mut on_signal.lock().interrupted, true) {
                process::exit(1);
            }
            on_signal.request();
        };
        ctrlc::set_handler(handler).map_err(io::Error::other)?;
        Ok(stop)
    }

    /// Requests a stop. Closes the wires in parallel, because each close may
    /// wait for a peer.
    pub fn request(&self) {
        let mut state = self.lock();
        state.sender = None;
        for wire in state.wires.drain(..) {
            thread::spawn(move || wire.close());
        }
    }

    /// Closes `wire` when a stop is requested, so that calls that wait for its
    /// peer return.
    pub fn close_on_stop(&self, wire: &Wire) {
        self.lock().wires.push(wire.clone());
        if self.is_requested() {
            self.request();
        }
    }

    /// Returns whether a stop was requested.
    pub fn is_requested(&self) -> bool {
        self.wait_for(Duration::ZERO)
    }

    /// Returns whether Ctrl-C or SIGTERM requested the stop.
    pub fn was_interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// Waits until a stop is requested.
    pub fn wait(&self) {
        // Nothing is ever sent. This returns when the sender is dropped.
        let _ = self.requested.recv();
    }

    /// Waits for `time` or until a stop is requested. Returns whether one was.
    pub fn wait_for(&self, time: Duration) -> bool {
        self.requested.recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
    }

    /// Wraps `reader` so that its reads fail once a stop is requested.
    pub fn interruptible<R: Read>(&self, reader: R) -> impl Read {
        Interruptible { stop: self, reader }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Interruptible<'a, R> {
    stop: &'a Stop,
    reader: R,
}

impl<R: Read> Read for Interruptible<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_requested() {
            return Err(io::Error::other("stopped"));
        }
        self.reader.read(buf)
    }
}
