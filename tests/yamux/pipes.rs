//! Connections over descriptors: pipes, child processes, pseudoterminals, Unix sockets.

use super::patient;
use crate::support::in_time;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags, fcntl_getfl, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use wirenet::{
    transport::{Pipes, Transport, Wait},
    yamux::{Config, Connection, Error},
};

/// More than any of the buffers of a pipe, a terminal or a connection.
const MUCH: usize = 200_000;

fn client(transport: impl Transport) -> Connection {
    Connection::client(transport, patient()).unwrap()
}

fn server(transport: impl Transport) -> Connection {
    Connection::server(transport, patient()).unwrap()
}

/// Two ends that are connected by pipes.
fn pipes() -> (Pipes, Pipes) {
    let (near_reader, far_writer) = io::pipe().unwrap();
    let (far_reader, near_writer) = io::pipe().unwrap();
    (
        Pipes::new(near_reader, near_writer),
        Pipes::new(far_reader, far_writer),
    )
}

/// A pseudoterminal that changes no byte: its two ends.
fn terminal() -> (Pipes, Pipes) {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let path = ptsname(&near, Vec::new()).unwrap();
    let far = open(path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut mode = tcgetattr(&far).unwrap();
    mode.make_raw();
    tcsetattr(&far, OptionalActions::Now, &mode).unwrap();
    (
        Pipes::new(near.try_clone().unwrap(), near),
        Pipes::new(far.try_clone().unwrap(), far),
    )
}

/// A process that copies its input to its output.
fn cat() -> Child {
    let mut cat = Command::new("cat");
    cat.stdin(Stdio::piped()).stdout(Stdio::piped());
    cat.spawn().unwrap()
}

#[test]
fn the_pipes_of_a_child_are_taken_together_or_not_at_all() {
    in_time(|| {
        let mut child = cat();
        let taken = child.stdin.take();
        Pipes::child(&mut child).unwrap_err();
        assert!(child.stdout.is_some());
        child.stdin = taken;
        let mut halves = Pipes::child(&mut child).unwrap().split().unwrap();
        let slices = &[io::IoSlice::new(b"hello")];
        assert_eq!(halves.writer.write(slices, Wait::Block).unwrap(), 5);
        let mut echoed = [0; 5];
        assert_eq!(halves.reader.read(&mut echoed).unwrap(), 5);
        assert_eq!(&echoed, b"hello");
        drop(halves);
        assert!(child.wait().unwrap().success());
    });
}

/// Two ends that are connected by two processes, one for each direction.
fn processes() -> ([Child; 2], (Pipes, Pipes)) {
    let (mut to_far, mut to_near) = (cat(), cat());
    let near = Pipes::new(to_near.stdout.take().unwrap(), to_far.stdin.take().unwrap());
    let far = Pipes::new(to_far.stdout.take().unwrap(), to_near.stdin.take().unwrap());
    ([to_far, to_near], (near, far))
}

/// Sends much in both directions, and closes one side: nothing is lost, and both sides
/// close without waiting for a timeout.
fn assert_closes(first: &Connection, second: &Connection) {
    let mut sent = first.open().unwrap();
    sent.write_all(&[1; MUCH]).unwrap();
    let mut answer = second.accept().unwrap();
    answer.write_all(b"answer").unwrap();
    sent.read_exact(&mut [0; 6]).unwrap();
    sent.shutdown(Shutdown::Write).unwrap();
    first.close();
    assert_eq!(first.unacknowledged(), 0);
    let mut received = Vec::new();
    answer.read_to_end(&mut received).unwrap();
    assert_eq!(received, [1; MUCH]);
    second.accept().unwrap_err();
    second.close();
}

#[test]
fn a_close_over_pipes_loses_nothing_and_waits_for_no_timeout() {
    in_time(|| {
        let (near, far) = pipes();
        assert_closes(&client(near), &server(far));
        let (near, far) = pipes();
        assert_closes(&server(far), &client(near));
    });
}

#[test]
fn a_close_over_a_terminal_loses_nothing_and_waits_for_no_timeout() {
    in_time(|| {
        let (near, far) = terminal();
        assert_closes(&client(near), &server(far));
        let (near, far) = terminal();
        assert_closes(&server(far), &client(near));
    });
}

#[test]
fn a_close_over_a_unix_socket_loses_nothing_and_waits_for_no_timeout() {
    in_time(|| {
        let (near, far) = UnixStream::pair().unwrap();
        assert_closes(&client(near), &server(far));
        let [near, far] = UnixStream::pair()
            .map(|(near, far)| [near, far])
            .unwrap()
            .map(|end| Pipes::new(end.try_clone().unwrap(), end));
        assert_closes(&client(near), &server(far));
    });
}

#[test]
fn both_sides_may_close_at_once() {
    in_time(|| {
        for make in [pipes, terminal] {
            let (near, far) = make();
            let (near, far) = (client(near), server(far));
            let mut stream = near.open().unwrap();
            stream.write_all(b"hello").unwrap();
            let other = thread::spawn(move || far.close());
            near.close();
            other.join().unwrap();
        }
    });
}

#[test]
fn child_processes_carry_a_connection_and_exit_when_it_closes() {
    in_time(|| {
        let (children, (near, far)) = processes();
        assert_closes(&client(near), &server(far));
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    });
}

#[test]
fn a_connection_ends_when_the_child_is_killed() {
    in_time(|| {
        let (mut children, (near, far)) = processes();
        let (near, far) = (client(near), server(far));
        let mut stream = near.open().unwrap();
        stream.write_all(b"hello").unwrap();
        let mut accepted = far.accept().unwrap();
        accepted.read_exact(&mut [0; 5]).unwrap();
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        stream.read(&mut [0]).unwrap_err();
        accepted.read(&mut [0]).unwrap_err();
        assert!(matches!(near.end_reason(), Some(Error::EndedByPeer)));
        far.accept().unwrap_err();
        near.close();
        far.close();
    });
}

/// The other ends of both pipes of one side.
fn one_side() -> (Pipes, PipeReader, PipeWriter) {
    let (reader, feeds) = io::pipe().unwrap();
    let (drains, writer) = io::pipe().unwrap();
    (Pipes::new(reader, writer), drains, feeds)
}

#[test]
fn a_peer_that_is_silent_or_reads_nothing_is_noticed() {
    in_time(|| {
        let short = Duration::from_millis(50);
        let config = Config::default()
            .keep_alive(Some(short))
            .write_timeout(short);
        let (pipes, _drains, _feeds) = one_side();
        let silent = Connection::client(pipes, config).unwrap();
        let error = silent.accept().unwrap_err();
        assert!(matches!(error, Error::KeepAlive), "{error:?}");

        let (pipes, _drains, _feeds) = one_side();
        let config = patient().write_timeout(short);
        let full = Connection::client(pipes, config).unwrap();
        let mut stream = full.open().unwrap();
        let wrote = (0..10).try_for_each(|_| stream.write_all(&[0; MUCH]));
        wrote.unwrap_err();
        assert!(matches!(full.end_reason(), Some(Error::WriteTimeout)));
    });
}

#[test]
fn shutdown_wakes_a_blocked_read_and_a_blocked_write_and_closes_the_descriptors() {
    in_time(|| {
        let (pipes, mut drains, feeds) = one_side();
        let mut halves = pipes.split().unwrap();
        let slices = &[io::IoSlice::new(&[0; MUCH])];
        while halves.writer.write(slices, Wait::Never).is_ok() {}
        let reading = thread::spawn(move || halves.reader.read(&mut [0]));
        let slices = vec![0; MUCH];
        let writing = thread::spawn(move || {
            let slices = &[io::IoSlice::new(&slices)];
            halves.writer.write(slices, Wait::Block)
        });
        halves.closer.shutdown();
        halves.closer.shutdown();
        assert_eq!(reading.join().unwrap().unwrap(), 0);
        let error = writing.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        drains.read_to_end(&mut Vec::new()).unwrap();
        let mut fds = [PollFd::new(&feeds, PollFlags::empty())];
        poll(&mut fds, None).unwrap();
        assert!(
            fds[0].revents().contains(PollFlags::ERR),
            "it has no reader"
        );
    });
}

/// Other processes may use the same open file.
#[test]
fn a_descriptor_is_left_in_the_mode_in_which_it_was_given() {
    in_time(|| {
        let (reader, writer) = io::pipe().unwrap();
        let copy = File::from(std::os::fd::OwnedFd::from(writer.try_clone().unwrap()));
        let is_nonblocking = || fcntl_getfl(&copy).unwrap().contains(OFlags::NONBLOCK);
        let halves = Pipes::new(reader, writer).split().unwrap();
        assert!(is_nonblocking());
        drop(halves);
        assert!(!is_nonblocking());
    });
}
