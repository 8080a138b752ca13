//! Runs a shell command and sends its output over a stream.

use std::{
    io,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
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
/// Kills the command, and what it has started, if the peer leaves before all output is sent.
pub fn send_output(mut command: Command, stream: &Stream) -> io::Result<()> {
    // What the command starts also keeps the pipe open.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let (output, input) = io::pipe()?;
    command.stdin(Stdio::null());
    command.stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn()?;
    // `command` holds the pipe's writing end: without this, reading from the
    // pipe would never reach the end.
    drop(command);
    let sent = AtomicBool::new(false);
    thread::scope(|scope| {
        let copier = scope.spawn(|| copy(output, stream, &sent));
        // `copy` closes the stream, which ends this wait too.
        if stream.wait_for_peer_end(None) && !sent.load(Ordering::SeqCst) {
            // Fails only if the command has already ended.
            let _ = kill(&mut child);
        }
        child.wait()?;
        copier.join().expect("no thread panics")
    })
}

/// Kills the command's process group.
#[cfg(unix)]
fn kill(child: &mut Child) -> io::Result<()> {
    let kill = format!("kill -s KILL -- -{}", child.id());
    Command::new("sh").args(["-c", &kill]).output().map(drop)
}

#[cfg(not(unix))]
fn kill(child: &mut Child) -> io::Result<()> {
    child.kill()
}

fn copy(mut output: io::PipeReader, stream: &Stream, sent: &AtomicBool) -> io::Result<()> {
    let copied = io::copy(&mut output, &mut &*stream).and_then(|_| {
        sent.store(true, Ordering::SeqCst);
        stream.finish()
    });
    if copied.is_err() {
        stream.reset();
    }
    stream.close()?;
    copied
}
