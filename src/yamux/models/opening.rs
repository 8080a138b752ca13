//! Opening: the room that the peer makes is for all who wait for some.

use super::stage::{ROOMY, config, run, stage};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Role,
        frame::{Flags, Header},
    },
};

#[test]
fn a_stream_that_the_peer_ends_makes_room_for_all_who_wait() {
    check(Time::Stands, || {
        let config = config().max_streams(2).backlog(2);
        let stage = stage(Role::Client, config, ROOMY);
        let left = [(); 2].map(|()| stage.connection.open().unwrap());
        let [first, second] = left.each_ref().map(crate::yamux::Stream::id);
        drop(left);
        let reading = run(stage.reader);
        let openers = [(); 2].map(|()| {
            let connection = stage.connection.clone();
            thread::spawn(move || connection.open().unwrap())
        });
        let mut says = stage.peer.says;
        let peer = thread::spawn(move || {
            says.frame(Header::window_update(second, Flags::ACK, 0), b"");
            says.frame(Header::window_update(first, Flags::ACK, 0), b"");
            says.frame(Header::window_update(first, Flags::FIN, 0), b"");
            says
        });
        // Of those that are left, one is enough to wait no longer.
        let opened = openers.map(|opener| opener.join().unwrap());
        stage.connection.cut();
        drop((opened, peer.join().unwrap()));
        let _ = reading.join().unwrap();
    });
}
