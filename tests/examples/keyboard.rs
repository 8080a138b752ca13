use crate::program::{DEADLINE, NONE, Program, example, join, run};
use std::{
    io::{BufRead, Read},
    thread,
    time::Instant,
};
use wirenet::Wire;

fn server() -> (Program, String) {
    let mut command = example("keyboard");
    command.args(["server", "--addr", "127.0.0.1:0"]);
    let server = Program::start_with_input(&mut command);
    let addr = server.address();
    (server, addr)
}

#[test]
fn every_client_runs_each_typed_command() {
    let (mut server, addr) = server();
    let clients = ["one", "two"].map(|id| {
        let client = join("keyboard", "client", &addr, ["--id", id]);
        server.line(&format!("joined: {id:?} in session "));
        client
    });
    server.type_line("echo $((6 * 7)); echo oops >&2");
    let mut lines = server.lines_to("42");
    lines.extend(server.lines_to("42"));
    let both = lines.join("\n");
    assert!(both.contains("\"one\" in session ") && both.contains("\"two\" in session "));
    server.line("oops");
    for client in clients {
        client.line("running \"echo $((6 * 7)); echo oops >&2\"");
        client.terminate().assert_success();
    }
    server.line("left: ");
    server.terminate().assert_success();
}

#[test]
fn commands_run_in_turn_and_the_end_of_the_input_ends_the_server() {
    let (mut server, addr) = server();
    let client = join("keyboard", "client", &addr, NONE);
    server.line("joined: \"client\" ");
    server.type_line("");
    server.type_line("exit 7");
    server.type_line("printf 'without a newline'");
    server.line("without a newline");
    server.end_input();
    server.end().assert_success();
    client.terminate();
}

#[test]
fn a_command_without_clients_is_reported() {
    let (mut server, _) = server();
    server.type_line("date");
    server.line("no client is connected to run \"date\"");
    server.terminate().assert_success();
}

#[test]
fn stopping_the_programs_stops_the_running_command() {
    let (mut server, addr) = server();
    let client = join("keyboard", "client", &addr, NONE);
    server.line("joined: ");
    server.type_line("echo id $$; exec sleep 100000");
    let id = server.line("id ");
    server.terminate();
    client.terminate();
    assert!(!std::path::Path::new("/proc").join(&id).exists(), "{id}");
}

#[test]
fn a_command_ends_when_its_caller_leaves() {
    let server = Wire::mount("127.0.0.1:0").build().unwrap();
    server.start().unwrap();
    let addr = server.local_addr().unwrap().to_string();
    let client = join("keyboard", "client", &addr, NONE);
    let session = server.wait_session(DEADLINE).unwrap();
    let stream = session.open_stream("shell").unwrap();
    // What the shell has started must end, too.
    let command = "sleep 100000 & echo id $!; wait";
    stream.write_message(command).unwrap();
    let mut id = String::new();
    stream.reader().read_line(&mut id).unwrap();
    let id = id.strip_prefix("id ").unwrap().trim();
    // The command sends nothing more, so that no write can fail.
    stream.close().unwrap();
    // Nothing outside the process reports its end, so this has to poll.
    let deadline = Instant::now() + DEADLINE;
    while std::path::Path::new("/proc").join(id).exists() {
        assert!(Instant::now() < deadline, "{id} goes on");
        thread::yield_now();
    }
    client.terminate();
}

#[test]
fn a_command_that_is_not_text_is_reported() {
    let (mut server, _) = server();
    server.type_bytes(b"ls \xff\n");
    server.line("the command is not UTF-8");
    server.type_line("date");
    server.line("no client is connected to run \"date\"");
    server.terminate().assert_success();
}

#[test]
fn each_line_is_a_message_and_a_client_may_answer_before_it_reads_it() {
    let (mut server, addr) = server();
    let (tell, told) = std::sync::mpsc::channel();
    // Like the Go client, except that this one reads the command.
    let wire = Wire::join(&addr).stream("shell", move |stream| {
        stream.write_message([b'x'; 1000])?;
        let mut command = String::new();
        stream.reader().read_to_string(&mut command)?;
        tell.send((command, stream.was_finished())).unwrap();
        Ok(())
    });
    let wire = wire.build().unwrap();
    wire.start().unwrap();
    server.line("joined: ");
    server.type_line("ls -l");
    assert_eq!(server.line("x"), "x".repeat(999));
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), ("ls -l".into(), true));
    wire.close().unwrap();
    server.terminate().assert_success();
}

#[test]
fn the_client_sends_its_id_and_token() {
    let validator = |_: &str, id: &[u8], token: &[u8]| match (id, token) {
        (b"me", b"mine") => Ok(()),
        _ => Err("unknown client".into()),
    };
    let wire = Wire::mount("127.0.0.1:0").token_validator(validator);
    let wire = wire.on_error(|_| {}).build().unwrap();
    wire.start().unwrap();
    let addr = wire.local_addr().unwrap().to_string();
    let me = join(
        "keyboard",
        "client",
        &addr,
        ["--id", "me", "--token", "mine"],
    );
    me.line("connected");
    me.terminate().assert_success();
    let args = ["client", "--addr", &addr];
    run("keyboard", args).assert_failure("error: session refused: unknown client");
}
