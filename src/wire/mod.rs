//! Named streams between two programs: layer 2 of the protocol, the frames that open
//! sessions and streams, and layer 3, messages in chunks. Layer 1 is
//! [`yamux`](crate::yamux).
//!
//! # Floors
//!
//! Each floor uses its own files and the floors below it; `tests/layers.rs` checks
//! that.
//!
//! | floor | what it is | files to read first |
//! |---|---|---|
//! | `wire` | what a program holds | [`handle`], [`builder`] |
//! | [`run`] | what the threads of a wire do | [`run::client`], [`run::server`], [`run::serving`], [`run::inbound`] |
//! | [`state`] | what a wire holds; its only threads are the pool's | [`state::wire_state`], [`state::lifecycle`], [`state::registry`] |
//! | [`session`] | what a session is, and what it speaks | [`session::session`], [`session::stream`], [`session::receiving`], [`session::chunk`] |
//!
//! # The life of a stream
//!
//! 1. **A session.** [`run::server`] accepts a connection and starts the session's thread;
//!    on a client, the thread that dialled with [`run::client`] is the session's. It runs the
//!    [`Handshake`](run::handshake::Handshake), in which it drives the connection's reader
//!    itself, and then [`run::serving`]: it registers the session and reads the yamux
//!    connection until the session ends.
//! 2. **A call.** [`Session::open_stream`] opens a yamux stream, sends an *open* frame
//!    ([`session::frame`]) along with its SYN, and waits for the answer.
//! 3. **The peer.** Its reader passes the stream to the session's acceptor
//!    ([`run::serving`]), which takes the bytes that came with the SYN, and gets a permit of
//!    the [`HandlerPool`](state::pool::HandlerPool), or refuses the stream. On a pool thread,
//!    [`run::inbound`] then waits for the rest of the open frame, asks the validator, looks
//!    the name up, and answers.
//! 4. **The handler** gets a [`Stream`]. Its writes become chunks ([`session::chunk`]) and
//!    then bytes of the yamux stream; its reads take segments from the stream's inbox, in
//!    which [`session::receiving`] finds the chunks and the ends of messages.
//! 5. **A relay.** On a hub, a name may belong to the session of another client. The pool
//!    thread opens a stream there, waits for the owner's answer, answers the caller, and
//!    joins the two ([`join_relay`](crate::yamux)). From then on the readers of both
//!    connections pass the bytes on, and no thread of the hub waits.
//! 6. **The end.** [`run::close`] closes a wire, [`session::closing`] its sessions. No new
//!    streams are accepted, those that still run have until a deadline, and the rest are cut.
//!
//! # A new message of the session handshake
//!
//! Its frame begins in [`session::frame`], its content and the bit by which a side says that
//! it understands it in [`session::handshake_messages`]. [`run::handshake`] has the client's
//! part in `ask`, the server's in `answer`, the decision in `judge`; what both sides agree on
//! is [`Agreed`](session::session::Agreed). `tests/golden.rs` has the bytes.
//!
//! # Glossary
//!
//! The terms of layer 1 are in [`yamux`](crate::yamux).
//!
//! - **wire**: a server, a hub, or a client; what a program builds, runs, and closes.
//! - **session**: one authenticated connection between two wires, with an id.
//! - **stream**: a two-way sequence of messages under a name, inside one yamux stream,
//!   which is called the **raw** stream here.
//! - **message**: what a sender ends with an end mark; any length.
//! - **chunk**: a piece of a message, as it is sent: four bytes of length, then up to
//!   1,024 bytes.
//! - **caller**: the side that opens a stream.
//! - **owner**: on a hub, the session that offers a stream's name.
//! - **handler**: code of the program that serves streams of one name.
//! - **hook**: code of the program that is called when something happens.
//! - **validator**: code of the program that accepts or refuses sessions and streams.
//! - **place**, **permit**: one of a limited number: of sessions or handshakes; of handlers
//!   that run at once.
//! - **refusal**: an answer that denies a session or a stream, with a reason.
//! - **abort**: end a stream so that the peer gets an error.
//!
//! # Lock order
//!
//! A thread takes locks only in this order:
//!
//! 1. The sending side of a stream, then its receiving side, which a sender only tries. A
//!    side is locked while a thread reads or writes and as long as a [`Reader`] or [`Writer`]
//!    exists: over waits, system calls, and whatever the program does meanwhile.
//! 2. The [data](state::wire_state::WireData) of a wire. Under it, sessions are asked
//!    whether they are closing or have ended, and for their round trip.
//! 3. What [`yamux`](crate::yamux) locks.
//!
//! All other locks (handlers, pool, deferred errors, takeovers, tracked threads, the progress
//! of hooks, streams that come early, a dial) are the last that a thread takes. Locks from 2
//! on are never held over a system call, or while the library calls the program's code.

mod builder;
mod handle;
mod run;
pub(crate) mod session;
mod state;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(all(test, shuttle))]
mod models;
#[cfg(test)]
mod tests;

pub use builder::{Address, Builder};
pub use handle::Wire;
#[cfg(unix)]
pub use session::pipe::Piped;
pub use session::{
    byte_stream::ByteStream,
    frame::FrameError,
    id::{ParseSessionIdError, SessionId},
    session::Session,
    stats::Stats,
    stream::Stream,
    stream_read::Reader,
    stream_write::Writer,
};
pub use state::{
    access::{Caller, Request},
    any_error::{HandlerError, any_error},
    retry::Retry,
};
