//! Aborting a stream to a peer that does not treat a reset as an error, as
//! go-wirenet does not: the peer gets the length of a chunk that never comes, and
//! then the end of the stream in a frame of its own. It never gets a reset.

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

/// The frame that opens, or accepts, a stream named "name".
const OPENING: usize = 12 + 4;

/// The part of a first window that a sender may use behind an opening. It keeps
/// the rest to abort the stream.
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

/// The hub's end of the session with this identification. The hub may register it
/// a little after the client.
fn session_of(hub: &Hub, identification: &str) -> Session {
    let mut found = None;
    let is_open = eventually(|| {
        let sessions = hub.wire.sessions();
        let mut sessions = sessions.into_iter();
        found = sessions.find(|session| session.identification() == identification.as_bytes());
        found.is_some()
    });
    assert!(is_open);
    found.expect("it was found")
}

/// The next frame of a stream that carries data or an end.
fn next(peer: &mut Peer, stream: u32) -> Frame {
    peer.wait(|frame| frame.stream == stream && frame.is_data_or_end())
}

/// Asserts that `count` bytes come, in frames of whole chunks.
fn expect_bytes(peer: &mut Peer, stream: u32, count: usize) {
    let mut came = 0;
    while came < count {
        let frame = next(peer, stream);
        assert_eq!((frame.kind, frame.flags), (DATA, 0));
        whole_chunks(&frame.body);
        came += frame.body.len();
    }
    assert_eq!(came, count);
}

fn expect_abort(peer: &mut Peer, stream: u32) {
    let cut = next(peer, stream);
    assert_eq!((cut.kind, cut.flags), (DATA, 0), "{cut:?}");
    assert_eq!(cut.body, CUT_SHORT);
    expect_end(peer, stream);
}

/// Asserts that the end comes in a frame of its own, and no reset after it, whatever
/// the peer sends.
fn expect_end(peer: &mut Peer, stream: u32) {
    let end = next(peer, stream);
    assert_eq!((end.kind, end.flags), (WINDOW_UPDATE, FIN), "{end:?}");
    peer.send(Frame::data(stream, chunks(&[7; 1_000], 1_000)));
    peer.send(Frame::flags(stream, FIN));
    // The answer comes after everything else.
    let other = peer.call("nothing");
    let next = peer.wait(|frame| [stream, other].contains(&frame.stream) && frame.is_data_or_end());
    assert_eq!(next.stream, other, "{next:?}");
}

/// Opens a stream of a session to a scripted owner. Returns the stream and its id
/// at the owner.
fn call(session: &Session, owner: &mut Peer) -> (Stream, u32) {
    let session = session.clone();
    let call = thread::spawn(move || session.open_stream("name").unwrap());
    let far = owner.accept_next();
    (call.join().unwrap(), far)
}

/// A client calls a scripted owner and begins a message, and `leave` abandons it.
fn assert_caller_aborts(leave: impl FnOnce(Stream) + Send + 'static) {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.old_peer("owner", &["name"]);
        let caller = hub.caller();
        let (stream, far) = call(&caller.session, &mut owner);
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
            let (stream, far) = call(&session_of(&hub, "owner"), &mut peer);
            (&stream).write_all(&[5; 2_000]).unwrap();
            expect_bytes(&mut peer, far, 2_000 + 2 * 4);
            leave(stream);
            expect_abort(&mut peer, far);
        });
    }
}

/// A stream that a hub relays between two peers.
struct Relayed {
    hub: Hub,
    caller: Peer,
    near: u32,
    owner: Peer,
    far: u32,
}

