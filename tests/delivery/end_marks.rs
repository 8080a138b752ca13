//! A message whose stream ends before its end mark is never complete, however it
//! is read (by `io::copy`, `read_to_end`, ...).

use crate::support::{
    PATIENCE,
    call_path::NAME,
    encoding::layer_2,
    frames::{ACK, DATA, FIN, Frame, SYN},
    in_time,
    peer::{Peer, Script, play},
    wires::{Link, addr_of, as_it_is, message, started},
};
use crossbeam_channel::unbounded;
use std::io::{self, ErrorKind, Read, Write};
use wirenet::{Stream, Wire};

const OPEN: u32 = 0x16;
const ACCEPT: u32 = 0x08;

/// Two chunks of a message, and no end mark.
const CHUNKS: &[u8] = b"\x05\0\0\0hello\x06\0\0\0, what";

/// Several ways to read a message.
const READS: [fn(&Stream) -> io::Result<()>; 4] = [
    |mut stream| io::copy(&mut stream, &mut io::sink()).map(drop),
    |stream| io::copy(&mut stream.reader(), &mut io::sink()).map(drop),
    |mut stream| stream.read_to_end(&mut Vec::new()).map(drop),
    |stream| {
        let mut reader = stream.reader();
        reader.read_exact(&mut [0; 11])?;
        reader.read(&mut [0]).map(drop)
    },
];

fn assert_truncated(read: io::Result<()>) {
    let error = read.expect_err("the message has no end");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
}

/// A server's part: accepts each stream, sends `content` on it, and ends it.
fn answering(content: &'static [u8]) -> Script {
    Box::new(move |mut client| {
        client.confirm_session()?;
        while let Some(frame) = client.try_receive()? {
            if frame.kind == DATA && frame.stream > 1 && !frame.body.is_empty() {
                let answer = layer_2(ACCEPT, NAME, b"");
                let sent = [
                    Frame::flags(frame.stream, ACK),
                    Frame::data(frame.stream, [&answer, content].concat()),
                    Frame::flags(frame.stream, FIN),
                ];
                client.try_send(sent)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_caller_gets_an_error_if_the_end_mark_is_missing() {
    in_time(|| {
        let server = play(vec![answering(CHUNKS)]);
        let client = started(Wire::join(server.to_string()).retry_max(0));
        let session = client.wait_session(PATIENCE).unwrap();
        for read in READS {
            let stream = session.open_stream(NAME).unwrap();
            assert_truncated(read(&stream));
            assert!(!stream.was_finished());
        }
        session.abort();
    });
}

/// Opens a stream as a scripted client, sends `content` on it, and ends it.
fn send_by_hand(client: &mut Peer, stream: u32, content: &[u8]) {
    let open = layer_2(OPEN, NAME, b"");
    let sent = [
        Frame::flags(stream, SYN),
        Frame::data(stream, [&open, content].concat()),
        Frame::flags(stream, FIN),
    ];
    client.send(sent);
}

#[test]
fn a_handler_gets_an_error_if_the_end_mark_is_missing() {
    in_time(|| {
        for read in READS {
            let (sender, outcome) = unbounded();
            let server = started(Wire::mount("127.0.0.1:0").stream(NAME, move |stream| {
                sender.send(read(stream)).expect("the test waits for it");
                Ok(())
            }));
            let mut client = Peer::join(&server, *b"without end mark");
            send_by_hand(&mut client, 3, CHUNKS);
            assert_truncated(outcome.recv_timeout(PATIENCE).expect("a handler"));
        }
    });
}

#[test]
fn an_owner_behind_a_hub_gets_an_error_if_the_end_mark_is_missing() {
    in_time(|| {
        for read in READS {
            let hub = started(Wire::hub("127.0.0.1:0"));
            let (sender, outcome) = unbounded();
            let owner = Wire::join(addr_of(&hub).to_string()).stream(NAME, move |stream| {
                sender.send(read(stream)).expect("the test waits for it");
                Ok(())
            });
            let _owner = started(owner);
            let mut client = Peer::join(&hub, *b"without end mark");
            send_by_hand(&mut client, 3, CHUNKS);
            assert_truncated(outcome.recv_timeout(PATIENCE).expect("a handler"));
        }
    });
}

#[test]
fn a_stream_may_end_after_an_end_mark() {
    in_time(|| {
        let server = play(vec![answering(b"\x05\0\0\0hello\0\0\0\0")]);
        let client = started(Wire::join(server.to_string()).retry_max(0));
        let session = client.wait_session(PATIENCE).unwrap();
        let stream = session.open_stream(NAME).unwrap();
        assert_eq!(message(&stream).unwrap(), b"hello");
        assert!(stream.was_finished());
        assert!(!stream.next_message().unwrap());
        session.abort();
    });
}

#[test]
fn a_read_at_the_end_of_a_stream_is_not_a_finished_message() {
    in_time(|| {
        let link = Link::new(
            |server| server.stream("one", |stream| stream.write_message(b"first")),
            as_it_is,
        );
        for read_whole in [
            |stream: &Stream| {
                let mut reader = stream.reader();
                let count = io::copy(&mut reader, &mut io::sink()).unwrap();
                (count, reader.was_finished())
            },
            |mut stream: &Stream| {
                let count = io::copy(&mut stream, &mut io::sink()).unwrap();
                (count, stream.was_finished())
            },
        ] {
            let stream = link.near.open_stream("one").unwrap();
            assert_eq!(read_whole(&stream), (5, true));
            assert_eq!(read_whole(&stream), (0, false));
        }
    });
}

/// A forgotten writer cannot reset the stream when it is dropped.
#[test]
fn a_message_whose_writer_was_forgotten_is_truncated() {
    in_time(|| {
        let (sender, outcome) = unbounded();
        let link = Link::new(
            |server| {
                server.takes_unmarked_end(true).stream(NAME, move |stream| {
                    sender.send(message(stream)).expect("the test waits for it");
                    Ok(())
                })
            },
            as_it_is,
        );
        let stream = link.near.open_stream(NAME).unwrap();
        let mut writer = stream.writer();
        writer.write_all(b"the first half").unwrap();
        std::mem::forget(writer);
        drop(stream);
        let read = outcome.recv_timeout(PATIENCE).unwrap();
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}
