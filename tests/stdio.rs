//! yamux with a child process, through its standard input and output. The child is this
//! program again; the test harness would print to its output.

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod support;

#[cfg(unix)]
fn main() {
    if std::env::var_os("WIRENET_TEST_CHILD").is_some() {
        return child();
    }
    support::in_time(a_child_serves_its_parent_through_its_standard_input_and_output);
    println!("test a_child_serves_its_parent_through_its_standard_input_and_output ... ok");
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
    // The parent sees the end although this process goes on.
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
        .env("WIRENET_TEST_CHILD", "1")
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
