//! What go-wirenet's own tests go through, as its users know it. Those that
//! are here are about what a session and a stream are for; the others stand
//! with what they are about:
//!
//! | there | here |
//! |---|---|
//! | reconnect | `reconnect.rs` |
//! | error handler | `options/error_handler.rs` |
//! | auth refused, accepted | `options/identification.rs` |
//! | keepalive | `options/keepalive.rs` |
//! | close that aborts, that succeeds | `closing/sessions.rs` |
//! | shutdown, failed shutdown | `closing/graceful.rs`, `closing/cut.rs` |

mod support;

use crossbeam_channel::{bounded, unbounded};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    io::{self, Read, Write},
    thread,
};
use support::{
    in_time,
    link::{Link, addr_of, as_it_is, assert_echoes, echo, joining, message, mounting, started},
    pattern::Pattern,
};
use wirenet::{Error, SessionId, Wire};

// -- sessions --

#[test]
fn a_client_connects_and_both_sides_have_the_session() {
    in_time(|| {
        let (at_server, server_opens) = bounded(1);
        let (at_client, client_opens) = bounded(1);
        let server = started(
            mounting()
                .stream("of-server", |_| Ok(()))
                .on_session_open(move |session| at_server.send(session.clone()).unwrap()),
        );
        let client = joining(&server)
            .identification("client1", "")
            .stream("of-client", |_| Ok(()))
            .on_session_open(move |session| at_client.send(session.clone()).unwrap());
        let client = client.build().unwrap();
        let connecting = client.clone();
        let connection = thread::spawn(move || connecting.connect());
        let near = client_opens.recv().unwrap();
        let far = server_opens.recv().unwrap();
        assert_eq!(near.id(), far.id());
        assert_eq!(near.identification(), b"client1");
        assert_eq!(far.identification(), b"client1");
        assert_eq!(near.stream_names(), ["of-server"]);
        assert_eq!(far.stream_names(), ["of-client"]);
        assert_eq!(near.peer_addr(), Some(addr_of(&server)));
        assert_eq!(near.peer_addr(), far.local_addr());
        assert_eq!(near.local_addr(), far.peer_addr());
        assert_eq!(client.local_addr(), near.local_addr());
        assert!(!near.is_closed() && !near.is_closing());
        client.close().unwrap();
        connection.join().unwrap().unwrap();
    });
}

#[test]
fn a_wire_connects_once_at_a_time() {
    in_time(|| {
        let link = Link::new(as_it_is, as_it_is);
        for wire in [&link.client, &link.server] {
            for outcome in [wire.connect(), wire.start()] {
                assert!(
                    matches!(outcome, Err(Error::AlreadyConnected)),
                    "{outcome:?}"
                );
            }
        }
        // It has done no harm.
        assert_eq!(link.client.sessions().len(), 1);
        assert_eq!(link.server.stats().sessions, 1);
    });
}

#[test]
fn sessions_are_found_by_their_ids() {
    in_time(|| {
        let (ended, ends) = unbounded();
        let server = started(mounting().on_session_close(move |session| {
            ended.send(session.id()).unwrap();
        }));
        let clients: Vec<Wire> = (0..5)
            .map(|number| started(joining(&server).identification(format!("{number}"), "")))
            .collect();
        let ids: HashSet<SessionId> = clients
            .iter()
            .map(|client| client.sessions()[0].id())
            .collect();
        assert_eq!(ids.len(), clients.len());
        for (number, client) in clients.iter().enumerate() {
            let id = client.sessions()[0].id();
            assert_eq!(client.session(id).unwrap().id(), id);
            // The server may know of it a moment later.
            while server.session(id).is_none() {
                thread::yield_now();
            }
            let found = server.session(id).unwrap();
            assert_eq!(found.identification(), number.to_string().as_bytes());
            assert_eq!(id.to_string().len(), 36);
            assert_eq!(found.id().as_bytes(), id.as_bytes());
        }
        let gone = clients[0].sessions()[0].id();
        clients[0].close().unwrap();
        assert_eq!(ends.recv().unwrap(), gone);
        assert!(server.session(gone).is_none() && clients[0].session(gone).is_none());
        assert!(clients[1].session(gone).is_none());
        assert_eq!(server.sessions().len(), clients.len() - 1);
    });
}

#[test]
fn both_sides_open_streams_on_one_session() {
    in_time(|| {
        let link = Link::new(
            |server| server.stream("echo", echo),
            |client| client.stream("echo", echo),
        );
        thread::scope(|scope| {
            for session in [&link.near, &link.far] {
                for _ in 0..4 {
                    scope.spawn(move || (0..10).for_each(|_| assert_echoes(session)));
                }
            }
        });
    });
}

