//! Sessions with a scripted peer, where the order of frames or the moment of an end
//! matters; and the states of a wire.

mod support;

use crossbeam_channel::bounded;
use std::{io, net::TcpListener, thread, time::Duration};
use support::{
    PATIENCE,
    encoding::layer_2,
    frames::{Frame, SYN},
    in_time,
    peer::Peer,
    refusing::Refusing,
    unreachable::Unreachable,
};
use wirenet::{Error, Wire};

#[test]
fn a_server_may_open_streams_together_with_the_session_confirmation() {
    in_time(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let mut client = Peer::over_tcp(socket);
            let mut bytes = client.answer_to_request(&[]).unwrap();
            for stream in [2, 4, 6] {
                bytes.extend(Frame::flags(stream, SYN).encode());
                bytes.extend(Frame::data(stream, layer_2(0x16, "hello", b"")).encode());
            }
            client.send_bytes(&bytes);
            let mut greetings = 0;
            while greetings < 3 {
                let frame = client.receive().unwrap();
                greetings += usize::from(frame.body.ends_with(b"hi\0\0\0\0"));
            }
        });
        let wire = Wire::join(addr.to_string())
            .stream("hello", |stream| stream.write_message(b"hi"))
            .build()
            .unwrap();
        wire.start().unwrap();
        server.join().unwrap();
    });
}

/// The client has read everything, and closes its stream and then its wire while the
/// handler is still running.
#[test]
fn a_graceful_close_by_the_client_is_not_an_error() {
    in_time(|| {
        let (error, errors) = bounded(8);
        let (ended, end) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let server = Wire::mount("127.0.0.1:0")
            .stream("greet", move |stream| {
                stream.write_message(b"hi")?;
                // Until the session has ended.
                assert!(released.recv().is_err());
                Ok(())
            })
            .on_error(move |cause| error.send(cause.to_string()).unwrap())
            .on_session_close(move |_| ended.send(()).unwrap())
            .build()
            .unwrap();
        server.start().unwrap();
        let client = Wire::join(server.local_addr().unwrap().to_string())
            .build()
            .unwrap();
        client.start().unwrap();
        let session = client.wait_session(PATIENCE).unwrap();
        let mut stream = session.open_stream("greet").unwrap();
        io::copy(&mut stream, &mut io::sink()).unwrap();
        stream.close().unwrap();
        client.close().unwrap();
        end.recv().unwrap();
        assert_eq!(errors.try_iter().collect::<Vec<_>>(), [""; 0]);
        drop(release);
    });
}

#[test]
fn a_client_reports_that_the_server_has_closed_the_session() {
    in_time(|| {
        let server = Wire::mount("127.0.0.1:0").build().unwrap();
        server.start().unwrap();
        let client = Wire::join(server.local_addr().unwrap().to_string())
            .retry_max(0)
            .build()
            .unwrap();
        client.start().unwrap();
        let session = client.wait_session(PATIENCE).unwrap();
        server.wait_session(PATIENCE).unwrap();
        server.close().unwrap();
        client.wait().unwrap();
        let error = session.open_stream("any").unwrap_err();
        assert_eq!(error.to_string(), "connection closed by the peer");
    });
}

/// A listener with a full backlog does not answer a SYN, so that the dial waits.
#[cfg(target_os = "linux")]
#[test]
fn a_close_ends_a_waiting_dial() {
    in_time(|| {
        let unreachable = Unreachable::new();
        let wire = Wire::join(unreachable.addr.to_string()).build().unwrap();
        let closing = wire.clone();
        let dial = thread::spawn(move || wire.start());
        // Whether the dial has begun or not, the close must not wait for it.
        closing.close().unwrap();
        let outcome = dial.join().unwrap();
        assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    });
}

#[test]
fn a_wire_can_be_started_again_after_a_failure() {
    in_time(|| {
        let refusing = Refusing::new();
        let addr = refusing.addr.to_string();
        let client = Wire::join(&addr).retry_max(0).build().unwrap();
        assert!(matches!(client.start(), Err(Error::Dial { .. })));
        let server = Wire::mount(&addr).build().unwrap();
        server.start().unwrap();
        client.start().unwrap();
        assert!(matches!(client.start(), Err(Error::AlreadyConnected)));
        assert!(matches!(server.connect(), Err(Error::AlreadyConnected)));
    });
}

#[test]
fn an_invalid_option_is_an_error_of_build() {
    let wrong = [
        Wire::join("nowhere").build(),
        Wire::mount(":99999").build(),
        Wire::join("host:80").stream("", |_| Ok(())).build(),
        Wire::join("host:80")
            .stream("x".repeat(256), |_| Ok(()))
            .build(),
        Wire::join("host:80")
            .stream("confirmSession", |_| Ok(()))
            .build(),
        Wire::join("host:80")
            .identification("x", vec![0; 4097])
            .build(),
        Wire::join("host:80").handler_limit(0).build(),
        Wire::join("host:80")
            .handshake_timeout(Duration::ZERO)
            .build(),
    ];
    for built in wrong {
        assert!(matches!(built, Err(Error::Option { .. })), "{built:?}");
    }
}
