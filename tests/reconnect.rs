//! A client reconnects by itself: after every failure that may be temporary, at its own
//! pace, and until it is closed.

mod support;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use socket2::SockRef;
use std::{
    io::{self, Write},
    net::{Shutdown, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use support::{
    PATIENCE,
    encoding::FEATURES,
    frames::{FIN, Frame, PING},
    in_time,
    peer::{Peer, Script, ScriptedServer, play},
    refusing::Refusing,
    threads,
    unreachable::Unreachable,
    wires::{addr_of, assert_echoes, echo, errors, joining, mounting, started},
    within,
};
use wirenet::{Builder, Error, Operation, RefusalCode, Retry, Wire, yamux};

const SHORT: Duration = Duration::from_millis(100);

/// Longer than anything takes that does not wait, and less than any default.
const SOON: Duration = Duration::from_secs(5);

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// A call of a policy: the number of failures in a row, the cause, and the default
/// wait.
#[derive(Debug)]
struct Asked {
    attempt: u32,
    cause: Error,
    wait: Option<Duration>,
    at: Instant,
}

/// A policy that retries at once where the client would retry at all, and the calls of
/// it.
fn at_once() -> (
    impl Fn(&Retry<'_>) -> Option<Duration> + Send + Sync + 'static,
    Receiver<Asked>,
) {
    let (sender, asked) = unbounded();
    let policy = move |retry: &Retry<'_>| {
        tell(&sender, retry);
        retry.wait.map(|_| Duration::ZERO)
    };
    (policy, asked)
}

fn tell(to: &Sender<Asked>, retry: &Retry<'_>) {
    // The test may no longer receive.
    let _ = to.send(Asked {
        attempt: retry.attempt,
        cause: retry.cause.clone(),
        wait: retry.wait,
        at: Instant::now(),
    });
}

fn keep(mut client: Peer) -> io::Result<()> {
    // Until the client ends the connection.
    io::copy(&mut client, &mut io::sink())?;
    Ok(())
}

/// Confirms the session, and keeps it.
fn stay(mut client: Peer) -> io::Result<()> {
    client.confirm_session()?;
    keep(client)
}

/// Confirms the session, and ends the connection.
fn hang_up(mut client: Peer) -> io::Result<()> {
    client.confirm_session()?;
    client.socket().shutdown(Shutdown::Write)?;
    keep(client)
}

/// Confirms the session as wirenet does, sends this many go-aways, and ends the connection.
fn leave_after(go_aways: usize) -> Script {
    Box::new(move |mut client| {
        client.answer_request(&FEATURES)?;
        client.try_send(vec![Frame::go_away(0); go_aways])?;
        client.socket().shutdown(Shutdown::Write)?;
        keep(client)
    })
}

/// The connection breaks while the session is being opened.
fn break_handshake(mut client: Peer) -> io::Result<()> {
    client.read_request()?;
    SockRef::from(client.socket()).set_linger(Some(Duration::ZERO))
}

/// Returns whether the connection broke while the session was being opened.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::Explained { cause, .. } => matches!(**cause, Error::Connection(_)),
        _ => false,
    }
}

/// Refuses the session with this code, or none.
fn refuse(code: u8) -> Script {
    Box::new(move |mut client| {
        client.refuse_session(code, "no")?;
        keep(client)
    })
}

/// A client connects to a server with these scripts, until the last one succeeds.
/// Returns the calls of its policy.
fn comes_through(scripts: Vec<Script>) -> Vec<Asked> {
    let addr = play(scripts);
    let (policy, asked) = at_once();
    let (up, ups) = bounded(1);
    let client = Wire::join(addr.to_string())
        .retry_policy(policy)
        .session_close_timeout(Duration::ZERO)
        .on_connect(move |_| {
            // There may be more than one session.
            let _ = up.try_send(());
        });
    let client = client.build().unwrap();
    client.start().unwrap();
    ups.recv().unwrap();
    client.close().unwrap();
    asked.try_iter().collect()
}

// -- what it retries after --

