//! Handlers and validators that fail with errors of any type.

use crate::support::{
    in_time,
    wires::{Link, as_it_is, joining, mounting, started},
};
use crossbeam_channel::{Receiver, unbounded};
use std::{error::Error as StdError, fmt, io};
use wirenet::{
    Builder, Denied, Error, OpError, Operation, RefusalCode, Request, Stream, any_error,
};

type AnyError = Box<dyn StdError + Send + Sync>;

/// An error of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    DiskFull,
}

impl StdError for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk is full")
    }
}

fn fail() -> Result<(), Failure> {
    Err(Failure::DiskFull)
}

/// Calls a handler, and passes the error that it reports to `check`.
fn assert_reports<T: Send + 'static>(
    handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    check: impl Fn(&OpError) -> T + Send + Sync + 'static,
) -> T {
    let (tell, told): (_, Receiver<T>) = unbounded();
    let link = Link::new(
        |server| {
            let server = server.stream("fails", handler);
            server.on_error(move |error| {
                assert_eq!(error.operation, Operation::Handler("fails".into()));
                tell.send(check(error)).unwrap();
            })
        },
        as_it_is,
    );
    let stream = link.near.open_stream("fails");
    let reported = told.recv().unwrap();
    drop(stream);
    reported
}

#[test]
fn the_error_of_a_handler_is_the_reported_cause() {
    in_time(|| {
        let check = |error: &OpError| {
            let source = error.source().unwrap();
            assert_eq!(source.downcast_ref(), Some(&Failure::DiskFull));
            assert!(error.to_string().ends_with(": the disk is full"), "{error}");
            error.cause.downcast_ref::<Failure>().cloned()
        };
        let failing = any_error(|_| fail());
        assert_eq!(assert_reports(failing, check), Some(Failure::DiskFull));
        let boxing = any_error(|_| -> Result<(), AnyError> { Ok(fail()?) });
        assert_eq!(assert_reports(boxing, check), Some(Failure::DiskFull));
    });
}

#[test]
fn an_io_error_in_a_box_is_still_an_io_error() {
    in_time(|| {
        let handler = any_error(|_| -> Result<(), AnyError> {
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space"))?
        });
        let kind = assert_reports(handler, |error| {
            error.cause.downcast_ref().map(io::Error::kind)
        });
        assert_eq!(kind, Some(io::ErrorKind::StorageFull));
    });
}

#[test]
fn a_text_and_an_error_of_this_library_are_causes() {
    in_time(|| {
        let handler = any_error(|_| Err("no disk"));
        let text = assert_reports(handler, |error| error.cause.to_string());
        assert_eq!(text, "no disk");
        let handler = any_error(|_| Err(Error::AlreadyConnected));
        let is_kept = assert_reports(handler, |error| error.cause.is::<Error>());
        assert!(is_kept);
    });
}

#[test]
fn a_handler_may_use_anyhow() {
    in_time(|| {
        let handler = any_error(|_| -> anyhow::Result<()> {
            Err(anyhow::Error::new(Failure::DiskFull).context("cannot save"))
        });
        let (text, cause) = assert_reports(handler, |error| {
            let cause = error.cause.source().and_then(|cause| cause.downcast_ref());
            (error.cause.to_string(), cause.cloned())
        });
        assert_eq!(text, "cannot save");
        assert_eq!(cause, Some(Failure::DiskFull));
    });
}

#[test]
fn a_handler_of_any_error_can_be_added_later_and_serves() {
    in_time(|| {
        let link = Link::new(as_it_is, as_it_is);
        let greet = any_error(|stream| -> anyhow::Result<()> {
            stream.write_message(b"hello")?;
            Ok(())
        });
        link.server.stream("greeting", greet).unwrap();
        let stream = link.near.open_stream("greeting").unwrap();
        assert_eq!(crate::support::wires::message(&stream).unwrap(), b"hello");
    });
}

/// Returns how a server with these options refuses a session.
fn refusal(server: impl FnOnce(Builder) -> Builder) -> (Option<RefusalCode>, String) {
    let server = started(server(mounting()));
    let client = joining(&server).stream("a", |_| Ok(())).retry_max(0);
    match client.build().unwrap().start() {
        Err(Error::SessionRefused { code, text, .. }) => (code, text),
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn a_validator_may_use_the_question_mark_on_any_error_which_denies_permanently() {
    in_time(|| {
        let permanent = Some(RefusalCode::TokenRefused);
        let failing = |server: Builder| server.token_validator(|_, _, _| Ok(fail()?));
        assert_eq!(refusal(failing), (permanent, "the disk is full".into()));
        let io = |server: Builder| {
            server.token_validator(|_, _, _| Err(io::Error::other("no database"))?)
        };
        assert_eq!(refusal(io), (permanent, "no database".into()));
        let anyhow =
            |server: Builder| server.token_validator(|_, _, _| Err(anyhow::anyhow!("no"))?);
        assert_eq!(refusal(anyhow), (permanent, "no".into()));
        let boxed = |server: Builder| {
            server.token_validator(|_, _, _| Err(AnyError::from(Failure::DiskFull))?)
        };
        assert_eq!(refusal(boxed), (permanent, "the disk is full".into()));
        let text = |server: Builder| {
            server.token_validator(|_, _, token| Err(format!("{} bytes", token.len()).into()))
        };
        assert_eq!(refusal(text), (permanent, "0 bytes".into()));
    });
}

#[test]
fn any_error_can_deny_for_now() {
    in_time(|| {
        let for_now = Some(RefusalCode::TryLater);
        let validator =
            |server: Builder| server.token_validator(|_, _, _| fail().map_err(Denied::for_now));
        assert_eq!(refusal(validator), (for_now, "the disk is full".into()));
        let access =
            |server: Builder| server.access(|_: &Request<'_>| fail().map_err(Denied::for_now));
        let (code, text) = refusal(access);
        assert_eq!(code, for_now);
        assert!(text.ends_with(": the disk is full"), "{text}");
    });
}

#[test]
fn access_may_use_the_question_mark_on_any_error_which_denies_permanently() {
    in_time(|| {
        let access = |server: Builder| server.access(|_: &Request<'_>| Ok(fail()?));
        let (code, text) = refusal(access);
        assert_eq!(code, Some(RefusalCode::NameNotAllowed));
        assert!(text.ends_with(": the disk is full"), "{text}");
    });
}
