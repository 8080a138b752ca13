//! TLS: a server with a certificate, and a client that trusts the authority it
//! comes from, or this one certificate alone.
//!
//! ```text
//! cargo run --release --example tls -- server
//! cargo run --release --example tls -- client
//! ```

mod support;

use clap::{Parser, Subcommand};
use std::{io, path::PathBuf, process::ExitCode, time::Duration};
use support::{
    Addr,
    messages::{pause, print_message},
    secure::{ClientTls, ServerTls},
    stop::Stop,
};
use wirenet::{Stream, Wire};

/// A stream over TLS.
///
/// The server serves the stream `info`: a message every second, until the
/// client closes it. The certificates of the source are public: they are for
/// trying out on one machine. Either side may be the go-wirenet example of the
/// same name; give the client a Go server's fingerprint with `--pin`. Ctrl-C and
/// SIGTERM close properly. RUST_LOG=debug shows what the library does.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    addr: Addr<9076>,
    /// The folder of the certificates: `server.pem`, `server.key`, `ca.pem`
    #[arg(long, global = true, value_name = "DIR", default_value = "certs")]
    certs: PathBuf,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Has news every second, until it is stopped; prints its fingerprint
    Server {
        /// Milliseconds between two messages
        #[arg(long, value_name = "MS", default_value_t = 1000)]
        interval_ms: u64,
    },
    /// Prints the news, until the server ends or it is stopped
    ///
    /// Without --ca and --pin it trusts the authority in the certificates'
    /// folder.
    Client(ClientTls),
}

fn main() -> ExitCode {
    let Args {
        addr: Addr { addr },
        certs,
        role,
    } = Args::parse();
    support::run(|stop| match role {
        Role::Server { interval_ms } => {
            let interval = Duration::from_millis(interval_ms);
            server(addr, certs, interval, stop)
        }
        Role::Client(tls) => client(addr, certs, tls, stop),
    })
}

fn server(addr: String, certs: PathBuf, interval: Duration, stop: &Stop) -> io::Result<()> {
    let certs = Some(certs);
    let wire = ServerTls { certs }
        .apply(Wire::mount(addr))?
        .stream("info", move |stream| inform(stream, interval))
        .on_session_open(|session| {
            let id = String::from_utf8_lossy(session.identification());
            println!("session={} identification={id:?}", session.id());
        });
    support::serve(wire, stop)
}

fn inform(stream: &mut Stream, interval: Duration) -> io::Result<()> {
    loop {
        stream.write_message(b"HELLO FROM SERVER!")?;
        if !pause(stream, interval)? {
            return Ok(());
        }
    }
}

fn client(addr: String, certs: PathBuf, mut tls: ClientTls, stop: &Stop) -> io::Result<()> {
    if tls.pin.is_none() {
        tls.ca.get_or_insert_with(|| certs.join("ca.pem"));
    }
    let wire = tls.apply(Wire::join(addr))?.identification("client", "");
    let (wire, session) = support::join(wire, stop)?;
    let outcome = (|| {
        let stream = session.open_stream("info")?;
        while !session.is_closing() && stream.next_message()? {
            print_message(&stream)?;
        }
        stream.close()
    })();
    support::close(&wire);
    match stop.requested() {
        true => Ok(()),
        false => outcome,
    }
}
