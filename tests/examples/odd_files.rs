//! Files that one side of `transfer_files` cannot handle: they are reported and skipped,
//! the rest arrives, and the client's exit status is nonzero.

#![cfg(target_os = "linux")]

use crate::program::{DEADLINE, Program, example, example_path, names};
use crate::transfer_files::{Folders, content};
use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::Command,
    sync::mpsc::channel,
};
use wirenet::{Stream, Wire};

const FAILURES: &str = "stats:failed";

/// Sends a file, as the server does.
fn send(stream: &Stream, name: &str, content: &[u8]) -> io::Result<()> {
    stream.write_message(name.as_bytes())?;
    stream.write_message(content)
}

#[test]
fn names_that_are_legal_on_this_system_arrive() {
    let folders = Folders::new();
    let odd: [&[u8]; 4] = [b"b\\c", b"\xff\xfe not UTF-8", b"c:d", &[b'x'; 255]];
    for name in odd {
        let path = folders.from.join(OsStr::from_bytes(name));
        fs::write(path, name).unwrap();
    }
    let (server, addr) = folders.server();
    let client = folders.client(&addr).end();
    client.assert_success();
    let line = "\"\\xff\\xfe not UTF-8\": 12 bytes".to_string();
    assert!(client.stdout.contains(&line), "{client:?}");
    for name in odd {
        let path = folders.to.join(OsStr::from_bytes(name));
        assert_eq!(fs::read(path).unwrap(), name);
    }
    server.terminate().assert_success();
}

#[test]
fn a_name_that_is_too_long_for_the_file_system_is_passed_over() {
    let folders = Folders::new();
    let client = folders.receive_from(|stream| {
        send(stream, &"x".repeat(256), &content(100_000))?;
        send(stream, "good", b"content")
    });
    client.assert_failure("too long");
    assert_eq!(client.stdout.last().unwrap(), "received 1 files");
    assert_eq!(names(&folders.to), ["good"]);
}

/// A limit on the size of files stands in for a full disk.
#[test]
fn a_file_for_which_there_is_no_room_is_passed_over() {
    let folders = Folders::new();
    for (name, len) in [("a", 10), ("b", 1 << 20), ("c", 10)] {
        fs::write(folders.from.join(name), content(len)).unwrap();
    }
    let (server, addr) = folders.server();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]);
    command.arg(example_path("transfer_files"));
    command.args(["client", "--addr", &addr, "--dir"]);
    let client = Program::start(command.arg(&folders.to)).end();
    client.assert_failure("\"b\" was not received: ");
    client.assert_failure("error: 1 files were not received");
    assert_eq!(names(&folders.to), ["a", "c"]);
    assert!(folders.received("c") == content(10));
    server.terminate().assert_success();
}

#[test]
fn a_folder_that_cannot_be_written_to_ends_the_client() {
    let folders = Folders::new();
    fs::write(folders.from.join("file"), "x").unwrap();
    let (server, addr) = folders.server();
    let mut command = example("transfer_files");
    command.args(["client", "--addr", &addr, "--dir", "/proc"]);
    Program::start(&mut command)
        .end()
        .assert_failure("error: /proc: ");
    server.terminate();
}

/// Folders of the system that contain files which cannot be opened or read, even by
/// the superuser.
#[test]
fn files_that_cannot_be_read_are_passed_over() {
    let (mut folders_read, mut files_unread) = (0, 0);
    for from in ["/proc/sys/net/ipv4/route", "/sys/class/net/lo"] {
        let mut folders = Folders::new();
        folders.from = from.into();
        if !Path::new(from).exists() {
            continue;
        }
        let is_file = |name: &String| {
            folders
                .from
                .join(name)
                .symlink_metadata()
                .unwrap()
                .is_file()
        };
        let all = names(&folders.from).into_iter().filter(is_file);
        let (read, unread): (Vec<_>, Vec<_>) =
            all.partition(|name| fs::read(folders.from.join(name)).is_ok());
        let (server, addr) = folders.server();
        let client = folders.client(&addr).end();
        assert_eq!(names(&folders.to), read, "{client:?}");
        assert_eq!(client.status.success(), unread.is_empty());
        folders_read += 1;
        files_unread += unread.len();
        for name in &unread {
            client.assert_failure(&format!("{name:?} was not received: "));
            server.warning(name);
        }
        server.terminate();
    }
    assert!(folders_read == 0 || files_unread > 0, "every file was read");
}

