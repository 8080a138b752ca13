//! What an owner answers to a call is an answer to that call.

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
fn an_owner_that_accepts_under_another_name_has_not_accepted() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("owner", &["hand"]);
        let caller = hub.caller();
        for accepted in ["", "han", "another"] {
            for waits in [true, false] {
                let read = thread::scope(|scope| {
                    let call = scope.spawn(|| {
                        let stream = match waits {
                            true => caller.session.open_stream("hand")?,
                            false => caller.session.open_stream_nowait("hand")?,
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
