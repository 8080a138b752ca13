//! Many sources, one place where they come together: three clients send quotes
//! for as long as the server reads them.
//!
//! ```text
//! cargo run --release --example exchange -- server
//! cargo run --release --example exchange -- binance
//! cargo run --release --example exchange -- google
//! ```

mod support;

use clap::Subcommand;
use std::{
    io::{self, Write},
    process::ExitCode,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use support::{
    messages::{pause, read_text},
    random::RandomBytes,
    stop::Stop,
};
use wirenet::{Session, Stream, Wire};

/// The streams that the server opens.
const NAMES: [&str; 3] = ["binance:quotes", "google:quotes", "okcoin:quotes"];
/// More than any quote has, in bytes.
const MAX_QUOTE: u64 = 4096;

/// A server that gathers the quotes of three exchanges.
///
/// The clients serve the streams `binance:quotes`, `google:quotes` and
/// `okcoin:quotes`: one message a second, a JSON object and a newline. The
/// server opens whichever of the three a new session offers and prints what
/// comes. The prices are random. Either side may be the go-wirenet example of the same name.
/// Ctrl-C and SIGTERM close properly. RUST_LOG=debug shows what the library
/// does.
#[derive(Subcommand)]
enum Role {
    /// Prints the quotes, until it is stopped
    Server,
    /// Quotes USD
    Binance(Pace),
    /// Quotes BTC
    Google(Pace),
    /// Quotes EUR
    Okcoin(Pace),
}

#[derive(clap::Args)]
struct Pace {
    /// Milliseconds between two quotes
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    interval_ms: u64,
}

fn main() -> ExitCode {
    support::play::<9888, Role>(|role, addr, stop| match role {
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
        // Each for as long as its session stands.
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
        writeln!(io::stdout(), "{name} {}", quote.trim_end())?;
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
    support::stay_joined(wire, stop)
}

#[allow(clippy::disallowed_methods, reason = "a quote says when it was made")]
fn send_quotes(stream: &mut Stream, symbol: &str, interval: Duration) -> io::Result<()> {
    let mut random = RandomBytes::new();
    while pause(stream, interval)? {
        let price = random.number() % 1000;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = since.map_or(0, |since| since.as_secs());
        let quote =
            format!(r#"{{"Symbol":"{symbol}","Price":{price},"Timestamp":{timestamp}}}"#) + "\n";
        stream.write_message(quote.as_bytes())?;
    }
    Ok(())
}
