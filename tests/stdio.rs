//! yamux with a child process, through its standard input and output. The child is this
//! program again; the test harness would print to its output.

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod support;

#[cfg(unix)]
fn main() {
    match std::env::var("WIRENET_TEST_CHILD").as_deref() {
        Ok("serves") => return child(),
        Ok(_) => return writing_child(),
        Err(_) => {}
    }
    support::in_time(a_child_serves_its_parent_through_its_standard_input_and_output);
    println!("test a_child_serves_its_parent_through_its_standard_input_and_output ... ok");
    support::in_time(a_signal_does_not_end_a_write_that_waits_for_the_peer);
    println!("test a_signal_does_not_end_a_write_that_waits_for_the_peer ... ok");
}

/// More than a pipe holds, and less than a window.
#[cfg(unix)]
const MUCH: usize = 200_000;

/// Writes on the main thread, to which the system delivers signals.
#[cfg(unix)]
fn writing_child() {
    use std::{io::Write, sync::Arc};
    use wirenet::{
        transport::Pipes,
        yamux::{Config, Connection},
    };

    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::default()).unwrap();
    let connection = Connection::client(Pipes::stdio().unwrap(), Config::default()).unwrap();
    let mut stream = connection.open().unwrap();
    stream.write_all(&[7; MUCH]).unwrap();
    drop(stream);
    connection.close();
}

#[cfg(unix)]
fn a_signal_does_not_end_a_write_that_waits_for_the_peer() {
    use std::{
        env,
        io::Read,
        process::{Command, Stdio},
        thread,
    };
    use wirenet::{
        transport::Pipes,
        yamux::{Config, Connection},
    };

    let mut child = Command::new(env::current_exe().unwrap())
        .env("WIRENET_TEST_CHILD", "writes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    // The child fills the pipe, and then waits.
    let (mut filled, mut before) = (0, 1);
    while filled < 4_000 || filled != before {
        thread::yield_now();
        before = filled;
        filled = rustix::io::ioctl_fionread(&output).unwrap();
    }
    let id = child.id().to_string();
    for _ in 0..5 {
        let mut kill = Command::new("kill");
        assert!(kill.args(["-USR1", &id]).status().unwrap().success());
    }
    let pipes = Pipes::new(output, child.stdin.take().unwrap());
    let connection = Connection::server(pipes, Config::default()).unwrap();
    let mut received = Vec::new();
    let mut stream = connection.accept().unwrap();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == [7; MUCH]);
    drop(stream);
    connection.close();
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
fn child() {
    use std::io::{Read, Write};
    use wirenet::{
        transport::Pipes,
        yamux::{Config, Connection},
    };

    let connection = Connection::server(Pipes::stdio().unwrap(), Config::default()).unwrap();
    // This goes to standard error, and the standard input is empty.
    println!("the child serves");
    assert_eq!(std::io::stdin().read(&mut [0]).unwrap(), 0);
    let mut stream = connection.accept().unwrap();
    let mut name = String::new();
    stream.read_to_string(&mut name).unwrap();
    write!(stream, "hello, {name}").unwrap();
    drop(stream);
    connection.close();
    // The parent sees the end although this process continues.
    std::thread::park();
}

#[cfg(unix)]
fn a_child_serves_its_parent_through_its_standard_input_and_output() {
    use std::{
        env,
        io::{Read, Write},
        net::Shutdown,
        process::{Command, Stdio},
    };
    use wirenet::{
        transport::Pipes,
        yamux::{Config, Connection, Error},
    };

    let mut child = Command::new(env::current_exe().unwrap())
        .env("WIRENET_TEST_CHILD", "serves")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pipes = Pipes::new(child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let connection = Connection::client(pipes, Config::default()).unwrap();
    let mut stream = connection.open().unwrap();
    stream.write_all(b"parent").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello, parent");
    drop(stream);
    let error = connection.accept().unwrap_err();
    assert!(matches!(error, Error::ClosedByPeer), "{error:?}");
    connection.close();
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stderr, b"the child serves\n");
}
