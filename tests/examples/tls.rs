use crate::program::{DEADLINE, Ended, NONE, Program, example, join};
use std::{fs, io::Read};
use wirenet::{TlsClient, TlsServer, Wire, load_certificates};

/// The server, and its fingerprint.
fn server(certs: &str) -> (Program, String, String) {
    let mut command = example("tls");
    command.args(["server", "--interval-ms", "5", "--addr", "127.0.0.1:0"]);
    let server = Program::start(command.args(["--certs", certs]));
    let fingerprint = server.line("fingerprint ");
    let addr = server.address();
    (server, addr, fingerprint)
}

fn assert_hears(client: &Program) {
    for _ in 0..3 {
        assert_eq!(client.line("HELLO"), " FROM SERVER!");
    }
}

#[test]
fn a_client_that_trusts_the_authority_hears_the_server() {
    let (server, addr, _) = server("certs");
    let client = join("tls", "client", &addr, NONE);
    assert_hears(&client);
    server.line("session=");
    client.terminate();
    server.terminate();
}

#[test]
fn a_client_that_pins_the_certificate_hears_the_server_until_it_ends() {
    let (server, addr, fingerprint) = server("certs");
    // It has no certificates of its own.
    let args = ["--pin", &fingerprint, "--certs", "/no/such"];
    let client = join("tls", "client", &addr, args);
    assert_hears(&client);
    server.terminate().assert_success();
    client.end().assert_success();
}

fn refused(addr: &str, args: &[&str], reason: &str) {
    let ended: Ended = join("tls", "client", addr, args).end();
    ended.assert_failure(reason);
    assert!(ended.stdout.is_empty(), "{ended:?}");
}

#[test]
fn a_server_that_is_not_trusted_is_refused() {
    let (server, addr, _) = server("certs");
    refused(&addr, &["--pin", &"00".repeat(32)], "error: ");
    // An authority, and not the one.
    refused(&addr, &["--ca", "certs/client.pem"], "error: ");
    server.terminate();
}

#[test]
fn each_news_is_a_message() {
    let (server, addr, _) = server("certs");
    let wire = Wire::join(&addr).tls(TlsClient::with_ca("certs/ca.pem").unwrap());
    let wire = wire.build().unwrap();
    wire.start().unwrap();
    let session = wire.wait_session(DEADLINE).unwrap();
    let stream = session.open_stream("info").unwrap();
    for _ in 0..3 {
        assert!(stream.next_message().unwrap());
        let mut message = String::new();
        stream.reader().read_to_string(&mut message).unwrap();
        assert!(stream.was_finished());
        assert_eq!(message, "HELLO FROM SERVER!");
    }
    // It goes on until the stream closes, and has nothing to complain of then.
    stream.close().unwrap();
    wire.close().unwrap();
    server.terminate().assert_success();
}

#[test]
fn the_client_says_who_it_is() {
    let tls = TlsServer::new(load_certificates("server", "certs").unwrap()).unwrap();
    let wire = Wire::mount("127.0.0.1:0").tls(tls);
    let wire = wire.stream("info", |stream| stream.write_message(b"that was all"));
    let wire = wire.build().unwrap();
    wire.start().unwrap();
    let addr = wire.local_addr().unwrap().to_string();
    let client = join("tls", "client", &addr, NONE);
    let session = wire.wait_session(DEADLINE).unwrap();
    assert_eq!(session.identification(), b"client");
    client.line("that was all");
    client.end().assert_success();
}

#[test]
fn certificates_that_are_not_there_or_wrong_are_told() {
    let certs = tempfile::tempdir().unwrap();
    let dir = certs.path().to_str().unwrap();
    let serve = || {
        let mut command = example("tls");
        command.args(["server", "--addr", "127.0.0.1:0", "--certs", dir]);
        Program::start(&mut command).end()
    };
    serve().assert_failure("server.pem");
    fs::copy("certs/server.pem", certs.path().join("server.pem")).unwrap();
    serve().assert_failure("server.key");
    fs::copy("certs/client.key", certs.path().join("server.key")).unwrap();
    serve().assert_failure("error: ");
    let args = ["client", "--certs", dir];
    crate::program::run("tls", args).assert_failure("ca.pem");
    for pin in ["12", "zz", &"é".repeat(32)] {
        crate::program::run("tls", ["client", "--pin", pin])
            .assert_failure("64 hexadecimal digits");
    }
}