#[test]
fn the_server_tells_its_client_of_a_file_that_it_cannot_open() {
    let folders = Folders::new();
    // Too large to be sent in full before the client reads it.
    fs::write(folders.from.join("a"), content(4 << 20)).unwrap();
    for name in ["b", "c"] {
        fs::write(folders.from.join(name), name).unwrap();
    }
    let (server, addr) = folders.server();
    let (tell, told) = channel();
    let client = Wire::join(addr).stream(FAILURES, move |stream| {
        let mut texts = [String::new(), String::new()];
        for text in &mut texts {
            stream.next_message()?;
            stream.reader().read_to_string(text)?;
        }
        tell.send(texts).unwrap();
        Ok(())
    });
    let client = client.build().unwrap();
    client.start().unwrap();
    let mut stream = client
        .wait_session(DEADLINE)
        .unwrap()
        .open_stream("stats")
        .unwrap();
    let mut next = |expected: Option<&str>| {
        let mut name = String::new();
        assert_eq!(stream.next_message().unwrap(), expected.is_some());
        if let Some(expected) = expected {
            stream.read_to_string(&mut name).unwrap();
            assert_eq!(name, expected);
            // The server has listed all files by now.
            let _ = fs::remove_file(folders.from.join("b"));
            assert!(stream.next_message().unwrap());
            io::copy(&mut stream, &mut io::sink()).unwrap();
        }
    };
    next(Some("a"));
    next(Some("c"));
    next(None);
    let [name, reason] = told.recv_timeout(DEADLINE).unwrap();
    assert_eq!(name, "b");
    assert!(!reason.is_empty());
    server.warning("b: ");
    stream.close().unwrap();
    client.close().unwrap();
    server.terminate();
}

/// The client does not offer the stream for failures, like the Go program.
#[test]
fn a_client_that_cannot_be_told_gets_all_other_files_and_then_an_error() {
    let folders = Folders::new();
    fs::write(folders.from.join("a"), content(4 << 20)).unwrap();
    for name in ["b", "c"] {
        fs::write(folders.from.join(name), name).unwrap();
    }
    let (server, addr) = folders.server();
    let client = Wire::join(addr).build().unwrap();
    client.start().unwrap();
    let session = client.wait_session(DEADLINE).unwrap();
    let mut stream = session.open_stream("stats").unwrap();
    let mut name = String::new();
    stream.read_to_string(&mut name).unwrap();
    fs::remove_file(folders.from.join("b")).unwrap();
    assert_eq!(io::copy(&mut stream, &mut io::sink()).unwrap(), 4 << 20);
    let mut rest = [String::new(), String::new()];
    let outcome = rest
        .iter_mut()
        .try_for_each(|text| stream.read_to_string(text).map(drop))
        .and_then(|()| stream.next_message());
    outcome.unwrap_err();
    assert_eq!(rest, ["c", "c"]);
    server.warning("b: ");
    server.warning("1 files could not be sent");
    client.close().unwrap();
    server.terminate();
}

#[test]
fn a_file_that_fails_halfway_does_not_appear() {
    let folders = Folders::new();
    let client = folders.receive_from(|stream| {
        send(stream, "a", b"content")?;
        stream.write_message(b"b")?;
        stream.write_all(&content(100_000))?;
        let told = stream.session().open_stream(FAILURES)?;
        send(&told, "b", b"broken\ndisk")?;
        while told.next_message()? {}
        stream.finish()?;
        // The server is ahead of the client.
        let told = stream.session().open_stream(FAILURES)?;
        send(&told, "d", b"broken disk")?;
        while told.next_message()? {}
        send(stream, "c", b"content")
    });
    client.assert_failure("\"b\" was not received: broken\\ndisk");
    client.assert_failure("error: 2 files were not received");
    assert_eq!(client.stdout.last().unwrap(), "received 2 files");
    assert_eq!(names(&folders.to), ["a", "c"]);
}

#[test]
fn a_client_whose_stdout_is_closed_receives_all_files() {
    let folders = Folders::new();
    fs::write(folders.from.join("a"), "x").unwrap();
    fs::write(folders.from.join("b"), "x").unwrap();
    let (server, addr) = folders.server();
    let mut command = example("transfer_files");
    command.args(["client", "--addr", &addr, "--dir"]);
    let (reader, closed) = io::pipe().unwrap();
    drop(reader);
    let client = Program::start_with_stdout(command.arg(&folders.to), closed);
    client.end().assert_success();
    assert_eq!(names(&folders.to), ["a", "b"]);
    server.terminate().assert_success();
}
