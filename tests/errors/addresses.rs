//! Addresses that are malformed, or at which nothing can listen or is reached.

use super::table::row;
use crate::support::{in_time, refusing::Refusing};
use crossbeam_channel::unbounded;
use std::{net::TcpListener, time::Duration};
use wirenet::{Builder, Error, Wire};

type New = fn(&str) -> Builder;

fn build_error(new: New, addr: &str) -> String {
    let error = new(addr).build().unwrap_err();
    assert!(matches!(error, Error::Option { .. }), "{error:?}");
    error.to_string()
}

/// What was given, what is wrong, and what to write.
#[test]
fn a_malformed_address_says_what_to_write_instead() {
    let news: [(&str, New); 3] = [
        ("join", |addr| Wire::join(addr)),
        ("mount", |addr| Wire::mount(addr)),
        ("hub", |addr| Wire::hub(addr)),
    ];
    for (given, expected) in [
        ("", &["empty", "give host:port", "hub.example:8989"][..]),
        // No port, or a wrong one.
        ("hub.example", &["port is missing", "\"hub.example:8989\""]),
        ("hub.example:", &["port is missing", "\"hub.example:8989\""]),
        ("10.0.0.1", &["port is missing", "\"10.0.0.1:8989\""]),
        ("8989", &["with a colon", "\":8989\""]),
        (
            "hub:http",
            &["port \"http\" is not a number", "\"hub:8989\""],
        ),
        ("hub:-1", &["port \"-1\" is not a number"]),
        ("hub:+80", &["port \"+80\" is not a number"]),
        ("hub:0x50", &["port \"0x50\" is not a number"]),
        ("hub:70000", &["port 70000 is too large", "65535"]),
        ("hub:99999999999999999999", &["too large", "65535"]),
        // IPv6.
        ("[::1]", &["port is missing", "\"[::1]:8989\""]),
        ("[::1]:", &["port is missing", "\"[::1]:8989\""]),
        ("[::1]:x", &["\"x\" is not a number", "\"[::1]:8989\""]),
        ("[::1]80", &["comes \"80\"", "a colon", "\"[::1]:8989\""]),
        ("[::1:80", &["bracket is not closed", "\"[::1]:8989\""]),
        ("::1", &["IPv6", "in brackets", "\"[::1]:8989\""]),
        ("::1:80", &["IPv6", "in brackets", "\"[::1]:8989\""]),
        ("fe80::1%eth0", &["IPv6", "in brackets", "port"]),
        ("fe80::1%eth0:80", &["IPv6", "in brackets", "port"]),
        ("[hub.example]:80", &["\"hub.example\" is not an IPv6"]),
        ("[]:80", &["\"\" is not an IPv6 address"]),
        ("hub:80:90", &["more than one colon", "host:port"]),
        // Parts of a URL.
        ("http://hub:80", &["host:port", "without \"http://\""]),
        ("http://[::1]:80", &["host:port", "without \"http://\""]),
        ("tcp://hub", &["host:port", "without \"tcp://\""]),
        ("wss://hub/ws", &["without \"wss://\" and \"/ws\""]),
        ("hub:80/", &["host:port", "without \"/\""]),
        ("hub/path:80", &["host:port", "without \"/path\""]),
        ("hub:80?a=b:1", &["host:port", "without \"?a=b:1\""]),
        ("user@hub:22", &["host:port", "without \"user@\""]),
        ("ssh://me:pw@hub:22", &["\"ssh://\" and \"me:pw@\""]),
        // Characters.
        (" hub:80", &["it contains ' '", "remove"]),
        ("hub:80\n", &["it contains '\\n'", "remove"]),
        ("my hub:80", &["it contains ' '", "remove"]),
        ("hub:\u{a0}80", &["it contains", "remove"]),
        ("hub\0:80", &["it contains '\\0'", "remove"]),
        ("hub:８０", &["it contains '８'", "digits 0 to 9"]),
        ("１0.0.0.1:80", &["it contains '１'", "digits 0 to 9"]),
        ("*:80", &["give the server's host", "\"hub.example:80\""]),
    ] {
        for (option, new) in news {
            let message = build_error(new, given);
            let input = format!("Wire::{option}({given:?})");
            let start = format!("Wire::{option}: invalid address {given:?}: ");
            assert!(message.starts_with(&start), "{input}: {message}");
            if option == "join" {
                row(input, message, expected);
            }
        }
    }
}

#[test]
fn a_server_is_told_how_to_write_all_interfaces() {
    let message = build_error(|addr| Wire::mount(addr), "*:80");
    row(
        "Wire::mount(\"*:80\")",
        message,
        &["all interfaces", "\":80\""],
    );
}

#[test]
fn port_0_can_be_listened_at_but_not_dialled() {
    for given in ["hub.example:0", ":0", "[::1]:0"] {
        let message = build_error(|addr| Wire::join(addr), given);
        let input = format!("Wire::join({given:?})");
        row(input, message, &[given, "port 0", "the server listens"]);
        Wire::mount(given).build().unwrap();
    }
}

#[test]
fn a_name_that_does_not_resolve_is_named_with_what_to_check() {
    in_time(|| {
        let given = "no-such-host.invalid:8989";
        let expected = [
            given,
            "look up \"no-such-host.invalid\"",
            "check the name",
            "DNS",
        ];
        let client = Wire::join(given).retry_max(0).build().unwrap();
        let error = client.start().unwrap_err();
        row(
            "Wire::join(…).start(), a name that does not exist",
            error,
            &expected,
        );
        let server = Wire::mount(given).build().unwrap();
        let error = server.start().unwrap_err();
        row(
            "Wire::mount(…).start(), a name that does not exist",
            error,
            &expected,
        );
    });
}

#[test]
fn an_address_that_cannot_be_used_says_why_and_what_to_do() {
    in_time(|| {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let given = taken.local_addr().unwrap().to_string();
        let server = Wire::mount(&given).build().unwrap();
        row(
            "Wire::mount(…).start(), where another program listens",
            server.start().unwrap_err(),
            &[&given, "in use", "another program", "another port"],
        );
        // No machine has an address of this network.
        let given = "192.0.2.1:8989";
        let server = Wire::mount(given).build().unwrap();
        row(
            "Wire::mount(…).start(), an address of another machine",
            server.start().unwrap_err(),
            &[given, "this machine has no such address", "all interfaces"],
        );
        let refusing = Refusing::new();
        let given = refusing.addr.to_string();
        let client = Wire::join(&given).retry_max(0).build().unwrap();
        row(
            "Wire::join(…).start(), where nothing listens",
            client.start().unwrap_err(),
            &[
                &given,
                "refused",
                "nothing listens there",
                "the server runs",
            ],
        );
    });
}

#[test]
fn each_failed_attempt_says_when_the_next_one_is_and_whether_it_repeats_the_last() {
    in_time(|| {
        let refusing = Refusing::new();
        let (told, errors) = unbounded();
        let client = Wire::join(refusing.addr)
            .retry_wait(Duration::from_millis(1), Duration::from_millis(1))
            .retry_max(2)
            .on_error(move |error| {
                let retries = error.retry_in.is_some();
                let _ = told.send((error.to_string(), error.repeats, retries));
            })
            .build()
            .unwrap();
        client.connect().unwrap_err();
        drop(client);
        for repeats in [false, true] {
            let (text, repeated, retries) = errors.recv().expect("an error");
            let expected = ["nothing listens there", "; connecting again in "];
            row("on_error of a client that retries", text, &expected);
            assert_eq!((repeated, retries), (repeats, true));
        }
        assert_eq!(errors.recv().ok(), None, "`connect` returns the last one");
    });
}
