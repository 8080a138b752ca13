//! What a session is, and its protocol: frames, chunks, messages, named streams. The
//! lowest floor of [`wire`](super): it uses nothing of `state` and `run`.
//!
//! Each file uses only files above it in this list, which is also the order to read them:
//!
//! 1. [`id`], [`stats`]: public types of a session, apart from the session itself.
//! 2. [`frame`], [`handshake_messages`]: the frames that open sessions and streams. Pure.
//! 3. [`chunk`], [`forwarding`]: how messages are cut into chunks, and how a relay forwards
//!    them. Pure.
//! 4. [`wire_threads`]: the threads of a wire, and which of them a close waits for.
//! 5. [`receiving`], [`sending`]: the two directions of a named stream. Pure.
//! 6. [`session`]: the session, apart from opening streams and closing.
//! 7. [`closing`]: the end of one session, or of all sessions of a wire.
//! 8. [`stream_inner`]: both directions of a stream, over a yamux stream.
//! 9. [`stream`]: the public handle of a stream, with its halves in [`stream_read`] and
//!    [`stream_write`].
//! 10. [`open_stream`]: how a session opens streams at the peer.

pub(crate) mod chunk;
pub(crate) mod closing;
pub(crate) mod forwarding;
pub(crate) mod frame;
pub(crate) mod handshake_messages;
pub(crate) mod id;
mod open_stream;
pub(crate) mod receiving;
mod sending;
#[expect(clippy::module_inception, reason = "the file has the name of its type")]
pub(crate) mod session;
pub(crate) mod stats;
pub(crate) mod stream;
mod stream_inner;
pub(crate) mod stream_read;
pub(crate) mod stream_write;
pub(crate) mod wire_threads;
