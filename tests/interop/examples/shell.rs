use std::env;

use super::{go_joins, go_serves, stop_after_clients};
use crate::go_programs::with_go_programs;
use crate::program::{NONE, join, serve};

const COMMAND: &str = "echo one; echo two";

const HOSTS: [(&str, &str, &str); 2] = [
    ("host_a", "hostA:envPath", "ping"),
    ("host_b", "hostB:envPath", "ifconfig"),
];

/// Returns the PATH of this process, which all hosts inherit.
fn path() -> String {
    env::var("PATH").expect("a PATH")
}

#[test]
fn our_server_calls_go_hosts() {
    with_go_programs("shell: we serve", |programs| {
        let (ours, addr) = serve("shell", "server", NONE);
        for (host, env_path, command) in HOSTS {
            let mut go = go_joins(programs, "shell", host, &addr, &["-command", COMMAND]);
            assert_eq!(go.note(), "connected");
            for (name, output) in [(env_path, path().as_str()), (command, "one\ntwo")] {
                ours.line(&format!("calling {name:?}"));
                let mut lines = ours.lines_to(&format!("end of {name:?}"));
                lines.pop();
                assert_eq!(lines.join("\n"), output);
            }
            if host == "host_a" {
                assert_eq!(go.note(), "the server says amount");
            }
            // The server has closed the session.
            go.expect_success();
        }
        stop_after_clients(ours);
    });
}

/// The output is larger than the window, and arrives in chunks of any size.
#[test]
fn long_output_of_a_go_host_arrives_complete() {
    with_go_programs("shell: we serve", |programs| {
        let (ours, addr) = serve("shell", "server", NONE);
        let line = "seq 100000";
        let go = go_joins(programs, "shell", "host_b", &addr, &["-command", line]);
        ours.line("calling \"ifconfig\"");
        let mut lines = ours.lines_to("end of ");
        lines.pop();
        let numbers: Vec<_> = (1..=100_000).map(|number| number.to_string()).collect();
        assert!(lines == numbers, "{} lines", lines.len());
        go.expect_success();
        stop_after_clients(ours);
    });
}

#[test]
fn the_go_server_calls_our_hosts() {
    with_go_programs("shell: they serve", |programs| {
        let (mut go, addr) = go_serves(programs, "shell", &[]);
        for (host, env_path, command) in HOSTS {
            let ours = join("shell", host, &addr, ["--command", COMMAND]);
            let mut notes = go.notes(2);
            notes.sort();
            let mut expected = [
                format!("{env_path} {:?}", path() + "\n"),
                format!("{command} {:?}", "one\ntwo\n"),
            ];
            expected.sort();
            assert_eq!(notes, expected);
            if host == "host_a" {
                assert_eq!(ours.line("the server says "), "\"amount\"");
            }
            ours.terminate().assert_success();
        }
        go.stop();
    });
}
