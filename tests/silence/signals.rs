//! Signals that a program handles interrupt its system calls.

use crate::support::{
    PATIENCE, in_time,
    peer::{Peer, ScriptedServer},
    process::{self, Other},
    threads,
};
use std::{
    io,
    process::{Command, Stdio},
    sync::mpsc::channel,
    time::{Duration, Instant},
};
use wirenet::Wire;

const INTERVAL: Duration = Duration::from_millis(200);
const WRITE_TIMEOUT: Duration = Duration::from_millis(100);

/// One of them must be in time, because a busy machine may delay some. None may be far
/// too late.
const TRIES: usize = 5;

/// The other process: a client whose server is silent, and which gets one signal after
/// another.
#[test]
fn other_process() -> io::Result<()> {
    if process::role().is_none() {
        return Ok(());
    }
    let handled = std::sync::Arc::default();
    signal_hook::flag::register(signal_hook::consts::SIGINT, handled)?;
    let server = ScriptedServer::listen(Peer::confirm_session);
    let (ended, ends) = channel();
    let client = Wire::join(server.addr.to_string())
        .thread_name("deaf")
        .keep_alive_interval(INTERVAL)
        .read_write_timeouts(None, WRITE_TIMEOUT)
        .retry_max(0)
        .on_error(|_| {})
        .on_session_close(move |_| ended.send(Instant::now()).unwrap())
        .build()?;
    client.start()?;
    let silent_since = Instant::now();
    // The kernel delivers a signal to the thread with this id, if it can.
    let reader = threads::number_of("deaf-session").expect("a reader");
    let mut signals = Command::new("sh")
        .args(["-c", "while kill -INT $0; do :; done", &reader.to_string()])
        .stderr(Stdio::null())
        .spawn()?;
    let ended = ends.recv_timeout(PATIENCE);
    signals.kill()?;
    signals.wait()?;
    let after = ended
        .expect("the end of the session")
        .duration_since(silent_since);
    process::tell(after.as_millis())
}

#[test]
fn signals_do_not_delay_noticing_silence() {
    in_time(|| {
        let noticed = || {
            let other = Other::start("signals::other_process", "deaf").unwrap();
            let after = Duration::from_millis(other.told().parse().unwrap());
            println!("noticed after {after:?}");
            assert!(after >= WRITE_TIMEOUT, "{after:?}");
            assert!(after < 10 * INTERVAL, "{after:?}");
            after
        };
        let in_time = |after: Duration| after < 2 * (INTERVAL + WRITE_TIMEOUT);
        assert!((0..TRIES).any(|_| in_time(noticed())), "none in time");
    });
}
