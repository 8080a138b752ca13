//! Authentication with tokens: a server accepts two clients and refuses a third,
//! which has a wrong token.
//!
//! ```text
//! cargo run --release --example auth -- server
//! cargo run --release --example auth -- aws     # or: digitalocean, macbook
//! ```

mod support;

use clap::Subcommand;
use std::{io, process::ExitCode};
use support::{
    messages::print_messages,
    output::{print_line, say},
    stop::Stop,
};
use wirenet::{Denied, Session, Wire, same_token};

/// The token that the server accepts.
const TOKEN: &str = "token";

/// A server that checks tokens, and clients that send one.
///
/// The server accepts the token `token` and refuses all others. It prints each
/// decision, and reads the streams that each accepted client offers. Either side
/// can be the go-wirenet example of the same name.
#[derive(Subcommand)]
enum Role {
    /// Checks tokens until stopped
    Server,
    /// Sends the right token; handles `aws:read`
    Aws,
    /// Sends a wrong token; exits when the server refuses it
    Digitalocean,
    /// Sends the right token; handles `macbook:read`
    Macbook,
}

fn main() -> ExitCode {
    support::run_role::<8989, Role>(|role, addr, stop| match role {
        Role::Server => server(addr, stop),
        Role::Aws => client(addr, "aws", TOKEN, stop),
        Role::Digitalocean => client(addr, "digitalocean", "badtoken", stop),
        Role::Macbook => client(addr, "macbook", TOKEN, stop),
    })
}

fn server(addr: String, stop: &Stop) -> io::Result<()> {
    let wire = Wire::mount(addr)
        .token_validator(validate)
        .on_session_open(|session| {
            if let Err(error) = read_all(session) {
                log::warn!("session {}: {error}", session.id());
            }
        });
    support::serve(wire, stop)
}

/// The library calls this once for each new session, with the stream name
/// `confirmSession`, and once for each stream that a client opens.
fn validate(stream: &str, id: &[u8], token: &[u8]) -> Result<(), Denied> {
    let verdict = match same_token(token, TOKEN) {
        true => Ok(()),
        false => Err("invalid token".into()),
    };
    let node = String::from_utf8_lossy(id);
    let text = verdict.as_ref().map_or("refused", |()| "accepted");
    say!("node={node:?} stream={stream:?} {text}");
    verdict
}

/// Opens every stream that the client offers, and prints its messages.
fn read_all(session: &Session) -> io::Result<()> {
    for name in session.stream_names() {
        let stream = session.open_stream(name)?;
        print_line!("reading {name:?}")?;
        print_messages(&stream)?;
    }
    Ok(())
}

fn client(addr: String, node: &str, token: &str, stop: &Stop) -> io::Result<()> {
    let payload = format!("{node} some payload");
    let wire = Wire::join(addr)
        .identification(format!("{node}.svc"), token)
        .stream(format!("{node}:read"), move |stream| {
            stream.write_message(&payload)
        });
    support::stay_connected(wire, stop)
}
