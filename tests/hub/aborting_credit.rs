//! A sender always has the credit that aborting a stream takes, and an abort fits what
//! was sent before it. See `aborting.rs` for what an old peer gets.

use crate::{
    aborts::{CUT_SHORT, Relayed, expect_abort, expect_bytes, expect_end, next, session_of},
    chunks::serve_another,
    ending::{TOKEN, leave_some},
    stage::{Hub, INITIAL_WINDOW},
    support::{
        PATIENCE,
        encoding::{END, chunks},
        frames::{FIN, Frame, RST, WINDOW_UPDATE},
        in_time,
        peer::Peer,
    },
};
use crossbeam_channel::bounded;
use std::{
    io::{self, Write},
    net::Shutdown,
    thread,
    time::Duration,
};
use wirenet::Stream;

/// The frame that opens, or accepts, a stream named "name".
const OPENING: usize = 12 + 4;

/// The part of a first window that a sender may use behind an opening. It keeps
/// the rest to abort the stream.
const USABLE: usize = INITIAL_WINDOW - OPENING - CUT_SHORT.len();

#[test]
fn a_stream_is_aborted_when_too_much_is_buffered_for_its_owner() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.identification("hub", TOKEN).max_streams(1));
        let mut owner = hub.old_peer("owner", &["name"]);
        let kept = leave_some(&hub, &mut owner);
        let one_too_many = leave_some(&hub, &mut owner);
        // The credit that is left is enough for this. The owner has ended its direction.
        let cut = next(&mut owner, one_too_many);
        assert_eq!((cut.flags, &cut.body[..]), (0, &CUT_SHORT[..]), "{cut:?}");
        let end = next(&mut owner, one_too_many);
        assert_eq!((end.kind, end.flags), (WINDOW_UPDATE, FIN), "{end:?}");
        // What is buffered still arrives.
        owner.grant(kept, 10_000);
        assert!(!next(&mut owner, kept).body.is_empty());
        assert!(next(&mut owner, kept).has(FIN));
        assert!(!owner.has_queued(|frame| frame.has(RST)));
    });
}

/// Inside a chunk, the end alone is truncation: the length of another chunk would be
/// read as bytes of this one.
#[test]
fn inside_a_chunk_too_large_to_be_buffered_an_abort_is_only_the_end() {
    const SENT: usize = 200_000;
    in_time(|| {
        let mut relayed = Relayed::new("name");
        let ((caller, near), (owner, far)) = relayed.ends();
        let mut chunk = 1_000_000u32.to_le_bytes().to_vec();
        chunk.resize(SENT, 9);
        for part in chunk.chunks(50_000) {
            caller.send(Frame::data(near, part.to_vec()));
        }
        let mut came = Vec::new();
        while came.len() < SENT {
            came.extend(next(owner, far).body);
        }
        assert!(came == chunk);
        caller.send(Frame::flags(near, RST));
        expect_end(owner, far);
    });
}

/// Opens a stream of a hub to an old peer, and uses all the credit that the hub may use.
/// Returns the id at the peer too.
fn used_up() -> (Hub, Peer, Stream, u32) {
    let hub = Hub::new();
    let mut peer = hub.old_peer("owner", &["name"]);
    let (stream, far) = peer.accept_from(&session_of(&hub, "owner"), "name");
    for _ in 0..USABLE / 1_028 {
        (&stream).write_all(&[5; 1_024]).unwrap();
    }
    (&stream).write_all(&[5; USABLE % 1_028 - 4]).unwrap();
    expect_bytes(&mut peer, far, USABLE);
    (hub, peer, stream, far)
}

#[test]
fn a_sender_keeps_the_credit_that_an_abort_takes() {
    in_time(|| {
        let (_hub, mut peer, stream, far) = used_up();
        // The end mark would take the credit that is left.
        stream
            .set_write_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let error = stream.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        stream.reset();
        expect_abort(&mut peer, far);
    });
}

#[test]
fn a_byte_stream_keeps_credit_for_its_end_too() {
    const ROOM: usize = USABLE - END.len();
    in_time(|| {
        let hub = Hub::new();
        let mut peer = hub.old_peer("owner", &["name"]);
        let (stream, far) = peer.accept_from(&session_of(&hub, "owner"), "name");
        let mut bytes = stream.into_byte_stream();
        for _ in 0..ROOM / 1_028 {
            bytes.write_all(&[5; 1_024]).unwrap();
        }
        bytes.write_all(&[5; ROOM % 1_028 - 4]).unwrap();
        expect_bytes(&mut peer, far, ROOM);
        bytes.shutdown(Shutdown::Write).unwrap();
        expect_bytes(&mut peer, far, END.len());
        bytes.reset();
        expect_abort(&mut peer, far);
    });
}

#[test]
fn a_hub_keeps_the_credit_that_an_abort_takes() {
    in_time(|| {
        let Relayed {
            hub,
            mut caller,
            near,
            mut owner,
            far,
        } = Relayed::new("name");
        // As much as the owner's window has room for; the hub holds back the end mark.
        let whole = USABLE - USABLE % 1_028;
        let mut sent = chunks(&[5; USABLE], 1_024)[..whole].to_vec();
        sent.extend(chunks(&[5; USABLE % 1_028 - 4], 1_024));
        sent.extend(END);
        assert_eq!(sent.len(), INITIAL_WINDOW - OPENING);
        for part in sent.chunks(50_000) {
            caller.send(Frame::data(near, part.to_vec()));
        }
        expect_bytes(&mut owner, far, USABLE);
        serve_another(&hub);
        caller.send(Frame::flags(near, RST));
        expect_abort(&mut owner, far);
    });
}

#[test]
fn a_write_that_waits_for_credit_fails_when_its_stream_is_reset_locally() {
    in_time(|| {
        let (_hub, mut peer, stream, far) = used_up();
        let (begun, begins) = bounded(0);
        let writer = {
            let stream = stream.try_clone().unwrap();
            thread::spawn(move || {
                begun.send(()).unwrap();
                (&stream).write(&[5]).unwrap_err().kind()
            })
        };
        begins.recv_timeout(PATIENCE).unwrap();
        stream.reset();
        assert_eq!(writer.join().unwrap(), io::ErrorKind::ConnectionAborted);
        expect_abort(&mut peer, far);
    });
}
