//! A well-behaved client that measures round trips during the load.

use crate::support::{PATIENCE, wires::message};
use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use std::{
    fmt, mem,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use wirenet::Builder;

/// The pause between two round trips: they should measure load, not cause it.
const REST: Duration = Duration::from_millis(2);

pub struct Probe {
    times: Arc<Mutex<Vec<Duration>>>,
    /// Dropping this ends the probe.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The round-trip times of a period.
pub struct RoundTrips(Vec<Duration>);

impl Probe {
    /// Starts to exchange messages of 64 bytes on one stream, `echo`.
    pub fn start(client: Builder) -> Self {
        let wire = client.build().unwrap();
        wire.start().unwrap();
        let times: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let (stop, stopped) = bounded::<()>(0);
        let measured = Arc::clone(&times);
        let thread = thread::spawn(move || {
            let session = wire.wait_session(PATIENCE).unwrap();
            let stream = session.open_stream("echo").unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut stopping = false;
            while !stopping {
                let start = Instant::now();
                stream.write_message([7; 64]).unwrap();
                assert_eq!(message(&stream).unwrap(), [7; 64]);
                measured.lock().push(start.elapsed());
                let waited = stopped.recv_timeout(REST);
                stopping = waited.is_err_and(|error| error.is_disconnected());
            }
            stream.close().unwrap();
            wire.close().unwrap();
        });
        Self {
            times,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns the round trips since the last call.
    pub fn take(&self) -> RoundTrips {
        RoundTrips(mem::take(&mut self.times.lock()))
    }

    /// Ends the probe. Panics if a round trip has failed.
    pub fn end(mut self) {
        drop(self.stop.take());
        self.thread.take().expect("it runs").join().unwrap();
    }
}

impl fmt::Display for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.0.clone();
        times.sort_unstable();
        match times[..] {
            [] => write!(f, "none"),
            [.., worst] => write!(
                f,
                "{:.0?} median, {worst:.1?} worst of {}",
                times[times.len() / 2],
                times.len()
            ),
        }
    }
}
