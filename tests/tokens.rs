//! A token never appears in the log, in an error or a report, or in `Debug` output. This
//! test has a process of its own, as a process has one logger.

mod support;

use crossbeam_channel::{bounded, unbounded};
use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use std::{
    error::Error as StdError,
    fmt::Debug,
    io::{Read, Write},
    net::TcpStream,
};
use support::{
    PATIENCE,
    encoding::{field, layer_2},
    frames::{FIN, Frame, SYN},
    in_time,
    peer::{Peer, Script, ScriptedServer, play},
    refusing::Refusing,
    wires::{Link, addr_of, as_it_is, echo, joining, mounting, started},
};
use wirenet::{Builder, Denied, OpError, Wire, transport::memory, yamux};

/// The token of all wires here, and a part of the wrong ones.
const MARK: &str = "marked+6sBq0";

/// The clients' identification, which does appear.
const NAME: &str = "shown-client";

/// All texts that a program could print.
struct Output(Mutex<Vec<String>>);

static OUTPUT: Output = Output(Mutex::new(Vec::new()));

impl Log for Output {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.note(record.args().to_string());
    }

    fn flush(&self) {}
}

impl Output {
    fn note(&self, text: String) {
        self.0.lock().push(text);
    }
}

/// Records the `Debug` output of a value.
fn debug(value: &impl Debug) {
    OUTPUT.note(format!("{value:?}"));
    OUTPUT.note(format!("{value:#?}"));
}

/// Records an error, and all its sources.
fn note(error: &impl StdError) {
    debug(error);
    OUTPUT.note(error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        OUTPUT.note(format!("{cause} {cause:?}"));
        source = cause.source();
    }
}

fn report(error: &OpError) {
    note(error);
}

/// Sets up a side that sends the token, and records its reports.
fn marked(builder: Builder) -> Builder {
    let builder = builder.identification(NAME, MARK).on_error(report);
    debug(&builder);
    builder
}

/// Checks that a client cannot start, and records the error.
fn assert_fails(builder: Builder) {
    let wire = builder.retry_max(0).retry_policy(|retry| {
        debug(retry);
        None
    });
    let wire = wire.build().unwrap();
    let error = wire.start().unwrap_err();
    note(&error);
    note(&std::io::Error::from(error));
    debug(&wire);
}

fn success() {
    let both = |builder: Builder| marked(builder).stream("echo", echo);
    let link = Link::new(
        |server| both(server).token_validator(|_, _, token| accept(token == MARK.as_bytes())),
        both,
    );
    for (wire, session) in [(&link.client, &link.near), (&link.server, &link.far)] {
        debug(wire);
        debug(session);
        let stream = session.open_stream("echo").unwrap();
        stream.write_message(MARK.as_bytes()).unwrap();
        debug(&stream);
        let mut reader = stream.reader();
        debug(&reader);
        reader.read_to_end(&mut Vec::new()).unwrap();
        // The writer is dropped unfinished, which resets the stream.
        debug(&stream.writer());
        debug(&(session.stats(), wire.stats(), session.id()));
    }
    note_close(&link.client);
    note_close(&link.server);
}

fn accept(verdict: bool) -> Result<(), Denied> {
    verdict.then_some(()).ok_or("no".into())
}

fn note_close(wire: &Wire) {
    if let Err(error) = wire.close() {
        note(&error);
    }
}

fn options() {
    for builder in [
        Wire::join("host:1").identification("", MARK.repeat(1000)),
        Wire::join("host:1")
            .identification(NAME, MARK)
            .max_streams(0),
        Wire::join("host").identification(NAME, MARK),
    ] {
        debug(&builder);
        note(&builder.build().unwrap_err());
    }
}

fn dials() {
    let refusing = Refusing::new();
    assert_fails(marked(Wire::join(refusing.addr)));
}

/// Refusals by a validator, by limits and for names, on a server and a hub.
fn refused_sessions() {
    for server in [mounting(), Wire::hub("127.0.0.1:0")] {
        let server = marked(server).token_validator(|_, _, token| match token {
            b"panics" => panic!("the validator fails"),
            token => accept(token == MARK.as_bytes()),
        });
        let server = started(server.max_sessions(1).max_names(2));
        let wrong = format!("{MARK}-wrong");
        let join = || marked(joining(&server));
        assert_fails(join().identification(NAME, wrong));
        assert_fails(join().identification(NAME, "panics"));
        let names = |builder: Builder, name: &str| builder.stream(name, |_| Ok(()));
        assert_fails(["1", "2", "3"].into_iter().fold(join(), names));
        let _first = started(names(join().identification("other", MARK), "taken"));
        assert_fails(join());
        assert_fails(names(join(), "taken"));
        note_close(&server);
    }
}

