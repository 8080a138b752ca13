//! wirenet's implementation, on a transport that knows when the reader waits for
//! bytes. By then the reader has processed and answered everything it has read.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use wirenet::transport::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf};
use wirenet::yamux::{Config, Connection, Stream};

use super::application::{Application, End, ReadResult, Seen, WaitFreeStream, WriteResult};
use super::comparison::Side;
use super::script::{Role, Script};

/// The time limit of a wait. It only ends tests that hang: all waits are much shorter.
const TIMEOUT: Duration = Duration::from_secs(60);

/// With this timeout, reads and writes do what is possible at once.
const AT_ONCE: Duration = Duration::from_nanos(1);

pub struct WirenetSide {
    line: Arc<Line>,
    connection: Connection,
    accepted: u64,
    application: Application<Stream>,
}

impl WirenetSide {
    pub fn new(script: &Script) -> Self {
        let line = Arc::new(Line::default());
        let config = Config::default()
            .keep_alive(None)
            .max_streams(script.max_streams);
        // Without a window budget, no stream beyond the limit is kept waiting.
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
            connection: connection.expect("a connection in memory"),
            accepted: 0,
            application: Application::new(script.behaviour),
        }
    }

    /// Returns the number of streams that the connection still keeps.
    pub fn stream_count(&self) -> usize {
        self.connection.stream_count()
    }

    fn accept_all(&mut self) {
        while self.accepted < self.connection.stats().streams_accepted {
            self.accepted += 1;
            // After a protocol error, the connection does not hand out the streams
            // that arrived with it.
            let Ok(stream) = self.connection.accept() else {
                return;
            };
            let id = stream.id().0;
            self.application.accept(id, at_once(stream));
        }
    }
}

impl Side for WirenetSide {
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
        while self.application.progress() {}
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

impl WaitFreeStream for Stream {
    fn read(&mut self, buf: &mut [u8]) -> ReadResult {
        match Read::read(self, buf) {
            Ok(0) => ReadResult::End(End::Graceful),
            Ok(count) => ReadResult::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => ReadResult::Nothing,
            Err(_) => ReadResult::End(End::Broken),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> WriteResult {
        match Write::write(self, bytes) {
            Ok(count) => WriteResult::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => WriteResult::Nothing,
            Err(_) => WriteResult::Broken,
        }
    }

    fn finish(&mut self) -> bool {
        self.shutdown(Shutdown::Write).is_ok()
    }

    fn reset(self) {
        Stream::reset(&self);
    }
}

/// The bytes between the connection and the peer, without a limit.
#[derive(Debug, Default)]
struct Line {
    state: Mutex<LineState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LineState {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
    /// The peer sends nothing more.
    hung_up: bool,
    /// The connection has shut the line down.
    shut: bool,
    /// The reader waits for more bytes.
    idle: bool,
    /// The reader has ended.
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
            .wait_timeout_while(state, TIMEOUT, |state| !state.idle && !state.gone)
            .expect("no panic under the lock");
        assert!(!waited.timed_out(), "the reader does not become idle");
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

    /// Has no effect: only bytes and the end of the line wake the reader.
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
