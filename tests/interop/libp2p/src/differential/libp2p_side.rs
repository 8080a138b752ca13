//! libp2p's implementation. It is polled without a runtime, until neither it nor the
//! application can make progress.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncWrite};
use yamux::{Config, Connection, Mode, Stream};

use crate::frames::{Frame, GO_AWAY};

use super::application::{Application, End, ReadResult, Seen, WaitFreeStream, WriteResult};
use super::comparison::Side;
use super::script::{Role, Script};

pub struct Libp2pSide {
    line: Rc<RefCell<Line>>,
    connection: Connection<LineEnd>,
    application: Application<Libp2pStream>,
}

impl Libp2pSide {
    pub fn new(script: &Script) -> Self {
        let line = Rc::new(RefCell::new(Line::default()));
        let mut config = Config::default();
        config.set_max_num_streams(script.max_streams);
        let mode = match script.role {
            Role::Client => Mode::Client,
            Role::Server => Mode::Server,
        };
        Self {
            connection: Connection::new(LineEnd(Rc::clone(&line)), config, mode),
            line,
            application: Application::new(script.behaviour),
        }
    }

    fn wrap(&self, stream: Stream) -> Libp2pStream {
        Libp2pStream {
            stream,
            line: Rc::clone(&self.line),
            finished: false,
        }
    }

    /// Polls the connection until it can make no more progress. Returns whether it
    /// made any.
    fn poll(&mut self) -> bool {
        let before = self.line.borrow().moved;
        let mut accepted = false;
        while let Poll::Ready(Some(inbound)) = self.connection.poll_next_inbound(&mut context()) {
            let Ok(stream) = inbound else {
                break;
            };
            let id = stream.id().val();
            let stream = self.wrap(stream);
            self.application.accept(id, stream);
            accepted = true;
        }
        accepted || self.line.borrow().moved != before
    }
}

impl Side for Libp2pSide {
    /// Passes the frames on one by one, because libp2p reads them one by one in any
    /// case. Stops at libp2p's own go away, although libp2p would continue.
    fn receive(&mut self, frames: &[Vec<u8>]) {
        for frame in frames {
            self.line.borrow_mut().incoming.extend(frame);
            while self.poll() {}
            if self.line.borrow().sent_go_away() {
                return;
            }
        }
    }

    fn hang_up(&mut self) {
        self.line.borrow_mut().hung_up = true;
    }

    fn open(&mut self) {
        let Poll::Ready(Ok(mut stream)) = self.connection.poll_new_outbound(&mut context()) else {
            return;
        };
        // libp2p sends the SYN with the first write, even an empty one.
        let opened = Pin::new(&mut stream).poll_write(&mut context(), &[]);
        assert!(matches!(opened, Poll::Ready(Ok(0))), "{opened:?}");
        let id = stream.id().val();
        let stream = self.wrap(stream);
        self.application.add(id, stream);
    }

    fn finish(&mut self, id: u32) {
        self.application.finish(id);
    }

    fn reset(&mut self, id: u32) {
        self.application.reset(id);
    }

    fn settle(&mut self) {
        loop {
            let polled = self.poll();
            if !self.application.progress() && !polled {
                return;
            }
        }
    }

    fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line.borrow_mut().outgoing)
    }

    fn take_seen(&mut self) -> Vec<(u32, Seen)> {
        self.application.take_seen()
    }

    fn has_ended(&self) -> bool {
        self.line.borrow().shut
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

struct Libp2pStream {
    stream: Stream,
    line: Rc<RefCell<Line>>,
    /// The application has ended its half.
    finished: bool,
}

impl WaitFreeStream for Libp2pStream {
    fn read(&mut self, buf: &mut [u8]) -> ReadResult {
        match Pin::new(&mut self.stream).poll_read(&mut context(), buf) {
            Poll::Pending => ReadResult::Nothing,
            Poll::Ready(Ok(0)) => ReadResult::End(self.end()),
            Poll::Ready(Ok(count)) => ReadResult::Bytes(count),
            Poll::Ready(Err(_)) => ReadResult::End(End::Broken),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> WriteResult {
        match Pin::new(&mut self.stream).poll_write(&mut context(), bytes) {
            Poll::Pending => WriteResult::Nothing,
            Poll::Ready(Ok(count)) => WriteResult::Bytes(count),
            Poll::Ready(Err(_)) => WriteResult::Broken,
        }
    }

    fn finish(&mut self) -> bool {
        let closed = Pin::new(&mut self.stream).poll_close(&mut context());
        self.finished |= closed.is_ready();
        self.finished
    }

    /// libp2p has no reset. Dropping the stream resets it.
    fn reset(self) {}
}

impl Libp2pStream {
    /// Returns how the stream ended. Its reader sees only that it ended; its state
    /// reveals some of the reasons.
    fn end(&self) -> End {
        if !self.stream.is_closed() {
            End::Graceful
        } else if self.finished || self.line.borrow().shut {
            End::Unknown
        } else {
            End::Broken
        }
    }
}

/// The bytes between the connection and the peer, without a limit.
#[derive(Default)]
struct Line {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
    /// The peer sends nothing more.
    hung_up: bool,
    /// The connection has shut the line down.
    shut: bool,
    /// The number of bytes that were read or written.
    moved: u64,
}

impl Line {
    fn sent_go_away(&self) -> bool {
        let mut sent = self.outgoing.as_slice();
        let mut frames = std::iter::from_fn(|| Frame::read(&mut sent).expect("whole frames"));
        frames.any(|frame| frame.kind == GO_AWAY)
    }
}

struct LineEnd(Rc<RefCell<Line>>);

impl AsyncRead for LineEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut line = self.0.borrow_mut();
        if line.incoming.is_empty() {
            return if line.hung_up {
                Poll::Ready(Ok(0))
            } else {
                Poll::Pending
            };
        }
        let count = line.incoming.read(buf)?;
        line.moved += count as u64;
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for LineEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut line = self.0.borrow_mut();
        line.outgoing.extend_from_slice(bytes);
        line.moved += bytes.len() as u64;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for LineEnd {
    fn drop(&mut self) {
        self.0.borrow_mut().shut = true;
    }
}
