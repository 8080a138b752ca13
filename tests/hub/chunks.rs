//! Chunks that come whole leave whole: a Go peer reads the length of a chunk,
//! and its bytes, with one read each, so no Data frame may end inside.

use crate::{
    stage::{Hub, relay},
    support::{
        encoding::{ACCEPT, OPEN, chunks, layer_2, whole_chunks},
        frames::{DATA, FIN, Frame},
        in_time,
        pattern::Pattern,
        peer::{Open, Peer},
    },
};
use std::thread;

const INITIAL_WINDOW: usize = 262_144;

/// The bytes of a window that the opening of a stream takes.
fn opened(name: &str) -> usize {
    layer_2(OPEN, name, b"").len()
}

/// Reads a stream to its end, and grants again what was read as `grant` says.
///
/// # Panics
///
/// If a Data frame does not hold whole chunks.
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

/// What one of ours sends through the hub to an owner that is played by hand,
/// which grants again what it has read as it likes.
fn send_to_hand(size: usize, mut grant: impl FnMut(&mut Peer, u32, usize)) {
    let hub = Hub::new();
    let mut owner = hub.peer("hand", &["hand"]);
    let caller = hub.caller();
    let sent = Pattern::new(size as u64).to_vec(size);
    let expected = sent.clone();
    let call = thread::spawn(move || {
        let stream = caller.session.open_stream("hand").unwrap();
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
        send_to_hand(2 << 20, |owner, stream, count| {
            owner.grant(stream, count as u32)
        })
    });
}

/// What an owner gets that grants so much at a time, and only when it has room
/// for no more than a chunk: a hub may keep back what does not take a whole one.
fn send_to_a_full_hand(size: usize, portion: usize) {
    in_time(move || {
        let (mut window, mut read) = (INITIAL_WINDOW, 0);
        send_to_hand(size, move |owner, stream, count| {
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
    send_to_a_full_hand(2 << 20, 50_001);
}

#[test]
fn an_owner_that_then_grants_little_gets_whole_chunks() {
    send_to_a_full_hand(600_000, 1_501);
}

#[test]
fn an_owner_that_grants_byte_by_byte_gets_everything_in_whole_chunks() {
    in_time(|| {
        send_to_hand(400_000, |owner, stream, count| {
            owner.send(vec![Frame::grant(stream, 1); count]);
        });
    });
}

/// Has the hub do something else, which takes as long as what it was about to
/// do too early.
pub fn serve_another(hub: &Hub) {
    hub.caller().open("nothing").unwrap_err();
}

/// Opens a stream by hand with `more` in the same Data frame, of which the last
/// `late` bytes are sent only when the owner has accepted; then the end.
fn open_in_two_pieces(more: &[u8], late: usize) -> (Hub, Peer, Open) {
    let hub = Hub::new();
    let mut owner = hub.peer("hand", &["hand"]);
    let mut caller = hub.peer("caller", &[]);
    let (stream, mut body) = caller.begin_open("hand");
    body.extend(more);
    let bytes = Frame::data(stream, body).encode();
    let (first, last) = bytes.split_at(bytes.len() - late);
    caller.send_bytes(first);
    let open = owner.next_open();
    owner.accept(&open);
    // The hub has told the caller, so it passes things on.
    caller.expect_accepted(stream);
    serve_another(&hub);
    caller.send_bytes(last);
    caller.send(Frame::flags(stream, FIN));
    (hub, owner, open)
}

#[test]
fn a_chunk_that_comes_along_with_the_open_in_pieces_leaves_whole() {
    in_time(|| {
        let message = Pattern::new(5).to_vec(900);
        let (_hub, mut owner, open) = open_in_two_pieces(&chunks(&message, 900), 300);
        assert!(open.rest.is_empty());
        let got = read_whole(&mut owner, open.stream, |_, _| {});
        assert!(got == message);
    });
}

#[test]
fn a_window_full_of_chunks_before_the_answer_leaves_in_whole_chunks() {
    in_time(|| {
        // The hub's open frame takes more of the owner's window than the
        // caller's took of the hub's, so the last chunks have no room there.
        let hub = Hub::with(|hub| hub.identification("", vec![7; 4_000]));
        let mut owner = hub.peer("hand", &["hand"]);
        let mut caller = hub.peer("caller", &[]);
        let stream = caller.call("hand");
        let window = INITIAL_WINDOW - opened("hand");
        let message = Pattern::new(6).to_vec(window / 1028 * 1024);
        for chunk in message.chunks(1024) {
            caller.send(Frame::data(stream, chunks(chunk, 1024)));
        }
        caller.send(Frame::flags(stream, FIN));
        let open = owner.next_open();
        assert_eq!(open.token.len(), 4_000);
        owner.accept(&open);
        let got = read_whole(&mut owner, open.stream, |owner, count| {
            owner.grant(open.stream, count as u32);
        });
        assert!(got == message);
    });
}

#[test]
fn a_frame_that_the_owner_has_no_room_for_is_cut_between_chunks() {
    in_time(|| {
        // As above, with many chunks in a frame, and an owner that grants no
        // more while it has room for one.
        let hub = Hub::with(|hub| hub.identification("", vec![7; 4_000]));
        let mut owner = hub.peer("hand", &["hand"]);
        let mut caller = hub.peer("caller", &[]);
        let stream = caller.call("hand");
        let window = INITIAL_WINDOW - opened("hand");
        let message = Pattern::new(6).to_vec(window / 1028 * 1024);
        for part in message.chunks(60 * 1024) {
            caller.send(Frame::data(stream, chunks(part, 1024)));
        }
        caller.send(Frame::flags(stream, FIN));
        let open = owner.next_open();
        owner.accept(&open);
        let mut room = INITIAL_WINDOW - opened("hand") - 4_000;
        let got = read_whole(&mut owner, open.stream, |owner, count| {
            room -= count;
            if room < 1_028 {
                owner.grant(open.stream, 1_028);
                room += 1_028;
            }
        });
        assert!(got == message);
    });
}

/// Room that a hub may not have granted yet to the sender of a chunk.
const SLACK: usize = INITIAL_WINDOW / 16;

#[test]
fn a_chunk_nearly_as_large_as_the_window_leaves_whole() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("hand", &["hand"]);
        let mut caller = hub.peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "hand");
        let room = INITIAL_WINDOW - opened("hand") - 8 - SLACK;
        let message = Pattern::new(8).to_vec(room);
        caller.send(Frame::data(stream, chunks(&message, room)));
        caller.send(Frame::flags(stream, FIN));
        assert!(read_whole(&mut owner, far, |_, _| {}) == message);
    });
}

#[test]
fn a_chunk_larger_than_the_window_is_passed_on_as_it_comes() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("hand", &["hand"]);
        let mut caller = hub.peer("caller", &[]);
        let (stream, far) = relay(&mut caller, &mut owner, "hand");
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

/// Larger ones would have all others wait that go to the same owner.
#[test]
fn larger_frames_are_cut_whatever_the_owner_grants() {
    /// That no chunk ends in a window's worth of bytes, or that some do.
    const CHUNKS: [usize; 2] = [1 << 20, 100_000];
    for size in CHUNKS {
        in_time(move || {
            let hub = Hub::new();
            let mut owner = hub.peer("hand", &["hand"]);
            let mut caller = hub.peer("caller", &[]);
            let (stream, far) = relay(&mut caller, &mut owner, "hand");
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
fn what_an_owner_answers_along_with_its_acceptance_reaches_the_caller_in_whole_chunks() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("hand", &["hand"]);
        let mut caller = hub.peer("caller", &[]);
        let stream = caller.call("hand");
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
