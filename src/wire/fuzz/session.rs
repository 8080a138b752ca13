//! The opening of a session and of its streams, on either side, with a peer that may send
//! anything.

use super::stage::{
    NAMES, Part, Prompted, REFUSED, assert_at_rest, begin_handshake, in_stream, some_bytes,
    some_chunks, update, wire, wire_frame,
};
use crate::{
    error::Error,
    fuzz::Script,
    time::deadline,
    transport::{Halves, memory},
    wire::{
        run::{handshake::Handshake, inbound::find_handler},
        session::{
            frame::{FrameDecoder, FrameKind},
            handshake_messages::{OpenSessionRequest, OpenSessionResponse},
            session::Agreed,
            stream::Stream,
        },
        state::{registry::Registry, session_opening::Pending, wire_state::WireState},
    },
    yamux::{
        Role,
        fuzz::{AT_ONCE, Peer, watch},
    },
};
use crossbeam_channel::RecvTimeoutError;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, LazyLock},
};

static WIRE: LazyLock<Arc<WireState>> = LazyLock::new(|| wire(Registry::of_server, find_handler));

const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

/// Whatever the peer sends, a session is established if the protocol allows it, everything
/// that was begun on it ends with the connection, and no state of it is left.
pub fn session(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte();
    let role = match flags & 1 {
        0 => Role::Server,
        _ => Role::Client,
    };
    let mut parts = match role {
        Role::Server => requests(&mut script),
        Role::Client => answers(&mut script),
    };
    let mut later = streams(role, &mut script);
    if flags & 32 != 0
        && let Some(Part::Bytes(bytes)) = parts.back_mut()
    {
        // All at once, as from a peer that does not wait for answers.
        bytes.append(&mut later);
    }
    let len = later.len() + parts.iter().map(Part::len).sum::<usize>();
    let (here, there) = memory::pair(8 << 20);
    let (halves, transport_gone) = watch(here, None);
    let other = match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    };
    let peer = Arc::new(Mutex::new(Peer::new(there, other)));
    let reader = Prompted {
        half: halves.reader,
        peer: Arc::clone(&peer),
        parts: parts.into_iter().chain([Part::Bytes(later)]).collect(),
        size: match flags & 14 {
            // Larger for long inputs, which would take too long otherwise.
            0 => 1 + len / 2000,
            2 => 13 + len / 2000,
            _ => usize::MAX,
        },
    };
    let halves = Halves {
        reader: Box::new(reader),
        ..halves
    };
    let opens = flags & 16 != 0;
    match role {
        Role::Server => accept(halves, opens, &peer),
        Role::Client => dial(halves, opens),
    }
    assert_at_rest(&WIRE);
    let gone = transport_gone.recv_timeout(AT_ONCE);
    assert_eq!(
        gone,
        Err(RecvTimeoutError::Disconnected),
        "the transport is not dropped"
    );
    peer.lock().read(usize::MAX);
}

// -- this side, as the threads of the wire do it --

fn begin(halves: Halves, role: Role) -> Handshake<'static> {
    Handshake::new(&WIRE, halves, role, deadline(AT_ONCE)).expect("the transport splits")
}

fn accept(halves: Halves, opens: bool, peer: &Mutex<Peer>) {
    let mut handshake = begin(halves, Role::Server);
    let pending = begin_handshake(&WIRE);
    match handshake.answer(&pending) {
        Ok(agreed) => serve(handshake, agreed, &pending, opens),
        Err(_) => {
            assert!(WIRE.is_empty(), "a refused session is left");
            handshake.dismiss();
            // An answer to the peer must contain a reason.
            let mut peer = peer.lock();
            peer.read(usize::MAX);
            if let Some(response) = response(&peer) {
                assert!(!response.err.is_empty());
            }
        }
    }
}

/// Returns the answer that a client got.
fn response(peer: &Peer) -> Option<OpenSessionResponse> {
    let (_, seen) = peer
        .streams
        .iter()
        .find(|(_, seen)| !seen.came.is_empty())?;
    let frame = FrameDecoder::default().next(&mut seen.came.as_slice());
    let frame = frame
        .expect("a frame of the protocol")
        .expect("a whole one");
    assert_eq!(frame.kind, FrameKind::ConfirmSession);
    Some(OpenSessionResponse::decode(&frame.payload).expect("a response"))
}

fn dial(halves: Halves, opens: bool) {
    let mut handshake = begin(halves, Role::Client);
    if let Ok(agreed) = handshake.ask() {
        serve(handshake, agreed, &begin_handshake(&WIRE), opens);
    }
}

/// Establishes the session and serves it until it ends.
fn serve(handshake: Handshake<'_>, agreed: Agreed, pending: &Pending, opens: bool) {
    let id = agreed.id;
    let Ok(established) = WIRE.establish(handshake, agreed, pending) else {
        panic!("the wire is not closed");
    };
    let session = established.session.clone();
    assert_eq!(WIRE.session(id).map(|found| found.id()), Some(id));
    let open = |name| session.open_stream_nowait(name).ok().filter(|_| opens);
    let opened: Vec<Stream> = NAMES.into_iter().take(2).filter_map(open).collect();
    for stream in &opened {
        let _ = stream.write_message(b"hello");
    }
    let _ = WIRE.serve(established);
    assert!(session.is_closed());
    assert!(matches!(
        session.open_stream("echo"),
        Err(Error::Connection(_))
    ));
    for stream in &opened {
        read_to_end(stream);
    }
}

