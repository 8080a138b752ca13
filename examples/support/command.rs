//! Runs a shell command and sends its output over a stream.

use std::{
    io,
    process::{Child, Command, Stdio},
    thread,
};
use wirenet::Stream;

/// Returns a command that runs `line` in the system's shell.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line);
    command
}

/// Runs a command, sends its output as one message, and closes the stream.
///
/// Kills the command if the stream fails.
pub fn send_output(mut command: Command, stream: &Stream) -> io::Result<()> {
    let (output, input) = io::pipe()?;
    command.stdin(Stdio::null());
    command.stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn()?;
    // `command` holds the pipe's writing end: without this, reading from the
    // pipe would never reach the end.
    drop(command);
    thread::scope(|scope| {
        let copier = scope.spawn(|| copy(output, stream));
        wait(stream, &mut child)?;
        copier.join().expect("no thread panics")
    })
}

fn copy(mut output: io::PipeReader, stream: &Stream) -> io::Result<()> {
    let copied = io::copy(&mut output, &mut &*stream).and_then(|_| stream.finish());
    if copied.is_err() {
        stream.reset();
    }
    stream.close()?;
    copied
}

/// Waits until the command has ended, or until the stream has: `copy` closes
/// the stream once all output is sent.
fn wait(stream: &Stream, child: &mut Child) -> io::Result<()> {
    let ended = loop {
        match stream.next_message() {
            Ok(true) => {}
            ended => break ended,
        }
    };
    if ended.is_err() {
        // Fails only if the command has already ended.
        let _ = child.kill();
    }
    child.wait().map(drop)
}
