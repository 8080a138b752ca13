//! Named streams between two programs: layer 2 of the protocol, the frames that open
//! sessions and streams, and layer 3, messages in chunks. Layer 1 is
//! [`yamux`](crate::yamux).
//!
//! # Floors
//!
//! Each floor uses only its own files and the floors below it; `tests/layers.rs`
//! checks this.
//!
//! | floor | what it is | files to read first |
//! |---|---|---|
//! | `wire` | what a program holds | [`handle`], [`builder`] |
//! | [`run`] | what the threads of a wire do | [`run::client`], [`run::server`], [`run::serving`], [`run::inbound`] |
//! | [`state`] | what a wire holds; no threads of its own | [`state::wire_state`], [`state::lifecycle`], [`state::registry`] |
//! | [`session`] | what a session is, and its protocol | [`session::session`], [`session::stream`], [`session::receiving`], [`session::chunk`] |
//!
//! # The life of a stream
//!
//! 1. **A session.** [`run::client`] dials, or [`run::server`] accepts. The thread runs
//!    the [`Handshake`](run::handshake::Handshake) while it drives the connection's
//!    reader itself, registers the session
//!    ([`establish`](state::wire_state::WireState::establish)), and then
//!    [serves](state::wire_state::WireState::serve) it: it is the reader of the yamux
//!    connection until the session ends.
//! 2. **A call.** [`Session::open_stream`] opens a yamux stream, queues an *open* frame
//!    ([`session::frame`]) behind its SYN, and waits for the answer.
//! 3. **The peer.** Its reader finds the SYN and passes the stream to the acceptor of the
//!    session, which gives it a permit of the [`HandlerPool`](state::pool::HandlerPool), or
//!    refuses it. On a pool thread, [`InboundStream`](run::inbound::InboundStream) reads
//!    the open frame, asks the validator, looks up the name ([`state::admitted`]), and
//!    answers.
//! 4. **The handler** gets a [`Stream`]. Its writes become chunks ([`session::chunk`])
//!    and then bytes of the yamux stream; its reads take segments from the stream's inbox,
//!    from which [`session::receiving`] takes answers, chunks, and the ends of messages.
//! 5. **A relay.** On a hub the look-up finds the session that owns the name, opens a
//!    stream there, and joins the two: [`join_relay`](crate::yamux::join_relay) then passes the
//!    bytes from reader to outbox, and no thread of the hub waits.
//! 6. **The end.** [`run::close`] closes a wire, [`session::closing`] its sessions: no
//!    new streams, a deadline for those that are open, then a cut.
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
//! - **segment**: a block of received bytes, as the reader filled it.
//! - **caller**, **owner**: the side that opens a stream; on a hub, the session that
//!   offers the stream's name.
//! - **handler**, **hook**, **validator**: code of the program that serves a stream, is
//!   called on an event, or decides about a session or a stream.
//! - **refusal**: an answer that denies a session or a stream, with a reason.
//! - **abort**: end a stream so that the peer gets an error.
//!
//! # Lock order
//!
//! The receiving or the sending side of a stream is locked first, then the locks of
//! [`yamux`](crate::yamux). The [data](state::wire_state::WireData) of a wire, its
//! handlers, its pool, and its deferred errors are locked only while no other lock is
//! held. A thread that reads or writes a stream holds the lock of that side while it
//! waits. No other lock is held during a system call, and none while the library calls
//! the program's code.

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

pub use builder::Builder;
pub use handle::Wire;
pub use session::{
    frame::FrameError, id::SessionId, session::Session, stats::Stats, stream::Stream,
    stream_read::Reader, stream_write::Writer,
};
pub use state::{
    access::{Caller, Request},
    retry::Retry,
};
