//! A scripted peer: a test decides about every frame that it sends, and sees
//! every frame that it receives. It is a client or a server of the library's,
//! over TCP, TLS, or a pipe in memory.

mod server;
mod session;

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub use server::{Script, ScriptedServer, play};
#[allow(unused_imports, reason = "each test file uses a part of it")]
pub use session::{Open, opening};

use super::{
    PATIENCE,
    frames::{ACK, Frame, GO_AWAY, encode_all},
};
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use wirenet::transport::{Halves, Transport, Wait, memory};

/// Its connection ends when it is dropped.
pub struct Peer {
    channel: Channel,
    /// Frames that were read while another one was waited for.
    queue: VecDeque<Frame>,
    next_stream: u32,
}

enum Channel {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<super::tls::Socket>),
    Memory(Pipe),
}

struct Pipe(Halves);

impl Drop for Pipe {
    fn drop(&mut self) {
        self.0.closer.shutdown();
    }
}

impl Peer {
    fn new(channel: Channel) -> Self {
        Self {
            channel,
            queue: VecDeque::new(),
            next_stream: 3,
        }
    }

    pub fn in_memory(end: memory::End) -> Self {
        let mut halves = end.split().unwrap();
        halves.reader.set_timeout(Some(PATIENCE)).unwrap();
        Self::new(Channel::Memory(Pipe(halves)))
    }

    pub fn over_tcp(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self::new(Channel::Tcp(socket))
    }

    /// A client of TLS if `tls` is set.
    pub fn over(socket: TcpStream, tls: bool) -> Self {
        let tcp = Self::over_tcp(socket);
        match tcp.channel {
            #[cfg(feature = "tls")]
            Channel::Tcp(socket) if tls => {
                Self::new(Channel::Tls(Box::new(super::tls::connect(socket))))
            }
            channel => {
                assert!(!tls, "built without TLS");
                Self::new(channel)
            }
        }
    }

    /// Connects over TCP.
    pub fn dial(addr: SocketAddr) -> Self {
        Self::over_tcp(TcpStream::connect(addr).unwrap())
    }

    /// The TCP connection, below TLS if there is any.
    pub fn socket(&self) -> &TcpStream {
        match &self.channel {
            Channel::Tcp(socket) => socket,
            #[cfg(feature = "tls")]
            Channel::Tls(tls) => &tls.sock,
            Channel::Memory(_) => panic!("a pipe in memory is no socket"),
        }
    }

    pub fn set_read_timeout(&mut self, timeout: Duration) {
        let set = match &mut self.channel {
            Channel::Memory(pipe) => pipe.0.reader.set_timeout(Some(timeout)),
            _ => self.socket().set_read_timeout(Some(timeout)),
        };
        set.unwrap();
    }

    pub fn try_send(&mut self, frames: impl AsRef<[Frame]>) -> io::Result<()> {
        self.write_all(&encode_all(frames))?;
        self.flush()
    }

    pub fn send(&mut self, frames: impl AsRef<[Frame]>) {
        self.try_send(frames).unwrap();
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.write_all(bytes).and_then(|()| self.flush()).unwrap();
    }

    pub fn try_receive(&mut self) -> io::Result<Option<Frame>> {
        Frame::read(self)
    }

    /// The next frame, or `None` at the end of the connection.
    pub fn receive(&mut self) -> Option<Frame> {
        self.try_receive().unwrap()
    }