impl Relayed {
    fn new(name: &str) -> Self {
        let hub = Hub::new();
        let mut owner = hub.old_peer("owner", &[name]);
        let mut caller = hub.old_peer("caller", &[]);
        let (near, far) = relay(&mut caller, &mut owner, name);
        Self {
            hub,
            caller,
            near,
            owner,
            far,
        }
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
        let (caller, owner) = (&mut relayed.caller, &mut relayed.owner);
        let (near, far) = (relayed.near, relayed.far);
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
        let (caller, owner) = (&mut relayed.caller, &mut relayed.owner);
        let (near, far) = (relayed.near, relayed.far);
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

/// Uses all the credit that a sender may use.
fn use_up(mut stream: &Stream) {
    const WHOLE: usize = USABLE / 1_028;
    const REST: usize = USABLE % 1_028 - 4;
    for _ in 0..WHOLE {
        stream.write_all(&[5; 1_024]).unwrap();
    }
    stream.write_all(&[5; REST]).unwrap();
}

#[test]
fn a_sender_keeps_the_credit_that_an_abort_takes() {
    in_time(|| {
        let hub = Hub::new();
        let mut peer = hub.old_peer("owner", &["name"]);
        let (stream, far) = call(&session_of(&hub, "owner"), &mut peer);
        use_up(&stream);
        expect_bytes(&mut peer, far, USABLE);
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
        let (stream, far) = call(&session_of(&hub, "owner"), &mut peer);
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
        let mut relayed = Relayed::new("name");
        let (caller, owner) = (&mut relayed.caller, &mut relayed.owner);
        let (near, far) = (relayed.near, relayed.far);
        // As much as the owner's window has room for; the hub holds back the end mark.
        let whole = USABLE - USABLE % 1_028;
        let mut sent = chunks(&[5; USABLE], 1_024)[..whole].to_vec();
        sent.extend(chunks(&[5; USABLE % 1_028 - 4], 1_024));
        sent.extend(END);
        assert_eq!(sent.len(), INITIAL_WINDOW - OPENING);
        for part in sent.chunks(50_000) {
            caller.send(Frame::data(near, part.to_vec()));
        }
        expect_bytes(owner, far, USABLE);
        serve_another(&relayed.hub);
        caller.send(Frame::flags(near, RST));
        expect_abort(owner, far);
    });
}

#[test]
fn a_write_that_waits_for_credit_fails_when_its_stream_is_reset_locally() {
    in_time(|| {
        let hub = Hub::new();
        let mut peer = hub.old_peer("owner", &["name"]);
        let (stream, far) = call(&session_of(&hub, "owner"), &mut peer);
        use_up(&stream);
        expect_bytes(&mut peer, far, USABLE);
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

/// An accept frame of 20 bytes, 254 chunks of 1,024 bytes, and a chunk that the end of
/// the window splits, as go-wirenet sends them.
#[test]
fn a_hub_buffers_a_chunk_that_the_senders_window_splits_until_it_is_whole() {
    const NAME: &str = "8 chars.";
    const CHUNKS: usize = 254;
    const BEGUN: usize = 4 + 1_008;
    const LAST: usize = 1_024 + 4 - BEGUN;
    assert_eq!(12 + NAME.len() + CHUNKS * 1_028 + BEGUN, INITIAL_WINDOW);
    in_time(|| {
        let mut relayed = Relayed::new(NAME);
        let (caller, owner) = (&mut relayed.caller, &mut relayed.owner);
        let (near, far) = (relayed.near, relayed.far);
        let sent = Pattern::new(7).to_vec((CHUNKS + 1) * 1_024);
        let encoded = [&chunks(&sent, 1_024)[..], &END].concat();
        let (first, rest) = encoded.split_at(CHUNKS * 1_028 + BEGUN);
        // Each write is a frame. The last length is a frame of its own.
        for chunk in first.chunks(1_028) {
            let (head, bytes) = chunk.split_at(4);
            owner.send(Frame::data(far, head.to_vec()));
            owner.send(Frame::data(far, bytes.to_vec()));
        }
        let mut got = Vec::new();
        let mut read = 0;
        while read < CHUNKS * 1_028 {
            let frame = next(caller, near);
            got.extend(whole_chunks(&frame.body));
            read += frame.body.len();
        }
        assert_eq!(got.len(), CHUNKS * 1_024);
        caller.grant(near, read as u32);
        let granted = owner.wait(|frame| frame.stream == far && frame.length > 0);
        assert!(granted.length as usize >= LAST, "{granted:?}");
        owner.send(Frame::data(far, rest[..LAST].to_vec()));
        let whole = next(caller, near);
        assert_eq!(whole.body.len(), 1_028);
        got.extend(whole_chunks(&whole.body));
        assert!(got == sent);
        owner.send(Frame::data(far, rest[LAST..].to_vec()));
        assert_eq!(next(caller, near).body, END);
        owner.send(Frame::flags(far, FIN));
        let end = next(caller, near);
        assert_eq!((end.kind, end.flags), (WINDOW_UPDATE, FIN));
    });
}

/// The close itself only returns what may not have arrived.
#[test]
fn a_client_reports_a_session_that_is_lost_while_it_closes() {
    in_time(|| {
        let (sender, told) = bounded(16);
        let (release, released) = bounded::<()>(0);
        let hub = Hub::with(|hub| {
            hub.stream("wait", move |_| {
                // Until the end of the test.
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
        // Its result depends on what had arrived.
        let _ = close.join().unwrap();
    });
}
