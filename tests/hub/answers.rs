//! The answers of owners: to the opening of a stream, and to a request.

use crate::{
    stage::Hub,
    support::{
        encoding::{ACCEPT, chunks, layer_2},
        frames::{ACK, FIN, Frame},
        in_time,
        wires::message,
    },
};
use std::{
    io::{self, Write},
    thread,
};

#[test]
fn an_accept_for_another_name_does_not_accept_a_call() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("owner", &["name"]);
        let caller = hub.caller();
        for accepted in ["", "han", "another"] {
            for waits in [true, false] {
                let read = thread::scope(|scope| {
                    let call = scope.spawn(|| {
                        let stream = match waits {
                            true => caller.session.open_stream("name")?,
                            false => caller.session.open_stream_nowait("name")?,
                        };
                        message(&stream)
                    });
                    let open = owner.next_open();
                    let answer = layer_2(ACCEPT, accepted, b"");
                    let sent = [answer, chunks(b"not the answer", 5), vec![0; 4]].concat();
                    owner.send(Frame::flags(open.stream, ACK));
                    owner.send(Frame::data(open.stream, sent));
                    owner.send(Frame::flags(open.stream, FIN));
                    call.join().expect("no panic")
                });
                assert!(read.is_err(), "{accepted:?}, waits {waits}: {read:?}");
            }
        }
    });
}

/// A handler that gives up, for example because its disk is full, answers and returns.
#[test]
fn an_answer_reaches_a_caller_that_is_still_sending_a_long_request() {
    const CALLERS: usize = 12;
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.owner("name", |stream| {
            io::copy(stream, &mut &mut [0; 8192][..]).unwrap_err();
            stream.write_message("no room")
        });
        let caller = hub.caller();
        let request = vec![0; 5_000_000];
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mut stream = caller.session.open_stream("name").unwrap();
                        let sent = stream.write_all(&request).unwrap_err();
                        assert_eq!(sent.kind(), io::ErrorKind::ConnectionReset, "{sent}");
                        assert_eq!(message(&stream).unwrap(), b"no room");
                    }
                });
            }
        });
    });
}
