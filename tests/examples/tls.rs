use crate::program::{DEADLINE, Ended, NONE, Program, example, join};
use std::{fs, io::Read};
use wirenet::{TlsClient, TlsServer, Wire, load_certificates};

/// Starts the server. Returns its address and its certificate's fingerprint too.
fn server(certs: &str) -> (Program, String, String) {
    let mut command = example("tls");
    command.args(["server", "--interval-ms", "5", "--addr", "127.0.0.1:0"]);
    let server = Program::start(command.args(["--certs", certs]));
    let fingerprint = server.line("fingerprint ");
    let addr = server.address();
    (server, addr, fingerprint)
}

fn assert_receives_news(client: &Program) {
    for _ in 0..3 {
        assert_eq!(client.line("HELLO"), " FROM SERVER!");
    }
}

#[test]
fn a_client_that_trusts_the_authority_receives_news() {
    let (server, addr, _) = server("certs");
    let client = join("tls", "client", &addr, NONE);
    assert_receives_news(&client);
    server.line("session=");
    client.terminate();
    server.terminate();
}

#[test]
fn a_client_that_pins_the_certificate_receives_news_until_the_server_ends() {
    let (server, addr, fingerprint) = server("certs");
    // The client has no certificates of its own.
    let args = ["--pin", &fingerprint, "--certs", "/no/such"];
    let client = join("tls", "client", &addr, args);
    assert_receives_news(&client);
    server.terminate().assert_success();
    client.end().assert_success();
}

#[test]
fn a_client_that_loses_its_server_fails() {
    for _ in 0..5 {
        let (server, addr, _) = server("certs");
        let client = join("tls", "client", &addr, NONE);
        assert_receives_news(&client);
        server.signal("KILL");
        client.end().assert_failure("error: ");
    }
}

fn assert_refused(addr: &str, args: &[&str], reason: &str) {
    let ended: Ended = join("tls", "client", addr, args).end();
    ended.assert_failure(reason);
    assert!(ended.stdout.is_empty(), "{ended:?}");
}

#[test]
fn a_client_refuses_a_server_that_it_does_not_trust() {
    let (server, addr, _) = server("certs");
    assert_refused(&addr, &["--pin", &"00".repeat(32)], "error: ");
    // A certificate of another authority.
    assert_refused(&addr, &["--ca", "certs/client.pem"], "error: ");
    server.terminate();
}

#[test]
fn each_news_item_is_a_message() {
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
    // The handler sends until the stream closes, and reports no error then.
    stream.close().unwrap();
    wire.close().unwrap();
    server.terminate().assert_success();
}

#[test]
fn the_client_identifies_itself_by_its_certificate() {
    let tls = TlsServer::new(load_certificates("server", "certs").unwrap()).unwrap();
    let wire = Wire::mount("127.0.0.1:0").tls(tls);
    let wire = wire.stream("info", |stream| stream.write_message(b"the last news"));
    let wire = wire.build().unwrap();
    wire.start().unwrap();
    let addr = wire.local_addr().unwrap().to_string();
    let client = join("tls", "client", &addr, NONE);
    let session = wire.wait_session(DEADLINE).unwrap();
    assert_eq!(session.identification(), b"client");
    client.line("the last news");
    client.end().assert_success();
}

/// Copies a certificate and its key to the names that the server reads.
fn put_certificate(to: &tempfile::TempDir, from: &str) {
    for kind in ["pem", "key"] {
        let to = to.path().join(format!("server.{kind}"));
        fs::copy(format!("certs/{from}.{kind}"), to).unwrap();
    }
}

#[test]
fn sighup_makes_the_server_read_its_certificate_again() {
    let certs = tempfile::tempdir().unwrap();
    put_certificate(&certs, "server");
    let (server, addr, old) = server(certs.path().to_str().unwrap());
    let before = join("tls", "client", &addr, ["--pin", &old]);
    assert_receives_news(&before);

    // A certificate that cannot be used changes nothing.
    fs::remove_file(certs.path().join("server.key")).unwrap();
    server.signal("HUP");
    server.warning("the certificate stays as it was: ");
    put_certificate(&certs, "client");
    server.signal("HUP");
    let new = server.line("fingerprint ");
    assert_ne!(old, new);
    let after = join("tls", "client", &addr, ["--pin", &new]);
    assert_receives_news(&after);
    assert_receives_news(&before);
    before.terminate();
    after.terminate();
    server.terminate();
}

#[test]
fn sighup_makes_the_hub_of_a_tunnel_read_its_certificate_again() {
    let certs = tempfile::tempdir().unwrap();
    put_certificate(&certs, "server");
    let mut command = example("tunnel");
    command.args(["hub", "--addr", "127.0.0.1:0", "--certs"]);
    let hub = Program::start(command.arg(certs.path()));
    let old = hub.line("fingerprint ");
    let addr = hub.address();
    put_certificate(&certs, "client");
    hub.signal("HUP");
    let new = hub.line("fingerprint ");
    assert_ne!(old, new);
    let service = ["--name", "a", "--to", "127.0.0.1:1", "--pin", &new];
    let expose = join("tunnel", "expose", &addr, service);
    expose.line("connected");
    expose.terminate();
    hub.terminate();
}

#[test]
fn missing_or_wrong_certificates_are_reported() {
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
            .assert_failure("is not the SHA-256 fingerprint of a certificate");
    }
}
