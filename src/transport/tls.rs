//! TLS over TCP, on two threads.
//!
//! rustls has one object for both directions; one thread reads here while
//! another writes. Two locks, in this order:
//!
//! - *W*, [`Shared::outgoing`]: ciphertext that is yet to be written. Its
//!   holder encrypts and sends, so that what is encrypted first goes first. The
//!   writing half holds it over its system calls. The reading half only tries
//!   it, for what rustls wants to tell the peer (alerts): so it never waits for
//!   a peer that takes nothing.
//! - *C*, inside of [`Sender`] and [`Receiver`]: the rustls connection, for work
//!   in memory alone.
//!
//! Whoever holds W while something falls due sees to it on letting go.

use super::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf, tcp};
use crate::tls::{TlsClient, TlsError, TlsServer};
use parking_lot::Mutex;
use rustls::{ClientConnection, Connection, ServerConnection};
use socket2::{SockAddr, Socket};
use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
    time::{Duration, Instant},
};

/// The most plaintext that a record carries.
const RECORD: usize = 16 * 1024;

/// The most slices, and plaintext, that are encrypted in one go: a full frame
/// and what comes along with it, in whole records.
const SLICES: usize = 16;
const BATCH: usize = 5 * RECORD;

/// The buffer for ciphertext of a connection on which little happens, and of
/// one on which much does.
const IDLE_INPUT: usize = 1024;
const BUSY_INPUT: usize = 64 * 1024;

/// What a buffer for outgoing ciphertext may keep allocated while it is idle.
const IDLE_OUTPUT: usize = 1024;

/// The most unread bytes that are thrown away behind a failed handshake.
const DISCARD: usize = 64 * 1024;

/// A TCP connection with TLS on it, after its handshake.
pub struct TlsStream {
    socket: Socket,
    connection: Connection,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl TlsStream {
    /// Does the handshake of the side that dialled. `host` is the dialled
    /// address without its port, a name or an IP address, IPv6 without
    /// brackets.
    ///
    /// Blocks until the handshake is done, or until `deadline`, however the
    /// peer goes about it. Sets `TCP_NODELAY`, and takes both timeouts off the
    /// socket.
    ///
    /// With TLS 1.3 this succeeds before the server has looked at the client's
    /// certificate: its refusal is the first read's error.
    ///
    /// # Errors
    ///
    /// When the host is no name that could be checked, one side does not
    /// accept the other, the connection breaks, or the deadline passes. The
    /// peer is told why, if it takes that without waiting.
    pub fn client(
        stream: TcpStream,
        config: &TlsClient,
        host: &str,
        deadline: Instant,
    ) -> Result<Self, TlsError> {
        let peer = stream
            .peer_addr()
            .map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip());
        let name = config.name_for(host, peer)?;
        let connection = ClientConnection::new(Arc::clone(config.config()), name);
        let connection = connection.map_err(TlsError::Config)?;
        Self::shake_hands(stream, connection.into(), deadline)
    }

    /// Does the handshake of the side that accepted; as [`client`](Self::client)
    /// otherwise.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn server(
        stream: TcpStream,
        config: &TlsServer,
        deadline: Instant,
    ) -> Result<Self, TlsError> {
        let connection = ServerConnection::new(Arc::clone(config.config()));
        let connection = connection.map_err(TlsError::Config)?;
        Self::shake_hands(stream, connection.into(), deadline)
    }

    fn shake_hands(
        stream: TcpStream,
        connection: Connection,
        deadline: Instant,
    ) -> Result<Self, TlsError> {
        let mut this = Self {
            socket: stream.into(),
            connection,
        };
        this.prepare().map_err(TlsError::from_handshake_io)?;
        let outcome = this.until_done(deadline);
        if outcome.is_err() {
            this.part();
        }
        outcome?;
        this.socket
            .set_read_timeout(None)
            .and_then(|()| this.socket.set_write_timeout(None))
            .map_err(TlsError::from_handshake_io)?;
        // A write of any size is to be encrypted in one go.
        this.connection.set_buffer_limit(None);
        Ok(this)
    }

    fn prepare(&self) -> io::Result<()> {
        self.socket.set_tcp_nodelay(true)?;
        self.socket.set_nonblocking(false)
    }

    fn until_done(&mut self, deadline: Instant) -> Result<(), TlsError> {
        let mut socket = Timed {
            socket: &self.socket,
            deadline,
        };
        loop {
            while self.connection.wants_write() {
                let written = self.connection.write_tls(&mut socket);
                written.map_err(TlsError::from_handshake_io)?;
            }
            if !self.connection.is_handshaking() {
                return Ok(());
            }
            let read = self.connection.read_tls(&mut socket);
            if read.map_err(TlsError::from_handshake_io)? == 0 {
                let ended = io::ErrorKind::UnexpectedEof;
                return Err(TlsError::from_handshake_io(ended.into()));
            }
            let processed = self.connection.process_new_packets();
            processed.map_err(TlsError::Handshake)?;
        }
    }

    /// Sends the alert that says why the handshake failed, as far as that goes
    /// without waiting.
    fn part(&mut self) {
        // None of this matters to the caller, who has the first error.
        let _ = self.try_part();
    }

    fn try_part(&mut self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let mut alert = Vec::new();
        take_records(&mut self.connection, &mut alert)?;
        tcp::send(&self.socket, &[IoSlice::new(&alert)], Wait::Block)?;
        self.socket.shutdown(Shutdown::Write)?;
        // Closing with unread data resets the connection, and with some
        // systems the alert is lost.
        let mut discarded = 0;
        while discarded < DISCARD {
            match (&self.socket).read(&mut [0; 1024])? {
                0 => break,
                count => discarded += count,
            }
        }
        Ok(())
    }
}

