//! How a stream that is broken off ends for a peer that does not take a reset for
//! an error, as go-wirenet does not: by the length of a chunk that does not come,
//! and then the stream's end in a frame of its own; never by a reset.

use crate::{
    chunks::serve_another,
    ending::{TOKEN, leave_some},
    stage::{Hub, eventually, relay},
    support::{
        PATIENCE,
        encoding::{END, chunks, whole_chunks},
        frames::{DATA, FIN, Frame, RST, WINDOW_UPDATE},
        in_time,
        pattern::Pattern,
        peer::Peer,
        wires::message,
    },
};
use crossbeam_channel::bounded;
use socket2::SockRef;
use std::{
    io::{self, Write},
    net::Shutdown,
    thread,
    time::Duration,
};
use wirenet::{Error, Operation, Refusal, Session, Stream};

const CUT_SHORT: [u8; 4] = [1, 0, 0, 0];

const INITIAL_WINDOW: usize = 262_144;

/// The frame that opens, or accepts, a stream named "hand".
const OPENING: usize = 12 + 4;

/// What a sender may use of a first window, behind an opening: it keeps credit for
/// breaking the stream off.
const USABLE: usize = INITIAL_WINDOW - OPENING - CUT_SHORT.len();

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

/// The hub's end of the session whose client has this name, and may know of it earlier.
fn session_of(hub: &Hub, identification: &str) -> Session {
    let mut found = None;
    let stands = eventually(|| {
        let sessions = hub.wire.sessions();
        let mut sessions = sessions.into_iter();
        found = sessions.find(|session| session.identification() == identification.as_bytes());
        found.is_some()
    });
    assert!(stands);
    found.expect("it stands")
}

/// The next frame that says something.
fn next(hand: &mut Peer, stream: u32) -> Frame {
    hand.wait(|frame| frame.stream == stream && frame.is_data_or_end())
}

/// So many bytes, in frames of whole chunks.
fn expect_bytes(hand: &mut Peer, stream: u32, count: usize) {
    let mut came = 0;
    while came < count {
        let frame = next(hand, stream);
        assert_eq!((frame.kind, frame.flags), (DATA, 0));
        whole_chunks(&frame.body);
        came += frame.body.len();
    }
    assert_eq!(came, count);
}

fn expect_broken_off(hand: &mut Peer, stream: u32) {
    let cut = next(hand, stream);
    assert_eq!((cut.kind, cut.flags), (DATA, 0), "{cut:?}");
    assert_eq!(cut.body, CUT_SHORT);
    expect_end(hand, stream);
}

/// The end in a frame of its own, and no reset after it, whatever is sent.
fn expect_end(hand: &mut Peer, stream: u32) {
    let end = next(hand, stream);
    assert_eq!((end.kind, end.flags), (WINDOW_UPDATE, FIN), "{end:?}");
    hand.send(Frame::data(stream, chunks(&[7; 1_000], 1_000)));
    hand.send(Frame::flags(stream, FIN));
    // The answer comes behind everything else.
    let other = hand.call("nothing");
    let next = hand.wait(|frame| [stream, other].contains(&frame.stream) && frame.is_data_or_end());
    assert_eq!(next.stream, other, "{next:?}");
}

/// A call of one of ours, and the stream of the owner that is played by hand.
fn call(session: &Session, owner: &mut Peer) -> (Stream, u32) {
    let session = session.clone();
    let call = thread::spawn(move || session.open_stream("hand").unwrap());
    let far = owner.accept_next();
    (call.join().unwrap(), far)
}

/// Has one of ours call an owner by hand and begin a message, which `leave` ends.
fn assert_caller_breaks_off(leave: impl FnOnce(Stream) + Send + 'static) {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("hand", &["hand"]);
        let caller = hub.caller();
        let (stream, far) = call(&caller.session, &mut owner);
        (&stream).write_all(&[5; 2_000]).unwrap();
        expect_bytes(&mut owner, far, 2_000 + 2 * 4);
        leave(stream);
        expect_broken_off(&mut owner, far);
    });
}

#[test]
fn a_caller_that_drops_a_stream_inside_a_message_breaks_it_off() {
    assert_caller_breaks_off(drop);
}

#[test]
fn a_caller_that_resets_a_stream_breaks_it_off() {
    assert_caller_breaks_off(|stream| stream.reset());
}

#[test]
fn a_caller_that_aborts_its_session_breaks_its_streams_off() {
    assert_caller_breaks_off(|stream| stream.session().abort());
}

