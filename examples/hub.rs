//! Two clients that open streams to each other through a hub.
//!
//! ```text
//! cargo run --release --example hub -- hub
//! cargo run --release --example hub -- node_b
//! cargo run --release --example hub -- node_a
//! ```

mod support;

use clap::Subcommand;
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use support::{
    messages::print_messages,
    output::{print_line, say},
    stop::Stop,
};
use wirenet::{Session, Stream, Wire};

/// How many messages node A sends, and how many lines each has.
const PARTS: u32 = 3;
const LINES: u32 = 10;

/// Two clients that open streams to each other through a hub.
///
/// Node A opens node B's stream `nodeB:hello` and sends three messages of ten
/// lines, one line every three seconds. Node B prints them. Meanwhile it opens node
/// A's stream `nodeA:hello` and sends `GGGGG`. The nodes connect only to the hub.
/// Each of the three programs can be the go-wirenet example of the same name.
#[derive(Subcommand)]
enum Role {
    /// Connects its clients' streams to each other, until stopped
    Hub,
    /// Calls node B, which must be running, then answers calls until stopped
    #[command(name = "node_a")]
    NodeA {
        /// Milliseconds between two lines
        #[arg(long, value_name = "MS", default_value_t = 3000)]
        interval_ms: u64,
    },
    /// Answers node A's calls and calls back, until stopped
    #[command(name = "node_b")]
    NodeB,
}

fn main() -> ExitCode {
    support::run_role::<8765, Role>(|role, addr, stop| match role {
        Role::Hub => hub(addr, stop),
        Role::NodeA { interval_ms } => node_a(addr, Duration::from_millis(interval_ms), stop),
        Role::NodeB => node_b(addr, stop),
    })
}

fn hub(addr: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::hub(addr)
        .on_session_open(|session| say!("open session {}", session.id()))
        .on_session_close(|session| say!("close session {}", session.id()));
    support::serve(wire, stop)
}

fn node_a(addr: String, interval: Duration, stop: &Stop) -> io::Result<()> {
    let wire = Wire::join(addr).stream("nodeA:hello", |stream| print_messages(stream));
    let (wire, session) = support::connect_once(wire, stop)?;
    let outcome = say_hello(&session, interval, stop);
    if outcome.is_ok() {
        say!("FIN");
        // Node B may call until the session ends. `support::close` reports the
        // streams that the end cut short.
        let _ = wire.wait();
    }
    support::close(&wire);
    match stop.is_requested() {
        true => Ok(()),
        false => outcome.and(Err(io::Error::other("the hub ended the session"))),
    }
}

fn say_hello(session: &Session, interval: Duration, stop: &Stop) -> io::Result<()> {
    let mut stream = session.open_stream("nodeB:hello")?;
    for line in 0..PARTS * LINES {
        let part = line / LINES + 1;
        stream.write_all(format!("{line}. part{part} Hello from nodeA\n").as_bytes())?;
        if stop.wait_for(interval) {
            return Err(io::Error::other("stopped"));
        }
        if line % LINES == LINES - 1 {
            stream.finish()?;
        }
    }
    stream.close()
}

fn node_b(addr: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::join(addr).stream("nodeB:hello", answer);
    support::stay_connected(wire, stop)
}

fn answer(stream: &mut Stream) -> io::Result<()> {
    print_line!("node A calls")?;
    let back = stream.session().open_stream("nodeA:hello")?;
    back.write_message(b"GGGGG")?;
    back.close()?;
    print_messages(stream)?;
    print_line!("FIN")
}