/// A socket on which no call lasts beyond a deadline.
struct Timed<'a> {
    socket: &'a Socket,
    deadline: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Less would be cut to nothing, which stands for ever.
        Ok(left.max(Duration::from_millis(1)))
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        uninterrupted(|| self.socket.read(buf))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        uninterrupted(|| tcp::send(self.socket, &[IoSlice::new(buf)], Wait::Block))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

impl Transport for TlsStream {
    fn split(self) -> io::Result<Halves> {
        let addr = |addr: io::Result<SockAddr>| addr.ok().and_then(|addr| addr.as_socket());
        let local_addr = addr(self.socket.local_addr());
        let peer_addr = addr(self.socket.peer_addr());
        let (sender, receiver) = split(self.connection);
        let shared = Arc::new(Shared {
            socket: self.socket,
            outgoing: Mutex::new(Outgoing {
                sender,
                kept: Vec::new(),
                sent: 0,
                phase: Phase::Open,
            }),
            due: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        });
        Ok(Halves {
            reader: Box::new(TlsReader {
                shared: Arc::clone(&shared),
                receiver,
                input: Input::new(IDLE_INPUT),
            }),
            writer: Box::new(TlsWriter(Arc::clone(&shared))),
            closer: Arc::new(TlsCloser(shared)),
            local_addr,
            peer_addr,
        })
    }
}

// -- rustls --

/// Takes a connection apart into what encrypts and what decrypts; here both
/// share it under a lock.
fn split(connection: Connection) -> (Sender, Receiver) {
    let connection = Arc::new(Mutex::new(connection));
    let receiver = Receiver {
        connection: Arc::clone(&connection),
        failure: None,
        has_due: false,
    };
    (Sender(connection), receiver)
}

/// What encrypts.
struct Sender(Arc<Mutex<Connection>>);

impl Sender {
    /// Encrypts what the slices hold, appends the records to `out`, and says
    /// how much plaintext that was. What was due goes first.
    fn encrypt(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> io::Result<usize> {
        let mut connection = self.0.lock();
        let taken = connection.writer().write_vectored(slices)?;
        take_records(&mut connection, out)?;
        Ok(taken)
    }

    /// Appends a close_notify, after which nothing may be encrypted (rustls
    /// would do it).
    fn close(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut connection = self.0.lock();
        connection.send_close_notify();
        take_records(&mut connection, out)
    }

    /// Appends what receiving has made due.
    fn take_due(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        take_records(&mut self.0.lock(), out)
    }
}

fn take_records(connection: &mut Connection, out: &mut Vec<u8>) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(out)?;
    }
    Ok(())
}

/// What decrypts.
struct Receiver {
    connection: Arc<Mutex<Connection>>,
    /// What ended it, once what came before has been read.
    failure: Option<rustls::Error>,
    /// There is something for the peer.
    has_due: bool,
}

/// What ciphertext came to.
enum Decrypted {
    /// So many bytes, at least one.
    Plain(usize),
    /// Nothing: all the ciphertext is used up.
    Nothing,
    /// The peer's close_notify.
    End,
}

