use crate::program::{NONE, join, serve};

#[test]
fn a_client_with_the_right_token_is_accepted_and_called() {
    let (server, addr) = serve("auth", "server", NONE);
    for (role, id) in [("aws", "aws.svc"), ("macbook", "macbook.svc")] {
        let client = join("auth", role, &addr, NONE);
        client.line("connected");
        server.line(&format!("node={id:?} stream=\"confirmSession\" accepted"));
        server.line(&format!("reading \"{role}:read\""));
        assert_eq!(server.line(role), " some payload");
        client.terminate().assert_success();
    }
    server.terminate().assert_success();
}

#[test]
fn a_client_with_a_wrong_token_is_refused_with_a_reason() {
    let (server, addr) = serve("auth", "server", NONE);
    let client = join("auth", "digitalocean", &addr, NONE).end();
    client.assert_failure("error: session refused: invalid token");
    assert!(client.stdout.is_empty(), "{client:?}");
    let verdict = server.line("node=\"digitalocean.svc\" ");
    assert_eq!(verdict, "stream=\"confirmSession\" refused");
    let ended = server.terminate();
    assert!(ended.stdout.is_empty(), "{ended:?}");
    // The token itself is not printed.
    assert!(!ended.stderr.contains("badtoken"), "{ended:?}");
}

#[test]
fn a_client_waits_for_its_server_until_it_is_stopped() {
    let (server, addr) = serve("auth", "server", NONE);
    let client = join("auth", "aws", &addr, NONE);
    server.line("aws some payload");
    server.terminate();
    // The client waits for its next attempt.
    client.signal("TERM");
    assert!(client.end().status.success());
}
