use crate::program::{Program, example, run};
use crate::refusing::Refusing;

fn server() -> (Program, String) {
    let server = Program::start(example("bytes").args(["server", "--addr", "127.0.0.1:0"]));
    let addr = server.address();
    (server, addr)
}

#[test]
fn each_session_reads_a_mebibyte_per_round() {
    let (server, addr) = server();
    let args = ["--sessions", "3", "--rounds", "2"];
    let client = run("bytes", ["client", "--addr", &addr].into_iter().chain(args));
    client.assert_success();

    let ids = client.stdout.iter();
    let mut ids: Vec<_> = ids
        .filter_map(|l| l.strip_prefix("open session "))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{client:?}");
    for id in ids {
        let line = format!("{id} read 1048576 bytes");
        let rounds = client.stdout.iter().filter(|l| **l == line).count();
        assert_eq!(rounds, 2, "{client:?}");
    }
    server.terminate().assert_success();
}

#[test]
fn a_hundred_sessions_run_until_they_are_stopped() {
    let (server, addr) = server();
    let client = Program::start(example("bytes").args(["client", "--addr", &addr]));
    let ids: Vec<_> = (0..100).map(|_| client.line("open session ")).collect();
    client.line(&format!("{} read 1048576 bytes", ids[99]));
    client.signal("INT");
    client.end().assert_success();
    // It reports the transfers that its clients aborted.
    server.terminate();
}

#[test]
fn a_server_that_is_stopped_ends_its_clients() {
    let (server, addr) = server();
    let mut command = example("bytes");
    let client = Program::start(command.args(["client", "--addr", &addr, "--sessions", "2"]));
    let id = client.line("open session ");
    client.line(&format!("{id} read 1048576 bytes"));
    server.terminate();
    client.end().assert_failure("error: ");
}

#[test]
fn an_unreachable_server_is_reported() {
    let refusing = Refusing::new();
    let addr = refusing.addr.to_string();
    let reason = format!("cannot connect to {addr}");
    run("bytes", ["client", "--addr", &addr]).assert_failure(&reason);
}

#[test]
fn an_address_in_use_is_reported() {
    let (server, addr) = server();
    let reason = format!("cannot listen at {addr}");
    run("bytes", ["server", "--addr", &addr]).assert_failure(&reason);
    server.terminate().assert_success();
}

#[test]
fn wrong_arguments_are_refused() {
    run("bytes", [""; 0]).assert_failure("Usage: bytes");
    run("bytes", ["relay"]).assert_failure("relay");
    run("bytes", ["client", "--sessions", "0"]).assert_failure("--sessions");
    run("bytes", ["client", "--rounds", "-1"]).assert_failure("-1");
    run("bytes", ["server", "--addr", "nowhere"]).assert_failure("nowhere");
    run("bytes", ["server", "--rounds", "1"]).assert_failure("--rounds");
}

#[test]
fn help_lists_all_roles_and_options() {
    let help = run("bytes", ["--help"]);
    help.assert_success();
    let help = help.stdout.join("\n");
    assert!(help.contains("server") && help.contains("client"));
    assert!(help.contains("--addr <HOST:PORT>") && help.contains("127.0.0.1:8765"));
    let help = run("bytes", ["client", "--help"]).stdout.join("\n");
    assert!(help.contains("--sessions <N>") && help.contains("--rounds <N>"));
}
