//! What the documentation promises of wires, sessions and streams where
//! something is cut short: a close beside other calls, a timeout, a limit, a
//! peer that is silent.

mod support;

use crossbeam_channel::{Sender, bounded, unbounded};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};
use support::pattern::Pattern;
use support::{
    PATIENCE,
    frames::{FIN, Frame, PING, SYN},
    hand::{Played, ask_by_hand, confirm_session, join_by_hand, said_goodbye},
    in_time,
    link::{Link, addr_of, announcing, assert_echoes, echo, errors, message, started},
    within,
};
use wirenet::{Builder, Error, Operation, Refusal, Stream, Wire};

/// As long as no test takes.
const NEVER: Duration = Duration::from_secs(3600);

fn short() -> Option<Duration> {
    Some(Duration::from_millis(30))
}

fn as_it_is(builder: Builder) -> Builder {
    builder
}

/// A handler that gives on what it reads as one message, or why it cannot.
fn received(to: Sender<io::Result<usize>>) -> impl Fn(&mut Stream) -> io::Result<()> {
    move |stream| {
        let received = stream.reader().read_to_end(&mut Vec::new());
        to.send(received).unwrap();
        Ok(())
    }
}

// -- truncated is never taken for complete --

#[test]
fn a_message_that_a_close_cuts_off_is_not_taken_for_whole() {
    in_time(|| {
        let (read, has_read) = bounded::<()>(0);
        let (sent, all_sent) = bounded(1);
        let link = Link::serving("big", move |stream| {
            stream.write_all(&[7; 1000])?;
            has_read.recv().unwrap();
            stream.write_message(&[7; 200_000])?;
            stream.close()?;
            sent.send(()).unwrap();
            Ok(())
        });
        let mut stream = link.near.open_stream("big").unwrap();
        let closing = stream.try_clone().unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
        read.send(()).unwrap();
        all_sent.recv().unwrap();
        // Its answer comes behind all of that.
        link.near.open_stream("unknown").unwrap_err();
        closing.close().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap_err();
    });
}

#[test]
fn a_close_between_two_writes_of_another_thread_does_not_end_its_message() {
    in_time(|| {
        let (outcome, outcomes) = bounded(1);
        let link = Link::serving("up", received(outcome));
        let mut stream = link.near.open_stream("up").unwrap();
        let closing = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            stream.write_all(&[1; 1000]).unwrap();
            stream
        });
        let stream = writing.join().unwrap();
        let error = closing.close().unwrap_err();
        assert!(error.to_string().contains("another thread"), "{error}");
        outcomes.recv().unwrap().unwrap_err();
        (&stream).write_all(&[1; 1000]).unwrap_err();
    });
}

