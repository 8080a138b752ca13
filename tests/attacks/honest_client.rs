//! A client that does nothing wrong, on a connection of its own. Its round trips
//! must succeed whatever other peers do.

use crate::{
    server::{Kind, Place, Server, echo},
    support::{PATIENCE, pattern::Pattern, tls, wires::started},
};
use std::{
    fmt,
    io::{Read, Write},
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use wirenet::{Error, Stream, Wire};

/// Bytes of a round trip.
const LEN: usize = 64;

/// Fewer round trips would not be significant.
const AT_LEAST: usize = 20;

pub struct HonestClient {
    stream: Stream,
    // Dropped after the stream.
    _client: Wire,
    /// On a hub: the owner of the name that the client calls.
    _owner: Option<Wire>,
}

impl HonestClient {
    pub fn join(server: &Server) -> Self {
        Self::join_at(server.addr, server.place)
    }

    /// Joins a server in this process.
    pub fn join_at(addr: SocketAddr, place: Place) -> Self {
        let joining = || tls::client(Wire::join(addr.to_string()), place.is_tls);
        // On a hub, a name has one owner.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("honest-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let owner = (place.kind == Kind::Hub).then(|| started(joining().stream(&name, echo)));
        let client = started(joining());
        let session = client.wait_session(PATIENCE).unwrap();
        let name = if owner.is_some() { &name } else { "echo" };
        let stream = session.open_stream(name).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            _client: client,
            _owner: owner,
        }
    }

    /// The name of the stream that carries the round trips.
    pub fn calls(&self) -> &str {
        self.stream.name()
    }

    /// Opens another stream of this name, and drops it.
    pub fn opens(&self, name: &str) -> Result<(), Error> {
        self.stream.session().open_stream(name).map(drop)
    }

    /// Makes `count` round trips.
    pub fn trips(&self, count: usize) -> Trips {
        Trips::new((0..count).map(|count| self.trip(count)).collect())
    }

    /// Makes round trips until `work` returns.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> (T, Trips) {
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let trips = scope.spawn(|| {
                let mut times = Vec::new();
                while times.len() < AT_LEAST || !is_done.load(Ordering::Acquire) {
                    times.push(self.trip(times.len()));
                }
                Trips::new(times)
            });
            let done = Done(&is_done);
            let value = work();
            drop(done);
            (value, trips.join().expect("every round trip succeeds"))
        })
    }

    fn trip(&self, number: usize) -> Duration {
        let began = Instant::now();
        let sent = &Pattern::new(number as u64 % 8).to_vec(LEN)[..];
        let mut received = [0; LEN];
        (&self.stream).write_all(sent).unwrap();
        (&self.stream).read_exact(&mut received).unwrap();
        assert_eq!(received, sent);
        began.elapsed()
    }
}

/// Set when the work has ended, also if it panicked.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The durations of round trips, sorted.
pub struct Trips(Vec<Duration>);

impl Trips {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub fn worst(&self) -> Duration {
        self.0[self.0.len() - 1]
    }
}

impl fmt::Display for Trips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?} ({:.1?})", self.median(), self.worst())
    }
}
