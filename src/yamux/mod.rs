//! yamux, version 0: many ordered byte streams over one connection, for
//! programs that block. Usable by itself.
//!
//! Speaks the [public specification] and gets along with hashicorp/yamux and
//! libp2p's. A [`Connection`] runs over any [`Transport`](crate::transport);
//! one thread reads it and deals the bytes out to the streams, and whoever
//! writes to a stream also writes to the socket. A [`Stream`] is `Read` and
//! `Write`, like a `TcpStream`.
//!
//! [public specification]: https://github.com/hashicorp/yamux/blob/master/spec.md
//!
//! # Examples
//!
//! ```
//! use std::{io::{Read, Write}, net::Shutdown};
//! use wirenet::{transport::memory, yamux::{Config, Connection}};
//!
//! let (here, there) = memory::pair(64 * 1024);
//! let client = Connection::client(here, Config::default())?;
//! let server = Connection::server(there, Config::default())?;
//!
//! let mut stream = client.open()?;
//! stream.write_all(b"hello")?;
//! stream.shutdown(Shutdown::Write)?;
//!
//! let mut said = String::new();
//! server.accept()?.read_to_string(&mut said)?;
//! assert_eq!(said, "hello");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Who may lock what
//!
//! In this order: a relay, one half of a stream, the table of streams, the
//! outbox or the pings. Nobody holds two relays or two halves. No lock is held over a system call.

mod acceptor;
mod capacity;
mod config;
mod connection;
mod core;
mod error;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod half_open;
mod inbox;
#[cfg(all(test, shuttle))]
mod models;
mod outbox;
mod phase;
mod ping;
mod queue;
mod reader;
mod relay;
mod relayed;
mod role;
pub(crate) mod segment;
mod shared;
mod state;
mod stats;
mod stream;
mod table;
mod window;
mod writer;

pub(crate) use self::core::Incoming;
pub(crate) use acceptor::Acceptor;
pub use config::Config;
pub use connection::Connection;
pub(crate) use connection::WeakConnection;
pub use error::{Error, Violation};
pub use frame::{HeaderError, StreamId};
pub(crate) use reader::{ReadOutcome, Reader};
pub(crate) use relay::{Buffered, Framing, relay};
pub(crate) use role::Role;
pub use stats::Stats;
pub use stream::Stream;
pub use window::INITIAL_WINDOW;
pub(crate) use window::LEAST_GRANT;