impl Receiver {
    /// Decrypts into `buf`, which is not empty, and takes what that uses off
    /// the front of `input`.
    fn decrypt(&mut self, input: &mut &[u8], buf: &mut [u8]) -> io::Result<Decrypted> {
        let mut connection = self.connection.lock();
        loop {
            // First, because rustls takes no more while it holds plaintext,
            // and the handshake may have left some.
            match connection.reader().read(buf) {
                Ok(0) => return Ok(Decrypted::End),
                Ok(count) => return Ok(Decrypted::Plain(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if let Some(failure) = &self.failure {
                return Err(io::Error::new(io::ErrorKind::InvalidData, failure.clone()));
            }
            // rustls would take an empty slice for the end of the connection.
            if input.is_empty() {
                return Ok(Decrypted::Nothing);
            }
            connection.read_tls(input)?;
            self.failure = connection.process_new_packets().err();
            self.has_due |= connection.wants_write();
        }
    }
}

// -- what the two halves share --

struct Shared {
    socket: Socket,
    /// The lock W.
    outgoing: Mutex<Outgoing>,
    /// Receiving has made something due that is not yet sent.
    due: AtomicBool,
    /// This side has cut the connection.
    cut: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// What goes to the peer.
struct Outgoing {
    sender: Sender,
    /// Ciphertext in the order in which it was encrypted.
    kept: Vec<u8>,
    /// Bytes of `kept` that are written. Invariant: fewer than it holds, or
    /// both are 0.
    sent: usize,
    phase: Phase,
}

/// How far this side's direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing follows but what is kept, with a close_notify at its end.
    Closing,
    Finished,
}

impl Shared {
    /// Has what is due sent, by whoever holds W if it is held. Every holder
    /// calls this when it has let go.
    fn send_due(&self) {
        loop {
            // Either this sees the flag, or whoever set it after finds W free:
            // the flag is set before this fence's like, and W tried after it.
            fence(Ordering::SeqCst);
            if !self.due.load(Ordering::SeqCst) {
                return;
            }
            let Some(mut outgoing) = self.outgoing.try_lock() else {
                return;
            };
            self.due.store(false, Ordering::SeqCst);
            // What does not fit is kept. Where the connection fails, whoever
            // reads or writes it will see.
            let _ = outgoing.send_due(&self.socket);
        }
    }
}

impl Outgoing {
    fn write(&mut self, socket: &Socket, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        if self.phase != Phase::Open {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.send(socket, wait)?;
        let (batch, count) = batch(slices);
        let taken = self.sender.encrypt(&batch[..count], &mut self.kept)?;
        // Taken is taken: the waiting, if any, is for the next call.
        match self.send(socket, Wait::Never) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn finish(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        if self.phase == Phase::Open {
            self.sender.close(&mut self.kept)?;
            self.phase = Phase::Closing;
        }
        self.send(socket, wait)?;
        if self.phase == Phase::Closing {
            socket.shutdown(Shutdown::Write)?;
            self.phase = Phase::Finished;
        }
        Ok(())
    }

    fn send_due(&mut self, socket: &Socket) -> io::Result<()> {
        self.sender.take_due(&mut self.kept)?;
        self.send(socket, Wait::Never)
    }

    /// Sends what is kept.
    fn send(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        while self.sent < self.kept.len() {
            let rest = [IoSlice::new(&self.kept[self.sent..])];
            match uninterrupted(|| tcp::send(socket, &rest, wait))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.sent += count,
            }
        }
        self.kept.clear();
        self.sent = 0;
        Ok(())
    }

    /// Sends what is kept, when nothing follows for now: gives memory back.
    fn flush(&mut self, socket: &Socket, wait: Wait) -> io::Result<()> {
        self.send(socket, wait)?;
        if self.kept.capacity() > IDLE_OUTPUT {
            self.kept = Vec::new();
        }
        Ok(())
    }
}

/// The front of the slices, as much as is encrypted in one go, and how many
/// slices that is.
fn batch<'a>(slices: &'a [IoSlice<'_>]) -> ([IoSlice<'a>; SLICES], usize) {
    let mut batch = [IoSlice::new(&[]); SLICES];
    let (mut count, mut room) = (0, BATCH);
    for (slot, slice) in batch.iter_mut().zip(slices) {
        let piece = &slice[..slice.len().min(room)];
        *slot = IoSlice::new(piece);
        room -= piece.len();
        count += 1;
        if room == 0 {
            break;
        }
    }
    (batch, count)
}

// -- the writing half --

#[derive(Debug)]
struct TlsWriter(Arc<Shared>);

impl TlsWriter {
    fn with_outgoing<T>(&self, work: impl FnOnce(&mut Outgoing, &Socket) -> T) -> T {
        let outcome = work(&mut self.0.outgoing.lock(), &self.0.socket);
        self.0.send_due();
        outcome
    }
}

impl WriteHalf for TlsWriter {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        self.with_outgoing(|outgoing, socket| outgoing.write(socket, slices, wait))
    }

    fn flush(&mut self, wait: Wait) -> io::Result<()> {
        self.with_outgoing(|outgoing, socket| outgoing.flush(socket, wait))
    }

    fn finish(&mut self, wait: Wait) -> io::Result<()> {
        self.with_outgoing(|outgoing, socket| outgoing.finish(socket, wait))
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(tcp::not_for_ever);
        self.0.socket.set_write_timeout(timeout)
    }
}

// -- the reading half --

struct TlsReader {
    shared: Arc<Shared>,
    receiver: Receiver,
    input: Input,
}

impl fmt::Debug for TlsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReader")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl ReadHalf for TlsReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if let Some(count) = self.take_decrypted(buf)? {
            return Ok(count);
        }
        self.receive()?;
        // Less than a record came: the caller knows how long it still has, so
        // that a peer that trickles does not hold it up.
        let count = self.take_decrypted(buf)?;
        count.ok_or_else(|| io::ErrorKind::Interrupted.into())
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(tcp::not_for_ever);
        self.shared.socket.set_read_timeout(timeout)
    }
}

