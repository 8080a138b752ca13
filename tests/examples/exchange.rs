use crate::data::{QUOTED, assert_quote};
use crate::program::{NONE, join, serve};
use crossbeam_channel::bounded;
use wirenet::Wire;

/// A short interval, for a fast test.
const PACE: [&str; 2] = ["--interval-ms", "10"];

#[test]
fn the_server_prints_the_quotes_of_three_clients() {
    let (server, addr) = serve("exchange", "server", NONE);
    let clients = QUOTED.map(|(role, _)| join("exchange", role, &addr, PACE));
    for (role, symbol) in QUOTED {
        for _ in 0..3 {
            assert_quote(&server.line(&format!("{role}:quotes ")), symbol);
        }
    }
    let server = server.terminate();
    assert_eq!(server.stderr, "");
    for client in clients {
        client.terminate();
    }
}

#[test]
fn stopping_a_client_does_not_affect_the_others() {
    let (server, addr) = serve("exchange", "server", NONE);
    let [binance, google, okcoin] = QUOTED.map(|(role, _)| join("exchange", role, &addr, PACE));
    server.line("google:quotes ");
    google.terminate().assert_success();
    okcoin.line("connected");
    server.line("okcoin:quotes ");
    server.line("binance:quotes ");
    binance.terminate().assert_success();
    okcoin.terminate().assert_success();
    server.terminate().assert_success();
}

#[test]
fn each_quote_is_a_message_that_ends_with_a_newline() {
    let wire = Wire::mount("127.0.0.1:0").build().unwrap();
    wire.start().unwrap();
    let addr = wire.local_addr().unwrap().to_string();
    let client = join("exchange", "binance", &addr, PACE);
    let session = wire.wait_session(crate::program::DEADLINE).unwrap();
    assert_eq!(session.stream_names(), ["binance:quotes"]);
    let stream = session.open_stream("binance:quotes").unwrap();
    for _ in 0..3 {
        assert!(stream.next_message().unwrap());
        let message = std::io::read_to_string(stream.reader()).unwrap();
        assert_quote(message.strip_suffix('\n').unwrap(), "USD");
    }
    drop(stream);
    client.terminate().assert_success();
}

#[test]
fn other_streams_are_not_opened_and_endless_quotes_are_not_buffered() {
    let (server, addr) = serve("exchange", "server", NONE);
    let (sender, given_up) = bounded(1);
    let wire = Wire::join(addr)
        .stream("google:quotes", move |stream| {
            stream.write_message(b"{\"Symbol\":\"BTC\"}\n")?;
            let copied = std::io::copy(&mut std::io::repeat(b'x'), stream).map(drop);
            sender.send(()).unwrap();
            copied
        })
        .stream("others:quotes", |stream| stream.write_message(b"others"))
        .on_error(|_| {});
    let wire = wire.build().unwrap();
    wire.start().unwrap();
    assert_eq!(server.line("google:quotes "), "{\"Symbol\":\"BTC\"}");
    let session = wire.wait_session(crate::program::DEADLINE).unwrap();
    given_up.recv_timeout(crate::program::DEADLINE).unwrap();
    // Only that stream failed. The server is still serving.
    assert!(!session.is_closed());
    let _ = wire.close();
    let ended = server.terminate();
    assert!(ended.stdout.is_empty(), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("the message is longer than 4096 bytes")
    );
}
