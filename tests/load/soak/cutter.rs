//! A relay whose connections break, each after a random number of bytes. It adds no
//! delay and has no rate: it carries as much as two threads can, so as not to slow down
//! the load.

use crate::{counts::Tally, support::random::Random};
use parking_lot::{Condvar, Mutex};
use socket2::SockRef;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A connection carries at most 2 to the power of this many bytes.
const MAX_POWER: usize = 28;

/// A connection carries at least 2 to the power of this many bytes: some break in their
/// handshake.
const MIN_POWER: usize = 7;

pub struct Cutter {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    tally: Arc<Tally>,
    /// The maximum duration of a silence.
    silence: Duration,
    /// While this is set, connections do not break.
    calm: Mutex<bool>,
    changed: Condvar,
}

/// How a connection breaks.
#[derive(Clone, Copy)]
enum End {
    Fin,
    Reset,
    /// Nothing passes any longer, without notice to either end. After this time it
    /// is reset.
    Silence(Duration),
}

struct Link {
    near: TcpStream,
    far: TcpStream,
    /// Bytes that may still pass, in both directions together.
    left: Mutex<u64>,
    end: End,
    /// The connection is being reset, and must not send a FIN first.
    is_reset: AtomicBool,
    shared: Arc<Shared>,
}

impl Cutter {
    pub fn to(
        target: SocketAddr,
        seed: u64,
        silence: Duration,
        tally: Arc<Tally>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            tally,
            silence,
            calm: Mutex::new(false),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        let mut random = Random(seed);
        thread::spawn(move || {
            for near in listener.incoming() {
                // The hub, or the client, may be gone already.
                let _ = near.and_then(|near| carry(&accepting, near, &mut random));
            }
        });
        Ok(Self { addr, shared })
    }

    /// Sets whether connections are kept from breaking. Silent ones are reset.
    pub fn set_calm(&self, calm: bool) {
        *self.shared.calm.lock() = calm;
        self.shared.changed.notify_all();
    }
}

/// Carries one connection, on threads of its own.
fn carry(shared: &Arc<Shared>, near: TcpStream, random: &mut Random) -> io::Result<()> {
    let far = TcpStream::connect(shared.target)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let end = match random.below(17) {
        0..8 => End::Fin,
        8..16 => End::Reset,
        // Rarely, and mostly for a short time: callers have to wait.
        _ => End::Silence(shared.silence / (1 << random.below(10))),
    };
    let power = MIN_POWER + random.below(MAX_POWER - MIN_POWER);
    let link = Arc::new(Link {
        near,
        far,
        left: Mutex::new((1 << power) + random.below(1 << power) as u64),
        end,
        is_reset: AtomicBool::new(false),
        shared: Arc::clone(shared),
    });
    let back = Arc::clone(&link);
    thread::spawn(move || link.pass(&link.near, &link.far));
    thread::spawn(move || back.pass(&back.far, &back.near));
    Ok(())
}

impl Link {
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buf = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buf) {
            let (passed, cut) = self.take(count);
            if to.write_all(&buf[..passed]).is_err() {
                break;
            }
            if cut {
                return self.cut();
            }
            if passed < count {
                // The connection is silent.
                return;
            }
        }
        if !self.is_reset.load(Ordering::Acquire) {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Returns how many of `count` bytes pass, and whether the connection breaks
    /// after them.
    fn take(&self, count: usize) -> (usize, bool) {
        if *self.shared.calm.lock() {
            return (count, false);
        }
        let mut left = self.left.lock();
        let passed = (*left).min(count as u64);
        *left -= passed;
        (passed as usize, passed > 0 && *left == 0)
    }

    fn cut(&self) {
        match self.end {
            End::Fin => {
                self.shared.tally.add("cut:fin", 1);
                let _ = self.near.shutdown(Shutdown::Both);
                let _ = self.far.shutdown(Shutdown::Both);
            }
            End::Reset => {
                self.shared.tally.add("cut:reset", 1);
                self.reset();
            }
            End::Silence(time) => {
                self.shared.tally.add("cut:silence", 1);
                let deadline = Instant::now() + time;
                let mut calm = self.shared.calm.lock();
                while !*calm {
                    let waited = self.shared.changed.wait_until(&mut calm, deadline);
                    if waited.timed_out() {
                        break;
                    }
                }
                drop(calm);
                self.reset();
            }
        }
    }

    /// Marks both ends to be reset when the last thread drops them, and wakes the
    /// threads.
    fn reset(&self) {
        self.is_reset.store(true, Ordering::Release);
        for end in [&self.near, &self.far] {
            let _ = SockRef::from(end).set_linger(Some(Duration::ZERO));
            let _ = end.shutdown(Shutdown::Read);
        }
    }
}
