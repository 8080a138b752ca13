//! Named, two-way streams between programs over one TCP or TLS connection that
//! the client dials: so a server, or another client through a hub, can call
//! *into* machines behind NAT.
//!
//! For programs that block: threads, `Read` and `Write`, [`std::io::copy`]. No
//! async runtime. Speaks the protocol of go-wirenet, so that either side may be
//! a Go program.
//!
//! # Quick start
//!
//! A client behind NAT offers a stream; the server opens it and pipes what
//! comes into a file.
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
//! let addr = server.local_addr().expect("it listens");
//!
//! // The box behind NAT.
//! let path = original.clone();
//! let client = Wire::join(addr.to_string())
//!     .identification("box-1", "secret")
//!     .stream("backup", move |stream| {
//!         io::copy(&mut File::open(&path)?, stream)?;
//!         stream.finish()
//!     })
//!     .build()?;
//! client.start()?;
//!
//! // The server calls into it.
//! let session = server.wait_session(Duration::from_secs(5))?;
//! let mut backup = session.open_stream("backup")?;
//! io::copy(&mut backup, &mut File::create(&copy)?)?;
//! # assert_eq!(std::fs::read(&original)?, std::fs::read(&copy)?);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # What is where
//!
//! - [`Wire`] is one side of the system: [`Wire::mount`] makes a server,
//!   [`Wire::hub`] a server whose clients call each other, [`Wire::join`] a
//!   client that comes back by itself, each through a [`Builder`] with all the
//!   options.
//! - A [`Session`] is one client's connection, on either side. Either side may
//!   [open](Session::open_stream) the streams that the other handles.
//! - A [`Stream`] carries messages in both directions. `io::copy` and
//!   [`Stream::finish`] send one, `io::copy` receives one;
//!   [`Stream::reader`] and [`Stream::writer`] take one at a time.
//! - [`Wire::close`] ends all in order, and says what it had to cut.
//! - [`Error`] says what a call failed with, [`OpError`] what went wrong where
//!   no caller is.
//! - `tls` has certificates, and how each side is set up; with the feature
//!   `tls`, which is on by default.
//! - [`yamux`] is the layer below, usable by itself: many byte streams over
//!   any [`transport`].
//!
//! # Threads
//!
//! An idle session costs one thread, its reader; on a client that called
//! [`Wire::connect`], that is the calling thread. There is no writer thread:
//! whoever writes to a stream writes to the socket. Handlers run on a pool that
//! grows as needed, up to [`Builder::handler_limit`].

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations, unreachable_pub)]

mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod guard;
mod protobuf;
mod spawn;
mod sync;
mod time;
#[cfg(feature = "tls")]
pub mod tls;
mod token;
pub mod transport;
mod wire;
pub mod yamux;

pub use error::{
    CutSession, Denied, Error, Malformed, OpError, Operation, Panicked, Refusal, RefusalCode,
    ShutdownError,
};
pub use protobuf::PayloadError;
#[cfg(feature = "tls")]
pub use tls::{Certificates, TlsClient, TlsConfig, TlsError, TlsServer, load_certificates};
pub use token::same_token;
pub use wire::{
    Builder, Caller, FrameError, Reader, Request, Retry, Session, SessionId, Stats, Stream, Wire,
    Writer,
};

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
