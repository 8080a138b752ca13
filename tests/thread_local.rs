//! A wire, a session or a stream may be stored in a thread local. It is dropped when its
//! thread ends, in any order with other thread locals. A panic in that drop would abort
//! this process.

mod support;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::{cell::RefCell, thread, time::Duration};
use support::{
    PATIENCE, in_time,
    wires::{Link, as_it_is, assert_echoes, echo, joining, mounting, started},
};
use wirenet::{Session, Stream, Wire, yamux};

thread_local! {
    static WIRE: RefCell<Vec<Wire>> = const { RefCell::new(Vec::new()) };
    static SESSION: RefCell<Vec<Session>> = const { RefCell::new(Vec::new()) };
    static STREAM: RefCell<Vec<Stream>> = const { RefCell::new(Vec::new()) };
    static CONNECTION: RefCell<Vec<yamux::Connection>> = const { RefCell::new(Vec::new()) };
}

fn keep(wire: Wire) {
    WIRE.with(|wires| wires.borrow_mut().push(wire));
}

/// Initialises the thread locals of the library.
fn use_another_wire() {
    let wire = mounting().build().unwrap();
    wire.close().unwrap();
    let ended = wire.connect();
    assert!(ended.is_err());
}

#[test]
fn a_server_in_a_thread_local_is_closed_when_its_thread_ends() {
    in_time(|| {
        for first in [true, false] {
            let (tell, told) = bounded(1);
            let ends = thread::spawn(move || {
                if first {
                    use_another_wire();
                }
                let server = started(mounting().stream("echo", echo));
                let client = started(joining(&server).retry_max(0).on_error(|_| {}));
                assert_echoes(&client.sessions()[0]);
                tell.send(client).unwrap();
                keep(server);
                if !first {
                    use_another_wire();
                }
            });
            let client = told.recv().unwrap();
            ends.join().unwrap();
            client.wait().unwrap();
        }
    });
}

#[test]
fn a_client_in_a_thread_local_is_closed_when_its_thread_ends() {
    in_time(|| {
        for first in [true, false] {
            let (closed, closes) = unbounded();
            let server = started(mounting().on_session_close(move |_| closed.send(()).unwrap()));
            let client = joining(&server).build().unwrap();
            let ends = thread::spawn(move || {
                if first {
                    use_another_wire();
                }
                client.start().unwrap();
                keep(client);
                if !first {
                    use_another_wire();
                }
            });
            ends.join().unwrap();
            closes.recv_timeout(PATIENCE).unwrap();
        }
    });
}

/// The handler's thread belongs to the wire that it keeps.
#[test]
fn a_wire_in_a_thread_local_of_its_own_handler_thread_is_closed_there() {
    in_time(|| {
        let (give_wire, given_wire): (Sender<Wire>, Receiver<Wire>) = bounded(1);
        let server = mounting().stream("keep", move |_| {
            keep(given_wire.recv().expect("the wire"));
            Ok(())
        });
        let server = started(server);
        let client = started(joining(&server).retry_max(0).on_error(|_| {}));
        let stream = client.sessions()[0].open_stream("keep").unwrap();
        give_wire.send(server.clone()).unwrap();
        assert!(!stream.next_message().unwrap());
        // The pool's threads end, and drop the last handle.
        server.close().unwrap();
        drop(server);
        client.wait().unwrap();
    });
}

#[test]
fn a_session_a_stream_and_a_connection_may_be_stored_in_thread_locals() {
    in_time(|| {
        let link = Link::new(|server| server.stream("echo", echo), as_it_is);
        let session = link.near.clone();
        let (one, _other) = wirenet::transport::memory::pair(1 << 16);
        thread::spawn(move || {
            let stream = session.open_stream("echo").unwrap();
            // It will be reset, as it is dropped in the middle of a message.
            std::io::Write::write_all(&mut &stream, b"hello").unwrap();
            STREAM.with(|streams| streams.borrow_mut().push(stream));
            SESSION.with(|sessions| sessions.borrow_mut().push(session));
            let connection = yamux::Connection::client(one, yamux::Config::default());
            CONNECTION.with(|all| all.borrow_mut().push(connection.unwrap()));
        })
        .join()
        .unwrap();
        assert_echoes(&link.near);
        link.client.wait_session(Duration::from_secs(5)).unwrap();
    });
}
