//! On a link with round trips of 100 ms, windows grow until one stream fills the link, as
//! a TCP connection does.

mod support;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};
use support::{
    PATIENCE,
    fault_proxy::{FaultProxy, Profile},
    in_time,
    pattern::PIECE,
};
use wirenet::{Builder, Wire};

/// Half a round trip.
const DELAY: Duration = Duration::from_millis(50);

/// The rate of the link in bytes per second: little enough that the machine is not the
/// limit, and in each round trip nearly eight times the initial window of a stream.
const RATE: u32 = 20_000_000;

const LINK: Profile = Profile {
    delay: DELAY,
    rate: Some(RATE),
    rate_up: None,
    // What is on the way at that rate, and as much again that waits.
    buffer: 2 * (RATE / 20) as usize,
    kernel: None,
    piece: PIECE,
    cut: None,
};

/// The rate of a transfer of `len` bytes, from the first write until the peer has
/// confirmed it.
fn rate(len: u64, transfer: impl FnOnce() -> io::Result<()>) -> f64 {
    let begin = Instant::now();
    transfer().unwrap();
    len as f64 / begin.elapsed().as_secs_f64()
}

fn write(mut to: impl Write, len: u64) -> io::Result<()> {
    let bytes = [0x5a; PIECE];
    for _ in 0..len / PIECE as u64 {
        to.write_all(&bytes)?;
    }
    Ok(())
}

/// The rate of a TCP connection over the link.
fn raw_rate(len: u64) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = FaultProxy::to(listener.local_addr().unwrap(), LINK).unwrap();
    let mut near = TcpStream::connect(link.addr).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let reader = thread::spawn(move || {
        assert_eq!(io::copy(&mut far, &mut io::sink()).unwrap(), len);
        far.write_all(b"all").unwrap();
    });
    let rate = rate(len, || {
        write(&near, len)?;
        near.shutdown(Shutdown::Write)?;
        near.read_exact(&mut [0; 3])
    });
    reader.join().unwrap();
    rate
}

/// The rate of one stream over the link, to a server with these options.
fn stream_rate(len: u64, options: impl FnOnce(Builder) -> Builder) -> f64 {
    let server = options(Wire::mount("127.0.0.1:0"))
        .stream("sink", move |stream| {
            assert_eq!(io::copy(stream, &mut io::sink())?, len);
            stream.write_message(b"all")
        })
        .build()
        .unwrap();
    server.start().unwrap();
    let client = join_over_link(server.local_addr().expect("it listens"));
    let session = client.wait_session(PATIENCE).unwrap();
    rate(len, || {
        let mut stream = session.open_stream("sink")?;
        write(&stream, len)?;
        stream.finish()?;
        stream.read_exact(&mut [0; 3])
    })
}

fn join_over_link(server: SocketAddr) -> Wire {
    let link = FaultProxy::to(server, LINK).unwrap();
    let client = Wire::join(link.addr.to_string()).build().unwrap();
    client.start().unwrap();
    client
}

/// Including the time in which the window grows.
#[test]
fn one_stream_fills_a_long_link() {
    const LEN: u64 = 64 << 20;

    /// Other load on the machine may slow down one of the two more.
    const TRIES: usize = 3;

    in_time(|| {
        let filled = (0..TRIES).any(|_| {
            // At the same time, so that both have the same conditions.
            let (raw, ours) = thread::scope(|scope| {
                let raw = scope.spawn(|| raw_rate(LEN));
                let ours = stream_rate(LEN, |server| server);
                (raw.join().expect("no panic"), ours)
            });
            let ratio = ours / raw;
            println!("{ratio:.2} of raw TCP: {ours:.0} of {raw:.0} bytes/s");
            ratio >= 0.8
        });
        assert!(filled, "at least 0.8 of raw TCP");
    });
}

/// Each round trip carries one initial window.
#[test]
fn a_window_that_must_not_grow_limits_a_long_link() {
    const LEN: u64 = 4 << 20;

    in_time(|| {
        let ours = stream_rate(LEN, |server| server.max_window(262_144));
        println!("{ours:.0} bytes/s");
        assert!(ours < 4e6, "{ours:.0} bytes/s");
    });
}
