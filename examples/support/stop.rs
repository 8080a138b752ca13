//! Stops the program on a signal: closes its wires and wakes the threads that wait.

use super::{
    output,
    signals::{self, Request},
};
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
    /// Called on SIGHUP, instead of a stop.
    on_hang_up: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Stop {
    /// Requests a stop on Ctrl-C, SIGTERM, or SIGHUP. A second Ctrl-C or SIGTERM
    /// ends the program at once. A signal that the program was started to ignore
    /// stays ignored.
    pub fn on_signal() -> io::Result<Self> {
        let (sender, requested) = bounded(0);
        let state = Arc::new(Mutex::new(State {
            sender: Some(sender),
            wires: Vec::new(),
            interrupted: false,
            on_hang_up: None,
        }));
        let stop = Self { requested, state };
        let on_signal = stop.clone();
        signals::handle(move |request| on_signal.take(request))?;
        Ok(stop)
    }

    /// Does what a signal asks for.
    fn take(&self, request: Request) {
        let mut state = self.lock();
        let hangs_up = matches!(request, Request::HangUp);
        if let Some(action) = state.on_hang_up.clone().filter(|_| hangs_up) {
            drop(state);
            // On a thread of its own: it may read files, and must not delay a stop.
            if let Err(error) = thread::Builder::new().spawn(move || action()) {
                log::error!("SIGHUP has no effect: {error}");
            }
            return;
        }
        if mem::replace(&mut state.interrupted, true) {
            // A terminal that closes may send SIGHUP twice: once from the kernel, and
            // once from the shell.
            match hangs_up {
                true => return,
                false => process::exit(1),
            }
        }
        drop(state);
        log::info!("stopping");
        output::hurry();
        self.request();
    }

    /// Makes SIGHUP call `action`, on a thread of its own, instead of stopping the
    /// program.
    pub fn on_hang_up(&self, action: impl Fn() + Send + Sync + 'static) {
        self.lock().on_hang_up = Some(Arc::new(action));
    }

    /// Requests a stop. Closes the wires in parallel, because each close may
    /// wait for a peer.
    pub fn request(&self) {
        let mut state = self.lock();
        state.sender = None;
        for wire in state.wires.drain(..) {
            let closing = wire.clone();
            let spawned = thread::Builder::new().spawn(move || closing.close());
            if spawned.is_err() {
                // What was cut is reported by whoever waits for this wire.
                let _ = wire.close();
            }
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

    /// Returns whether a signal requested the stop.
    pub fn was_interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// Returns the error of a program with a result, such as a copy: after a signal
    /// it failed because it was interrupted.
    pub fn unfinished(&self, error: io::Error) -> io::Error {
        match self.was_interrupted() {
            true => io::Error::new(io::ErrorKind::Interrupted, "interrupted"),
            false => error,
        }
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
