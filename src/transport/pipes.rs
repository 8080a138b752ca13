//! Pairs of pipes, and everything else that is read and written through descriptors.
//!
//! Pipes have no timeouts, and closing a descriptor does not wake a thread that is blocked
//! on it. So each half waits in `poll`, for its descriptor and for the end of a pipe that
//! the closer drops.

use super::{
    Closer, Halves, ReadHalf, Transport, Wait, WriteHalf,
    tcp::{interrupted_as_timeout, retry_on_signal},
};
use crate::sync::Mutex;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat},
    stdio::{dup2_stdin, dup2_stdout},
};
use socket2::SockRef;
use std::{
    fs::File,
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Child,
    sync::Arc,
    time::Duration,
};

/// The longest wait that every system's `poll` accepts: 24 days.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// A pair of pipes, for example to a child process. Unix only.
///
/// [`new`](Self::new) takes everything that is a descriptor: both ends of
/// [`std::io::pipe`]s, a FIFO, a pseudoterminal or a serial line (in raw mode; clone it for
/// the other half), the descriptors that a supervisor has opened.
///
/// Dropping the connection closes the descriptors, and so does [`Connection::close`]. The
/// peer reads the end if no other process has a copy of them. While the connection exists,
/// the descriptor for writing is in non-blocking mode, which other processes with the same
/// open file notice.
///
/// If the peer ends while this side writes, the system sends this process `SIGPIPE`. Rust
/// programs ignore that signal unless they choose otherwise; without that, it would kill
/// the process.
///
/// # Examples
///
/// The parent starts a child and opens a stream to it:
///
/// ```no_run
/// use std::{io, process::{Command, Stdio}};
/// use wirenet::{transport::Pipes, yamux::{Config, Connection}};
///
/// let mut child = Command::new("ssh")
///     .args(["box", "the-child"])
///     .stdin(Stdio::piped())
///     .stdout(Stdio::piped())
///     .spawn()?;
/// let connection = Connection::client(Pipes::child(&mut child)?, Config::default())?;
/// io::copy(&mut connection.open()?, &mut io::stdout())?;
/// connection.close();
/// child.wait()?;
/// # Ok::<(), io::Error>(())
/// ```
///
/// The child answers each stream until the parent closes the connection:
///
/// ```no_run
/// use std::io::Write;
/// use wirenet::{transport::Pipes, yamux::{Config, Connection}};
///
/// let connection = Connection::server(Pipes::stdio()?, Config::default())?;
/// while let Ok(mut stream) = connection.accept() {
///     stream.write_all(b"hello")?;
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// [`Connection::close`]: crate::yamux::Connection::close
#[derive(Debug)]
#[doc(alias(
    "stdin", "stdout", "stdio", "child", "process", "pty", "tty", "serial", "fd"
))]
pub struct Pipes {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipes {
    /// Creates a transport that reads from the first descriptor and writes to the second.
    ///
    /// A connection over it fails with [`io::ErrorKind::InvalidInput`] if they are swapped: if
    /// the first is open for writing only, or the second for reading only.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, Read, Write};
    /// use wirenet::{transport::Pipes, yamux::{Config, Connection}};
    ///
    /// let (from_server, to_client) = io::pipe()?;
    /// let (from_client, to_server) = io::pipe()?;
    /// let client = Connection::client(Pipes::new(from_server, to_server), Config::default())?;
    /// let server = Connection::server(Pipes::new(from_client, to_client), Config::default())?;
    ///
    /// client.open()?.write_all(b"hello")?;
    /// let mut said = String::new();
    /// server.accept()?.read_to_string(&mut said)?;
    /// assert_eq!(said, "hello");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn new(reader: impl Into<OwnedFd>, writer: impl Into<OwnedFd>) -> Self {
        Self {
            reader: reader.into(),
            writer: writer.into(),
        }
    }

