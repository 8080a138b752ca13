use crate::program::{Ended, Program, example, join, serve};
use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use wirenet::Wire;

/// Short retry waits, for a fast test.
const WAITS: [&str; 4] = ["--wait-ms", "20", "--max-wait-ms", "200"];

fn greeting(index: u32) -> String {
    format!("{index}. Hello from server!")
}

/// Returns the lines that are greetings of the server.
fn greetings(lines: &[String]) -> Vec<&String> {
    let greeted = |line: &&String| line.ends_with("Hello from server!");
    lines.iter().filter(greeted).collect()
}

fn all_greetings() -> Vec<String> {
    (0..=20).map(greeting).collect()
}

fn assert_complete(client: &Ended) {
    assert!(client.status.success(), "{client:?}");
    assert_eq!(client.stdout.last().unwrap(), "data complete!");
}

#[test]
fn all_greetings_arrive_and_the_client_ends() {
    let (server, addr) = serve("reconnect", "server", ["--interval-ms", "1"]);
    let client = join("reconnect", "client", &addr, WAITS).end();
    client.assert_success();
    assert_complete(&client);
    assert!(greetings(&client.stdout).into_iter().eq(&all_greetings()));
    server.line("close session ");
    server.terminate().assert_success();
}

#[test]
fn a_client_continues_where_it_was_after_its_server_restarts() {
    // An address that no other test uses, so that its port stays free.
    let serve_at = |addr: &str| {
        let mut command = example("reconnect");
        command.args(["server", "--interval-ms", "20", "--addr", addr]);
        let server = Program::start(&mut command);
        let addr = server.address();
        (server, addr)
    };
    let (first, addr) = serve_at("127.41.0.1:0");
    let client = join("reconnect", "client", &addr, WAITS);
    let mut lines = client.lines_to("4. ");
    lines.pop();
    lines.push(greeting(4));
    first.terminate();

    let (second, _) = serve_at(&addr);
    lines.extend(client.lines_to("9. "));
    lines.pop();
    lines.push(greeting(9));
    // This time without a graceful close.
    second.signal("KILL");
    second.end();

    let (third, _) = serve_at(&addr);
    let client = client.end();
    assert_complete(&client);
    lines.extend(client.stdout.iter().cloned());
    assert!(
        greetings(&lines).into_iter().eq(&all_greetings()),
        "{lines:?}"
    );
    let sessions = lines
        .iter()
        .filter(|line| line.starts_with("open session "));
    assert_eq!(sessions.count(), 3);
    third.terminate().assert_success();
}

#[test]
fn a_greeting_that_was_cut_is_requested_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let wire = Wire::mount("127.0.0.1:0").stream("sayHello", move |stream| {
        let mut start = [0; 4];
        stream.read_exact(&mut start)?;
        let start = u32::from_le_bytes(start);
        if counter.fetch_add(1, Ordering::Relaxed) == 0 {
            // Like the Go program: no end mark, and no end of the stream.
            io::copy(&mut "0. Hello from server! 1. Hel".as_bytes(), stream)?;
            stream.session().abort();
            return Ok(());
        }
        for index in start..=20 {
            io::copy(&mut (greeting(index) + " ").as_bytes(), stream)?;
        }
        Ok(())
    });
    let wire = wire.on_error(|_| {}).build().unwrap();
    wire.start().unwrap();
    let addr = wire.local_addr().unwrap().to_string();
    let client = join("reconnect", "client", &addr, WAITS).end();
    assert_complete(&client);
    assert!(greetings(&client.stdout).into_iter().eq(&all_greetings()));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn a_client_that_gives_up_before_the_last_greeting_fails() {
    let server = Wire::mount("127.0.0.1:0").stream("sayHello", |stream| {
        stream.write_all(b"0. Hello from server! 1. Hello from server! ")
    });
    let server = server.build().unwrap();
    server.start().unwrap();
    let addr = server.local_addr().unwrap().to_string();
    let client = join("reconnect", "client", &addr, ["--tries", "0"]).end();
    client.assert_failure("error: only 2 of 21 greetings were received");
}

#[test]
fn a_client_can_be_stopped_while_it_reads_and_while_it_waits() {
    let (server, addr) = serve("reconnect", "server", ["--interval-ms", "100000"]);
    let reads = join("reconnect", "client", &addr, WAITS);
    reads.line(&greeting(0));
    reads.terminate();
    let args = ["--wait-ms", "100000", "--max-wait-ms", "100000"];
    let waits = join("reconnect", "client", &addr, args);
    waits.line(&greeting(0));
    server.signal("KILL");
    waits.line("close session ");
    waits.terminate();
}

#[test]
fn wrong_arguments_are_refused() {
    for (args, reason) in [
        (["client", "--tries", "-1"], "-1"),
        (["client", "--wait-ms", "soon"], "soon"),
        (
            ["client", "--wait-ms", "100000"],
            "error: option retry_wait",
        ),
        (["server", "--interval-ms", ""], "--interval-ms"),
    ] {
        crate::program::run("reconnect", args).assert_failure(reason);
    }
}
