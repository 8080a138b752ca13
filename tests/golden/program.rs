//! The recorded programs, written with wirenet.

use crate::support::{PATIENCE, wires::message};
use crossbeam_channel::Receiver;
use std::net::SocketAddr;
use wirenet::{Builder, Error, Refusal, Session, Wire};

/// Both sides of a recorded session. They end the session when they receive a message.
#[derive(Clone, Copy)]
pub struct Program {
    pub client: fn(SocketAddr, &Receiver<()>),
    pub serve: fn(&Wire, &Receiver<()>),
}

pub const ECHO: Program = Program {
    client: |addr, end| {
        with_session(addr, end, |session| {
            let stream = session.open_stream("echo").unwrap();
            stream.write_message([b'a'; 1500]).unwrap();
            assert!(message(&stream).unwrap() == [b'a'; 1500]);
            assert!(!stream.next_message().unwrap());
        });
    },
    serve: |_, end| end.recv().unwrap(),
};

pub const UNKNOWN: Program = Program {
    client: |addr, end| {
        with_session(addr, end, |session| {
            let outcome = session.open_stream("nobody");
            let Err(Error::Refused { refusal, .. }) = outcome else {
                panic!("not refused: {outcome:?}");
            };
            assert_eq!(refusal, Refusal::HandlerNotFound);
        });
    },
    serve: |_, end| end.recv().unwrap(),
};

pub const CALL: Program = Program {
    client: |addr, end| with_session(addr, end, |_| ()),
    serve: |server, end| {
        let session = server.wait_session(PATIENCE).unwrap();
        assert_eq!(session.identification(), b"box-1");
        assert_eq!(session.stream_names(), ["alpha"]);
        let stream = session.open_stream("alpha").unwrap();
        assert_eq!(message(&stream).unwrap(), b"hello from alpha");
        assert!(!stream.next_message().unwrap());
        drop(stream);
        end.recv().unwrap();
    },
};

pub const REFUSED: Program = Program {
    client: |addr, end| {
        let outcome = client(addr, "wrong").start();
        let Err(Error::SessionRefused { code, text, .. }) = outcome else {
            panic!("not refused: {outcome:?}");
        };
        assert_eq!((code, &*text), (None, "bad token"));
        end.recv().unwrap();
    },
    serve: |server, end| {
        end.recv().unwrap();
        assert!(server.sessions().is_empty());
    },
};

impl Program {
    /// The server of all programs.
    pub fn server(&self) -> Wire {
        let server = Wire::mount("127.0.0.1:0")
            .identification("", "srv")
            .token_validator(|_, id, token| {
                assert_eq!(id, b"box-1");
                match token {
                    b"secret" => Ok(()),
                    _ => Err("bad token".into()),
                }
            })
            .stream("echo", |stream| {
                let bytes = message(stream)?;
                stream.write_message(&bytes)
            });
        let server = server.build().unwrap();
        server.start().unwrap();
        server
    }
}

fn client(addr: SocketAddr, token: &str) -> Wire {
    let client: Builder = Wire::join(addr.to_string())
        .identification("box-1", token)
        .stream("alpha", |stream| stream.write_message(b"hello from alpha"));
    client.build().unwrap()
}

/// Opens a session, runs `work` with it, and closes it at the `end`.
fn with_session(addr: SocketAddr, end: &Receiver<()>, work: impl Fn(&Session)) {
    let client = client(addr, "secret");
    client.start().unwrap();
    let session = client.wait_session(PATIENCE).unwrap();
    assert_eq!(session.stream_names(), ["echo"]);
    work(&session);
    end.recv().unwrap();
    client.close().unwrap();
}
