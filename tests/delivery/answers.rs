//! The answer to an opening is never taken from a message, nor a message's
//! beginning for the answer.

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

/// How long an answer is tried to be sent.
const HANDSHAKE: Duration = Duration::from_millis(200);

/// Once told to, sends on and on; says when nothing more was taken for a while.
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

/// A message whose first chunk looks like an answer that accepts: its length is
/// the type of that frame, and its zeros the lengths of an empty name and payload.
fn send_what_looks_like_an_answer(mut stream: &Stream) -> io::Result<()> {
    stream.write_all(&[0; 8])?;
    stream.write_all(b"and nineteen others")
}

/// The link back to the caller is full, so that the answer cannot leave in
/// time. Its opener has not waited for it, and reads.
fn a_message_after_a_lost_answer(way: Way) -> io::Result<Vec<u8>> {
    let (full, is_full) = unbounded();
    let (on_error, told) = errors();
    let short = |wire: Builder| wire.session_close_timeout(CLOSE);
    // Who answers is who fills the link: what a hub passes on leaves room for
    // its own answers.
    let answering = |wire: Builder| {
        // The kernel is not to take in all that is sent.
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
    // They are not read: what their windows have room for fills the link.
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
    // Until the answer is given up, whether the error handler is told of that
    // or not.
    let _ = told.recv_timeout(3 * HANDSHAKE);
    path.link.set_rate(None);
    message(&stream)
}

#[test]
fn an_answer_that_cannot_be_sent_in_time_never_yields_a_part_of_a_message() {
    in_time(|| {
        // Where the hub answers, or the owner itself.
        let answered = ways().into_iter().filter(|way| way.slow != Slow::ToOwner);
        thread::scope(|scope| {
            for way in answered {
                scope.spawn(move || {
                    if let Ok(bytes) = a_message_after_a_lost_answer(way) {
                        let whole = [&[0; 8][..], b"and nineteen others"].concat();
                        assert_eq!(bytes, whole, "complete, {way:?}");
                    }
                });
            }
        });
    });
}

/// A server that answers the opening of any stream with an accept frame for
/// `accepted`, and sends a message.
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
            assert!(error.is_err(), "waited for: {accepted:?} is not {NAME:?}");
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