#[test]
fn a_broken_handshake_is_retried() {
    in_time(|| {
        let scripts: Vec<Script> = vec![
            Box::new(break_handshake),
            Box::new(break_handshake),
            Box::new(stay),
        ];
        let asked = comes_through(scripts);
        assert_eq!(asked.len(), 2);
        for (number, asked) in (1..).zip(&asked) {
            assert_eq!(asked.attempt, number);
            assert!(is_broken(&asked.cause), "{asked:?}");
        }
    });
}

#[test]
fn an_invalid_answer_is_retried() {
    in_time(|| {
        let nonsense = |mut client: Peer| {
            client.read_request()?;
            client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")?;
            client.socket().shutdown(Shutdown::Write)?;
            // It may end with a reset.
            let _ = keep(client);
            Ok(())
        };
        let scripts: Vec<Script> = vec![Box::new(nonsense), Box::new(stay)];
        assert_eq!(comes_through(scripts).len(), 1);
    });
}

#[test]
fn a_temporary_refusal_is_retried() {
    in_time(|| {
        let codes = [
            (2, RefusalCode::NameTaken),
            (3, RefusalCode::TooManySessions),
            (4, RefusalCode::Closing),
        ];
        let mut scripts: Vec<Script> = codes.iter().map(|(code, _)| refuse(*code)).collect();
        scripts.push(Box::new(stay));
        let asked = comes_through(scripts);
        assert_eq!(asked.len(), codes.len());
        for (asked, (_, expected)) in asked.iter().zip(codes) {
            let Error::SessionRefused { code, text } = &asked.cause else {
                panic!("not refused: {asked:?}");
            };
            assert_eq!((*code, &**text), (Some(expected), "no"));
            assert!(asked.wait.is_some() && !asked.cause.is_permanent());
        }
    });
}

#[test]
fn a_server_that_does_not_answer_is_retried() {
    in_time(|| {
        let server = ScriptedServer::silent();
        let (policy, asked) = at_once();
        let client = Wire::join(server.addr.to_string())
            .handshake_timeout(SHORT)
            .retry_policy(policy)
            .build()
            .unwrap();
        let starting = client.clone();
        let starter = thread::spawn(move || starting.start());
        for number in 1..3 {
            let asked = asked.recv().unwrap();
            assert_eq!(asked.attempt, number);
            assert!(matches!(asked.cause, Error::TimedOut { .. }), "{asked:?}");
        }
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
    });
}

/// Asserts that a client repeatedly dials an address. Returns the kind of error.
fn assert_redials(addr: &str) -> io::ErrorKind {
    let (policy, asked) = at_once();
    let client = Wire::join(addr).dial_timeout(SHORT).retry_policy(policy);
    let client = client.build().unwrap();
    let starting = client.clone();
    let starter = thread::spawn(move || starting.start());
    let kinds = [1, 2, 3].map(|number| {
        let asked = asked.recv().unwrap();
        assert_eq!(asked.attempt, number);
        let Error::Dial { cause, .. } = asked.cause else {
            panic!("not a dial: {asked:?}");
        };
        cause.kind()
    });
    client.close().unwrap();
    assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
    kinds[2]
}

