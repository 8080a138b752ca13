//! Ctrl-C and SIGTERM: they close wires, and wake who waits.

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

/// Tells when the program is to stop.
#[derive(Clone)]
pub struct Stop {
    /// Never gets a message: its other end is dropped, which everyone who
    /// waits sees at once.
    requested: Receiver<Infallible>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Dropped when the program is to stop.
    sender: Option<Sender<Infallible>>,
    wires: Vec<Wire>,
    interrupted: bool,
}

impl Stop {
    /// Stops on Ctrl-C or SIGTERM; the second one ends the program at once.
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

    /// Has the program stop: closes the wires, all at once, because each may
    /// wait for its peer.
    pub fn request(&self) {
        let mut state = self.lock();
        state.sender = None;
        for wire in state.wires.drain(..) {
            thread::spawn(move || wire.close());
        }
    }

    /// Closes `wire` when the program is to stop, so that calls which wait for
    /// its peer return.
    pub fn closes(&self, wire: &Wire) {
        self.lock().wires.push(wire.clone());
        if self.requested() {
            self.request();
        }
    }

    /// Whether the program is to stop.
    pub fn requested(&self) -> bool {
        self.wait_for(Duration::ZERO)
    }

    /// Whether that is because of Ctrl-C or SIGTERM.
    pub fn interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// Waits until the program is to stop.
    pub fn wait(&self) {
        // Nothing is ever sent: this is the other end being dropped.
        let _ = self.requested.recv();
    }

    /// Waits so long, or until the program is to stop, and says whether it is.
    pub fn wait_for(&self, time: Duration) -> bool {
        self.requested.recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
    }

    /// Reads from `reader` until the program is to stop: an error then.
    pub fn guard<R: Read>(&self, reader: R) -> impl Read {
        Guard { stop: self, reader }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Guard<'a, R> {
    stop: &'a Stop,
    reader: R,
}

impl<R: Read> Read for Guard<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.stop.requested() {
            return Err(io::Error::other("stopped"));
        }
        self.reader.read(buf)
    }
}
