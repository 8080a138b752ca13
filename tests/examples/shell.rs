use crate::program::{DEADLINE, NONE, Program, example, join, serve};
use std::sync::mpsc::channel;
use wirenet::Wire;

#[test]
fn the_server_prints_the_output_of_its_hosts() {
    let (server, addr) = serve("shell", "server", NONE);
    let hosts = [
        ("host_a", "hostA:envPath", "ping", "echo one; echo two >&2"),
        (
            "host_b",
            "hostB:envPath",
            "ifconfig",
            "echo one; echo two >&2",
        ),
    ];
    for (role, path, command, line) in hosts {
        let host = Program::start(
            example("shell")
                .args([role, "--addr", &addr, "--command", line])
                .env("PATH", "/bin:/usr/bin:/some where"),
        );
        let mut names = [path, command];
        names.sort();
        for name in names {
            server.line(&format!("calling {name:?} of "));
            let lines = server.lines_to(&format!("end of {name:?}"));
            let expected: &[&str] = match name == path {
                true => &["/bin:/usr/bin:/some where", ""],
                false => &["one", "two", ""],
            };
            assert_eq!(lines, expected, "{name}");
        }
        // The server has ended the session.
        let host = host.end();
        host.assert_success();
        let called_back = host
            .stdout
            .contains(&"the server says \"amount\"".to_string());
        assert_eq!(called_back, role == "host_a", "{host:?}");
    }
    server.terminate().assert_success();
}

#[test]
fn a_host_runs_a_network_command_by_default() {
    let (server, addr) = serve("shell", "server", NONE);
    join("shell", "host_b", &addr, NONE).end().assert_success();
    server.line("calling \"ifconfig\" of ");
    assert!(server.lines_to("end of \"ifconfig\"").len() > 1);
    server.terminate().assert_success();
}

#[test]
fn every_offered_stream_is_opened_and_an_error_ends_only_that_session() {
    let (server, addr) = serve("shell", "server", NONE);
    let (tell, told) = channel();
    let wire = Wire::join(&addr)
        .retry_max(0)
        .stream("a:none of the four", |stream| {
            stream.write_message(b"said a")
        })
        .stream("b:fails", move |_| {
            tell.send(()).unwrap();
            Err(std::io::Error::other("on purpose"))
        })
        .on_error(|_| {});
    let wire = wire.build().unwrap();
    wire.start().unwrap();
    assert_eq!(server.line("said"), " a");
    told.recv_timeout(DEADLINE).unwrap();
    let host = join("shell", "host_a", &addr, ["--command", "echo x"]);
    server.line("calling \"ping\"");
    assert_eq!(server.line("x"), "");
    host.end().assert_success();
    wire.close().unwrap();
    server.terminate();
}

#[test]
fn stopping_a_host_stops_its_command() {
    let (server, addr) = serve("shell", "server", NONE);
    let line = "echo $$; exec sleep 100000";
    let host = join("shell", "host_b", &addr, ["--command", line]);
    server.line("calling \"ifconfig\"");
    let id = server.line("");
    host.terminate();
    // The command has ended and has been waited for.
    assert!(!std::path::Path::new("/proc").join(&id).exists(), "{id}");
    server.terminate();
}