#[test]
fn a_refused_connection_is_retried() {
    in_time(|| {
        let refusing = Refusing::new();
        let kind = assert_redials(&refusing.addr.to_string());
        assert_eq!(kind, io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_dial_that_times_out_is_retried() {
    in_time(|| {
        let nobody = Unreachable::new();
        let kind = assert_redials(&nobody.addr.to_string());
        assert_eq!(kind, io::ErrorKind::TimedOut);
    });
}

#[test]
fn an_unreachable_network_is_retried() {
    in_time(|| {
        // Whatever error the system returns.
        assert_redials("255.255.255.255:9");
    });
}

#[test]
fn a_name_that_does_not_resolve_is_retried() {
    in_time(|| {
        assert_redials("no-such-host.invalid:9");
    });
}

/// The server starts later, and the next attempt finds it.
#[test]
fn a_client_may_be_started_before_its_server() {
    in_time(|| {
        let refusing = Refusing::new();
        let addr = refusing.addr.to_string();
        let (failed, fails) = unbounded();
        let client = Wire::join(&addr)
            .retry_wait(NEVER, NEVER)
            .retry_policy(|_| Some(NEVER))
            .on_error(move |error| failed.send(error.operation.clone()).unwrap());
        let client = client.build().unwrap();
        let starting = client.clone();
        let starter = thread::spawn(move || starting.start());
        assert_eq!(fails.recv().unwrap(), Operation::Dial);
        let _server = started(Wire::mount(&addr).stream("echo", echo));
        client.reconnect_now();
        starter.join().unwrap().unwrap();
        assert_echoes(&client.sessions()[0]);
    });
}

#[test]
fn a_lost_session_is_followed_by_another() {
    in_time(|| {
        let server = started(mounting().stream("echo", echo));
        let client = started(joining(&server).retry_policy(|_| Some(Duration::ZERO)));
        let mut before = Vec::new();
        for end in [
            |server: &Wire| server.sessions()[0].abort(),
            |server: &Wire| server.sessions()[0].close().unwrap(),
        ] {
            let session = client.wait_session(PATIENCE).unwrap();
            assert_echoes(&session);
            end(&server);
            // The old session stays ended.
            session.open_stream("echo").unwrap_err();
            before.push(session.id());
        }
        let last = client.wait_session(PATIENCE).unwrap();
        assert_echoes(&last);
        assert!(!before.contains(&last.id()) && before[0] != before[1]);
    });
}

/// The listener is closed and opened again, in the same process.
#[test]
fn a_restarted_server_gets_its_clients_back() {
    in_time(|| {
        let first = started(Wire::mount("127.0.7.2:0").stream("echo", echo));
        let addr = addr_of(&first).to_string();
        let quickly = |client: Builder| client.retry_wait(SHORT / 10, SHORT);
        let clients: Vec<Wire> = (0..5)
            .map(|_| started(quickly(Wire::join(&addr))))
            .collect();
        first.close().unwrap();
        let (opened, opens) = unbounded();
        let second = Wire::mount(&addr).stream("echo", echo);
        let second = started(second.on_session_open(move |_| opened.send(()).unwrap()));
        opens.iter().take(clients.len()).for_each(drop);
        for session in second.sessions() {
            session.open_stream("nobody").unwrap_err();
        }
        for client in &clients {
            assert_echoes(&client.wait_session(PATIENCE).unwrap());
        }
    });
}

// -- when it gives up --

#[test]
fn a_refused_token_is_permanent_and_its_cause_is_returned() {
    within(SOON, || {
        let tries = std::sync::Arc::new(AtomicUsize::new(0));
        let counting = std::sync::Arc::clone(&tries);
        let server = started(mounting().token_validator(move |_, _, token| {
            counting.fetch_add(1, Ordering::SeqCst);
            match token {
                b"right" => Ok(()),
                _ => Err("bad token".into()),
            }
        }));
        let client = joining(&server).identification("", "wrong");
        let error = client.build().unwrap().connect().unwrap_err();
        assert!(error.is_permanent());
        let Error::SessionRefused { code, text } = error else {
            panic!("not refused: {error}");
        };
        assert_eq!(
            (code, &*text),
            (Some(RefusalCode::TokenRefused), "bad token")
        );
        assert_eq!(tries.load(Ordering::SeqCst), 1);
        started(joining(&server).identification("", "right"));
    });
}

#[test]
fn a_permanent_refusal_is_not_retried() {
    within(SOON, || {
        // Malformed, and without a code, as go-wirenet refuses.
        for (code, expected) in [(5, Some(RefusalCode::Malformed)), (0, None)] {
            let client = Wire::join(play(vec![refuse(code)]).to_string());
            let error = client.build().unwrap().start().unwrap_err();
            assert!(error.is_permanent());
            let Error::SessionRefused { code, text } = error else {
                panic!("not refused: {error}");
            };
            assert_eq!((code, &*text), (expected, "no"));
        }
    });
}

#[test]
fn a_policy_may_retry_after_a_permanent_failure() {
    in_time(|| {
        let (sender, asked) = unbounded();
        let client = Wire::join(play(vec![refuse(1), refuse(0), Box::new(stay)]).to_string())
            .session_close_timeout(Duration::ZERO)
            .retry_policy(move |retry| {
                tell(&sender, retry);
                Some(Duration::ZERO)
            });
        started(client).close().unwrap();
        let asked: Vec<Asked> = asked.iter().collect();
        let attempts: Vec<u32> = asked.iter().map(|asked| asked.attempt).collect();
        assert_eq!(attempts, [1, 2]);
        assert!(asked.iter().all(|asked| asked.wait.is_none()));
    });
}

#[test]
fn a_policy_may_give_up_on_a_temporary_failure() {
    within(SOON, || {
        let refusing = Refusing::new();
        let client = Wire::join(refusing.addr).retry_policy(|retry| {
            assert!(retry.wait.is_some());
            (retry.attempt < 3).then_some(Duration::ZERO)
        });
        let error = client.build().unwrap().start().unwrap_err();
        assert!(matches!(error, Error::Dial { .. }), "{error}");
    });
}

#[test]
fn a_policy_gets_whether_there_was_a_session() {
    in_time(|| {
        let scripts: Vec<Script> = vec![
            Box::new(break_handshake),
            Box::new(hang_up),
            Box::new(break_handshake),
        ];
        let (sender, told) = unbounded();
        let client = Wire::join(play(scripts).to_string()).retry_policy(move |retry| {
            sender.send((retry.attempt, retry.had_session)).unwrap();
            (retry.attempt < 3).then_some(Duration::ZERO)
        });
        let client = client.build().unwrap();
        client.connect().unwrap_err();
        drop(client);
        let told: Vec<(u32, bool)> = told.iter().collect();
        assert_eq!(told, [(1, false), (2, true), (3, true)]);
    });
}

#[test]
fn retry_max_limits_the_retries() {
    in_time(|| {
        for limit in [0, 1, 3] {
            let scripts = (0..=limit).map(|_| Box::new(break_handshake) as Script);
            let (sender, asked) = unbounded();
            let client = Wire::join(play(scripts.collect()).to_string())
                .retry_max(limit)
                .retry_policy(move |retry| {
                    tell(&sender, retry);
                    retry.wait.map(|_| Duration::ZERO)
                });
            // Another attempt would be a failed dial.
            let error = client.build().unwrap().start().unwrap_err();
            assert!(is_broken(&error), "{error}");
            assert_eq!(asked.iter().count() as u32, limit + 1);
        }
    });
}

#[test]
fn without_retries_a_client_ends_with_its_session() {
    in_time(|| {
        // A session that ends gracefully, and one that is lost.
        let addr = play(vec![Box::new(hang_up), Box::new(break_session)]);
        let client = Wire::join(addr.to_string()).retry_max(0).build().unwrap();
        client.connect().unwrap();
        let error = client.connect().unwrap_err();
        assert!(matches!(error, Error::Connection(_)), "{error}");
        assert!(client.sessions().is_empty());
        let again = client.wait().unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
    });
}

/// A process that is killed ends the connection, too; one that closes its wire says so.
#[test]
fn the_end_of_an_idle_session_that_its_server_did_not_announce_is_an_error() {
    in_time(|| {
        let ended = |script| {
            let client = Wire::join(play(vec![script]).to_string()).retry_max(0);
            client.build().unwrap().connect()
        };
        for go_aways in [0, 1] {
            let broken = ended(leave_after(go_aways));
            let is_cut = matches!(broken, Err(Error::Connection(yamux::Error::EndedByPeer)));
            assert!(is_cut, "{go_aways} go-aways: {broken:?}");
        }
        ended(leave_after(2)).unwrap();
        // go-wirenet closes without a go-away.
        ended(Box::new(hang_up)).unwrap();
    });
}

/// Confirms the session, and resets the connection when the client has nothing more to
/// send.
fn break_session(mut client: Peer) -> io::Result<()> {
    client.confirm_session()?;
    client.skip_to(|frame| frame.stream == 1 && frame.has(FIN));
    client.try_send(Frame::ping(0))?;
    client.skip_to(|frame| frame.kind == PING);
    SockRef::from(client.socket()).set_linger(Some(Duration::ZERO))
}

#[test]
fn a_client_that_gives_up_later_reports_it_to_the_error_handler() {
    in_time(|| {
        let (told, errors) = unbounded();
        let addr = play(vec![Box::new(break_session), refuse(1)]);
        let client = Wire::join(addr.to_string())
            .retry_wait(Duration::from_millis(1), Duration::from_millis(1))
            .retry_max(1)
            .on_error(move |error| {
                let gives_up = error
                    .to_string()
                    .ends_with("session refused: no; giving up");
                assert_eq!(gives_up, error.gives_up);
                told.send((error.operation.clone(), gives_up)).unwrap();
            });
        let client = started(client);
        let is_refused = |error: Error| matches!(error, Error::SessionRefused { .. });
        assert!(is_refused(client.wait().unwrap_err()), "as `connect` does");
        client.close().unwrap();
        assert!(is_refused(client.wait().unwrap_err()), "later, too");
        drop(client);
        let told: Vec<_> = errors.iter().collect();
        let expected = [(Operation::Session, false), (Operation::Handshake, true)];
        assert_eq!(told, expected);
    });
}

/// The server's database may be down, or its rules may be wrong for a while.
#[test]
fn a_client_that_has_had_a_session_survives_a_server_that_refuses_it() {
    in_time(|| {
        // Each code of a refusal by a validator; none, as go-wirenet sends it.
        for code in [1, 6, 0] {
            let (policy, asked) = at_once();
            let scripts: Vec<Script> = vec![Box::new(hang_up), refuse(code), Box::new(stay)];
            let (up, ups) = unbounded();
            let client = Wire::join(play(scripts).to_string())
                .retry_policy(policy)
                .session_close_timeout(Duration::ZERO)
                .on_session_open(move |_| up.send(()).unwrap());
            let client = started(client);
            (0..2).for_each(|_| ups.recv_timeout(PATIENCE).unwrap());
            client.close().unwrap();
            let waits: Vec<bool> = asked.try_iter().map(|asked| asked.wait.is_some()).collect();
            assert_eq!(waits, [true, true], "code {code}");
        }
    });
}

/// As panics of other callbacks are.
#[test]
fn a_panic_of_the_retry_policy_is_caught_and_reported() {
    in_time(|| {
        let (handler, told) = errors();
        let refusing = Refusing::new();
        let client = Wire::join(refusing.addr)
            .on_error(handler)
            .retry_max(0)
            .retry_policy(|_| panic!("oh"))
            .build()
            .unwrap();
        let error = client.start().unwrap_err();
        let told: Vec<_> = told.try_iter().collect();
        // `Closed` would be wrong if the panic is not reported either.
        assert!(
            !matches!(error, Error::Closed) || !told.is_empty(),
            "{error}, and the error handler got nothing"
        );
    });
}

// -- how long it waits --

#[test]
fn waits_double_up_to_the_maximum() {
    const MIN: Duration = Duration::from_millis(64);
    const MAX: Duration = Duration::from_secs(2);

    in_time(|| {
        let scripts = (0..40).map(|_| Box::new(break_handshake) as Script);
        let (sender, asked) = unbounded();
        let client = Wire::join(play(scripts.collect()).to_string())
            .retry_wait(MIN, MAX)
            .retry_max(39)
            .retry_policy(move |retry| {
                tell(&sender, retry);
                retry.wait.map(|_| Duration::ZERO)
            });
        client.build().unwrap().start().unwrap_err();
        let mut waits = Vec::new();
        for asked in asked.iter().take(39) {
            let longest = MIN
                .saturating_mul(1 << (asked.attempt - 1).min(20))
                .min(MAX);
            let wait = asked.wait.unwrap();
            assert!(wait <= longest, "{wait:?} after {}", asked.attempt);
            waits.push(wait);
        }
        // With full jitter, some waits are short and some are long.
        assert!(waits.iter().any(|wait| *wait < MAX / 2));
        assert!(waits.iter().any(|wait| *wait > MAX / 2));
    });
}

#[test]
fn a_client_waits_as_long_as_the_policy_says() {
    in_time(|| {
        let scripts = (0..4).map(|_| Box::new(break_handshake) as Script);
        let (sender, asked) = unbounded();
        let client = Wire::join(play(scripts.collect()).to_string()).retry_policy(move |retry| {
            tell(&sender, retry);
            (retry.attempt < 4).then_some(SHORT)
        });
        client.build().unwrap().start().unwrap_err();
        let asked: Vec<Asked> = asked.iter().collect();
        for pair in asked.windows(2) {
            assert!(pair[1].at - pair[0].at >= SHORT);
        }
    });
}

#[test]
fn the_count_is_reset_only_after_a_session_that_has_lasted() {
    const MAX: Duration = Duration::from_millis(800);

    in_time(|| {
        let lasts = |mut client: Peer| {
            client.confirm_session()?;
            // Nothing arrives that would end it earlier.
            let _ = client.until_quiet(MAX + SHORT)?;
            client.socket().shutdown(Shutdown::Write)?;
            keep(client)
        };
        let scripts: Vec<Script> = vec![
            Box::new(hang_up),
            Box::new(hang_up),
            Box::new(hang_up),
            Box::new(lasts),
            Box::new(hang_up),
            Box::new(stay),
        ];
        let (sender, asked) = unbounded();
        let client = Wire::join(play(scripts).to_string())
            .retry_wait(Duration::from_millis(1), MAX)
            .session_close_timeout(Duration::ZERO)
            .retry_policy(move |retry| {
                tell(&sender, retry);
                Some(Duration::ZERO)
            });
        let _client = started(client);
        let attempts: Vec<u32> = asked.iter().take(5).map(|asked| asked.attempt).collect();
        assert_eq!(attempts, [1, 2, 3, 1, 2]);
    });
}

/// The server exchanges pings before it confirms the session, and then ends it at once:
/// the session has not lasted.
#[test]
fn the_time_of_the_handshake_does_not_count_as_the_life_of_a_session() {
    in_time(|| {
        const PARTS: usize = 8;
        /// A session that lasts this long resets the count.
        const LIFE: Duration = Duration::from_millis(500);
        let (count, counted) = unbounded();
        let part = || {
            let count = count.clone();
            Box::new(move |mut client: Peer| {
                count.send(()).unwrap();
                let confirmation = client.answer_to_request(&[])?;
                let began = Instant::now();
                while began.elapsed() < LIFE {
                    client.settle();
                }
                client.write_all(&confirmation)
            }) as Script
        };
        let addr = play((0..PARTS).map(|_| part()).collect());
        let client = Wire::join(addr.to_string())
            .retry_wait(Duration::from_millis(1), LIFE)
            .retry_max(2)
            .on_error(|_| {})
            .build()
            .unwrap();
        let _ = client.connect();
        assert_eq!(counted.try_iter().count(), 3);
    });
}

#[test]
fn a_server_that_accepts_and_closes_is_not_flooded() {
    in_time(|| {
        let (dialled, dials) = unbounded();
        let server = ScriptedServer::listen(move |client| {
            client.confirm_session()?;
            client.socket().shutdown(Shutdown::Write)?;
            dialled.send(()).unwrap();
            Ok(())
        });
        let client = Wire::join(server.addr.to_string());
        // If each session reset the count, no wait would be longer than this.
        let client = started(client.retry_wait(Duration::from_millis(1), NEVER));
        // Waits of 2^n ms: this many attempts take seconds.
        let begin = Instant::now();
        let mut count = 0;
        while begin.elapsed() < 4 * SHORT {
            count += usize::from(dials.recv_timeout(SHORT).is_ok());
        }
        assert!(count < 40, "{count} tries in {:?}", begin.elapsed());
        client.close().unwrap();
    });
}

// -- reconnect_now --

/// A client with endless waits, during the first of them.
fn waiting(addr: SocketAddr) -> (Wire, thread::JoinHandle<Result<(), Error>>) {
    let (failed, fails) = unbounded();
    let client = Wire::join(addr.to_string())
        .retry_policy(|_| Some(NEVER))
        .session_close_timeout(Duration::ZERO)
        .on_error(move |_| {
            // Only the first is received.
            let _ = failed.send(());
        });
    let client = client.build().unwrap();
    let starting = client.clone();
    let starter = thread::spawn(move || starting.start());
    fails.recv().unwrap();
    (client, starter)
}

#[test]
fn reconnect_now_ends_a_wait() {
    within(SOON, || {
        let (client, starter) = waiting(play(vec![Box::new(break_handshake), Box::new(stay)]));
        client.reconnect_now();
        starter.join().unwrap().unwrap();
        client.close().unwrap();
    });
}

#[test]
fn reconnect_now_during_an_attempt_ends_the_wait_after_it() {
    within(SOON, || {
        let (asked, asks) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let first = move |mut client: Peer| {
            client.read_request()?;
            asked.send(()).unwrap();
            assert!(released.recv().is_err());
            SockRef::from(client.socket()).set_linger(Some(Duration::ZERO))
        };
        let addr = play(vec![Box::new(first), Box::new(stay)]);
        let client = Wire::join(addr.to_string())
            .retry_policy(|_| Some(NEVER))
            .session_close_timeout(Duration::ZERO)
            .build()
            .unwrap();
        let starting = client.clone();
        let starter = thread::spawn(move || starting.start());
        asks.recv().unwrap();
        client.reconnect_now();
        drop(release);
        starter.join().unwrap().unwrap();
        client.close().unwrap();
    });
}

/// A request from before a session does not shorten a wait after it.
#[test]
fn reconnect_now_is_forgotten_when_a_session_is_open() {
    in_time(|| {
        let (hang_up_now, hangs_up) = bounded::<()>(0);
        let first = move |mut client: Peer| {
            client.confirm_session()?;
            assert!(hangs_up.recv().is_err());
            client.socket().shutdown(Shutdown::Write)?;
            keep(client)
        };
        let (came, comes) = bounded(1);
        let second = move |client: Peer| {
            came.send(()).unwrap();
            stay(client)
        };
        let addr = play(vec![Box::new(first), Box::new(second)]);
        let client = Wire::join(addr.to_string())
            .retry_policy(|_| Some(NEVER))
            .session_close_timeout(Duration::ZERO)
            .build()
            .unwrap();
        client.reconnect_now();
        client.start().unwrap();
        drop(hang_up_now);
        comes.recv_timeout(3 * SHORT).unwrap_err();
        client.reconnect_now();
        comes.recv().unwrap();
        client.close().unwrap();
    });
}

// -- close at any moment --

#[test]
fn close_ends_a_wait_at_once() {
    within(SOON, || {
        let (client, starter) = waiting(play(vec![Box::new(break_handshake)]));
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
    });
}

#[test]
fn close_ends_a_dial_at_once_and_its_thread() {
    within(SOON, || {
        let nobody = Unreachable::new();
        let client = Wire::join(nobody.addr.to_string())
            .dial_timeout(NEVER)
            .thread_name("cl-dl")
            .build()
            .unwrap();
        let starting = client.clone();
        let starter = thread::spawn(move || starting.start());
        threads::await_one("cl-dl-dial");
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
        threads::await_none("cl-dl");
    });
}

#[test]
fn close_ends_a_handshake_at_once() {
    within(SOON, || {
        let server = ScriptedServer::listen(|client| client.read_request().map(drop));
        let client = Wire::join(server.addr.to_string()).handshake_timeout(NEVER);
        let client = client.thread_name("cl-hs").build().unwrap();
        let starting = client.clone();
        let starter = thread::spawn(move || starting.start());
        let _accepted = server.accepted.recv().unwrap();
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
        threads::await_none("cl-hs");
    });
}

#[test]
fn close_between_two_sessions_ends_connect_with_ok() {
    within(SOON, || {
        let (failed, fails) = unbounded();
        let server = started(mounting());
        let client = joining(&server).retry_policy(move |_| {
            failed.send(()).unwrap();
            Some(NEVER)
        });
        let client = client.build().unwrap();
        let connecting = client.clone();
        let connection = thread::spawn(move || connecting.connect());
        server.wait_session(PATIENCE).unwrap().abort();
        fails.recv().unwrap();
        client.close().unwrap();
        // There was a session before.
        connection.join().unwrap().unwrap();
    });
}

/// A closed wire never gets a session, at whatever moment it is closed.
#[test]
fn close_at_any_moment_leaves_nothing_behind() {
    in_time(|| {
        let server = started(mounting());
        for round in 0..100 {
            let client = joining(&server).thread_name("any-mo").build().unwrap();
            let starting = client.clone();
            let starter = thread::spawn(move || starting.start());
            // At different moments, as there is nothing to wait for.
            (0..round).for_each(|_| thread::yield_now());
            client.close().unwrap();
            let outcome = starter.join().unwrap();
            assert!(
                matches!(outcome, Ok(()) | Err(Error::Closed)),
                "{outcome:?}"
            );
            assert!(client.sessions().is_empty());
            client.wait().unwrap();
        }
        threads::await_none("any-mo");
    });
}