/// Nothing tells whether the message was complete.
#[test]
fn a_caller_that_leaks_a_writer_breaks_the_stream_off() {
    assert_caller_breaks_off(|stream| {
        std::mem::forget(stream.writer());
        drop(stream);
    });
}

/// The same where the hub itself is the sender.
#[test]
fn a_peer_that_drops_or_resets_a_stream_breaks_it_off() {
    for leave in [drop as fn(Stream), |stream| stream.reset()] {
        in_time(move || {
            let hub = Hub::new();
            let mut hand = hub.old_peer("hand", &["hand"]);
            let (stream, far) = call(&session_of(&hub, "hand"), &mut hand);
            (&stream).write_all(&[5; 2_000]).unwrap();
            expect_bytes(&mut hand, far, 2_000 + 2 * 4);
            leave(stream);
            expect_broken_off(&mut hand, far);
        });
    }
}

/// A caller by hand is lost inside a message that an owner by hand receives.
fn assert_lost_caller_breaks_off(loss: Loss) {
    in_time(move || {
        let hub = Hub::new();
        let mut owner = hub.old_peer("hand", &["hand"]);
        let mut caller = hub.old_peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "hand");
        caller.send(Frame::data(stream, chunks(&[3; 2_000], 1_000)));
        expect_bytes(&mut owner, far, 2_000 + 2 * 4);
        let _kept = loss.of(caller);
        expect_broken_off(&mut owner, far);
    });
}

#[test]
fn a_caller_whose_connection_ends_breaks_its_streams_off() {
    assert_lost_caller_breaks_off(Loss::End);
}

#[test]
fn a_caller_whose_connection_is_reset_breaks_its_streams_off() {
    assert_lost_caller_breaks_off(Loss::Reset);
}

/// Opens a stream by hand at an owner that is one of ours, and has it fail.
fn assert_owner_breaks_off(fail: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static) {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.owner("hand", move |stream| {
            stream.write_all(&[6; 1_000])?;
            message(stream)?;
            fail(stream)
        });
        let mut caller = hub.old_peer("caller", &[]);
        let stream = caller.open("hand");
        expect_bytes(&mut caller, stream, 1_000 + 4);
        let go = [&chunks(b"go", 2)[..], &END].concat();
        caller.send(Frame::data(stream, go));
        expect_broken_off(&mut caller, stream);
    });
}

#[test]
fn an_owner_whose_handler_fails_breaks_the_stream_off() {
    assert_owner_breaks_off(|_| Err(io::Error::other("it cannot go on")));
}

#[test]
fn an_owner_whose_handler_panics_breaks_the_stream_off() {
    assert_owner_breaks_off(|_| panic!("it cannot go on"));
}

#[test]
fn an_owner_that_resets_a_stream_breaks_it_off() {
    assert_owner_breaks_off(|stream| {
        stream.reset();
        Ok(())
    });
}

#[test]
fn an_owner_that_aborts_its_session_breaks_its_streams_off() {
    assert_owner_breaks_off(|stream| {
        stream.session().abort();
        Ok(())
    });
}

#[test]
fn a_handler_of_the_hub_that_fails_breaks_the_stream_off() {
    in_time(|| {
        let hub = Hub::with(|hub| {
            hub.stream("hand", |stream| {
                stream.write_all(&[6; 1_000])?;
                Err(io::Error::other("it cannot go on"))
            })
        });
        let mut caller = hub.old_peer("caller", &[]);
        let stream = caller.open("hand");
        expect_bytes(&mut caller, stream, 1_000 + 4);
        expect_broken_off(&mut caller, stream);
    });
}

/// An owner by hand is lost inside a message that a caller by hand receives.
fn assert_lost_owner_breaks_off(loss: Loss) {
    in_time(move || {
        let hub = Hub::new();
        let mut owner = hub.old_peer("hand", &["hand"]);
        let mut caller = hub.old_peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "hand");
        owner.send(Frame::data(far, chunks(&[3; 2_000], 1_000)));
        expect_bytes(&mut caller, stream, 2_000 + 2 * 4);
        let _kept = loss.of(owner);
        expect_broken_off(&mut caller, stream);
    });
}

#[test]
fn an_owner_whose_connection_ends_breaks_its_streams_off() {
    assert_lost_owner_breaks_off(Loss::End);
}

#[test]
fn an_owner_whose_connection_is_reset_breaks_its_streams_off() {
    assert_lost_owner_breaks_off(Loss::Reset);
}

