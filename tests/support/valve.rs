//! A connection that goes dead: both ends stay up, and nothing arrives any
//! more, as behind a NAT box that has forgotten it.

use parking_lot::{Condvar, Mutex};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// A relay that passes on what comes until it is shut.
pub struct Valve {
    /// Where to connect to.
    pub addr: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Shut,
    Gone,
}

impl Valve {
    /// Takes one connection for `target`.
    pub fn to(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let state = Arc::new((Mutex::new(State::Open), Condvar::new()));
        let passing = Arc::clone(&state);
        thread::spawn(move || -> io::Result<()> {
            let (near, _) = listener.accept()?;
            let far = TcpStream::connect(target)?;
            let up = (near.try_clone()?, far.try_clone()?);
            let also = Arc::clone(&passing);
            thread::spawn(move || pass(&up.0, &up.1, &also));
            pass(&far, &near, &passing);
            Ok(())
        });
        Ok(Self { addr, state })
    }

    /// From now on nothing passes, and nobody is told.
    pub fn shut(&self) {
        *self.state.0.lock() = State::Shut;
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        *self.state.0.lock() = State::Gone;
        self.state.1.notify_all();
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, state: &(Mutex<State>, Condvar)) {
    let mut buf = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buf);
        let mut open = state.0.lock();
        // The end does not pass either.
        state.1.wait_while(&mut open, |state| *state == State::Shut);
        drop(open);
        let passed = match read {
            Ok(count) if count > 0 => to.write_all(&buf[..count]),
            _ => break,
        };
        if passed.is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
