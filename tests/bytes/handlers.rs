//! Byte streams in handlers.

use crate::{
    assert_end, assert_reads, assert_reset,
    support::{
        PATIENCE,
        wires::{Link, as_it_is, errors, told_of_handler},
    },
};
use crossbeam_channel::unbounded;
use std::io::{self, Write};

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
