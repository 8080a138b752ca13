//! Sessions that have used up their stream ids.

use crate::{Error, Session, Stream, Wire, yamux};
use crossbeam_channel::unbounded;
use std::{
    io::{self, Read},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);
const MESSAGE: &[u8] = b"hello";

fn echo(stream: &mut Stream) -> io::Result<()> {
    let mut message = Vec::new();
    stream.read_to_end(&mut message)?;
    stream.write_message(&message)
}

fn expect_echo(mut stream: Stream) {
    stream.write_message(MESSAGE).unwrap();
    let mut echo = Vec::new();
    stream.read_to_end(&mut echo).unwrap();
    assert_eq!(echo, MESSAGE);
}

#[test]
fn a_client_gets_a_new_session_when_either_side_has_used_up_its_ids() {
    let (sender, sessions) = unbounded();
    let server = Wire::mount("127.0.0.1:0")
        .on_session_open(move |session| sender.send(session.clone()).unwrap())
        .build()
        .unwrap();
    server.stream("echo", echo).unwrap();
    server.start().unwrap();
    let client = Wire::join(server.local_addr().unwrap());
    let client = client.retry_wait(Duration::from_millis(1), Duration::from_millis(1));
    let client = client.build().unwrap();
    client.stream("echo", echo).unwrap();
    client.start().unwrap();
    let next = || -> [Session; 2] {
        let on_server = sessions.recv_timeout(PATIENCE).unwrap();
        [client.wait_session(PATIENCE).unwrap(), on_server]
    };
    for side in [0, 1] {
        let session = &next()[side];
        session.connection().use_up_ids();
        let last = session.open_stream("echo").unwrap();
        assert!(session.is_closing() && !session.is_closed());
        let refused = session.open_stream("echo").unwrap_err();
        assert!(
            matches!(refused, Error::Connection(yamux::Error::GoingAway { .. })),
            "{refused:?}"
        );
        expect_echo(last);
    }
    let [on_client, _] = next();
    expect_echo(on_client.open_stream("echo").unwrap());
    client.close().unwrap();
    server.close().unwrap();
}