// -- streams --

#[test]
fn json_goes_there_and_back() {
    in_time(|| {
        let link = Link::serving("balance", |stream| {
            let asked: Value = serde_json::from_reader(stream.reader())?;
            let answer = json!({ "of": asked["id"], "balance": 12.5, "text": "Grüße ✋" });
            let mut writer = stream.writer();
            serde_json::to_writer(&mut writer, &answer)?;
            writer.finish()
        });
        let stream = link.near.open_stream("balance").unwrap();
        let question =
            json!({ "id": 7, "filter": ["a", "b"], "nested": { "long": "x".repeat(5000) } });
        serde_json::to_writer(&stream, &question).unwrap();
        stream.finish().unwrap();
        let answer: Value = serde_json::from_reader(stream.reader()).unwrap();
        assert_eq!(
            answer,
            json!({ "of": 7, "balance": 12.5, "text": "Grüße ✋" })
        );
    });
}

#[test]
fn several_json_messages_go_over_one_stream() {
    in_time(|| {
        let link = Link::serving("add", |stream| {
            while stream.next_message()? {
                let pair: [i64; 2] = serde_json::from_reader(stream.reader())?;
                stream.write_message(&serde_json::to_vec(&(pair[0] + pair[1]))?)?;
            }
            Ok(())
        });
        let stream = link.near.open_stream("add").unwrap();
        for number in 0..20 {
            let pair = serde_json::to_vec(&[number, 1000]).unwrap();
            stream.write_message(&pair).unwrap();
            let sum: i64 = serde_json::from_reader(stream.reader()).unwrap();
            assert_eq!(sum, number + 1000);
        }
        stream.close().unwrap();
    });
}

#[test]
fn several_messages_of_all_lengths_go_over_one_stream() {
    const LENGTHS: [usize; 9] = [0, 1, 1023, 1024, 1025, 4096, 65_535, 65_536, 300_000];

    in_time(|| {
        let link = Link::serving("mirror", |stream| {
            while stream.next_message()? {
                let bytes = message(stream)?;
                stream.write_message(&bytes)?;
            }
            Ok(())
        });
        let stream = link.near.open_stream("mirror").unwrap();
        for (seed, len) in (0..).zip(LENGTHS) {
            let bytes = Pattern::new(seed).to_vec(len);
            stream.write_message(&bytes).unwrap();
            assert!(message(&stream).unwrap() == bytes);
            assert!(stream.was_finished());
        }
        stream.close().unwrap();
    });
}

#[test]
fn a_reader_and_a_writer_are_each_one_message() {
    in_time(|| {
        let link = Link::serving("shout", |stream| {
            let mut text = String::new();
            stream.reader().read_to_string(&mut text)?;
            let mut writer = stream.writer();
            for word in text.split(' ') {
                writer.write_all(word.to_uppercase().as_bytes())?;
                writer.write_all(b"!")?;
            }
            writer.finish()
        });
        for text in ["hello", "one two three"] {
            let stream = link.near.open_stream("shout").unwrap();
            let mut writer = stream.writer();
            write!(writer, "{text}").unwrap();
            writer.finish().unwrap();
            let mut answer = String::new();
            stream.reader().read_to_string(&mut answer).unwrap();
            assert_eq!(answer, text.to_uppercase().replace(' ', "!") + "!");
        }
    });
}

/// What `ReadFrom` and `WriteTo` are in Go, `io::copy` is here.
#[test]
fn anything_is_copied_into_a_stream_and_out_of_it() {
    const LEN: usize = 3_000_000;

    in_time(|| {
        let (took, takes) = bounded(1);
        let link = Link::serving("files", move |stream| {
            let mut received = tempfile::tempfile()?;
            let len = io::copy(stream, &mut received)?;
            took.send(len).unwrap();
            io::Seek::rewind(&mut received)?;
            io::copy(&mut received, stream)?;
            stream.finish()
        });
        let bytes = Pattern::new(5).to_vec(LEN);
        let mut stream = link.near.open_stream("files").unwrap();
        let sent = io::copy(&mut &bytes[..], &mut stream).unwrap();
        stream.finish().unwrap();
        let mut back = Vec::new();
        let received = io::copy(&mut stream, &mut back).unwrap();
        assert_eq!((sent, received), (LEN as u64, LEN as u64));
        assert_eq!(takes.recv().unwrap(), LEN as u64);
        assert!(back == bytes);
    });
}
