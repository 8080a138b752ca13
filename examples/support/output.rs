//! Lines on stdout and stderr. Nothing here panics if stdout or stderr is closed, and
//! nothing hangs after a signal if nobody reads them.
//!
//! Each of the two has a queue of lines, and a thread that writes them.

use crossbeam_channel::{Receiver, Sender, bounded, select};
use std::{
    convert::Infallible,
    fmt,
    io::{self, Write},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// The number of lines that may wait to be written.
const QUEUE: usize = 1024;
/// How long the end of the program waits for the last lines to be written, after a
/// signal and for stderr.
const LAST_LINES: Duration = Duration::from_secs(1);

static STDOUT: LazyLock<Lines> = LazyLock::new(|| Lines::start(io::stdout()));
static STDERR: LazyLock<Lines> = LazyLock::new(|| Lines::start(io::stderr()));
static HURRY: LazyLock<Hurry> = LazyLock::new(|| {
    let (sender, hurried) = bounded(0);
    let sender = Mutex::new(Some(sender));
    Hurry { sender, hurried }
});

/// Prints a line about the program's state. It is dropped if nobody reads stdout.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::support::output::write_state(format_args!($($text)*))
    };
}

/// Prints a line of the program's actual output. Evaluates to an `io::Result`. Waits
/// until there is room for the line. Fails if stdout is closed, and if there is no
/// room after a signal.
#[allow(unused_macros, reason = "not every example prints data")]
macro_rules! print_line {
    ($($text:tt)*) => {
        $crate::support::output::write_data(format!($($text)*).into_bytes())
    };
}

#[allow(unused_imports, reason = "not every example prints data")]
pub(crate) use {print_line, say};

pub fn write_state(line: fmt::Arguments<'_>) {
    STDOUT.offer(Queued::Text(format!("{line}\n").into()));
}

pub fn write_data(mut line: Vec<u8>) -> io::Result<()> {
    if !line.ends_with(b"\n") {
        line.push(b'\n');
    }
    match STDOUT.state.failed.load(Ordering::Relaxed) {
        true => Err(io::Error::new(
            io::ErrorKind::BrokenPipe,
            "stdout cannot be written to",
        )),
        false => STDOUT.queue(Queued::Text(line)),
    }
}

/// Prints a line to stderr. It is dropped if nobody reads stderr.
pub fn complain(line: fmt::Arguments<'_>) {
    STDERR.offer(Queued::Text(format!("{line}\n").into()));
}

/// A writer for the log. Lines that nobody reads are dropped.
pub struct Log;

impl Write for Log {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        STDERR.offer(Queued::Text(buf.into()));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the threads now, so that their number does not change later.
pub fn start() {
    LazyLock::force(&STDOUT);
    LazyLock::force(&STDERR);
}

/// From now on, nothing waits for a reader of the output.
pub fn hurry() {
    let sender = HURRY.sender.lock();
    *sender.unwrap_or_else(PoisonError::into_inner) = None;
}

/// Waits until all lines are written. Must be called before the program ends.
pub fn flush() {
    let (mark, written) = bounded::<Infallible>(0);
    // If the mark cannot be queued, it is dropped, and nothing is waited for.
    let _ = STDOUT.queue(Queued::Mark(mark));
    select! {
        recv(written) -> _ => {}
        recv(HURRY.hurried) -> _ => wait(&written),
    }
    let (mark, written) = bounded(0);
    STDERR.offer(Queued::Mark(mark));
    wait(&written);
}

fn wait(written: &Receiver<Infallible>) {
    // Either way the program ends.
    let _ = written.recv_timeout(LAST_LINES);
}

/// Ends all waits for readers of the output.
struct Hurry {
    /// Dropped when nothing may wait any more.
    sender: Mutex<Option<Sender<Infallible>>>,
    /// Never receives a message.
    hurried: Receiver<Infallible>,
}

struct Lines {
    queue: Sender<Queued>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Whether the last line could not be written.
    failed: AtomicBool,
    /// The number of lines for which there was no room, until it is printed.
    dropped: AtomicU64,
}

enum Queued {
    Text(Vec<u8>),
    /// Dropped when all lines before it are written.
    Mark(Sender<Infallible>),
}

impl Lines {
    fn start(to: impl Write + Send + 'static) -> Self {
        let (queue, queued) = bounded(QUEUE);
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        // Without a thread, all lines are dropped.
        let _ = thread::Builder::new().spawn(move || write_all(to, &queued, &shared));
        Self { queue, state }
    }

    /// Queues this, or drops it if there is no room.
    fn offer(&self, queued: Queued) {
        if self.queue.try_send(queued).is_err() {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Queues this. Waits for room, but not after a signal.
    fn queue(&self, queued: Queued) -> io::Result<()> {
        let Err(full) = self.queue.try_send(queued) else {
            return Ok(());
        };
        select! {
            send(self.queue, full.into_inner()) -> sent => sent.map_err(io::Error::other),
            recv(HURRY.hurried) -> _ => Err(io::Error::other("stopped")),
        }
    }
}

fn write_all(mut to: impl Write, queued: &Receiver<Queued>, state: &State) {
    for queued in queued {
        match queued {
            Queued::Text(text) => {
                let dropped = state.dropped.swap(0, Ordering::Relaxed);
                let written = match dropped {
                    0 => Ok(()),
                    _ => writeln!(to, "({dropped} lines were dropped)"),
                };
                let written = written.and_then(|()| to.write_all(&text));
                let written = written.and_then(|()| to.flush());
                state.failed.store(written.is_err(), Ordering::Relaxed);
            }
            Queued::Mark(mark) => drop(mark),
        }
    }
}
