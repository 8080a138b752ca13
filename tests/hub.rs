//! A hub: clients call each other through it.

mod support;

use std::io::{Read, Write, copy};
use support::in_time;
use wirenet::{Refusal, Session, Wire};

/// A hub with an owner of some names and a caller.
struct Trio {
    hub: Wire,
    owner: Wire,
    caller: Wire,
}

impl Trio {
    fn new(owner: impl FnOnce(wirenet::Builder) -> wirenet::Builder) -> Self {
        let hub = Wire::hub("127.0.0.1:0").build().unwrap();
        hub.start().unwrap();
        let addr = hub.local_addr().unwrap().to_string();
        let owner = owner(Wire::join(&addr).identification("owner", ""));
        let owner = owner.build().unwrap();
        owner.start().unwrap();
        let caller = Wire::join(&addr).build().unwrap();
        caller.start().unwrap();
        Self { hub, owner, caller }
    }

    fn session(&self) -> Session {
        self.caller.sessions().remove(0)
    }
}

fn echo(builder: wirenet::Builder) -> wirenet::Builder {
    builder.stream("echo", |stream| {
        let mut reader = stream.try_clone()?;
        copy(&mut reader, stream)?;
        stream.finish()
    })
}

#[test]
fn a_message_goes_there_and_back() {
    in_time(|| {
        let trio = Trio::new(echo);
        let mut stream = trio.session().open_stream("echo").unwrap();
        stream.write_message(b"hello").unwrap();
        let mut back = String::new();
        stream.read_to_string(&mut back).unwrap();
        assert_eq!(back, "hello");
        drop(stream);
        trio.caller.close().unwrap();
        trio.owner.close().unwrap();
        trio.hub.close().unwrap();
    });
}

#[test]
fn bulk_goes_both_ways_at_once_and_arrives_whole() {
    in_time(|| {
        let trio = Trio::new(echo);
        let stream = trio.session().open_stream("echo").unwrap();
        let mut writer = stream.try_clone().unwrap();
        let size = 64 << 20;
        let sent: Vec<u8> = (0..size).map(|i: usize| (i % 251) as u8).collect();
        let expected = sent.clone();
        let sender = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.finish().unwrap();
        });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        assert!(back == expected);
        sender.join().unwrap();
    });
}

#[test]
fn an_unknown_name_is_refused() {
    in_time(|| {
        let trio = Trio::new(echo);
        let error = trio.session().open_stream("nothing").unwrap_err();
        let wirenet::Error::Refused { refusal, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(refusal, Refusal::HandlerNotFound);
    });
}
