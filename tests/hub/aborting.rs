//! Aborting a stream to a peer that does not treat a reset as an error, as
//! go-wirenet does not: the peer gets the length of a chunk that never comes, and
//! then the end of the stream in a frame of its own. It never gets a reset.

use crate::{
    aborts::{Relayed, expect_abort, expect_bytes, session_of},
    stage::Hub,
    support::{
        encoding::{END, chunks},
        frames::{Frame, RST},
        in_time,
        peer::Peer,
        wires::message,
    },
};
use socket2::SockRef;
use std::{
    io::{self, Write},
    net::Shutdown,
    thread,
    time::Duration,
};
use wirenet::{Error, Refusal, Stream};

/// Long enough for a handshake here.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// How a connection is lost.
#[derive(Clone, Copy)]
enum Loss {
    End,
    Reset,
}

impl Loss {
    /// The peer loses its connection. Where that only ends, it stays open until
    /// the returned peer is dropped.
    fn of(self, peer: Peer) -> Option<Peer> {
        match self {
            Self::End => {
                peer.socket().shutdown(Shutdown::Write).unwrap();
                Some(peer)
            }
            Self::Reset => {
                let socket = SockRef::from(peer.socket());
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                None
            }
        }
    }
}

/// A client calls a scripted owner and begins a message, and `leave` abandons it.
fn assert_caller_aborts(leave: impl FnOnce(Stream) + Send + 'static) {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("owner", &["name"]);
        let caller = hub.caller();
        let (stream, far) = owner.accept_from(&caller.session, "name");
        (&stream).write_all(&[5; 2_000]).unwrap();
        expect_bytes(&mut owner, far, 2_000 + 2 * 4);
        leave(stream);
        expect_abort(&mut owner, far);
    });
}

#[test]
fn a_caller_that_drops_a_stream_inside_a_message_aborts_it() {
    assert_caller_aborts(drop);
}

#[test]
fn a_caller_that_resets_a_stream_aborts_it() {
    assert_caller_aborts(|stream| stream.reset());
}

#[test]
fn a_caller_that_aborts_its_session_aborts_its_streams() {
    assert_caller_aborts(|stream| stream.session().abort());
}

/// Nothing shows whether the message was complete.
#[test]
fn a_caller_that_leaks_a_writer_aborts_the_stream() {
    assert_caller_aborts(|stream| {
        std::mem::forget(stream.writer());
        drop(stream);
    });
}

/// The hub itself is the sender.
#[test]
fn a_hub_that_drops_or_resets_its_own_stream_aborts_it() {
    for leave in [drop as fn(Stream), |stream| stream.reset()] {
        in_time(move || {
            let hub = Hub::new();
            let mut peer = hub.old_peer("owner", &["name"]);
            let (stream, far) = peer.accept_from(&session_of(&hub, "owner"), "name");
            (&stream).write_all(&[5; 2_000]).unwrap();
            expect_bytes(&mut peer, far, 2_000 + 2 * 4);
            leave(stream);
            expect_abort(&mut peer, far);
        });
    }
}

#[derive(Clone, Copy)]
enum Lost {
    Caller,
    Owner,
}

/// One of two peers is lost inside a message to the other.
fn assert_lost_peer_aborts(lost: Lost, loss: Loss) {
    in_time(move || {
        let relayed = Relayed::new("name");
        let caller = (relayed.caller, relayed.near);
        let owner = (relayed.owner, relayed.far);
        let ((mut lost, from), (mut other, to)) = match lost {
            Lost::Caller => (caller, owner),
            Lost::Owner => (owner, caller),
        };
        lost.send(Frame::data(from, chunks(&[3; 2_000], 1_000)));
        expect_bytes(&mut other, to, 2_000 + 2 * 4);
        let _kept = loss.of(lost);
        expect_abort(&mut other, to);
    });
}

#[test]
fn a_caller_whose_connection_ends_aborts_its_streams() {
    assert_lost_peer_aborts(Lost::Caller, Loss::End);
}

