//! Values of public types may be used inside `catch_unwind`, and after a panic that it has
//! caught.

use crate::support::{
    in_time,
    wires::{Link, as_it_is, assert_echoes, echo, message},
};
use std::{
    io::Write,
    panic::{RefUnwindSafe, UnwindSafe, catch_unwind},
};

/// Fails to compile if one of the types is not unwind safe.
macro_rules! assert_unwind_safe {
    ($($type:ty),* $(,)?) => {
        const _: () = {
            const fn assert<T: UnwindSafe + RefUnwindSafe>() {}
            $(assert::<$type>();)*
        };
    };
}

assert_unwind_safe!(
    wirenet::Address,
    wirenet::Builder,
    wirenet::ByteStream,
    wirenet::Caller,
    wirenet::CutSession,
    wirenet::Denied,
    wirenet::Error,
    wirenet::FrameError,
    wirenet::Malformed,
    wirenet::OpError,
    wirenet::Operation,
    wirenet::Panicked,
    wirenet::ParseSessionIdError,
    wirenet::PayloadError,
    wirenet::Reader<'static>,
    wirenet::Refusal,
    wirenet::RefusalCode,
    wirenet::Request<'static>,
    wirenet::Retry<'static>,
    wirenet::Session,
    wirenet::SessionId,
    wirenet::ShutdownError,
    wirenet::Stats,
    wirenet::Stream,
    wirenet::Wire,
    wirenet::Writer<'static>,
    wirenet::transport::Wait,
    wirenet::transport::memory::End,
    wirenet::yamux::AboutStream,
    wirenet::yamux::Config,
    wirenet::yamux::Connection,
    wirenet::yamux::Error,
    wirenet::yamux::HeaderError,
    wirenet::yamux::Stats,
    wirenet::yamux::Stream,
    wirenet::yamux::StreamId,
    wirenet::yamux::Violation,
    wirenet::yamux::Waited,
);

#[cfg(unix)]
assert_unwind_safe!(wirenet::Piped, wirenet::transport::Pipes,);

#[cfg(feature = "tls")]
assert_unwind_safe!(
    wirenet::Certificates,
    wirenet::Fingerprint,
    wirenet::TlsClient,
    wirenet::TlsConfig,
    wirenet::TlsError,
    wirenet::TlsServer,
    wirenet::transport::TlsStream,
);

#[test]
fn every_exported_type_is_checked() {
    let lib = include_str!("../../src/lib.rs");
    let exports = lib.split("pub use ").skip(1);
    let names: Vec<&str> = exports
        .map(|export| export.split(';').next().unwrap())
        .flat_map(|export| export.split(|char: char| !char.is_alphanumeric()))
        .filter(|name| name.starts_with(|char: char| char.is_uppercase()))
        // A trait.
        .filter(|name| *name != "HandlerError")
        .collect();
    assert!(names.contains(&"Wire") && names.contains(&"TlsServer"));
    let this_file = include_str!("unwinding.rs");
    for name in names {
        let checked = [format!("::{name},"), format!("::{name}<'static>,")];
        let is_checked = checked.iter().any(|checked| this_file.contains(checked));
        assert!(is_checked, "{name} is not checked");
    }
}

#[test]
fn wires_sessions_and_streams_work_after_a_caught_panic() {
    in_time(|| {
        let link = Link::serving("echo", echo);
        let stream = link.near.open_stream("echo").unwrap();
        let caught = catch_unwind(|| {
            stream.set_read_timeout(None).unwrap();
            let _ = (link.near.stats(), link.server.sessions());
            panic!("in the program");
        });
        caught.unwrap_err();
        stream.write_message(b"hello").unwrap();
        assert_eq!(message(&stream).unwrap(), b"hello");
        stream.close().unwrap();
        assert_echoes(&link.near);
        catch_unwind(|| link.client.close()).unwrap().unwrap();
    });
}

#[test]
fn a_panic_inside_a_message_is_an_error_for_the_peer() {
    in_time(|| {
        let link = Link::new(as_it_is, |client| {
            client.stream("half", |stream| {
                let caught = catch_unwind(|| {
                    let stream = &*stream;
                    stream.writer().write_all(b"a part").unwrap();
                    panic!("in the program");
                });
                assert!(caught.is_err());
                Ok(())
            })
        });
        let stream = link.far.open_stream("half").unwrap();
        message(&stream).unwrap_err();
    });
}
