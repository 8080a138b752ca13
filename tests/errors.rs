//! What a user reads when something is wrong: for each wrong input, the message says what was
//! given, what happened, and what to do.
//!
//! `cargo test --test errors -- --nocapture` prints every input with its message.

mod support;

#[path = "errors/table.rs"]
mod table;

#[path = "errors/addresses.rs"]
mod addresses;
#[path = "errors/handshakes.rs"]
mod handshakes;
#[path = "errors/options.rs"]
mod options;
#[cfg(unix)]
#[path = "errors/pipes.rs"]
mod pipes;
#[path = "errors/requests.rs"]
mod requests;
#[path = "errors/servers.rs"]
mod servers;
#[path = "errors/sessions.rs"]
mod sessions;
#[path = "errors/streams.rs"]
mod streams;
#[cfg(feature = "tls")]
#[path = "errors/tls.rs"]
mod tls;
#[cfg(feature = "tls")]
#[path = "errors/tls_files.rs"]
mod tls_files;
#[path = "errors/yamux.rs"]
mod yamux;
