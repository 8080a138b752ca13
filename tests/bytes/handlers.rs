//! Byte streams in handlers.

use crate::{
    assert_end, assert_reads, assert_reset,
    support::{
        PATIENCE,
        wires::{Link, as_it_is, errors, told_of_handler},
    },
};
use crossbeam_channel::unbounded;
use std::{
    io::{self, Write},
    net::Shutdown,
};
use wirenet::Stream;

#[test]
fn a_byte_stream_lives_on_after_its_handler() {
    let (sender, streams) = unbounded();
    let (ended, returned) = unbounded();
    let link = Link::serving("bytes", move |stream| {
        sender.send(stream.clone().into_byte_stream()).unwrap();
        ended.send(()).unwrap();
        Ok(())
    });
    let near = link.near.open_stream("bytes").unwrap();
    let mut far = streams.recv_timeout(PATIENCE).unwrap();
    returned.recv_timeout(PATIENCE).unwrap();
    far.write_all(b"from another thread").unwrap();
    assert_reads(&near, "from another thread");
    near.write_message(b"answer").unwrap();
    assert_reads(&far, "answer");
    drop(far);
    assert_end(&near);
    assert!(near.was_finished());
    assert!(!near.next_message().unwrap());
}

#[test]
fn a_byte_stream_that_a_handler_drops_is_closed() {
    let (on_error, told) = errors();
    let serve = |server: wirenet::Builder| {
        server.on_error(on_error).stream("bytes", |stream| {
            let mut bytes = stream.clone().into_byte_stream();
            bytes.write_all(b"all of it")
        })
    };
    let link = Link::new(serve, as_it_is);
    let near = link.near.open_stream("bytes").unwrap();
    assert_reads(&near, "all of it");
    assert_end(&near);
    assert!(near.was_finished());
    assert!(!near.next_message().unwrap());
    drop(near);
    link.near.wire().map(|wire| wire.close()).unwrap().unwrap();
    link.far.wire().map(|wire| wire.close()).unwrap().unwrap();
    assert!(told.try_recv().is_err());
}

#[test]
fn a_handler_that_fails_resets_its_byte_stream() {
    let (on_error, told) = errors();
    let serve = |server: wirenet::Builder| {
        server.on_error(on_error).stream("bytes", |stream| {
            let mut bytes = stream.clone().into_byte_stream();
            bytes.write_all(b"half of an ans")?;
            std::mem::forget(bytes);
            Err(io::Error::other("on purpose"))
        })
    };
    let link = Link::new(serve, as_it_is);
    let near = link.near.open_stream("bytes").unwrap();
    assert_reset(&near);
    assert_eq!(told_of_handler(&told).1, "on purpose");
}

#[test]
fn a_handler_that_fails_after_it_dropped_its_byte_stream_resets_it() {
    let (on_error, told) = errors();
    let fail = |stream: &mut Stream| {
        let mut bytes = stream.clone().into_byte_stream();
        bytes.write_all(b"half of an ans")?;
        Err(io::Error::other("on purpose"))
    };
    let panic = |stream: &mut Stream| {
        let mut bytes = stream.clone().into_byte_stream();
        bytes.write_all(b"half of an ans")?;
        drop(bytes);
        panic!("on purpose");
    };
    let silent = |stream: &mut Stream| {
        drop(stream.clone().into_byte_stream());
        Err(io::Error::other("on purpose"))
    };
    let serve = |server: wirenet::Builder| {
        let server = server.on_error(on_error);
        let server = server.stream("fails", fail).stream("panics", panic);
        server.stream("silent", silent)
    };
    let link = Link::new(serve, as_it_is);
    for name in ["fails", "panics", "silent"] {
        let near = link.near.open_stream(name).unwrap();
        assert_reset(near.into_byte_stream());
        let (failed, cause) = told_of_handler(&told);
        assert_eq!(failed, name);
        assert!(cause.contains("on purpose"), "{cause}");
    }
}

#[test]
fn the_end_waits_for_the_handler_unless_it_shuts_down() {
    let (proceed, told) = unbounded::<()>();
    let link = Link::serving("bytes", move |stream| {
        let mut bytes = stream.clone().into_byte_stream();
        bytes.write_all(b"all of it")?;
        if stream.next_message()? {
            bytes.shutdown(Shutdown::Write)?;
        }
        drop(bytes);
        told.recv_timeout(PATIENCE).map_err(io::Error::other)
    });
    let near = link.near.open_stream("bytes").unwrap();
    near.write_message(b"shut down").unwrap();
    assert_reads(&near, "all of it");
    // The handler still runs.
    assert_end(&near);
    assert!(!near.peer_has_ended());
    proceed.send(()).unwrap();
    assert!(!near.next_message().unwrap());

    let near = link.near.open_stream("bytes").unwrap();
    near.close().unwrap();
    let near = link.near.open_stream("bytes").unwrap().into_byte_stream();
    near.shutdown(Shutdown::Write).unwrap();
    assert_reads(&near, "all of it");
    assert!(!near.is_readable());
    proceed.send(()).unwrap();
    proceed.send(()).unwrap();
    assert_end(&near);
}

#[test]
fn a_stream_is_closed_with_the_last_of_its_byte_streams() {
    let (sender, streams) = unbounded();
    let link = Link::serving("bytes", move |stream| {
        drop(stream.clone().into_byte_stream());
        sender.send(stream.clone().into_byte_stream()).unwrap();
        Ok(())
    });
    let near = link.near.open_stream("bytes").unwrap();
    let mut far = streams.recv_timeout(PATIENCE).unwrap();
    near.write_message(b"still there").unwrap();
    assert_reads(&far, "still there");
    far.write_all(b"answer").unwrap();
    drop(far);
    assert_reads(&near, "answer");
    assert_end(&near);
    assert!(near.was_finished());
}
