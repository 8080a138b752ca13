//! Calls to `wait`, and the last handle, in code that the wire itself runs.

use super::{LateWire, NEVER, SOON};
use crate::support::{
    PATIENCE,
    wires::{errors, joining, message, mounting, started},
    within,
};
use crossbeam_channel::bounded;
use std::{io::Write, sync::Arc};

/// The policy runs on the thread for whose end it waits.
#[test]
fn a_retry_policy_that_waits_for_the_wire_is_released_by_its_close() {
    within(SOON, || {
        let server = started(mounting());
        let late = LateWire::default();
        let wire = Arc::clone(&late);
        let (begin, began) = bounded(1);
        let (end, ended) = bounded(1);
        let client = joining(&server)
            .retry_policy(move |retry| {
                if begin.try_send(()).is_ok() {
                    let _ = end.try_send(wire.wait().wait());
                }
                retry.wait
            })
            .build()
            .unwrap();
        assert!(late.set(client.clone()).is_ok());
        client.start().unwrap();
        server.wait_session(PATIENCE).unwrap().abort();
        began.recv().unwrap();
        client.close().unwrap();
        ended.recv_timeout(PATIENCE).unwrap().unwrap();
        client.wait().unwrap();
    });
}

/// The handler gets the wire from its session.
#[test]
fn a_handler_that_holds_the_last_handle_still_ends_its_message() {
    within(2 * SOON, || {
        let (at, there) = bounded(1);
        let (go, going) = bounded::<()>(1);
        let (handler, told) = errors();
        let server = mounting().on_error(handler).stream("a", move |stream| {
            let _wire = stream.session().wire().ok_or(wirenet::Error::Closed)?;
            at.send(()).unwrap();
            going.recv().unwrap();
            // The library ends the message after this returns.
            stream.write_all(b"the whole message")
        });
        let server = started(server.session_close_timeout(NEVER));
        let client = started(joining(&server).retry_max(0));
        let session = client.wait_session(PATIENCE).unwrap();
        let stream = session.open_stream("a").unwrap();
        there.recv().unwrap();
        drop(server);
        go.send(()).unwrap();
        assert_eq!(message(&stream).unwrap(), b"the whole message");
        drop(stream);
        client.wait().unwrap();
        assert_eq!(told.try_recv().ok(), None);
    });
}
