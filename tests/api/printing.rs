//! What `Debug` and `Display` print: identifications as text, and never a token.

use crate::support::{
    in_time,
    wires::{Link, mounting},
};
use crossbeam_channel::unbounded;
use std::{fmt::Debug, io, time::Duration};
use wirenet::{Builder, Request};

const TOKEN: &str = "a secret token";

fn identified(builder: Builder) -> Builder {
    builder.identification("box-1", TOKEN)
}

/// Checks that a value prints its identification as text, and no token.
#[track_caller]
fn assert_prints_text(value: &impl Debug) {
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(shown.contains(r#"identification: "box-1""#), "{shown}");
        assert_no_token(&shown);
    }
}

#[track_caller]
fn assert_no_token(shown: &str) {
    let bytes = format!("{:?}", TOKEN.as_bytes());
    let bytes = bytes.trim_matches(|char| "[]".contains(char));
    assert!(!shown.contains(TOKEN) && !shown.contains(bytes), "{shown}");
}

#[test]
fn an_identification_is_printed_as_text() {
    in_time(|| {
        let (tell, told) = unbounded();
        let caller = tell.clone();
        let server = |server: Builder| {
            server
                .access(move |request| {
                    assert_prints_text(request);
                    if let Request::Offer { who, .. } = request {
                        assert_prints_text(who);
                    }
                    caller.send(()).unwrap();
                    Ok(())
                })
                .stream("fails", |_| Err(io::Error::other("disk full")))
                .on_error(move |error| {
                    assert_prints_text(error);
                    let text = error.to_string();
                    assert!(text.contains(r#"of "box-1" ("#), "{text}");
                    tell.send(()).unwrap();
                })
                .session_close_timeout(Duration::ZERO)
        };
        let link = Link::new(server, |client| {
            identified(client).stream("a", |stream| {
                stream.wait_for_peer_end(None);
                Ok(())
            })
        });
        told.recv().unwrap();
        assert_prints_text(&link.near);
        assert_prints_text(&link.far);
        let stream = link.near.open_stream("fails").unwrap();
        told.recv().unwrap();
        drop(stream);

        let _in_use = link.far.open_stream("a").unwrap();
        let error = link.server.close().unwrap_err();
        assert_prints_text(&error);
        assert_prints_text(&error.sessions[0]);
        assert!(error.to_string().contains(r#" of "box-1" ("#), "{error}");
    });
}

#[test]
fn other_bytes_of_an_identification_are_escaped() {
    in_time(|| {
        let link = Link::new(
            |server| server,
            |client| client.identification(b"box\xff\0", TOKEN),
        );
        let shown = format!("{:?}", link.far);
        assert!(
            shown.contains(r#"identification: b"box\xff\x00""#),
            "{shown}"
        );
    });
}

#[test]
fn no_token_is_printed() {
    in_time(|| {
        assert_no_token(&format!("{:?}", identified(mounting())));
        let (tell, told) = unbounded();
        let link = Link::new(
            |server| {
                identified(server.stream("a", move |stream| {
                    tell.send(format!("{stream:?}")).unwrap();
                    Ok(())
                }))
            },
            identified,
        );
        assert_no_token(&format!("{:?} {:?}", link.client, link.server));
        let stream = link.near.open_stream("a").unwrap();
        assert_no_token(&told.recv().unwrap());
        assert_no_token(&format!(
            "{stream:?} {:?} {:?}",
            stream.reader(),
            stream.writer()
        ));
    });
}