#[test]
fn a_caller_whose_connection_is_reset_aborts_its_streams() {
    assert_lost_peer_aborts(Lost::Caller, Loss::Reset);
}

#[test]
fn an_owner_whose_connection_ends_aborts_its_streams() {
    assert_lost_peer_aborts(Lost::Owner, Loss::End);
}

#[test]
fn an_owner_whose_connection_is_reset_aborts_its_streams() {
    assert_lost_peer_aborts(Lost::Owner, Loss::Reset);
}

/// A scripted peer calls an owner whose handler ends with `fail`.
fn assert_owner_aborts(fail: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static) {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.owner("name", move |stream| {
            stream.write_all(&[6; 1_000])?;
            message(stream)?;
            fail(stream)
        });
        let mut caller = hub.old_peer("caller", &[]);
        let stream = caller.open("name");
        expect_bytes(&mut caller, stream, 1_000 + 4);
        let go = [&chunks(b"go", 2)[..], &END].concat();
        caller.send(Frame::data(stream, go));
        expect_abort(&mut caller, stream);
    });
}

#[test]
fn an_owner_whose_handler_fails_aborts_the_stream() {
    assert_owner_aborts(|_| Err(io::Error::other("it cannot go on")));
}

#[test]
fn an_owner_whose_handler_panics_aborts_the_stream() {
    assert_owner_aborts(|_| panic!("it cannot go on"));
}

#[test]
fn an_owner_that_resets_a_stream_aborts_it() {
    assert_owner_aborts(|stream| {
        stream.reset();
        Ok(())
    });
}

#[test]
fn an_owner_that_aborts_its_session_aborts_its_streams() {
    assert_owner_aborts(|stream| {
        stream.session().abort();
        Ok(())
    });
}

#[test]
fn a_handler_of_the_hub_that_fails_aborts_the_stream() {
    in_time(|| {
        let hub = Hub::with(|hub| {
            hub.stream("name", |stream| {
                stream.write_all(&[6; 1_000])?;
                Err(io::Error::other("it cannot go on"))
            })
        });
        let mut caller = hub.old_peer("caller", &[]);
        let stream = caller.open("name");
        expect_bytes(&mut caller, stream, 1_000 + 4);
        expect_abort(&mut caller, stream);
    });
}

#[test]
fn a_reset_by_a_scripted_owner_aborts_the_stream() {
    in_time(|| {
        let mut relayed = Relayed::new("name");
        let ((caller, near), (owner, far)) = relayed.ends();
        owner.send(Frame::flags(far, RST));
        expect_abort(caller, near);
    });
}

#[test]
fn an_open_that_is_not_answered_in_time_is_aborted() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.handshake_timeout(HANDSHAKE));
        let mut peer = hub.old_peer("owner", &["name"]);
        // By a client through the hub, and by the hub itself.
        let caller = hub.caller();
        let near = session_of(&hub, "owner");
        thread::scope(|scope| {
            let relayed = scope.spawn(|| caller.open("name").unwrap_err());
            let direct = scope.spawn(|| near.open_stream("name").unwrap_err());
            for _ in 0..2 {
                let open = peer.next_open();
                expect_abort(&mut peer, open.stream);
            }
            let refusal = relayed.join().unwrap();
            assert!(refusal.to_string().contains("does not answer"), "{refusal}");
            let error = direct.join().unwrap();
            assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        });
    });
}

#[test]
fn an_open_with_an_invalid_answer_is_aborted() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("owner", &["name"]);
        let caller = hub.caller();
        let call = thread::spawn(move || caller.open("name").unwrap_err());
        let open = owner.next_open();
        owner.accept_as(open.stream, "another");
        expect_abort(&mut owner, open.stream);
        let refusal = call.join().unwrap();
        assert_ne!(refusal, Refusal::SessionNotFound);
        assert!(refusal.to_string().contains("no valid answer"), "{refusal}");
    });
}
