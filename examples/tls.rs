//! TLS: a server with a certificate, and a client that trusts either the authority
//! that issued the certificate, or only this certificate.
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
    output::say,
    stop::Stop,
    tls_options::{ClientTls, ServerTls},
};
use wirenet::{Stream, Wire};

/// A stream over TLS.
///
/// The server handles the stream `info`: it sends one message per second until the
/// client closes the stream. The certificates and keys in `certs` are public: use
/// them only for tests on one machine. Either side can be the go-wirenet example of
/// the same name; pass a Go server's fingerprint to the client with `--pin`.
#[derive(Parser)]
#[command(after_long_help = support::SIGNALS)]
struct Args {
    #[command(flatten)]
    addr: Addr<9076>,
    /// The folder with `server.pem`, `server.key` and `ca.pem`; SIGHUP makes the
    /// server read its two files again
    #[arg(long, global = true, value_name = "DIR", default_value = "certs")]
    certs: PathBuf,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Prints its fingerprint, and sends messages until stopped
    Server {
        /// Milliseconds between two messages
        #[arg(long, value_name = "MS", default_value_t = 1000)]
        interval_ms: u64,
    },
    /// Prints the messages until the server closes the session or it is stopped
    ///
    /// Without --ca or --pin, the client trusts the `ca.pem` in the --certs folder.
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
        .apply(Wire::mount(addr), stop)?
        .stream("info", move |stream| send_messages(stream, interval))
        .on_session_open(|session| {
            let id = String::from_utf8_lossy(session.identification());
            say!("session={} identification={id:?}", session.id());
        });
    support::serve(wire, stop)
}

fn send_messages(stream: &mut Stream, interval: Duration) -> io::Result<()> {
    loop {
        stream.write_message(b"HELLO FROM SERVER!")?;
        if !pause(stream, interval) {
            return Ok(());
        }
    }
}

fn client(addr: String, certs: PathBuf, mut tls: ClientTls, stop: &Stop) -> io::Result<()> {
    if tls.pin.is_none() {
        tls.ca.get_or_insert_with(|| certs.join("ca.pem"));
    }
    let wire = tls.apply(Wire::join(addr))?.identification("client", "");
    let (wire, session) = support::connect_once(wire, stop)?;
    let outcome = (|| {
        let stream = session.open_stream("info")?;
        while !session.is_closing() && stream.next_message()? {
            print_message(&stream)?;
        }
        stream.close()
    })();
    support::close(&wire);
    match stop.is_requested() {
        true => Ok(()),
        false => outcome,
    }
}