    /// Takes the standard input and output of a child process, which must both be piped.
    ///
    /// `child` remains yours: call [`Child::wait`] after the connection has ended, or else the
    /// process stays as a zombie.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if one of them is not piped, or was taken before.
    ///
    /// # Examples
    ///
    /// See [above](#examples).
    #[doc(alias = "spawn")]
    pub fn child(child: &mut Child) -> io::Result<Self> {
        let missing = |name: &str| {
            let text = format!(
                "the child has no {name} to take; call {name}(Stdio::piped()) on its Command"
            );
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        // Check both first, so that nothing is taken if one is missing.
        if child.stdin.is_none() {
            return Err(missing("stdin"));
        }
        let reader = child.stdout.take().ok_or_else(|| missing("stdout"))?;
        let writer = child.stdin.take().ok_or_else(|| missing("stdin"))?;
        Ok(Self::new(reader, writer))
    }

    /// Takes over the standard input and output of this process, for a child that talks to
    /// its parent. From then on, the process reads nothing from its standard input, and what
    /// it prints goes to standard error, so that a stray `println!` does not disturb the
    /// connection. Call it before anything is read or printed.
    ///
    /// # Errors
    ///
    /// If standard output cannot be flushed, or the system refuses new descriptors.
    pub fn stdio() -> io::Result<Self> {
        io::stdout().flush()?;
        let pipes = Self::new(
            io::stdin().as_fd().try_clone_to_owned()?,
            io::stdout().as_fd().try_clone_to_owned()?,
        );
        dup2_stdin(File::open("/dev/null")?)?;
        dup2_stdout(io::stderr())?;
        Ok(pipes)
    }
}

impl Transport for Pipes {
    fn split(self) -> io::Result<Halves> {
        check_access(
            &self.reader,
            OFlags::WRONLY,
            "read from",
            "for writing only",
        )?;
        check_access(&self.writer, OFlags::RDONLY, "write to", "for reading only")?;
        let (wakes, waker) = io::pipe()?;
        let woken = Arc::new(OwnedFd::from(wakes));
        Ok(Halves {
            reader: Box::new(PipesReader {
                file: self.reader.into(),
                woken: Arc::clone(&woken),
                timeout: None,
            }),
            writer: Box::new(PipesWriter {
                can_finish: !is_device(&self.writer)?,
                file: Some(NonBlocking::new(self.writer)?),
                woken,
                timeout: None,
            }),
            closer: Arc::new(PipesCloser(Mutex::new(Some(waker)))),
            local_addr: None,
            peer_addr: None,
        })
    }
}

/// Refuses a descriptor that has the wrong access mode.
fn check_access(fd: &OwnedFd, wrong: OFlags, purpose: &str, is: &str) -> io::Result<()> {
    if fcntl_getfl(fd)? & OFlags::RWMODE != wrong {
        return Ok(());
    }
    let text = format!(
        "the descriptor to {purpose} is open {is}; Pipes::new takes the one to read from first, \
         then the one to write to"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

#[derive(Debug)]
struct PipesReader {
    file: File,
    woken: Arc<OwnedFd>,
    timeout: Option<Duration>,
}

impl ReadHalf for PipesReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let waited = wait(self.file.as_fd(), PollFlags::IN, &self.woken, self.timeout);
        if !waited.map_err(interrupted_as_timeout)? {
            return Ok(0);
        }
        match self.file.read(buf) {
            Err(error) if is_hang_up(&error) => Ok(0),
            outcome => outcome.map_err(interrupted_as_timeout),
        }
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }
}

#[derive(Debug)]
struct PipesWriter {
    /// `None` when this direction has ended.
    file: Option<NonBlocking>,
    /// Whether closing the descriptor ends this direction. A terminal, or a port of a
    /// virtual machine, stays open as long as the reader's descriptor does.
    can_finish: bool,
    woken: Arc<OwnedFd>,
    timeout: Option<Duration>,
}

impl WriteHalf for PipesWriter {
    fn write(&mut self, slices: &[IoSlice<'_>], wait_for_room: Wait) -> io::Result<usize> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        loop {
            let full = match (&file.0).write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => error,
                Err(error) if is_hang_up(&error) => return Err(io::ErrorKind::BrokenPipe.into()),
                outcome => return outcome,
            };
            if wait_for_room == Wait::Never {
                return Err(full);
            }
            let wait = || wait(file.0.as_fd(), PollFlags::OUT, &self.woken, self.timeout);
            if !retry_on_signal(wait, || Ok(self.timeout))? {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    fn can_finish(&self) -> bool {
        self.can_finish
    }

    fn finish(&mut self, _wait: Wait) -> io::Result<()> {
        if self.can_finish
            && let Some(file) = self.file.take()
        {
            // A socket needs this, as the reader keeps it open. A pipe refuses it.
            let _ = SockRef::from(&file.0).shutdown(Shutdown::Write);
        }
        Ok(())
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }
}

/// Waits until the descriptor is ready or has failed; returns `false` if the closer has
/// ended the connection. A timeout is `WouldBlock`, and a signal `Interrupted`.
fn wait(
    fd: BorrowedFd<'_>,
    ready: PollFlags,
    woken: &OwnedFd,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    // Every timeout up to the longest can be converted.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout.min(LONGEST)).ok());
    let mut fds = [
        PollFd::from_borrowed_fd(fd, ready),
        PollFd::new(woken, PollFlags::IN),
    ];
    match poll(&mut fds, timeout.as_ref()) {
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(_) => Ok(fds[1].revents().is_empty()),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether this is a character device, and not a pipe or a socket.
fn is_device(fd: &OwnedFd) -> io::Result<bool> {
    let mode = fstat(fd)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::CharacterDevice)
}

/// Returns whether the other end of a pseudoterminal is closed.
fn is_hang_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// A file in non-blocking mode. Another process may have the same open file, so dropping
/// this restores the mode.
#[derive(Debug)]
struct NonBlocking(File, OFlags);

impl NonBlocking {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let before = fcntl_getfl(&fd)?;
        fcntl_setfl(&fd, before | OFlags::NONBLOCK)?;
        Ok(Self(fd.into(), before))
    }
}

impl Drop for NonBlocking {
    fn drop(&mut self) {
        // The descriptor is closed next, so only others could notice a failure.
        let _ = fcntl_setfl(&self.0, self.1);
    }
}

/// Ends the wait of both halves when its pipe is dropped. The halves then close the
/// descriptors.
#[derive(Debug)]
struct PipesCloser(Mutex<Option<io::PipeWriter>>);

impl Closer for PipesCloser {
    fn shutdown(&self) {
        let waker = self.0.lock().take();
        drop(waker);
    }
}
