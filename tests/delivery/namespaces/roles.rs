//! What the processes in the network namespaces do, by role. They tell their parent
//! how it went.

use crate::support::{
    PATIENCE,
    call_path::NAME,
    pattern::Pattern,
    process::{self, tell},
    tls,
    wires::{message, started},
};
use crossbeam_channel::unbounded;
use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};
use wirenet::{Builder, Session, Stream, Wire};

/// Messages of a sender, and streams of a fetcher.
pub const MESSAGES: usize = 16;

/// Bytes of a message. The link takes 2 or 4 seconds for all messages.
const LEN: usize = 4_000;

/// Less than the link takes for the messages.
const SOON: Duration = Duration::from_millis(500);

/// Enough for a session to open, but not for an answer behind a full queue.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// The link takes longer than that for so many bytes.
const IN_HANDSHAKE: usize = 96 * 1024;

/// Where a server listens.
pub const ANY: &str = "0.0.0.0:0";

/// Runs as one of the processes, and does nothing when it is run as a test.
#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    let words: Vec<_> = role.splitn(3, ' ').collect();
    let [addr, tls, role] = words[..] else {
        unreachable!("{role}")
    };
    // It must not outlive its parent.
    thread::spawn(|| {
        // Whether that ends with an error or not.
        let _ = process::wait_for_parent();
        std::process::exit(1);
    });
    let tls = tls == "true";
    let wire = match (addr, role) {
        (ANY, "hub" | "watchful hub" | "hasty hub") => tls::server(Wire::hub(ANY), tls),
        (ANY, _) => tls::server(Wire::mount(ANY), tls),
        _ => tls::client(Wire::join(addr), tls).retry_max(0),
    };
    let (ended, end) = unbounded();
    let wire = set_up(wire.session_close_timeout(PATIENCE), role)
        .on_error(|error| {
            tell(format!("told of {}: {}", error.operation, error.cause)).expect("a parent");
        })
        .on_session_close(move |_| ended.send(()).expect("it is waited for"));
    let wire = started(wire);
    tell(wire.local_addr().expect("it is up").port())?;
    let session = || wire.wait_session(PATIENCE);
    match role {
        "sender" | "hasty sender" => send(&session()?)?,
        "fetcher" => fetch(&session()?)?,
        // Until it is killed.
        "hub" => loop {
            thread::park();
        },
        "uploader" => tell(format!("upload: {:?}", upload(&session()?)))?,
        _ => {}
    }
    match (addr, role) {
        (_, "sender" | "hasty sender") => {}
        (ANY, _) => end.recv_timeout(PATIENCE).expect("the session ends"),
        // It has then told of its session's end.
        _ => wire.wait().expect("nobody has closed it"),
    }
    tell(format!("closed: {:?}", wire.close()))
}

fn set_up(wire: Builder, role: &str) -> Builder {
    let watchful = |wire: Builder, interval| {
        wire.keep_alive_interval(Duration::from_secs(interval))
            .read_write_timeouts(None, Duration::from_secs(2))
            .send_buffer(256 * 1024)
    };
    let narrow = |wire: Builder| {
        // With a large buffer the kernel would take all that is sent.
        wire.send_buffer(16 * 1024)
    };
    match role {
        "hasty sender" => narrow(wire).session_close_timeout(SOON),
        "receiver" => wire.stream(NAME, receive),
        "watchful receiver" => watchful(wire, 1).stream(NAME, receive),
        // They have unacknowledged data, so that the kernel gives up before a ping does.
        "uploader" | "watchful hub" => watchful(wire, 10),
        "hasty hub" => narrow(wire).handshake_timeout(HANDSHAKE),
        "filler" => narrow(wire)
            .handshake_timeout(HANDSHAKE)
            .stream("download", fill)
            .stream(NAME, |stream| answer(stream)),
        _ => wire,
    }
}

fn content() -> Vec<u8> {
    Pattern::new(9).to_vec(LEN)
}

fn send(session: &Session) -> io::Result<()> {
    for _ in 0..MESSAGES {
        let stream = session.open_stream_nowait(NAME)?;
        // With a timeout, a write leaves to others what the kernel does not take.
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_message(&content())?;
        stream.close()?;
    }
    Ok(())
}

/// Sends what the link takes 2 seconds for, and waits for an answer that never comes.
fn upload(session: &Session) -> io::Result<usize> {
    let mut stream = session.open_stream(NAME)?;
    stream.write_all(&content().repeat(MESSAGES))?;
    stream.read(&mut [0])
}

fn receive(stream: &mut Stream) -> io::Result<()> {
    let mut bytes = vec![0];
    let read = stream.read_exact(&mut bytes).and_then(|()| {
        tell("begun")?;
        stream.read_to_end(&mut bytes)
    });
    tell(verdict(read.map(|_| bytes), &content()))
}

/// What is to be said of a message that was read.
fn verdict(read: io::Result<Vec<u8>>, sent: &[u8]) -> String {
    match read {
        Ok(bytes) if bytes == sent => "whole".to_owned(),
        Ok(bytes) => format!("WRONG: {} bytes, complete", bytes.len()),
        Err(error) => format!("broken: {error}"),
    }
}

/// Sends without end, once it has been told to begin.
fn fill(stream: &mut Stream) -> io::Result<()> {
    message(stream)?;
    loop {
        stream.write_all(&[7; 16 * 1024])?;
    }
}

/// Its first chunk looks like an answer that accepts.
const ANSWER: [&[u8]; 2] = [&[0; 8], b"and nineteen others"];

fn answer(mut stream: &Stream) -> io::Result<()> {
    ANSWER.iter().try_for_each(|piece| stream.write_all(piece))
}

/// Opens streams beside downloads that fill the link.
fn fetch(session: &Session) -> io::Result<()> {
    let downloads = (0..12).map(|_| session.open_stream("download"));
    let downloads = downloads.collect::<Result<Vec<_>, _>>()?;
    for download in &downloads {
        download.write_message(b"now")?;
    }
    let (came, coming) = unbounded();
    let await_bytes = |count| {
        let mut received = 0;
        while received < count {
            received += coming.recv_timeout(PATIENCE).expect("downloads");
        }
    };
    thread::scope(|scope| {
        for mut download in downloads {
            let came = came.clone();
            scope.spawn(move || {
                let mut buf = [0; 4096];
                while let Ok(count @ 1..) = download.read(&mut buf) {
                    came.send(count).expect("they are counted");
                }
            });
        }
        await_bytes(1);
        let open = |_| session.open_stream_nowait(NAME);
        let streams = (0..MESSAGES).map(open).collect::<Result<Vec<_>, _>>()?;
        await_bytes(IN_HANDSHAKE);
        tell("opened")?;
        for stream in streams {
            tell(verdict(message(&stream), &ANSWER.concat()))?;
        }
        session.abort();
        Ok(())
    })
}
