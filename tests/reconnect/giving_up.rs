//! When a client gives up, and what it returns and reports then.

use super::{
    SOON,
    policies::{Asked, at_once, tell},
    servers::{break_handshake, break_session, hang_up, is_broken, leave_after, refuse, stay},
};
use crate::support::{
    PATIENCE, in_time,
    peer::{Script, play},
    refusing::Refusing,
    wires::{errors, joining, mounting, started},
    within,
};
use crossbeam_channel::unbounded;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use wirenet::{Error, Operation, RefusalCode, Wire, yamux};

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
        let Error::SessionRefused { code, text, .. } = error else {
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
            let Error::SessionRefused { code, text, .. } = error else {
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
        let (sender, asked) = unbounded();
        let client = Wire::join(refusing.addr).retry_policy(move |retry| {
            tell(&sender, retry);
            (retry.attempt < 3).then_some(Duration::ZERO)
        });
        let error = client.build().unwrap().start().unwrap_err();
        assert!(matches!(error, Error::Dial { .. }), "{error}");
        let asked: Vec<Asked> = asked.iter().collect();
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|asked| asked.wait.is_some()), "{asked:?}");
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

/// The client then does what it does without a policy.
#[test]
fn a_panic_of_the_retry_policy_is_caught_and_reported() {
    in_time(|| {
        let (handler, told) = errors();
        let refusing = Refusing::new();
        let addr = refusing.addr.to_string();
        let client = Wire::join(addr)
            .on_error(handler)
            .retry_wait(Duration::from_millis(1), Duration::from_millis(1))
            .retry_max(1)
            .retry_policy(|_| panic!("oh"))
            .build()
            .unwrap();
        let error = client.start().unwrap_err();
        assert!(matches!(error, Error::Dial { .. }), "{error}");
        let panics: Vec<String> = told
            .try_iter()
            .filter(|(operation, _)| *operation == Operation::Hook("retry_policy"))
            .map(|(_, cause)| cause)
            .collect();
        assert_eq!(panics.len(), 2, "one for each attempt: {panics:?}");
        assert!(
            panics.iter().all(|cause| cause.contains("oh")),
            "{panics:?}"
        );
    });
}
