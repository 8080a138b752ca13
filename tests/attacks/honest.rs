//! A client that has done nothing wrong, on a connection of its own: its round
//! trips go on, whatever others do.

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

/// What goes there and back.
const LEN: usize = 64;

/// Fewer round trips say nothing.
const AT_LEAST: usize = 20;

pub struct Honest {
    stream: Stream,
    // Closed after the stream.
    _client: Wire,
    /// On a hub: who has the name that the client calls.
    _owner: Option<Wire>,
}

impl Honest {
    pub fn join(server: &Server) -> Self {
        Self::join_at(server.addr, server.place)
    }

    /// At a server in this process.
    pub fn join_at(addr: SocketAddr, place: Place) -> Self {
        let joining = || tls::client(Wire::join(addr.to_string()), place.is_tls);
        // A hub lets a name be had once.
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

    /// The name of the stream on which its round trips are made.
    pub fn calls(&self) -> &str {
        self.stream.name()
    }

    /// Opens another stream of this name, and closes it.
    pub fn opens(&self, name: &str) -> Result<(), Error> {
        self.stream.session().open_stream(name).map(drop)
    }

    /// Sends something there and gets it back, so many times.
    pub fn trips(&self, count: usize) -> Trips {
        Trips::new((0..count).map(|count| self.trip(count)).collect())
    }

    /// The same for as long as `work` goes on.
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
            (value, trips.join().expect("every round trip goes on"))
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

/// Says so when the work has panicked too.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How long round trips took.
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
