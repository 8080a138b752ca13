//! The public types are unwind safe: they may be used inside
//! [`catch_unwind`](std::panic::catch_unwind), and after a panic that it has caught.
//!
//! The compiler cannot derive this, because the types contain closures of the program,
//! trait objects, and locks. For each group there is a reason why no caught panic leaves
//! a value inconsistent.
//!
//! `transport::Halves` is not unwind safe, because a program may implement what is inside.

use crate::{
    error::{Error, OpError},
    transport::memory,
    wire::{Builder, Reader, Session, Stream, Wire, Writer},
    yamux,
};
#[cfg(feature = "tls")]
use crate::{
    tls::{Certificates, TlsClient, TlsConfig, TlsError, TlsServer},
    transport::TlsStream,
};
use std::panic::{RefUnwindSafe, UnwindSafe};

macro_rules! unwind_safe {
    ($($type:ty),* $(,)?) => {$(
        impl UnwindSafe for $type {}
        impl RefUnwindSafe for $type {}
    )*};
}

// Handles of state that threads share. The others must be able to use it whatever happens
// on one of them. The library calls the program's code (handlers, hooks, validators, the
// `Display` of an error) under no lock, so the program's panics never pass through a
// critical section. It catches the panics of code that it calls on its own threads. Locks
// are not poisoned; guards that outlive a call end what they began when they are dropped:
// a `Writer` that is dropped before `finish` aborts its stream, and a `Reader` leaves the
// stream after the last byte that it has returned.
unwind_safe!(
    Wire,
    Session,
    Stream,
    Reader<'_>,
    Writer<'_>,
    yamux::Connection,
    yamux::Stream,
    memory::End,
);

// Each method of a builder sets one option, after it has evaluated all that can panic. The
// closures that it holds are called only by the wire, which catches their panics.
unwind_safe!(Builder);

// Errors do not change once they are created. What they have inside (an `io::Error`, an
// error of a handler) can only be read.
unwind_safe!(Error, OpError, yamux::Error);

// Configurations do not change either, apart from caches of TLS sessions, which rustls
// keeps under locks. The stream is used as a whole by `Transport::split`, or dropped.
#[cfg(feature = "tls")]
unwind_safe!(
    Certificates,
    TlsClient,
    TlsConfig,
    TlsError,
    TlsServer,
    TlsStream
);