    /// All frames up to the end of the connection.
    pub fn receive_all(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    /// The next frame, or `None` at the end of the connection, however it
    /// ended. Answers pings.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = match self.try_receive() {
                Ok(frame) => frame?,
                Err(error) => {
                    assert!(is_end(&error), "{error}");
                    return None;
                }
            };
            if !frame.is_ping() {
                return Some(frame);
            }
            // The other end may have closed the connection since.
            let _ = self.try_send(frame.with_flags(ACK));
        }
    }

    fn expect_next(&mut self) -> Frame {
        self.next().expect("the connection is open")
    }

    /// The first frame that is `wanted`. Frames before it stay in the queue,
    /// from which later calls take theirs.
    pub fn wait(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Frame {
        if let Some(at) = self.queue.iter().position(&mut wanted) {
            return self.queue.remove(at).expect("it was found");
        }
        loop {
            let frame = self.expect_next();
            if wanted(&frame) {
                return frame;
            }
            assert_no_complaint(&frame);
            self.queue.push_back(frame);
        }
    }

    /// The first frame that is `wanted`. Frames before it are dropped.
    pub fn skip_to(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.expect_next();
            if wanted(&frame) {
                return frame;
            }
            assert_no_complaint(&frame);
        }
    }

    /// Whether such a frame was read while another one was waited for.
    pub fn has_queued(&self, wanted: impl FnMut(&Frame) -> bool) -> bool {
        self.queue.iter().any(wanted)
    }

    /// Waits until the other end has processed all that was sent. Returns the
    /// frames that came before that.
    pub fn settle(&mut self) -> Vec<Frame> {
        let mut frames: Vec<Frame> = self.queue.drain(..).collect();
        // The answer to a ping may overtake other answers; the answer to a
        // second ping does not.
        for value in [77, 78] {
            self.send(Frame::ping(value));
            let pong = Frame::pong(value);
            let received = std::iter::from_fn(|| Some(self.expect_next()));
            frames.extend(received.take_while(|frame| *frame != pong));
        }
        frames
    }

    /// The kinds of the frames that come before nothing comes for `time`.
    pub fn until_quiet(&mut self, time: Duration) -> io::Result<Vec<u8>> {
        let mut kinds = Vec::new();
        loop {
            self.set_read_timeout(time);
            let peeked = self.socket().peek(&mut [0]);
            self.set_read_timeout(PATIENCE);
            match peeked {
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return Ok(kinds),
                Err(error) => return Err(error),
            }
            let frame = self.try_receive()?;
            kinds.push(frame.ok_or(io::ErrorKind::UnexpectedEof)?.kind);
        }
    }

    /// Reads to the end of the connection, however it ends. Returns the code
    /// of the last go-away, if there was one.
    pub fn go_away_code(&mut self) -> Option<u32> {
        let frames = std::iter::from_fn(|| self.next());
        let go_aways = frames.filter(|frame| frame.kind == GO_AWAY);
        go_aways.last().map(|frame| frame.length)
    }

    /// Reads to the end of the connection. Returns whether its last frame was
    /// a go-away.
    pub fn ends_with_go_away(&mut self) -> bool {
        let last = self.receive_all().pop();
        last.is_some_and(|frame| frame.kind == GO_AWAY)
    }

    /// Reads bytes to the end of the connection, however it ends.
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = self.read_to_end(&mut bytes) {
            assert!(is_end(&error), "{error}");
        }
        bytes
    }

    /// Sends these bytes over and over, one at a time and with a pause of
    /// `apart` between them, until the other end closes the connection.
    /// Returns how many were sent.
    pub fn trickle(&mut self, bytes: &[u8], apart: Duration) -> usize {
        self.set_read_timeout(apart);
        for (sent, byte) in bytes.iter().cycle().enumerate() {
            let written = self.write_all(&[*byte]).and_then(|()| self.flush());
            let read = written.and_then(|()| self.read(&mut [0; 256]));
            match read {
                Ok(count) if count > 0 => {}
                Err(error) if is_timeout(&error) => {}
                _ => return sent,
            }
        }
        unreachable!("it cycles")
    }
}

/// Whether an error means that the connection has ended. Data sent after the
/// other end has closed it resets it, and TLS reports a missing close alert.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind())
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{TimedOut, WouldBlock};
    [TimedOut, WouldBlock].contains(&error.kind())
}

fn assert_no_complaint(frame: &Frame) {
    let complains = frame.kind == GO_AWAY && frame.length != 0;
    assert!(!complains, "it reports our error {}", frame.length);
}

impl Read for Peer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.channel {
            Channel::Tcp(socket) => socket.read(buf),
            #[cfg(feature = "tls")]
            Channel::Tls(tls) => tls.read(buf),
            Channel::Memory(pipe) => pipe.0.reader.read(buf),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.channel {
            Channel::Tcp(socket) => socket.write(buf),
            #[cfg(feature = "tls")]
            Channel::Tls(tls) => tls.write(buf),
            Channel::Memory(pipe) => pipe.0.writer.write(&[IoSlice::new(buf)], Wait::Block),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.channel {
            #[cfg(feature = "tls")]
            Channel::Tls(tls) => tls.flush(),
            _ => Ok(()),
        }
    }
}
