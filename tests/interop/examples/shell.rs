use std::env;

use super::{go_joins, go_serves};
use crate::program::{NONE, join, serve};
use crate::stage::on_stage;

const COMMAND: &str = "echo one; echo two";

const HOSTS: [(&str, &str, &str); 2] = [
    ("host_a", "hostA:envPath", "ping"),
    ("host_b", "hostB:envPath", "ifconfig"),
];

/// As both sides' hosts have it: all are started by this process.
fn path() -> String {
    env::var("PATH").expect("a PATH")
}

#[test]
fn our_server_calls_go_hosts() {
    on_stage("shell: we serve", |stage| {
        let (ours, addr) = serve("shell", "server", NONE);
        for (host, env_path, command) in HOSTS {
            let mut go = go_joins(stage, "shell", host, &addr, &["-command", COMMAND]);
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
            go.ends_well();
        }
        ours.terminate().assert_success();
    });
}

/// More than a chunk, and more than the window: in chunks of any size.
#[test]
fn long_output_of_a_go_host_arrives() {
    on_stage("shell: we serve", |stage| {
        let (ours, addr) = serve("shell", "server", NONE);
        let line = "seq 100000";
        let go = go_joins(stage, "shell", "host_b", &addr, &["-command", line]);
        ours.line("calling \"ifconfig\"");
        let mut lines = ours.lines_to("end of ");
        lines.pop();
        let numbers: Vec<_> = (1..=100_000).map(|number| number.to_string()).collect();
        assert!(lines == numbers, "{} lines", lines.len());
        go.ends_well();
        ours.terminate().assert_success();
    });
}

#[test]
fn the_go_server_calls_our_hosts() {
    on_stage("shell: they serve", |stage| {
        let (mut go, addr) = go_serves(stage, "shell", &[]);
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
        go.stops_well();
    });
}
