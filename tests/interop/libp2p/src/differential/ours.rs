//! wirenet's side, on a transport that knows when the reader has nothing left
//! to read: by then all that was read has been dealt out, and answered.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use wirenet::transport::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf};
use wirenet::yamux::{Config, Connection, Stream};

use super::application::{Application, Duct, End, Got, Put, Seen};
use super::duel::Side;
use super::script::{Role, Script};

/// Far above what anything here takes; it only ends what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A read or write with this timeout takes what is there, and does not wait.
const AT_ONCE: Duration = Duration::from_nanos(1);

pub struct Ours {
    line: Arc<Line>,
    connection: Connection,
    accepted: u64,
    application: Application<Stream>,
}

impl Ours {
    pub fn new(script: &Script) -> Self {
        let line = Arc::new(Line::default());
        let config = Config::default()
            .keep_alive(None)
            .max_streams(script.max_streams);
        // Without a budget none is held that is beyond the limit.
        let config = match script.max_streams < Script::MANY {
            true => config.window_budget(0),
            false => config,
        };
        let end = LineEnd(Arc::clone(&line));
        let connection = match script.role {
            Role::Client => Connection::client(end, config),
            Role::Server => Connection::server(end, config),
        };
        Self {
            line,
            connection: connection.expect("a connection on a line in memory"),
            accepted: 0,
            application: Application::new(script.manner),
        }
    }

    /// Streams that the connection still knows.
    pub fn stream_count(&self) -> usize {
        self.connection.stream_count()
    }

    fn accept_all(&mut self) {
        while self.accepted < self.connection.stats().streams_accepted {
            self.accepted += 1;
            // After a violation, those that came with it are not handed out.
            let Ok(stream) = self.connection.accept() else {
                return;
            };
            let id = stream.id().0;
            self.application.accept(id, at_once(stream));
        }
    }
}

impl Side for Ours {
    fn receive(&mut self, frames: &[Vec<u8>]) {
        let mut state = self.line.lock();
        state.incoming.extend(frames.iter().flatten());
        state.idle &= frames.is_empty();
        self.line.changed.notify_all();
    }

    fn hang_up(&mut self) {
        let mut state = self.line.lock();
        state.hung_up = true;
        state.idle = false;
        self.line.changed.notify_all();
    }

    fn open(&mut self) {
        if let Ok(stream) = self.connection.open() {
            let id = stream.id().0;
            self.application.add(id, at_once(stream));
        }
    }

    fn finish(&mut self, id: u32) {
        self.application.finish(id);
    }

    fn reset(&mut self, id: u32) {
        self.application.reset(id);
    }

    fn settle(&mut self) {
        self.line.wait_idle();
        self.accept_all();
        while self.application.turn() {}
    }

    fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line.lock().outgoing)
    }

    fn take_seen(&mut self) -> Vec<(u32, Seen)> {
        self.application.take_seen()
    }

    fn has_ended(&self) -> bool {
        self.line.lock().shut
    }
}

fn at_once(stream: Stream) -> Stream {
    let timeout = Some(AT_ONCE);
    stream.set_read_timeout(timeout).expect("a timeout");
    stream.set_write_timeout(timeout).expect("a timeout");
    stream
}

impl Duct for Stream {
    fn read(&mut self, buf: &mut [u8]) -> Got {
        match Read::read(self, buf) {
            Ok(0) => Got::End(End::Clean),
            Ok(count) => Got::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Got::Nothing,
            Err(_) => Got::End(End::Broken),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Put {
        match Write::write(self, bytes) {
            Ok(count) => Put::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Put::Nothing,
            Err(_) => Put::Broken,
        }
    }

    fn finish(&mut self) -> bool {
        self.shutdown(Shutdown::Write).is_ok()
    }

    fn reset(self) {
        Stream::reset(&self);
    }
}

/// What lies between the connection and the peer, without a bound.
#[derive(Debug, Default)]
struct Line {
    state: Mutex<LineState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LineState {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
    /// The peer sends no more.
    hung_up: bool,
    /// The connection has cut the line.
    shut: bool,
    /// The reader waits for more.
    idle: bool,
    /// It is gone.
    gone: bool,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().expect("no panic under the lock")
    }

    fn wait_idle(&self) {
        let state = self.lock();
        let (_state, waited) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.idle && !state.gone)
            .expect("no panic under the lock");
        assert!(!waited.timed_out(), "the reader goes on and on");
    }
}

/// The connection's end of the line.
#[derive(Debug)]
struct LineEnd(Arc<Line>);

impl Transport for LineEnd {
    fn split(self) -> io::Result<Halves> {
        Ok(Halves {
            reader: Box::new(LineReader(Arc::clone(&self.0))),
            writer: Box::new(LineEnd(Arc::clone(&self.0))),
            closer: Arc::new(self),
            local_addr: None,
            peer_addr: None,
        })
    }
}

#[derive(Debug)]
struct LineReader(Arc<Line>);

impl ReadHalf for LineReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        loop {
            if state.shut {
                return Ok(0);
            }
            if !state.incoming.is_empty() {
                return Read::read(&mut state.incoming, buf);
            }
            if state.hung_up {
                return Ok(0);
            }
            state.idle = true;
            self.0.changed.notify_all();
            state = self.0.changed.wait(state).expect("no panic under the lock");
        }
    }

    /// Only bytes and the end wake the reader.
    fn set_timeout(&mut self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineReader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.shut = true;
        state.gone = true;
        self.0.changed.notify_all();
    }
}

impl WriteHalf for LineEnd {
    fn write(&mut self, slices: &[IoSlice<'_>], _wait: Wait) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        for slice in slices {
            state.outgoing.extend_from_slice(slice);
        }
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn finish(&mut self, _wait: Wait) -> io::Result<()> {
        Ok(())
    }

    fn set_timeout(&mut self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

impl Closer for LineEnd {
    fn shutdown(&self) {
        self.0.lock().shut = true;
        self.0.changed.notify_all();
    }
}
