//! Named, two-way streams between programs, over one TCP or TLS connection that
//! the client dials. A server, or another client through a hub, can thus call
//! *into* machines behind NAT and firewalls.
//!
//! For blocking programs: threads, [`Read`](std::io::Read),
//! [`Write`](std::io::Write) and [`std::io::copy`], no async runtime. The protocol
//! is that of go-wirenet, so either side may be a Go program.
//!
//! # Quick start
//!
//! A client behind NAT offers a stream. The server opens it, and copies what it
//! receives into a file.
//!
//! ```
//! use std::{fs::File, io, time::Duration};
//! use wirenet::Wire;
//!
//! # let dir = tempfile::tempdir()?;
//! # let (original, copy) = (dir.path().join("original"), dir.path().join("copy"));
//! # std::fs::write(&original, vec![7; 100_000])?;
//! // The server.
//! let server = Wire::mount("127.0.0.1:0").build()?;
//! server.start()?;
//! let addr = server.local_addr().expect("the server listens");
//!
//! // The client behind NAT.
//! let path = original.clone();
//! let client = Wire::join(addr)
//!     .identification("box-1", "secret")
//!     .stream("backup", move |stream| {
//!         io::copy(&mut File::open(&path)?, stream)?;
//!         stream.finish()
//!     })
//!     .build()?;
//! client.start_within(Duration::from_secs(5))?;
//!
//! // The server calls into the client.
//! let session = server.wait_session_for("box-1", Duration::from_secs(5))?;
//! let mut backup = session.open_stream("backup")?;
//! io::copy(&mut backup, &mut File::create(&copy)?)?;
//! # assert_eq!(std::fs::read(&original)?, std::fs::read(&copy)?);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Overview
//!
//! - A [`Wire`] is a server, a hub or a client. [`Wire::mount`] creates a server,
//!   [`Wire::hub`] a server whose clients call each other, and [`Wire::join`] a
//!   client that reconnects by itself. Each returns a [`Builder`] with all options.
//!   [`Wire::start_within`] starts a client and waits for its session.
//! - A [`Session`] is one authenticated connection between two wires. Either side
//!   may [open](Session::open_stream) streams that its peer handles.
//!   [`Wire::session_for`] finds the session of a client, [`Wire::session_offering`] the
//!   one whose peer offers a stream.
//! - A [`Stream`] carries messages in both directions. `io::copy` and
//!   [`Stream::finish`] send a message, `io::copy` receives one;
//!   [`Stream::reader`] and [`Stream::writer`] receive and send message by message.
//! - A [`ByteStream`] is a stream without messages, for libraries that own their
//!   connection. `Stream::pipe_with` (on Unix) connects a stream with a TCP or Unix
//!   socket.
//! - [`Wire::close`] ends everything gracefully, and returns what it had to cut.
//! - Handlers return [`io::Result`](std::io::Result); [`any_error`] makes handlers that
//!   fail with other errors.
//! - An [`Error`] is the reason why a call failed. An [`OpError`] is an error that
//!   no call can return; it goes to [`Builder::on_error`].
//! - The module `tls` contains certificates and the TLS configuration of each side.
//!   It needs the feature `tls`, which is on by default.
//! - The module [`yamux`] is the layer below, which can be used by itself: many
//!   byte streams over any [`transport`].
//!
//! # Which call for what
//!
//! | to | use |
//! |---|---|
//! | send or receive a file | `io::copy`, [`Stream::finish`] |
//! | send requests and answers | [`Stream::write_message`], [`Stream::read_message`] |
//! | send many small pieces, such as JSON | [`Stream::writer`] |
//! | reach a TCP or Unix socket through a stream | `Stream::pipe_with` (Unix) |
//! | run HTTP, WebSocket or TLS inside a stream | [`Stream::into_byte_stream`] |
//! | end a handler's work when its caller leaves | [`Stream::wait_for_peer_end`] |
//! | give up on a request, and say why | [an answer before its end](Stream#an-answer-before-the-end-of-a-request) |
//! | stop on SIGTERM, and report what did not finish | [`Wire::close`] |
//! | call one client among many | [`Wire::wait_session_for`], [`Wire::session_offering`] |
//! | renew a certificate at run time | `TlsServer::reload` |
//! | multiplex the pipes of a child process | `transport::Pipes` (Unix), [`yamux::Connection`] |
//!
//! # Threads
//!
//! An idle session costs one thread, its reader. On a client that called
//! [`Wire::connect`], the reader is the calling thread. There is no writer thread:
//! a thread that writes to a stream writes to the socket itself. Handlers run on a
//! pool that grows as needed, up to [`Builder::handler_limit`].
//!
//! # Features
//!
//! - `tls` (default): TLS 1.3 by rustls, with ring.
//! - `aws-lc-rs`: TLS 1.3 by rustls, with AWS-LC, which is larger and has
//!   post-quantum key exchange. ring is still compiled, but unused.
//! - `system-roots`: `TlsClient::system_roots`, which accepts the servers that the
//!   operating system's authorities certify.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations, unreachable_pub)]

mod error;
mod foreign;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod protobuf;
mod spawn;
mod sync;
mod time;
#[cfg(feature = "tls")]
pub mod tls;
mod token;
pub mod transport;
mod unwind_safe;
mod user_code;
mod wire;
pub mod yamux;

pub use error::{
    CutSession, Denied, Error, Malformed, OpError, Operation, Refusal, RefusalCode, ShutdownError,
};
pub use protobuf::PayloadError;
#[cfg(feature = "tls")]
pub use tls::{
    Certificates, Fingerprint, TlsClient, TlsConfig, TlsError, TlsServer, load_certificates,
};
pub use token::same_token;
pub use user_code::Panicked;
#[cfg(unix)]
pub use wire::Piped;
pub use wire::{
    Address, Builder, ByteStream, Caller, FrameError, HandlerError, ParseSessionIdError, Reader,
    Request, Retry, Session, SessionId, Stats, Stream, Wire, Writer, any_error,
};

/// Compiles the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