/// Malformed session requests, each of which contains the token somewhere.
fn malformed_sessions() {
    let server = started(marked(mounting()));
    let token = field(2, MARK.as_bytes());
    let long = field(2, MARK.repeat(1000).as_bytes());
    let id = field(1, &[1; 16]);
    for (kind, fields) in [
        (0x32, token.clone()),
        (0x32, [&id[..], &long].concat()),
        (0x32, [&id[..], &token, b"\x22\x02\xff\xff"].concat()),
        (0x32, [&id[..], &token[..5]].concat()),
        (0x32, field(1, MARK.as_bytes())),
        (0x16, MARK.into()),
        (0x99, MARK.into()),
    ] {
        let mut client = TcpStream::connect(addr_of(&server)).unwrap();
        let frame = Frame::data(1, layer_2(kind, "openSession", &fields));
        let frames = [Frame::flags(1, SYN), frame, Frame::flags(1, FIN)];
        let bytes = frames.map(|frame| frame.encode()).concat();
        client.write_all(&bytes).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // The read may fail; only the answer matters.
        let _ = client.read_to_end(&mut answer);
        OUTPUT.note(String::from_utf8_lossy(&answer).into_owned());
    }
    note_close(&server);
}

/// Servers that answer incorrectly, or not at all.
fn servers_that_fail() {
    let parts: [Script; 3] = [
        Box::new(|mut client| client.refuse_session(1, "not you")),
        Box::new(|mut client| client.read_request().map(drop)),
        Box::new(|mut client| {
            client.read_request()?;
            client.write_all(b"no yamux at all, this is not")
        }),
    ];
    for part in parts {
        let addr = play(vec![part]);
        assert_fails(marked(Wire::join(addr.to_string())));
    }
    let silent = ScriptedServer::silent();
    let join = marked(Wire::join(silent.addr.to_string()));
    assert_fails(join.handshake_timeout(std::time::Duration::from_millis(50)));
}

/// Streams whose opening fails, or whose handler does.
fn streams() {
    let server = |server: Builder| {
        marked(server)
            .token_validator(|name, _, _| match name {
                "panics" => panic!("the validator fails"),
                name => accept(name != "refused"),
            })
            .stream("fails", |_| Err(std::io::Error::other("no disk")))
            .stream("breaks", |_| panic!("oh"))
    };
    let link = Link::new(server, marked);
    for name in ["missing", "refused", "panics"] {
        note(&link.near.open_stream(name).unwrap_err());
    }
    for name in ["fails", "breaks"] {
        let mut stream = link.near.open_stream(name).unwrap();
        note(&stream.read_to_end(&mut Vec::new()).unwrap_err());
    }
    note_close(&link.client);
    note(&link.near.open_stream("waits").unwrap_err());
    note_close(&link.server);
}

fn full_pool() {
    let (release, released) = bounded::<()>(0);
    let (sender, started_handlers) = unbounded();
    let server = |server: Builder| {
        marked(server).handler_limit(1).stream("waits", move |_| {
            sender.send(()).unwrap();
            // Until it is released.
            let _ = released.recv();
            Ok(())
        })
    };
    let link = Link::new(server, marked);
    let waits = link.near.open_stream("waits").unwrap();
    started_handlers.recv_timeout(PATIENCE).unwrap();
    note(&link.near.open_stream("waits").unwrap_err());
    drop(release);
    drop(waits);
    note_close(&link.client);
    note_close(&link.server);
}

/// Malformed openings of streams, which contain the token.
fn malformed_streams() {
    let server = started(marked(mounting()));
    let mut client = Peer::join(&server, [1; 16]);
    let token = MARK.as_bytes();
    for (index, body) in [
        layer_2(0x16, "echo", MARK.repeat(1000).as_bytes()),
        layer_2(0x32, "echo", token),
        layer_2(0x77, "echo", token),
        layer_2(0x16, "echo", token)[..20].to_vec(),
    ]
    .into_iter()
    .enumerate()
    {
        let id = 3 + 2 * index as u32;
        let frames = [
            Frame::flags(id, SYN),
            Frame::data(id, body),
            Frame::flags(id, FIN),
        ];
        let bytes = frames.map(|frame| frame.encode()).concat();
        client.write_all(&bytes).unwrap();
    }
    client.socket().shutdown(std::net::Shutdown::Write).unwrap();
    // The read may fail.
    let _ = client.read_to_end(&mut Vec::new());
    note_close(&server);
}

