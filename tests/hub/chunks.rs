//! A hub does not split chunks that it receives whole. A Go peer reads the length
//! of a chunk, and its bytes, with one read each, so no Data frame may end inside
//! of them.

use crate::{
    aborts::{Relayed, next},
    ending::TOKEN,
    stage::{Hub, INITIAL_WINDOW, relay},
    support::{
        encoding::{ACCEPT, END, OPEN, chunks, layer_2, whole_chunks},
        frames::{DATA, FIN, Frame, WINDOW_UPDATE},
        in_time,
        pattern::Pattern,
        peer::{Open, Peer},
    },
};
use std::thread;

/// The bytes of a window that the opening of a stream takes.
fn opened(name: &str) -> usize {
    layer_2(OPEN, name, b"").len()
}

/// Reads a stream to its end. `grant` is called with the bytes of each frame, to
/// grant credit for them.
///
/// # Panics
///
/// If a Data frame does not contain whole chunks.
fn read_whole(owner: &mut Peer, stream: u32, mut grant: impl FnMut(&mut Peer, usize)) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let frame = owner.next_of(stream);
        if frame.kind == DATA {
            bytes.extend(whole_chunks(&frame.body));
            grant(owner, frame.body.len());
        }
        if frame.has(FIN) {
            return bytes;
        }
    }
}

/// A client sends `size` bytes through the hub to a scripted owner, which calls
/// `grant` to grant credit.
fn send_to_peer(size: usize, mut grant: impl FnMut(&mut Peer, u32, usize)) {
    let hub = Hub::new();
    let mut owner = hub.peer("owner", &["name"]);
    let caller = hub.caller();
    let sent = Pattern::new(size as u64).to_vec(size);
    let expected = sent.clone();
    let call = thread::spawn(move || {
        let stream = caller.session.open_stream("name").unwrap();
        for message in sent.chunks(100_000) {
            stream.write_message(message).unwrap();
        }
        stream.finish().unwrap();
    });
    let open = owner.next_open();
    owner.accept(&open);
    let got = read_whole(&mut owner, open.stream, |owner, count| {
        grant(owner, open.stream, count);
    });
    assert!(got == expected);
    call.join().unwrap();
}

#[test]
fn an_owner_that_grants_as_it_reads_gets_whole_chunks() {
    in_time(|| {
        send_to_peer(2 << 20, |owner, stream, count| {
            owner.grant(stream, count as u32)
        })
    });
}

/// The same, with an owner that grants `portion` bytes at a time, and only when it
/// has room for less than two chunks: a hub may hold back credit that a chunk does
/// not fit in.
fn send_to_a_full_peer(size: usize, portion: usize) {
    in_time(move || {
        let (mut window, mut read) = (INITIAL_WINDOW, 0);
        send_to_peer(size, move |owner, stream, count| {
            read += count;
            if window - read < 2_000 {
                owner.grant(stream, portion as u32);
                window += portion;
            }
        });
    });
}

#[test]
fn an_owner_that_lets_its_window_run_out_gets_whole_chunks() {
    send_to_a_full_peer(2 << 20, 50_001);
}

#[test]
fn an_owner_that_lets_its_window_run_out_and_grants_little_gets_whole_chunks() {
    send_to_a_full_peer(600_000, 1_501);
}

#[test]
fn an_owner_that_grants_byte_by_byte_gets_everything_in_whole_chunks() {
    in_time(|| {
        send_to_peer(400_000, |owner, stream, count| {
            owner.send(vec![Frame::grant(stream, 1); count]);
        });
    });
}

/// Has the hub serve another call. What it would do too early happens meanwhile.
pub fn serve_another(hub: &Hub) {
    hub.caller().open("nothing").unwrap_err();
}

/// Opens a stream with `more` in the same Data frame. Sends the last `late` bytes
/// of that frame only when the owner has accepted, and then ends the stream.
fn open_in_two_pieces(more: &[u8], late: usize) -> (Hub, Peer, Open) {
    let hub = Hub::new();
    let mut owner = hub.peer("owner", &["name"]);
    let mut caller = hub.peer("caller", &[]);
    let (stream, mut body) = caller.begin_open("name");
    body.extend(more);
    let bytes = Frame::data(stream, body).encode();
    let (first, last) = bytes.split_at(bytes.len() - late);
    caller.send_bytes(first);
    let open = owner.next_open();
    owner.accept(&open);
    // The hub has answered the caller, so it relays from here on.
    caller.expect_accepted(stream);
    serve_another(&hub);
    caller.send_bytes(last);
    caller.send(Frame::flags(stream, FIN));
    (hub, owner, open)
}

#[test]
fn a_chunk_in_pieces_behind_the_open_frame_leaves_whole() {
    in_time(|| {
        let message = Pattern::new(5).to_vec(900);
        let (_hub, mut owner, open) = open_in_two_pieces(&chunks(&message, 900), 300);
        assert!(open.rest.is_empty());
        let got = read_whole(&mut owner, open.stream, |_, _| {});
        assert!(got == message);
    });
}

