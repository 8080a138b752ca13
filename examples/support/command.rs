//! A command of the system, whose output goes into a stream.

use std::{
    io,
    process::{Child, Command, Stdio},
    thread,
};
use wirenet::Stream;

/// A command line, for the system's shell.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line);
    command
}

/// Runs a command, sends what it prints as one message, and closes the stream.
///
/// If the stream breaks, the command is killed.
pub fn send_output(mut command: Command, stream: &Stream) -> io::Result<()> {
    let (output, input) = io::pipe()?;
    command.stdin(Stdio::null());
    command.stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn()?;
    // It holds the pipe's other end, which would never seem to end.
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

/// Waits for the command's end, or for the stream's, which `copy` closes when
/// all is sent.
fn wait(stream: &Stream, child: &mut Child) -> io::Result<()> {
    let ended = loop {
        match stream.next_message() {
            Ok(true) => {}
            ended => break ended,
        }
    };
    if ended.is_err() {
        // It has ended already if its output has.
        let _ = child.kill();
    }
    child.wait().map(drop)
}
