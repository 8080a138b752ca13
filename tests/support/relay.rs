//! A long link: a relay that delivers every byte a while after it was sent,
//! at a limited rate, and holds so many bytes at most.
//!
//! Time is modelled, not slept away: each piece has a moment at which it is
//! due, and the thread that delivers it waits on a condition for that moment
//! or for the link's end.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

/// What one read takes, and so what becomes due at once.
const PIECE: usize = 16 * 1024;

/// What a link is like, in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// From one end to the other.
    pub delay: Duration,
    /// Bytes per second.
    pub rate: u32,
    /// Bytes on the way and waiting for it; more are not taken in.
    pub buffer: usize,
}

/// Takes one connection for `target` over such a link; gives the address to
/// connect to.
pub fn to(target: SocketAddr, profile: Profile) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    thread::spawn(move || -> io::Result<()> {
        let (near, _) = listener.accept()?;
        let far = TcpStream::connect(target)?;
        direction(near.try_clone()?, far.try_clone()?, profile)?;
        direction(far, near, profile)
    });
    Ok(addr)
}

/// Starts what carries bytes one way.
fn direction(from: TcpStream, to: TcpStream, profile: Profile) -> io::Result<()> {
    to.set_nodelay(true)?;
    let way = Arc::new(Way::new(profile));
    let entrance = Arc::clone(&way);
    thread::spawn(move || {
        let outcome = entrance.take_in(&from);
        entrance.close(outcome);
    });
    thread::spawn(move || {
        let outcome = way.deliver(&to);
        let how = match outcome {
            Ok(()) => Shutdown::Write,
            Err(_) => Shutdown::Both,
        };
        // It may have ended by itself.
        let _ = to.shutdown(how);
        way.close(Err(io::ErrorKind::BrokenPipe.into()));
    });
    Ok(())
}

/// One direction.
struct Way {
    profile: Profile,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes in `pieces`.
    held: usize,
    /// When the sending end has put what it has taken in on its way.
    idle_at: Instant,
    /// Nothing more comes in: because that was all, or because it broke.
    closed: Option<io::Result<()>>,
}

impl Way {
    fn new(profile: Profile) -> Self {
        Self {
            profile,
            state: Mutex::new(State {
                pieces: VecDeque::new(),
                held: 0,
                idle_at: Instant::now(),
                closed: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics under the lock")
    }

    fn close(&self, outcome: io::Result<()>) {
        self.lock().closed.get_or_insert(outcome);
        self.changed.notify_all();
    }

    fn take_in(&self, mut from: &TcpStream) -> io::Result<()> {
        let mut buf = vec![0; PIECE];
        loop {
            if !self.wait_room() {
                return Ok(());
            }
            match from.read(&mut buf)? {
                0 => return Ok(()),
                count => self.put(&buf[..count]),
            }
        }
    }

    /// Waits until more may be taken in; `false` when nobody wants it.
    fn wait_room(&self) -> bool {
        let full = |state: &mut State| state.held >= self.profile.buffer && state.closed.is_none();
        let waited = self.changed.wait_while(self.lock(), full);
        let state = waited.expect("no thread panics under the lock");
        state.closed.is_none()
    }

    fn put(&self, bytes: &[u8]) {
        let takes = Duration::from_secs(1) * bytes.len() as u32 / self.profile.rate;
        let mut state = self.lock();
        state.idle_at = state.idle_at.max(Instant::now()) + takes;
        let due = state.idle_at + self.profile.delay;
        state.pieces.push_back((due, bytes.to_vec()));
        state.held += bytes.len();
        drop(state);
        self.changed.notify_all();
    }

    fn deliver(&self, mut to: &TcpStream) -> io::Result<()> {
        while let Some(piece) = self.next()? {
            to.write_all(&piece)?;
            self.lock().held -= piece.len();
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits until the next piece is due; `None` when there will be no more.
    fn next(&self) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let left = match state.pieces.front() {
                Some((due, _)) if *due <= now => {
                    return Ok(state.pieces.pop_front().map(|(_, piece)| piece));
                }
                Some((due, _)) => *due - now,
                None => match state.closed.take() {
                    Some(outcome) => return outcome.map(|()| None),
                    None => Duration::MAX,
                },
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.expect("no thread panics under the lock").0;
        }
    }
}