/// A caller sends as many chunks as its window has room for, in frames of chunks
/// of `len` bytes in all, and ends the stream; only then the owner accepts. The
/// hub's open frame takes more of the owner's window than the caller's open frame
/// takes of the hub's, so the last chunks have no room.
///
/// `grant` is called with the bytes of each frame that the owner reads.
fn send_before_the_answer(len: usize, mut grant: impl FnMut(&mut Peer, u32, usize)) {
    let hub = Hub::with(|hub| hub.identification("", TOKEN));
    let mut owner = hub.peer("owner", &["name"]);
    let mut caller = hub.peer("caller", &[]);
    let stream = caller.call("name");
    let window = INITIAL_WINDOW - opened("name");
    let message = Pattern::new(6).to_vec(window / 1028 * 1024);
    for part in message.chunks(len) {
        caller.send(Frame::data(stream, chunks(part, 1024)));
    }
    caller.send(Frame::flags(stream, FIN));
    let open = owner.next_open();
    assert_eq!(open.token, TOKEN);
    owner.accept(&open);
    let got = read_whole(&mut owner, open.stream, |owner, count| {
        grant(owner, open.stream, count);
    });
    assert!(got == message);
}

#[test]
fn a_window_full_of_chunks_before_the_answer_leaves_in_whole_chunks() {
    in_time(|| {
        send_before_the_answer(1024, |owner, stream, count| {
            owner.grant(stream, count as u32);
        });
    });
}

#[test]
fn a_frame_that_the_owner_has_no_room_for_is_split_between_chunks() {
    in_time(|| {
        // The owner grants no credit while it has room for a chunk.
        let mut room = INITIAL_WINDOW - opened("name") - TOKEN.len();
        send_before_the_answer(60 * 1024, |owner, stream, count| {
            room -= count;
            if room < 1_028 {
                owner.grant(stream, 1_028);
                room += 1_028;
            }
        });
    });
}

/// Credit that a hub may not have granted yet to the sender of a chunk.
const SLACK: usize = INITIAL_WINDOW / 16;

#[test]
fn a_chunk_nearly_as_large_as_the_window_leaves_whole() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("owner", &["name"]);
        let mut caller = hub.peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "name");
        let room = INITIAL_WINDOW - opened("name") - 8 - SLACK;
        let message = Pattern::new(8).to_vec(room);
        caller.send(Frame::data(stream, chunks(&message, room)));
        caller.send(Frame::flags(stream, FIN));
        assert!(read_whole(&mut owner, far, |_, _| {}) == message);
    });
}

#[test]
fn a_chunk_larger_than_the_window_is_relayed_as_it_arrives() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("owner", &["name"]);
        let mut caller = hub.peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "name");
        let message = Pattern::new(9).to_vec(1 << 20);
        let said = chunks(&message, message.len());
        let (first, rest) = said.split_at(100_000);
        caller.send(Frame::data(stream, first.to_vec()));
        let mut came = owner.next_of(far).body;
        while came.len() < first.len() {
            came.extend(owner.next_of(far).body);
        }
        owner.grant(far, 1 << 20);
        let mut granted = 0;
        while granted < rest.len() - (INITIAL_WINDOW - first.len()) + 1000 {
            granted += caller.wait(|frame| frame.stream == stream).length as usize;
        }
        caller.send(Frame::data(stream, rest.to_vec()));
        while came.len() < said.len() {
            came.extend(owner.next_of(far).body);
        }
        assert!(came == said);
    });
}

/// Larger frames would delay all others to the same owner.
#[test]
fn frames_larger_than_a_window_are_split_whatever_the_owner_grants() {
    /// So large that no chunk ends within a window, or that several do.
    const CHUNKS: [usize; 2] = [1 << 20, 100_000];
    for size in CHUNKS {
        in_time(move || {
            let hub = Hub::new();
            let mut owner = hub.peer("owner", &["name"]);
            let mut caller = hub.peer("caller", &[]);
            let (stream, far) = relay(&mut caller, &mut owner, "name");
            owner.grant(far, 8 << 20);
            let mut room = 0;
            while room < 4 << 20 {
                room += caller.wait(|frame| frame.stream == stream).length;
            }
            let said = chunks(&Pattern::new(10).to_vec(3 << 20), size);
            caller.send(Frame::data(stream, said.clone()));
            let mut came = Vec::new();
            while came.len() < said.len() {
                let frame = owner.next_of(far);
                assert!(frame.body.len() <= INITIAL_WINDOW, "{}", frame.body.len());
                if size < INITIAL_WINDOW {
                    whole_chunks(&frame.body);
                }
                came.extend(frame.body);
            }
            assert!(came == said);
        });
    }
}

#[test]
fn chunks_behind_an_accept_frame_reach_the_caller_whole() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("owner", &["name"]);
        let mut caller = hub.peer("caller", &[]);
        let stream = caller.call("name");
        let open = owner.next_open();
        let message = Pattern::new(4).to_vec(700);
        let mut body = layer_2(ACCEPT, &open.name, b"");
        body.extend(chunks(&message, 700));
        let bytes = Frame::data(open.stream, body).encode();
        let (first, last) = bytes.split_at(bytes.len() - 200);
        owner.send_bytes(first);
        caller.expect_accepted(stream);
        serve_another(&hub);
        owner.send_bytes(last);
        owner.send(Frame::flags(open.stream, FIN));
        assert!(read_whole(&mut caller, stream, |_, _| {}) == message);
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
        let ((caller, near), (owner, far)) = relayed.ends();
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