#[test]
fn an_owner_that_resets_a_stream_by_hand_breaks_it_off() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("hand", &["hand"]);
        let mut caller = hub.old_peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "hand");
        owner.send(Frame::flags(far, RST));
        expect_broken_off(&mut caller, stream);
    });
}

#[test]
fn an_open_that_is_not_answered_in_time_is_broken_off() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.handshake_timeout(HANDSHAKE));
        let mut hand = hub.old_peer("hand", &["hand"]);
        // By one of ours through the hub, and by the hub itself.
        let caller = hub.caller();
        let near = session_of(&hub, "hand");
        thread::scope(|scope| {
            let relayed = scope.spawn(|| caller.open("hand").unwrap_err());
            let direct = scope.spawn(|| near.open_stream("hand").unwrap_err());
            for _ in 0..2 {
                let open = hand.next_open();
                expect_broken_off(&mut hand, open.stream);
            }
            let refusal = relayed.join().unwrap();
            assert!(refusal.to_string().contains("does not answer"), "{refusal}");
            let error = direct.join().unwrap();
            assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        });
    });
}

#[test]
fn an_open_whose_answer_is_none_is_broken_off() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("hand", &["hand"]);
        let caller = hub.caller();
        let call = thread::spawn(move || caller.open("hand").unwrap_err());
        let open = owner.next_open();
        owner.accept_as(open.stream, "another");
        expect_broken_off(&mut owner, open.stream);
        let refusal = call.join().unwrap();
        assert_ne!(refusal, Refusal::SessionNotFound);
        assert!(refusal.to_string().contains("no valid answer"), "{refusal}");
    });
}

#[test]
fn a_stream_is_broken_off_where_too_much_is_kept_for_its_owner() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.identification("hub", TOKEN).max_streams(1));
        let mut owner = hub.old_peer("hand", &["hand"]);
        let kept = leave_some(&hub, &mut owner);
        let one_too_many = leave_some(&hub, &mut owner);
        // Of its credit there is left what this takes. The owner has ended its half.
        let cut = next(&mut owner, one_too_many);
        assert_eq!((cut.flags, &cut.body[..]), (0, &CUT_SHORT[..]), "{cut:?}");
        let end = next(&mut owner, one_too_many);
        assert_eq!((end.kind, end.flags), (WINDOW_UPDATE, FIN), "{end:?}");
        // What is kept comes all the same.
        owner.grant(kept, 10_000);
        assert!(!next(&mut owner, kept).body.is_empty());
        assert!(next(&mut owner, kept).has(FIN));
        assert!(!owner.has_queued(|frame| frame.has(RST)));
    });
}

/// The end alone is truncation inside a chunk: the length of another would be taken for
/// its bytes.
#[test]
fn inside_a_chunk_that_is_too_large_to_be_held_the_end_comes_alone() {
    const SENT: usize = 200_000;
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("hand", &["hand"]);
        let mut caller = hub.old_peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "hand");
        let mut chunk = 1_000_000u32.to_le_bytes().to_vec();
        chunk.resize(SENT, 9);
        for part in chunk.chunks(50_000) {
            caller.send(Frame::data(stream, part.to_vec()));
        }
        let mut came = Vec::new();
        while came.len() < SENT {
            came.extend(next(&mut owner, far).body);
        }
        assert!(came == chunk);
        caller.send(Frame::flags(stream, RST));
        expect_end(&mut owner, far);
    });
}

/// Uses up all the credit of the other end that a sender may use.
fn use_up(mut stream: &Stream) {
    const WHOLE: usize = USABLE / 1_028;
    const REST: usize = USABLE % 1_028 - 4;
    for _ in 0..WHOLE {
        stream.write_all(&[5; 1_024]).unwrap();
    }
    stream.write_all(&[5; REST]).unwrap();
}

#[test]
fn a_sender_keeps_the_credit_that_breaking_off_takes() {
    in_time(|| {
        let hub = Hub::new();
        let mut hand = hub.old_peer("hand", &["hand"]);
        let (stream, far) = call(&session_of(&hub, "hand"), &mut hand);
        use_up(&stream);
        expect_bytes(&mut hand, far, USABLE);
        // The end of the message would take as much as is left.
        stream
            .set_write_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let error = stream.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        stream.reset();
        expect_broken_off(&mut hand, far);
    });
}

