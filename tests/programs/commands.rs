//! Remote commands: output, exit code, and an end when the caller leaves.

use super::{Outcome, PATIENCE};
use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};
use wirenet::{Session, Stream, Wire};

/// Runs the command that the first message contains. Sends its output as one message, and
/// its exit code as another. Kills the command, and what it has started, when the caller
/// leaves.
fn run(stream: &mut Stream) -> io::Result<()> {
    let command = stream.read_message(4096)?.unwrap_or_default();
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(OsStr::from_bytes(&command))
        // What the shell starts keeps the pipe open, so it is killed with the shell.
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()?;
    let (caller, kill) = (stream.clone(), format!("kill -s KILL -- -{}", child.id()));
    thread::spawn(move || {
        if caller.wait_for_peer_end(None) {
            // Fails if everything has ended already.
            let _ = Command::new("sh").args(["-c", &kill]).output();
        }
    });
    let copied = io::copy(&mut child.stdout.take().expect("it is piped"), stream);
    let code = child.wait()?.code().unwrap_or(-1);
    copied.and_then(|_| stream.finish())?;
    stream.write_message(code.to_string())
}

/// Runs a command on a client. Returns its output and its exit code.
fn call(session: &Session, command: &str) -> io::Result<(String, i32)> {
    let mut stream = session.open_stream("run")?;
    stream.write_message(command)?;
    let mut output = String::new();
    stream.read_to_string(&mut output)?;
    let code = stream.read_message(16)?.unwrap_or_default();
    let code = String::from_utf8_lossy(&code).parse();
    Ok((output, code.map_err(io::Error::other)?))
}

#[test]
fn a_command_runs_on_a_client_and_ends_when_its_caller_leaves() -> Outcome {
    let server = Wire::mount("127.0.0.1:0").build()?;
    server.start()?;
    let (sender, ended) = mpsc::channel();
    let client = Wire::join(server.local_addr().unwrap())
        .stream("run", move |stream| {
            let outcome = run(stream);
            sender.send(()).map_err(io::Error::other)?;
            outcome
        })
        .build()?;
    client.start_within(PATIENCE)?;
    let session = server.wait_session(PATIENCE)?;

    assert_eq!(call(&session, "echo hello; exit 3")?, ("hello\n".into(), 3));
    ended.recv_timeout(PATIENCE)?;

    // A program that the shell replaces, and one that it starts.
    for command in [
        "echo started; exec sleep 1000",
        "echo started; sleep 1000; true",
    ] {
        let mut stream = session.open_stream("run")?;
        stream.write_message(command)?;
        stream.read_exact(&mut [0; "started".len()])?;
        drop(stream);
        ended.recv_timeout(PATIENCE)?;
    }
    Ok(())
}
