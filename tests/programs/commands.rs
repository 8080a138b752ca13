//! Remote commands: output, exit code, and an end when the caller leaves.

use super::{Outcome, PATIENCE};
use std::{
    io::{self, Read},
    process::{Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
};
use wirenet::{Session, Stream, Wire};

/// Runs the command that the first message contains. Sends its output as one message, and
/// its exit code as another. Kills the command when the caller leaves.
fn run(stream: &mut Stream) -> io::Result<()> {
    let command = stream.read_message(4096)?.unwrap_or_default();
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(String::from_utf8_lossy(&command).as_ref())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().expect("it is piped");

    let child = Arc::new(Mutex::new(child));
    let (watched, killed) = (stream.try_clone()?, Arc::clone(&child));
    thread::spawn(move || {
        if watched.wait_for_peer_end(None) {
            let _ = killed.lock().unwrap().kill();
        }
    });

    io::copy(&mut output, stream)?;
    stream.finish()?;
    let status = child.lock().unwrap().wait()?;
    let code = status.code().unwrap_or(-1);
    stream.write_message(code.to_string().as_bytes())
}

/// Runs a command on a client. Returns its output and its exit code.
fn call(session: &Session, command: &str) -> io::Result<(String, i32)> {
    let mut stream = session.open_stream("run")?;
    stream.write_message(command.as_bytes())?;
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

    let mut stream = session.open_stream("run")?;
    stream.write_message(b"echo started; exec sleep 1000")?;
    stream.read_exact(&mut [0; "started".len()])?;
    drop(stream);
    ended.recv_timeout(PATIENCE)?;
    Ok(())
}