/// Calls through a hub, which sends a token of its own to the owner.
fn hub() {
    let hub = marked(Wire::hub("127.0.0.1:0"));
    let hub = started(hub.token_validator(|name, _, _| accept(name != "refused")));
    let owner = marked(joining(&hub))
        .stream("echo", echo)
        .token_validator(|name, _, token| {
            assert_eq!(token, MARK.as_bytes());
            accept(name != "sorry")
        });
    let owner = started(owner.stream("sorry", |_| Ok(())));
    let caller = started(marked(joining(&hub)).identification("caller", MARK));
    let session = caller.wait_session(PATIENCE).unwrap();
    debug(&session.open_stream("echo").unwrap());
    for name in ["sorry", "refused", "missing"] {
        note(&session.open_stream(name).unwrap_err());
    }
    note_close(&owner);
    [caller, hub].iter().for_each(note_close);
}

/// Raw streams: the bytes in flight must not appear either.
fn raw() {
    let (near, far) = memory::pair(64 * 1024);
    debug(&(&near, &far));
    let near = yamux::Connection::client(near, yamux::Config::default()).unwrap();
    let far = yamux::Connection::server(far, yamux::Config::default()).unwrap();
    let mut stream = near.open().unwrap();
    stream.write_all(MARK.as_bytes()).unwrap();
    let mut accepted = far.accept().unwrap();
    accepted.read_exact(&mut [0]).unwrap();
    debug(&(&stream, &accepted));
    debug(&(&near, &far));
    note(&wirenet::Error::from(yamux::Error::Closed));
}

#[cfg(feature = "tls")]
fn over_tls() {
    use wirenet::{TlsClient, TlsServer, load_certificates};

    let certificates = load_certificates("server", "certs").unwrap();
    let tls = TlsServer::new(certificates.clone()).unwrap();
    let server = marked(mounting()).tls(tls.clone());
    let server = started(server.token_validator(|_, _, token| accept(token == MARK.as_bytes())));
    let client = TlsClient::with_ca("certs/ca.pem").unwrap();
    debug(&(&certificates, &tls, &client));
    let joined = started(marked(joining(&server)).tls(client.clone()));
    assert_fails(
        marked(joining(&server))
            .identification(NAME, "wrong")
            .tls(client),
    );
    // A client that does not trust the server.
    assert_fails(marked(joining(&server)).tls(TlsClient::pinned([0; 32])));
    // A client without TLS, which sends the token in clear text.
    let plain = marked(joining(&server));
    assert_fails(plain.handshake_timeout(std::time::Duration::from_millis(300)));
    [joined, server].iter().for_each(note_close);
}

#[cfg(not(feature = "tls"))]
fn over_tls() {}

/// Returns the forms in which the token could appear: as text, as the `Debug` output of
/// bytes, and in hexadecimal.
fn forms() -> [String; 4] {
    let bytes = MARK.as_bytes();
    let debug = format!("{bytes:?}");
    let lines = format!("{bytes:#?}");
    let inner = |text: &str| text.trim_matches(['[', ']', ',', '\n']).to_owned();
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [MARK.into(), inner(&debug), inner(&lines), hex]
}

#[test]
fn a_token_never_appears_in_the_log_in_errors_or_in_debug_output() {
    log::set_logger(&OUTPUT).unwrap();
    log::set_max_level(LevelFilter::Trace);
    in_time(|| {
        // Checks the search itself.
        assert!(format!("{:?}", MARK.as_bytes()).contains(&forms()[1]));
        success();
        options();
        dials();
        refused_sessions();
        malformed_sessions();
        servers_that_fail();
        streams();
        full_pool();
        malformed_streams();
        hub();
        raw();
        over_tls();
        let _ = Link::new(as_it_is, as_it_is);
    });
    let output = OUTPUT.0.lock();
    for text in output.iter() {
        for form in forms() {
            assert!(!text.contains(&form), "{text}");
        }
    }
    // Other texts do appear, so the paths above were taken.
    for part in [
        NAME,
        "session refused: no",
        "the validator failed",
        "too many sessions",
        "malformed session handshake",
        "malformed opening of a stream",
        "belongs to another session",
        "all 1 handlers are busy",
        "no handler for this name",
        "panicked: oh",
        "not you",
    ] {
        assert!(output.iter().any(|text| text.contains(part)), "no {part:?}");
    }
}
