//! yamux, version 0: many ordered byte streams over one connection, for programs
//! that block. Usable by itself.
//!
//! Implements the [public specification], and interoperates with hashicorp/yamux and
//! libp2p's implementation. A [`Connection`] runs over any
//! [`Transport`](crate::transport): TCP, TLS, a Unix socket, the standard input and output
//! of a child process, or one of your own. One thread reads it and delivers the bytes to the
//! streams; a thread that writes to a stream also writes to the socket. A [`Stream`]
//! implements `Read` and `Write`, like a `TcpStream`.
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

/// # The life of a frame
///
/// - **Received**, on the reader's thread. [`ConnectionReader::turn`] reads from the
///   transport. [`reader::dispatch`] takes the [headers](frame::Decoder) out of what was
///   read, and [`reader::frames`] handles each by its kind. The body of a Data frame goes
///   to its stream's [`Core`](core::Core), which appends it to the inbox and wakes the
///   thread that waits in
///   [`wait_readable`](stream::shared_stream::SharedStream::wait_readable). As the program
///   reads, its thread gives the peer credit back, in one update for a little under half a
///   window ([`update_window`](shared::Shared::update_window)).
/// - **Sent**, on the thread of a program that writes.
///   [`send_frame`](stream::shared_stream::SharedStream::send_frame) waits for credit and
///   for room in the outbox, and queues the frame
///   ([`Outbox::try_send`](outbox::Outbox::try_send)). If no thread is writing, it gets the
///   writing role and [writes](shared::Shared::drain) for one
///   [`Shift`](outbox::writing::Shift); otherwise the thread that is writing takes the
///   frame along. A thread that must not block leaves to a helper thread what the transport
///   does not take at once.
/// - **Opened here.** [`Connection::open`] takes an id from the [`Table`](table::Table) and
///   queues a SYN.
/// - **Opened by the peer.** [`reader::frames`] asks the [table](table::inbound) whether the
///   stream is accepted, refused or [held](shared::held). When all that was read has been
///   dispatched, the reader passes the stream to the [`Acceptor`].
/// - **Relayed**, on the reader's thread. After each read it
///   [pumps](relay::Relay::pump) the relays whose streams have received something:
///   [`relay::pair`] moves bytes from the inbox of one leg to the outbox of the other leg's
///   connection, which is then [flushed](relay::Flushes). A relay without room is parked; a
///   thread that makes room by writing serves it
///   ([`next_relay`](outbox::Outbox::next_relay)).
/// - **Ended.** See the diagrams in [`phase`] for connections, and in [`state`] for
///   streams.
///
/// # A new type of frame
///
/// 1. [`frame::Kind`], with its number, the length of its body, and a constructor of its
///    [`Header`](frame::Header).
/// 2. [`reader::frames`] handles it, for the connection or for a stream. A body always goes
///    to a stream's inbox; anything else needs new code in [`reader::dispatch`].
/// 3. It is queued with [`Outbox::push`](outbox::Outbox::push); with
///    [`Outbox::try_push`](outbox::Outbox::try_push) if a frame of the peer causes it, since
///    the number of unread answers is limited; with
///    [`Outbox::try_send`](outbox::Outbox::try_send) if it has a body.
/// 4. A peer that does not know the type ends the connection, so it may be sent only to
///    peers that have announced it in the session handshake.
/// 5. `yamux/fuzz` and `tests/interop/libp2p` know all frames.
///
/// # Glossary
///
/// - **connection**: one transport and its streams. [`Connection`] and [`Stream`] are
///   handles.
/// - **core**: the state of one stream: its two halves. The stream's handles, the reader
///   and a relay share it.
/// - **half**: the receiving or the sending half of a core.
/// - **segment**: a block of received bytes, or of bytes to be sent.
/// - **inbox**: the bytes of a stream that were received and not yet read.
/// - **outbox**: the frames of a connection that are queued to be written.
/// - **writing role**: the right to write to the transport; one thread at a time has it.
/// - **relay**: two streams of two connections, joined in a hub.
/// - **leg**: one of the two streams of a relay, with its connection.
/// - **grant**: credit that is sent in a window update.
/// - **place**: one of the `max_streams` that the peer may have open and that are served.
///   A stream of the peer that has no place yet is **held**.
/// - **at rest**: a stream on which nothing is being sent, so it may end.
/// - **half open**: no longer used on this side, and not yet ended by the peer.
///
/// # Lock order
///
/// A thread takes locks only in this order, and never two of one line:
///
/// 1. a relay: the legs of a [`RelayPair`](relay::pair)
/// 2. a half: `recv` or `send` of a [`Core`](core::Core)
/// 3. the [table](table::Table)
/// 4. the [outbox](outbox::Outbox), the [pings](ping::Pings), and the other locks of
///    [`Shared`](shared::Shared)
/// 5. the pool of [segments](segment)
///
/// A stream's timeouts, and the queue of [`Connection::accept`], have locks that are taken
/// alone.
///
/// No lock is held over a system call, or a call of the program's code. (A TLS transport has
/// locks of its own, one of which is held while it writes: see
/// `src/transport/tls/mod.rs`.)
///
/// # Small programs and small stacks
///
/// On small machines, the size of the program and of its threads' stacks matters, so
/// some code is less direct than it could be:
///
/// - Code that only one kind of program needs is called through a function pointer or a
///   trait object, so that other programs do not link it: relaying and joining legs (only
///   hubs), accepting (only servers and hubs), loading keys (only programs that show
///   certificates).
/// - Code that would be compiled for each type or closure takes a boxed one instead, so
///   that it is compiled once: starting a thread, jobs, acceptors.
/// - Code that briefly needs much stack is a separate function that is never inlined, and
///   values that live long on a reader's thread are boxed. A comment marks these places.
#[cfg(doc)]
mod map {}

mod acceptor;
mod budget;
mod capacity;
mod config;
mod connection;
mod core;
mod error;
mod error_context;
mod error_text;
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

mod role;
pub(crate) mod segment;
mod shared;
mod state;
mod stats;
mod stream;
mod table;
mod waker;
mod window;
mod writer;

pub(crate) use self::core::Incoming;
pub(crate) use acceptor::Acceptor;
pub use config::Config;
pub use connection::Connection;
pub(crate) use connection::WeakConnection;
pub use error::{Error, Violation};
pub use error_context::{AboutStream, Waited};
pub use frame::{HeaderError, StreamId};
pub(crate) use reader::{ConnectionReader, ReadOutcome};
pub(crate) use relay::{
    framing::{Buffered, Framing, Passed},
    pair::join_relay,
};
pub(crate) use role::Role;
pub use stats::Stats;
pub(crate) use stream::Rest;
pub use stream::Stream;
#[cfg(unix)]
pub(crate) use waker::{Armed, Wake};
pub use window::INITIAL_WINDOW;
pub(crate) use window::LEAST_GRANT;