/// Reads a stream that was opened by this side and has ended.
fn read_to_end(stream: &Stream) {
    // More than any input has messages; the shortest is an end mark.
    for _ in 0..1 << 20 {
        match stream.next_message() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return assert_ne!(error.kind(), io::ErrorKind::TimedOut),
        }
        let _ = io::copy(&mut &*stream, &mut io::sink());
    }
    panic!("the stream does not end");
}

// -- the peer --

/// Returns the parts that a client sends first.
fn requests(script: &mut Script<'_>) -> VecDeque<Part> {
    let how = script.byte();
    let bytes = match how % 8 {
        0 => some_bytes(script),
        1 => {
            let open = in_stream(1, SYN, &some_bytes(script));
            [open, update(1, FIN, 0)].concat()
        }
        2 => {
            let payload = some_bytes(script);
            let kind = script.pick(&[
                FrameKind::OpenSession,
                FrameKind::Open,
                FrameKind::ConfirmSession,
            ]);
            in_stream(1, SYN, &wire_frame(kind, "openSession", &payload))
        }
        _ => {
            let mut request = OpenSessionRequest {
                sid: vec![1; 16],
                ..OpenSessionRequest::default()
            };
            match how / 8 {
                0..16 => {}
                16 => request.sid = some_bytes(script),
                17 => request.token = some_bytes(script),
                18 => request.token = REFUSED.to_vec(),
                19 => request.identification = some_bytes(script),
                20 => request.local_stream_names = names(script),
                21 => request.local_stream_names = vec!["a".into(); 100_000],
                22 => request.local_stream_names = vec!["confirmSession".into()],
                _ => request.local_stream_names = vec![String::new()],
            }
            let frame = request.to_frame().encode();
            let flags = if how & 8 == 0 { SYN } else { SYN | FIN };
            match how % 8 {
                3 => {
                    let (first, second) =
                        frame.split_at(usize::from(script.byte()).min(frame.len()));
                    [in_stream(1, SYN, first), in_stream(1, FIN, second)].concat()
                }
                4 => [update(1, SYN, 0), in_stream(1, 0, &frame)].concat(),
                _ => in_stream(1, flags, &frame),
            }
        }
    };
    VecDeque::from([Part::Bytes(bytes)])
}

fn names(script: &mut Script<'_>) -> Vec<String> {
    let name = |script: &mut Script<'_>| String::from_utf8_lossy(&some_bytes(script)).into_owned();
    (0..script.byte() % 5).map(|_| name(script)).collect()
}

/// Returns the parts that a server sends first.
fn answers(script: &mut Script<'_>) -> VecDeque<Part> {
    let how = script.byte();
    let mut response = OpenSessionResponse::default();
    let part = match how % 8 {
        0 => Part::Bytes(some_bytes(script)),
        1 => Part::Bytes(in_stream(1, ACK, &some_bytes(script))),
        2 => Part::Bytes(update(1, script.pick(&[ACK, FIN, RST, ACK | FIN]), 0)),
        3 => {
            let payload = some_bytes(script);
            let frame = wire_frame(FrameKind::ConfirmSession, "confirmSession", &payload);
            Part::Bytes(in_stream(1, ACK, &frame))
        }
        _ => {
            match how / 8 {
                0..24 => {}
                24 => response.sid = some_bytes(script),
                25 => response.remote_stream_names = names(script),
                26 => response.err = "no".into(),
                27 => response.code = script.word(),
                _ => {
                    response.err = String::from_utf8_lossy(&some_bytes(script)).into_owned();
                    response.code = u32::from(script.byte());
                }
            }
            Part::Confirm(Box::new(response))
        }
    };
    VecDeque::from([part])
}

/// Returns the bytes that the peer sends then, on its own streams and on ours.
fn streams(role: Role, script: &mut Script<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // The id of the peer's next stream, and that of our first stream after the session's.
    let (mut next, ours) = match role {
        Role::Server => (3, 2),
        Role::Client => (2, 3),
    };
    while let Some(op) = script.next() {
        let id = match script.byte() {
            choice @ 0..128 => next.max(2) - 2 * u32::from(choice % 2),
            choice => ours + 2 * u32::from(choice % 2),
        };
        if bytes.len() > 1 << 20 {
            break;
        }
        bytes.extend(match op % 13 {
            0 | 1 => {
                next += 2;
                let token = if op & 128 == 0 { b"" } else { REFUSED };
                let mut open = wire_frame(FrameKind::Open, script.pick(&NAMES), token);
                open.extend(some_chunks(script));
                in_stream(next - 2, if op & 64 == 0 { SYN } else { SYN | FIN }, &open)
            }
            2 => {
                next += 2;
                in_stream(next - 2, SYN, &some_bytes(script))
            }
            3 => {
                let (command, payload) = (script.pick(&NAMES), some_bytes(script));
                let kind = script.pick(&[
                    FrameKind::Init,
                    FrameKind::Accept,
                    FrameKind::Error,
                    FrameKind::Open,
                ]);
                in_stream(id, 0, &wire_frame(kind, command, &payload))
            }
            4 => in_stream(id, ACK, &wire_frame(FrameKind::Accept, "echo", b"")),
            5 => in_stream(
                id,
                ACK | FIN,
                &wire_frame(FrameKind::Error, "echo", &some_bytes(script)),
            ),
            6 => in_stream(id, 0, &some_chunks(script)),
            7 => in_stream(id, 0, &some_bytes(script)),
            8 => update(id, FIN, 0),
            9 => update(id, RST, 0),
            10 => update(id, 0, script.word() >> (script.byte() % 32)),
            11 => update(id, ACK, 0),
            // Rare, because most bytes end the connection.
            _ if op > 200 => some_bytes(script),
            _ => update(id, 0, 1),
        });
    }
    bytes
}
