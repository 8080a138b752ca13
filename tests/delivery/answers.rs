//! The answer to an opening and the first message after it are never confused.

use crate::support::{
    PATIENCE,
    call_path::{CLOSE, NAME, Path, Sides, Slow, Way, ways},
    encoding::layer_2,
    frames::{ACK, DATA, FIN, Frame, PING},
    in_time,
    peer::{Script, play},
    wires::{errors, message, started},
};
use crossbeam_channel::{Sender, unbounded};
use std::{
    io::{self, Write},
    net::SocketAddr,
    thread,
    time::Duration,
};
use wirenet::{Builder, Session, Stream, Wire};

const ACCEPT: u32 = 0x08;

/// 256 kbit/s.
const RATE: u32 = 32_000;

/// How long a wire tries to send an answer.
const HANDSHAKE: Duration = Duration::from_millis(200);

/// After the caller's message, writes until a write times out, and reports that on
/// `full`. Then writes forever.
fn fill(mut stream: &Stream, full: &Sender<()>) -> io::Result<()> {
    message(stream)?;
    stream.set_write_timeout(Some(HANDSHAKE))?;
    let piece = [7; 16 * 1024];
    while stream.write_all(&piece).is_ok() {}
    full.send(()).expect("the test waits for it");
    stream.set_write_timeout(None)?;
    loop {
        stream.write_all(&piece)?;
    }
}

/// Sends a message whose first chunk looks like an answer that accepts the stream:
/// its length is that frame's type, and its zeros are the lengths of an empty name
/// and an empty payload.
fn send_what_looks_like_an_answer(mut stream: &Stream) -> io::Result<()> {
    stream.write_all(&[0; 8])?;
    stream.write_all(b"and nineteen others")
}

/// Opens a stream without waiting while the link back to the caller is full, so
/// that the answer cannot be sent in time. Returns what the caller reads.
fn a_message_after_a_lost_answer(way: Way) -> io::Result<Vec<u8>> {
    let (full, is_full) = unbounded();
    let (on_error, told) = errors();
    let short = |wire: Builder| wire.session_close_timeout(CLOSE);
    // The wire that answers must also fill the link, because a hub keeps room for
    // its own answers next to the bytes that it relays.
    let answering = |wire: Builder| {
        // The kernel must not buffer all of the downloads.
        short(wire)
            .handshake_timeout(HANDSHAKE)
            .send_buffer(16 * 1024)
            .on_error(on_error)
            .stream("download", move |stream| fill(stream, &full))
    };
    let serving = |wire: Builder| wire.stream(NAME, |s| send_what_looks_like_an_answer(s));
    let path = match way.slow {
        Slow::Direct => {
            let owner = |wire| serving(answering(wire));
            let hub = short;
            let caller = short;
            Path::new(way, 4096, Sides { owner, caller, hub })
        }
        _ => {
            let owner = |wire| serving(short(wire));
            let hub = answering;
            let caller = short;
            Path::new(way, 4096, Sides { owner, caller, hub })
        }
    };
    // They are not read. A window of each is enough to fill the link.
    let downloads: Vec<_> = (0..4)
        .map(|_| path.session.open_stream("download").expect("a stream"))
        .collect();
    path.link.set_rate(Some(RATE));
    for download in &downloads {
        download.write_message(b"now").expect("a download");
    }
    for _ in &downloads {
        is_full.recv_timeout(PATIENCE).expect("the link is full");
    }
    while told.try_recv().is_ok() {}
    let stream = path.session.open_stream_nowait(NAME)?;
    // Until the answer has been given up, whether that is reported to the error
    // handler or not.
    let _ = told.recv_timeout(3 * HANDSHAKE);
    path.link.set_rate(None);
    message(&stream)
}

#[test]
fn no_part_of_a_message_is_returned_if_the_answer_could_not_be_sent_in_time() {
    in_time(|| {
        // Ways on which the answer crosses the slow link.
        let answered = ways().into_iter().filter(|way| way.slow != Slow::ToOwner);
        thread::scope(|scope| {
            for way in answered {
                scope.spawn(move || {
                    if let Ok(bytes) = a_message_after_a_lost_answer(way) {
                        let expected = [&[0; 8][..], b"and nineteen others"].concat();
                        assert_eq!(bytes, expected, "complete, {way:?}");
                    }
                });
            }
        });
    });
}

/// Starts a server that answers the opening of any stream with an accept frame for
/// the name `accepted`, and sends a message.
fn accepting(accepted: &'static str) -> SocketAddr {
    let part: Script = Box::new(move |mut client| {
        client.confirm_session()?;
        while let Some(frame) = client.try_receive()? {
            match frame.kind {
                PING => {}
                DATA if frame.stream > 1 && !frame.body.is_empty() => {
                    let answer = layer_2(ACCEPT, accepted, b"");
                    let message = b"\x05\0\0\0hello\0\0\0\0";
                    let sent = [
                        Frame::flags(frame.stream, ACK),
                        Frame::data(frame.stream, [&answer, &message[..]].concat()),
                        Frame::flags(frame.stream, FIN),
                    ];
                    client.try_send(sent)?;
                }
                _ => {}
            }
        }
        Ok(())
    });
    play(vec![part])
}

fn session_with(server: SocketAddr) -> (Wire, Session) {
    let client = Wire::join(server.to_string())
        .retry_max(0)
        .session_close_timeout(Duration::ZERO);
    let client = started(client);
    let session = client.wait_session(PATIENCE).unwrap();
    (client, session)
}

#[test]
fn only_an_answer_that_names_the_stream_accepts_it() {
    in_time(|| {
        for accepted in ["", "serve", "another", "served and more"] {
            let (client, session) = session_with(accepting(accepted));
            let error = session.open_stream(NAME).map(drop);
            assert!(error.is_err(), "opened with an answer for {accepted:?}");
            let stream = session.open_stream_nowait(NAME).unwrap();
            let read = message(&stream);
            assert!(read.is_err(), "{accepted:?} is not {NAME:?}: {read:?}");
            drop(client);
        }
    });
}

#[test]
fn an_answer_that_names_the_stream_accepts_it() {
    in_time(|| {
        let (_client, session) = session_with(accepting(NAME));
        let stream = session.open_stream(NAME).unwrap();
        assert_eq!(message(&stream).unwrap(), b"hello");
        let stream = session.open_stream_nowait(NAME).unwrap();
        assert_eq!(message(&stream).unwrap(), b"hello");
    });
}