#[test]
fn a_close_after_a_write_that_failed_does_not_end_the_message() {
    in_time(|| {
        let (release, released) = bounded(0);
        let (outcome, outcomes) = bounded(1);
        let link = Link::serving("up", move |stream| {
            released.recv().unwrap();
            let mut reader = stream.reader();
            // From here on there would be room for an end mark.
            reader.read_exact(&mut vec![0; 200_000])?;
            outcome.send(Ok(0)).unwrap();
            outcome.send(reader.read_to_end(&mut Vec::new())).unwrap();
            Ok(())
        });
        let stream = link.near.open_stream("up").unwrap();
        stream.set_write_timeout(short()).unwrap();
        let error = stream.write_message(&[1; 600_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        release.send(()).unwrap();
        outcomes.recv().unwrap().unwrap();
        stream.close().unwrap_err();
        outcomes.recv().unwrap().unwrap_err();
    });
}

/// After `write_all` nobody knows where the message stands.
#[test]
fn what_is_written_after_a_write_that_failed_does_not_take_the_place_of_what_is_missing() {
    in_time(|| {
        let (release, released) = bounded(0);
        let (outcome, outcomes) = bounded(1);
        let link = Link::serving("up", move |stream| {
            released.recv().unwrap();
            outcome.send(message(stream)).unwrap();
            Ok(())
        });
        let mut stream = link.near.open_stream("up").unwrap();
        stream.set_write_timeout(short()).unwrap();
        let error = stream.write_all(&[1; 600_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        stream.set_write_timeout(None).unwrap();
        for _ in 0..2 {
            let error = stream.write_message(b"second").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert!(error.to_string().contains("incomplete"), "{error}");
        }
        release.send(()).unwrap();
        stream.close().unwrap_err();
        outcomes.recv().unwrap().unwrap_err();
    });
}

#[test]
fn a_message_goes_on_after_a_write_that_failed_if_its_writer_says_so() {
    in_time(|| {
        let (release, released) = bounded(0);
        let (outcome, outcomes) = bounded(1);
        let link = Link::serving("up", move |stream| {
            released.recv().unwrap();
            outcome.send(message(stream)).unwrap();
            Ok(())
        });
        let bytes = Pattern::new(3).to_vec(600_000);
        let mut stream = link.near.open_stream("up").unwrap();
        stream.set_write_timeout(short()).unwrap();
        let mut rest = &bytes[..];
        while let Ok(count) = stream.write(rest) {
            rest = &rest[count..];
        }
        stream.set_write_timeout(None).unwrap();
        release.send(()).unwrap();
        stream.resume();
        stream.write_all(rest).unwrap();
        stream.close().unwrap();
        assert!(outcomes.recv().unwrap().unwrap() == bytes);
    });
}

/// Of a message of which nothing was sent, nothing is missing.
#[test]
fn a_message_of_which_nothing_was_sent_may_be_sent_again() {
    in_time(|| {
        let (release, released) = bounded(0);
        let (outcome, outcomes) = bounded(2);
        let link = Link::serving("up", move |stream| {
            released.recv().unwrap();
            for _ in 0..2 {
                outcome.send(message(stream)).unwrap();
            }
            Ok(())
        });
        let stream = link.near.open_stream("up").unwrap();
        stream.set_write_timeout(short()).unwrap();
        // Fills the window, so that there is no room for another.
        let first = vec![1; 261_000];
        stream.write_message(&first).unwrap();
        let second = vec![2; 2_000];
        stream.write_message(&second).unwrap_err();
        stream.set_write_timeout(None).unwrap();
        release.send(()).unwrap();
        stream.write_message(&second).unwrap();
        for message in [first, second] {
            assert!(outcomes.recv().unwrap().unwrap() == message);
        }
    });
}

#[test]
fn a_handlers_ok_after_a_write_that_failed_does_not_end_the_message() {
    in_time(|| {
        let (failed, has_failed) = bounded(1);
        let link = Link::serving("down", move |stream| {
            stream.set_write_timeout(short())?;
            stream.write_message(&[1; 600_000]).unwrap_err();
            failed.send(()).unwrap();
            Ok(())
        });
        let stream = link.near.open_stream("down").unwrap();
        has_failed.recv().unwrap();
        message(&stream).unwrap_err();
    });
}

#[test]
fn a_close_stands_though_a_write_fails_after_it() {
    in_time(|| {
        let (go, going) = bounded(1);
        let (sender, outcome) = bounded(1);
        let receive = received(sender);
        let link = Link::new(
            |server| {
                server.stream("echo", echo).stream("late", move |stream| {
                    going.recv().unwrap();
                    receive(stream)
                })
            },
            as_it_is,
        );
        let stream = link.near.open_stream("late").unwrap();
        let late = stream.try_clone().unwrap();
        stream.write_message(b"all").unwrap();
        stream.close().unwrap();
        late.write_message(b"more").unwrap_err();
        (&late).write_all(b"more").unwrap_err();
        drop((stream, late));
        // By then the server knows of all that was sent.
        assert_echoes(&link.near);
        go.send(()).unwrap();
        assert_eq!(outcome.recv().unwrap().unwrap(), 3);
    });
}

#[test]
fn a_reader_that_timed_out_leaves_the_message_to_the_next_one() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::serving("down", move |stream| {
            released.recv().unwrap();
            stream.write_message(b"one")?;
            stream.write_message(b"two")
        });
        let stream = link.near.open_stream("down").unwrap();
        let next = || {
            let mut message = String::new();
            stream.reader().read_to_string(&mut message)?;
            io::Result::Ok(message)
        };
        stream.set_read_timeout(short()).unwrap();
        assert_eq!(next().unwrap_err().kind(), io::ErrorKind::TimedOut);
        stream.set_read_timeout(None).unwrap();
        release.send(()).unwrap();
        assert_eq!(next().unwrap(), "one");
        assert_eq!(next().unwrap(), "two");
    });
}

// -- opening --

#[test]
fn a_session_id_that_another_session_has_is_refused() {
    in_time(|| {
        let (handler, told) = errors();
        let (serving, stands) = announcing(Wire::mount("127.0.0.1:0"));
        let server = started(serving.on_error(handler));
        let first = join_by_hand(&server, [5; 16]);
        let session = stands.recv().unwrap();
        let (second, answer) = ask_by_hand(addr_of(&server), [5; 16]);
        assert!(answer.windows(16).any(|text| text == b"wrong session id"));
        drop(second);
        let (operation, _) = told.recv().unwrap();
        assert_eq!(operation, Operation::Handshake);
        // The first one is as it was.
        assert!(server.session(session.id()).is_some() && !session.is_closed());
        let closing = thread::spawn(move || server.close().unwrap());
        assert!(said_goodbye(&first));
        drop(first);
        closing.join().unwrap();
    });
}

#[test]
fn a_validator_without_a_text_refuses_too() {
    in_time(|| {
        let refuse = |_: &str, _: &[u8], _: &[u8]| Err("".into());
        let server = started(Wire::mount("127.0.0.1:0").token_validator(refuse));
        let client = Wire::join(addr_of(&server).to_string()).build().unwrap();
        let refused = client.start().unwrap_err();
        assert!(matches!(refused, Error::SessionRefused { .. }), "{refused}");
        assert_eq!(server.sessions().len(), 0);
    });
}

#[test]
fn open_stream_times_out_where_too_many_wait_to_be_acknowledged() {
    in_time(|| {
        let server = Played::listen(confirm_session);
        // Time enough for the handshake too.
        let timeout = Duration::from_millis(800);
        let joining = Wire::join(server.addr.to_string()).handshake_timeout(timeout);
        let client = started(joining);
        let session = client.wait_session(PATIENCE).unwrap();
        let open = || session.open_stream_nowait("x");
        let waiting: Vec<Stream> = (0..256).map(|_| open().unwrap()).collect();
        thread::scope(|scope| {
            let opening = [scope.spawn(|| session.open_stream("x")), scope.spawn(open)];
            for opened in opening.map(|opening| opening.join().unwrap()) {
                assert!(matches!(opened, Err(Error::TimedOut { .. })), "{opened:?}");
            }
        });
        drop(waiting);
        // Lest its close should wait for it.
        drop(server.accepted.recv().unwrap());
    });
}

#[test]
fn no_timeout_is_too_long() {
    in_time(|| {
        let longest = |builder: Builder| builder.handshake_timeout(Duration::MAX);
        let link = Link::new(
            |server| longest(server).stream("hello", |stream| stream.write_message(b"hi")),
            longest,
        );
        let session = link.client.wait_session(Duration::MAX).unwrap();
        let stream = session.open_stream("hello").unwrap();
        stream.set_read_timeout(Some(Duration::MAX)).unwrap();
        stream.set_write_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!(message(&stream).unwrap(), b"hi");
    });
}

#[test]
fn handlers_have_names_as_long_as_a_handshake_can_carry() {
    in_time(|| {
        let named = |count: usize| {
            let long = |builder: Builder| builder.identification([1; 4096], [2; 4096]);
            move |builder| {
                (0..count).fold(long(builder), |builder, number| {
                    builder.stream(format!("{number:0255}"), |_| Ok(()))
                })
            }
        };
        let most = 128 * 1024 / 255;
        let link = Link::new(as_it_is, named(most));
        assert_eq!(link.far.stream_names().len(), most);
        let refused = named(most + 1)(Wire::join("host:80")).build().unwrap_err();
        assert!(matches!(refused, Error::Option { .. }), "{refused}");
    });
}

// -- limits --

#[test]
fn hooks_take_no_handlers_places() {
    in_time(|| {
        let (entered, has_entered) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let server = move |server: Builder| {
            let hooked = server.handler_limit(1).on_session_open(move |_| {
                entered.send(()).unwrap();
                assert!(released.recv().is_err());
            });
            hooked.stream("x", |_| Ok(()))
        };
        let link = Link::new(server, as_it_is);
        has_entered.recv().unwrap();
        link.near.open_stream("x").unwrap();
        drop(release);
    });
}

#[test]
fn threads_that_hooks_have_left_do_not_raise_the_limit_of_handlers() {
    in_time(|| {
        let (entered, has_entered) = unbounded();
        let (release, released) = bounded::<()>(0);
        let (end, ended) = bounded::<()>(0);
        let serving = Wire::mount("127.0.0.1:0").handler_limit(2);
        let server = started(
            serving
                .on_session_open(move |_| {
                    entered.send(()).unwrap();
                    assert!(released.recv().is_err());
                })
                .stream("x", move |_| {
                    assert!(ended.recv().is_err());
                    Ok(())
                }),
        );
        let addr = addr_of(&server).to_string();
        let clients: Vec<Wire> = (0..6).map(|_| started(Wire::join(&addr))).collect();
        // Each hook has a thread; when they are done, these wait for work.
        has_entered.iter().take(clients.len()).for_each(drop);
        drop(release);
        let open = |client: &Wire| client.wait_session(PATIENCE).unwrap().open_stream("x");
        let (taken, refused): (Vec<_>, Vec<_>) = clients.iter().map(open).partition(Result::is_ok);
        assert_eq!((taken.len(), refused.len()), (2, 4));
        for error in refused.into_iter().map(Result::unwrap_err) {
            let Error::Refused { refusal, .. } = error else {
                panic!("{error}");
            };
            let busy = "wirenet: all 2 handlers are busy".into();
            assert_eq!(refusal, Refusal::Other(busy));
        }
        drop(end);
    });
}

#[test]
fn a_client_that_opens_streams_and_reads_no_answers_is_cut_off() {
    in_time(|| {
        let (handler, told) = errors();
        let serving = Wire::mount("127.0.0.1:0").send_buffer(4096);
        let server = started(serving.on_error(handler));
        let mut client = join_by_hand(&server, [1; 16]);
        // Their answers would be more than a megabyte.
        for batch in 0..1024 {
            let opened = (64 * batch..64 * (batch + 1)).map(|n| Frame::flags(2 * n + 3, SYN | FIN));
            let bytes: Vec<u8> = opened.flat_map(|frame| frame.encode()).collect();
            // Fails when it is cut off, of which the server's side tells more.
            let _ = client.write_all(&bytes);
            // Each of them ends early, unless the session does.
            for (operation, cause) in told.iter().take(64) {
                if operation == Operation::Session {
                    let unread = "protocol error by the peer: too many unread answers";
                    return assert_eq!(cause, unread);
                }
            }
        }
        panic!("it is served without end");
    });
}

// -- close --

#[test]
fn close_waits_for_all_peers_at_once() {
    // Less than it would wait for two of them, one after the other.
    within(Duration::from_secs(15), || {
        let (serving, stands) = announcing(Wire::mount("127.0.0.1:0"));
        let server = started(serving);
        let clients = [1, 2, 3].map(|id| {
            let client = join_by_hand(&server, [id; 16]);
            stands.recv().unwrap();
            client
        });
        let closing = thread::spawn(move || server.close().unwrap());
        // Each is told while none of them has left.
        assert!(clients.iter().all(said_goodbye));
        drop(clients);
        closing.join().unwrap();
    });
}

#[test]
fn close_ends_a_clients_handshake() {
    in_time(|| {
        let server = Played::silent();
        let joining = Wire::join(server.addr.to_string()).handshake_timeout(NEVER);
        let client = joining.build().unwrap();
        let connecting = {
            let client = client.clone();
            thread::spawn(move || client.connect())
        };
        let _accepted = server.accepted.recv().unwrap();
        client.close().unwrap();
        let ended = connecting.join().unwrap();
        assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    });
}

#[test]
fn close_ends_a_servers_handshakes() {
    in_time(|| {
        let server = started(Wire::mount("127.0.0.1:0").handshake_timeout(NEVER));
        let mut client = TcpStream::connect(addr_of(&server)).unwrap();
        // It says nothing else, and the server is there for it.
        let ping = Frame {
            kind: PING,
            ..Frame::flags(0, SYN)
        };
        client.write_all(&ping.encode()).unwrap();
        assert_eq!(Frame::read(&client).unwrap().unwrap().kind, PING);
        server.close().unwrap();
        assert_eq!(Frame::read(&client).unwrap(), None);
    });
}