impl TlsReader {
    /// What the ciphertext at hand comes to: bytes, 0 at the end, or nothing.
    fn take_decrypted(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let outcome = self.decrypt(buf);
        if std::mem::take(&mut self.receiver.has_due) {
            self.shared.due.store(true, Ordering::SeqCst);
            self.shared.send_due();
        }
        Ok(match outcome? {
            Decrypted::Plain(count) => Some(count),
            Decrypted::End => Some(0),
            Decrypted::Nothing => None,
        })
    }

    /// Decrypts as much as the ciphertext at hand has and `buf` holds.
    fn decrypt(&mut self, buf: &mut [u8]) -> io::Result<Decrypted> {
        let mut filled = 0;
        while filled < buf.len() {
            let mut rest = self.input.data();
            let before = rest.len();
            let outcome = self.receiver.decrypt(&mut rest, &mut buf[filled..]);
            let used = before - rest.len();
            self.input.consume(used);
            match outcome {
                Ok(Decrypted::Plain(count)) => filled += count,
                // An end, or a failure, will still be there.
                _ if filled > 0 => break,
                outcome => return outcome,
            }
        }
        Ok(Decrypted::Plain(filled))
    }

    /// Waits for ciphertext.
    fn receive(&mut self) -> io::Result<()> {
        let outcome = self.input.fill(&self.shared.socket);
        match outcome {
            Ok(count) if count > 0 => Ok(()),
            // Not a truncation: the peer may have had more to say.
            _ if self.shared.cut.load(Ordering::SeqCst) => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection ended without a TLS close_notify",
            )),
            Err(error) => {
                if is_timeout(&error) {
                    self.input.trim();
                }
                Err(error)
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Ciphertext as it came.
struct Input {
    buf: Box<[u8]>,
    start: usize,
    /// Invariant: `start <= end <= buf.len()`.
    end: usize,
}

impl Input {
    fn new(capacity: usize) -> Self {
        Self {
            buf: vec![0; capacity].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    fn data(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Gives memory back; called when nothing is in it.
    fn trim(&mut self) {
        if self.buf.len() > IDLE_INPUT {
            *self = Self::new(IDLE_INPUT);
        }
    }

    /// Reads once, when all that was read before is used up; with more room,
    /// if that had filled all there was.
    fn fill(&mut self, mut socket: &Socket) -> io::Result<usize> {
        debug_assert!(self.data().is_empty());
        if self.end == self.buf.len() && self.end < BUSY_INPUT {
            *self = Self::new(BUSY_INPUT);
        }
        let count = socket.read(&mut self.buf)?;
        self.start = 0;
        self.end = count;
        Ok(count)
    }
}

// -- from outside --

#[derive(Debug)]
struct TlsCloser(Arc<Shared>);

impl Closer for TlsCloser {
    fn shutdown(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        // Fails when the connection is gone already, which is what was asked.
        let _ = self.0.socket.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batched(lens: &[usize]) -> Vec<usize> {
        let bytes = vec![0; lens.iter().copied().max().unwrap_or(0)];
        let slices: Vec<_> = lens
            .iter()
            .map(|len| IoSlice::new(&bytes[..*len]))
            .collect();
        let (batch, count) = batch(&slices);
        batch[..count].iter().map(|slice| slice.len()).collect()
    }

    #[test]
    fn a_batch_is_the_front_of_what_there_is_up_to_its_limit() {
        assert_eq!(batched(&[]), []);
        assert_eq!(batched(&[12, 0, 30]), [12, 0, 30]);
        assert_eq!(batched(&[BATCH, 1]), [BATCH]);
        assert_eq!(batched(&[BATCH - 10, 12, 3]), [BATCH - 10, 10]);
        assert_eq!(batched(&[1; SLICES + 1]), [1; SLICES]);
    }
}
