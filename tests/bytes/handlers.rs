//! Byte streams in handlers.

use crate::{
    assert_end, assert_reads, assert_reset, open,
    support::{
        PATIENCE,
        wires::{Link, as_it_is, errors, told_of_handler},
    },
};
use crossbeam_channel::{RecvTimeoutError, unbounded};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};
use wirenet::{ByteStream, Stream};

/// Long enough to see that nothing is received.
const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn a_byte_stream_lives_on_after_its_handler() {
    let (sender, streams) = unbounded();
    let (ended, returned) = unbounded();
    let link = Link::serving("bytes", move |stream| {
        sender.send(stream.clone().into_byte_stream()).unwrap();
        ended.send(()).unwrap();
        Ok(())
    });
    let near = open(&link, "bytes");
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
    let near = open(&link, "bytes");
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
    let near = open(&link, "bytes");
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
        let near = open(&link, name);
        assert_reset(near.into_byte_stream());
        let (failed, cause) = told_of_handler(&told);
        assert_eq!(failed, name);
        assert!(cause.contains("on purpose"), "{cause}");
    }
}

#[test]
fn the_end_waits_for_the_handler_unless_it_shuts_down() {
    let (proceed, told) = unbounded::<()>();
    let serve = move |shuts_down| {
        let told = told.clone();
        move |stream: &mut Stream| {
            let mut bytes = stream.clone().into_byte_stream();
            bytes.write_all(b"all of it")?;
            if shuts_down {
                bytes.shutdown(Shutdown::Write)?;
            }
            drop(bytes);
            stream.read_message(10)?;
            told.recv_timeout(PATIENCE).map_err(io::Error::other)
        }
    };
    let serve = |server: wirenet::Builder| {
        let server = server.stream("shuts down", serve(true));
        server.stream("returns", serve(false))
    };
    let link = Link::new(serve, as_it_is);
    let near = open(&link, "shuts down");
    assert_reads(&near, "all of it");
    assert_end(&near);
    assert!(!near.peer_has_ended());
    near.finish().unwrap();
    proceed.send(()).unwrap();
    assert!(!near.next_message().unwrap());

    let near = open(&link, "returns");
    let mut near = near.into_byte_stream();
    assert_reads(&near, "all of it");
    near.set_read_timeout(Some(MOMENT)).unwrap();
    let error = near.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    // The handler still reads the stream.
    near.shutdown(Shutdown::Write).unwrap();
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
    let near = open(&link, "bytes");
    let mut far = streams.recv_timeout(PATIENCE).unwrap();
    near.write_message(b"still there").unwrap();
    assert_reads(&far, "still there");
    far.write_all(b"answer").unwrap();
    drop(far);
    assert_reads(&near, "answer");
    assert_end(&near);
    assert!(near.was_finished());
}

#[test]
fn a_handler_that_catches_a_panic_may_still_send_if_nothing_was_sent() {
    let link = Link::serving("bytes", |stream| {
        let bytes = stream.clone().into_byte_stream();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _dropped = bytes;
            panic!("on purpose");
        }));
        panicked.unwrap_err();
        stream.write_message(b"sorry")
    });
    let near = link.near.open_stream("bytes").unwrap();
    assert_eq!(near.read_message(10).unwrap().unwrap(), b"sorry");
    assert!(!near.next_message().unwrap());
}

#[test]
fn a_panic_in_a_thread_that_outlives_its_handler_aborts_the_stream() {
    let (sender, streams) = unbounded::<ByteStream>();
    let link = Link::serving("bytes", move |stream| {
        sender.send(stream.clone().into_byte_stream()).unwrap();
        Ok(())
    });
    let near = link.near.open_stream("bytes").unwrap();
    let bytes = streams.recv_timeout(PATIENCE).unwrap();
    // The last call of a handler that was removed drops it, and with it the sender.
    assert!(link.server.remove_stream("bytes"));
    let dropped = streams.recv_timeout(PATIENCE).unwrap_err();
    assert_eq!(dropped, RecvTimeoutError::Disconnected);
    let panicked = thread::spawn(move || {
        let _dropped = bytes;
        panic!("on purpose");
    });
    panicked.join().unwrap_err();
    assert_reset(near.into_byte_stream());
}

#[test]
fn a_drop_while_the_handler_returns_ends_the_stream_once() {
    let (sender, streams) = unbounded::<ByteStream>();
    let handler = move |stream: &mut Stream| {
        let mut bytes = stream.clone().into_byte_stream();
        bytes.write_all(b"all of it")?;
        sender.send(bytes).unwrap();
        match stream.name() {
            "returns" => Ok(()),
            _ => Err(io::Error::other("on purpose")),
        }
    };
    let serve = |server: wirenet::Builder| {
        let server = server.stream("returns", handler.clone());
        server.stream("fails", handler)
    };
    let link = Link::new(serve, as_it_is);
    let dropper = thread::spawn(move || streams.iter().for_each(drop));
    for _ in 0..100 {
        let near = open(&link, "returns");
        assert_reads(&near, "all of it");
        assert_end(&near);
        assert!(near.was_finished());
        assert!(!near.next_message().unwrap());
        assert_reset(open(&link, "fails"));
    }
    drop(link);
    dropper.join().unwrap();
}