#[test]
fn a_hub_keeps_the_credit_that_breaking_off_takes() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("hand", &["hand"]);
        let mut caller = hub.old_peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "hand");
        // All that the owner's window has room for, of which the hub keeps an end mark.
        let whole = USABLE - USABLE % 1_028;
        let mut said = chunks(&[5; USABLE], 1_024)[..whole].to_vec();
        said.extend(chunks(&[5; USABLE % 1_028 - 4], 1_024));
        said.extend(END);
        assert_eq!(said.len(), INITIAL_WINDOW - OPENING);
        for part in said.chunks(50_000) {
            caller.send(Frame::data(stream, part.to_vec()));
        }
        expect_bytes(&mut owner, far, USABLE);
        serve_another(&hub);
        caller.send(Frame::flags(stream, RST));
        expect_broken_off(&mut owner, far);
    });
}

#[test]
fn a_write_that_waits_for_credit_fails_when_its_stream_is_broken_off() {
    in_time(|| {
        let hub = Hub::new();
        let mut hand = hub.old_peer("hand", &["hand"]);
        let (stream, far) = call(&session_of(&hub, "hand"), &mut hand);
        use_up(&stream);
        expect_bytes(&mut hand, far, USABLE);
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
        expect_broken_off(&mut hand, far);
    });
}

/// An accept frame of 20 bytes, 254 chunks of 1,024, and then a chunk that the window of
/// its sender cuts: so a go-wirenet node sends.
#[test]
fn a_hub_holds_a_chunk_that_its_senders_window_cuts_until_it_is_whole() {
    const NAME: &str = "8 chars.";
    const CHUNKS: usize = 254;
    const BEGUN: usize = 4 + 1_008;
    const LAST: usize = 1_024 + 4 - BEGUN;
    assert_eq!(12 + NAME.len() + CHUNKS * 1_028 + BEGUN, INITIAL_WINDOW);
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("owner", &[NAME]);
        let mut caller = hub.old_peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, NAME);
        let sent = Pattern::new(7).to_vec((CHUNKS + 1) * 1_024);
        let encoded = [&chunks(&sent, 1_024)[..], &END].concat();
        let (first, rest) = encoded.split_at(CHUNKS * 1_028 + BEGUN);
        // A frame for each write: the last length is one of its own.
        for chunk in first.chunks(1_028) {
            let (head, bytes) = chunk.split_at(4);
            owner.send(Frame::data(far, head.to_vec()));
            owner.send(Frame::data(far, bytes.to_vec()));
        }
        let mut got = Vec::new();
        let mut read = 0;
        while read < CHUNKS * 1_028 {
            let frame = next(&mut caller, stream);
            got.extend(whole_chunks(&frame.body));
            read += frame.body.len();
        }
        assert_eq!(got.len(), CHUNKS * 1_024);
        caller.grant(stream, read as u32);
        let granted = owner.wait(|frame| frame.stream == far && frame.length > 0);
        assert!(granted.length as usize >= LAST, "{granted:?}");
        owner.send(Frame::data(far, rest[..LAST].to_vec()));
        let whole = next(&mut caller, stream);
        assert_eq!(whole.body.len(), 1_028);
        got.extend(whole_chunks(&whole.body));
        assert!(got == sent);
        owner.send(Frame::data(far, rest[LAST..].to_vec()));
        assert_eq!(next(&mut caller, stream).body, END);
        owner.send(Frame::flags(far, FIN));
        let end = next(&mut caller, stream);
        assert_eq!((end.kind, end.flags), (WINDOW_UPDATE, FIN));
    });
}

/// Nobody waits for it, and the close says only what may not have arrived.
#[test]
fn a_client_reports_a_session_that_is_lost_while_it_closes() {
    in_time(|| {
        let (sender, told) = bounded(16);
        let (release, released) = bounded::<()>(0);
        let hub = Hub::with(|hub| {
            hub.stream("wait", move |_| {
                // It ends with the test.
                let _ = released.recv();
                Ok(())
            })
        });
        let client = hub.join(|client| {
            let client = client.session_close_timeout(PATIENCE);
            client.on_error(move |error| sender.send(error.operation.clone()).unwrap())
        });
        let stream = client.open("wait").unwrap();
        let far = hub.end_of(&client);
        let wire = client.wire.clone();
        let close = thread::spawn(move || wire.close());
        assert!(eventually(|| far.is_closing()));
        far.abort();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Operation::Session);
        drop((stream, release));
        // What it says depends on what had arrived.
        let _ = close.join().unwrap();
    });
}
