//! An owner's answer accepts only the call that it names.

use crate::{
    stage::Hub,
    support::{
        encoding::{ACCEPT, chunks, layer_2},
        frames::{ACK, FIN, Frame},
        in_time,
        wires::message,
    },
};
use std::thread;

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
