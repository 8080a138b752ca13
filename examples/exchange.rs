//! Streaming data from several clients to one server: three exchanges send
//! price quotes for as long as the server reads them.
//!
//! ```text
//! cargo run --release --example exchange -- server
//! cargo run --release --example exchange -- binance   # or: google, okcoin
//! ```

mod support;

use clap::Subcommand;
use std::{
    io,
    process::ExitCode,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use support::{
    messages::{pause, read_text},
    output::print_line,
    random::RandomBytes,
    stop::Stop,
};
use wirenet::{Session, Stream, Wire};

/// The streams that the server opens.
const NAMES: [&str; 3] = ["binance:quotes", "google:quotes", "okcoin:quotes"];
/// The longest quote that the server accepts, in bytes.
const MAX_QUOTE: u64 = 4096;

/// A server that collects the quotes of three exchanges.
///
/// The clients handle the streams `binance:quotes`, `google:quotes` and
/// `okcoin:quotes`: they send one message per second, a JSON object and a newline.
/// The server opens those of the three that a new session offers, and prints the
/// messages. The prices are random. Either side can be the go-wirenet example of
/// the same name.
#[derive(Subcommand)]
enum Role {
    /// Prints the quotes until stopped
    Server,
    /// Sends quotes for USD
    Binance(Pace),
    /// Sends quotes for BTC
    Google(Pace),
    /// Sends quotes for EUR
    Okcoin(Pace),
}

#[derive(clap::Args)]
struct Pace {
    /// Milliseconds between two quotes
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    interval_ms: u64,
}

fn main() -> ExitCode {
    support::run_role::<9888, Role>(|role, addr, stop| match role {
        Role::Server => server(addr, stop),
        Role::Binance(pace) => client(addr, "binance:quotes", "USD", &pace, stop),
        Role::Google(pace) => client(addr, "google:quotes", "BTC", &pace, stop),
        Role::Okcoin(pace) => client(addr, "okcoin:quotes", "EUR", &pace, stop),
    })
}

// -- the server --

fn server(addr: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::mount(addr).on_session_open(|session| {
        let names = session.stream_names().iter();
        let names = names.filter(|name| NAMES.contains(&name.as_str()));
        // One thread per stream. Each ends with the session at the latest.
        thread::scope(|scope| names.for_each(|name| drop(scope.spawn(|| read(session, name)))));
    });
    support::serve(wire, stop)
}

fn read(session: &Session, name: &str) {
    if let Err(error) = read_quotes(session, name) {
        log::warn!("{name}: {error}");
    }
}

fn read_quotes(session: &Session, name: &str) -> io::Result<()> {
    let stream = session.open_stream(name)?;
    while !session.is_closing() && stream.next_message()? {
        let quote = read_text(&stream, MAX_QUOTE)?;
        print_line!("{name} {}", quote.trim_end())?;
    }
    stream.close()
}

// -- the clients --

fn client(
    addr: String,
    name: &str,
    symbol: &'static str,
    pace: &Pace,
    stop: &Stop,
) -> io::Result<()> {
    let interval = Duration::from_millis(pace.interval_ms);
    let wire = Wire::join(addr).stream(name, move |stream| send_quotes(stream, symbol, interval));
    support::stay_connected(wire, stop)
}

#[allow(
    clippy::disallowed_methods,
    reason = "quotes carry the wall clock time"
)]
fn send_quotes(stream: &mut Stream, symbol: &str, interval: Duration) -> io::Result<()> {
    let mut random = RandomBytes::new();
    while pause(stream, interval) {
        let price = random.number() % 1000;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = since.map_or(0, |since| since.as_secs());
        let quote =
            format!(r#"{{"Symbol":"{symbol}","Price":{price},"Timestamp":{timestamp}}}"#) + "\n";
        stream.write_message(quote)?;
    }
    Ok(())
}
