//! The processes in the network namespaces, by role. They send their results to
//! their parent, in lines.

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
use wirenet::{Builder, Error, Session, Stream, Wire};

/// The number of a sender's messages, and of a fetcher's streams.
pub const MESSAGES: usize = 16;

/// The length of a message. The link takes 2 or 4 seconds for all messages.
const LEN: usize = 4_000;

/// Less than the link takes for all messages.
const SOON: Duration = Duration::from_millis(500);

/// Long enough for a session to open, but not for an answer behind a full queue.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// The link takes longer than [`HANDSHAKE`] for this many bytes.
const MORE_THAN_HANDSHAKE: usize = 96 * 1024;

/// The address at which a server listens.
pub const ANY: &str = "0.0.0.0:0";

/// The entry point of the processes. Run as a test, it does nothing.
#[test]
fn other_process() -> io::Result<()> {
    let Some(role) = process::role() else {
        return Ok(());
    };
    let words: Vec<_> = role.splitn(3, ' ').collect();
    let [addr, tls, role] = words[..] else {
        unreachable!("{role}")
    };
    // This process must not outlive its parent.
    thread::spawn(|| {
        // Whether the wait fails or not.
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
            tell(format!("reported {}: {}", error.operation, error.cause)).expect("a parent");
        })
        .on_session_close(move |_| ended.send(()).expect("it is waited for"));
    let wire = started(wire);
    tell(wire.local_addr().expect("it is up").port())?;
    let session = || wire.wait_session(PATIENCE);
    match role {
        "sender" | "hasty sender" => send(&session()?)?,
        "fetcher" => fetch(&session()?)?,
        // Until the process is killed.
        "hub" => loop {
            thread::park();
        },
        "uploader" => tell(format!("upload: {:?}", upload(&session()?)))?,
        _ => {}
    }
    match (addr, role) {
        (_, "sender" | "hasty sender") => {}
        (ANY, _) => end.recv_timeout(PATIENCE).expect("the session ends"),
        // By then the session's end has been reported.
        _ => {
            let ended = wire.wait();
            assert!(!matches!(ended, Err(Error::Shutdown(_))), "{ended:?}");
        }
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
        // With a large buffer the kernel would take everything that is sent.
        wire.send_buffer(16 * 1024)
    };
    match role {
        "hasty sender" => narrow(wire).session_close_timeout(SOON),
        "receiver" => wire.stream(NAME, receive),
        "watchful receiver" => watchful(wire, 1).stream(NAME, receive),
        // They have unacknowledged data, so that the kernel gives up before a ping
        // does.
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
        // With a timeout, a write leaves to other threads what the kernel does not
        // take.
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_message(content())?;
        stream.close()?;
    }
    Ok(())
}

/// Sends for 2 seconds, and then waits for an answer that never arrives.
fn upload(session: &Session) -> io::Result<usize> {
    let mut stream = session.open_stream(NAME)?;
    stream.write_all(&content().repeat(MESSAGES))?;
    stream.read(&mut [0])
}

fn receive(stream: &mut Stream) -> io::Result<()> {
    let mut bytes = vec![0];
    let read = stream.read_exact(&mut bytes).and_then(|()| {
        tell("started")?;
        stream.read_to_end(&mut bytes)
    });
    tell(verdict(read.map(|_| bytes), &content()))
}

/// Returns the line about a message that was read.
fn verdict(read: io::Result<Vec<u8>>, sent: &[u8]) -> String {
    match read {
        Ok(bytes) if bytes == sent => "complete".to_owned(),
        Ok(bytes) => format!("WRONG: {} bytes, reported as complete", bytes.len()),
        Err(error) => format!("failed: {error}"),
    }
}

/// Sends forever, after the caller's message.
fn fill(stream: &mut Stream) -> io::Result<()> {
    message(stream)?;
    loop {
        stream.write_all(&[7; 16 * 1024])?;
    }
}

/// The pieces of a message whose first chunk looks like an answer that accepts.
const ANSWER: [&[u8]; 2] = [&[0; 8], b"and nineteen others"];

fn answer(mut stream: &Stream) -> io::Result<()> {
    ANSWER.iter().try_for_each(|piece| stream.write_all(piece))
}

/// Opens streams and reads them, beside downloads that fill the link.
fn fetch(session: &Session) -> io::Result<()> {
    let downloads = (0..12).map(|_| session.open_stream("download"));
    let downloads = downloads.collect::<Result<Vec<_>, _>>()?;
    for download in &downloads {
        download.write_message(b"now")?;
    }
    let (sender, counts) = unbounded();
    let await_bytes = |count| {
        let mut received = 0;
        while received < count {
            received += counts.recv_timeout(PATIENCE).expect("downloads");
        }
    };
    thread::scope(|scope| {
        for mut download in downloads {
            let sender = sender.clone();
            scope.spawn(move || {
                let mut buf = [0; 4096];
                while let Ok(count @ 1..) = download.read(&mut buf) {
                    sender.send(count).expect("await_bytes counts them");
                }
            });
        }
        await_bytes(1);
        let open = |_| session.open_stream_nowait(NAME);
        let streams = (0..MESSAGES).map(open).collect::<Result<Vec<_>, _>>()?;
        await_bytes(MORE_THAN_HANDSHAKE);
        tell("opened")?;
        for stream in streams {
            tell(verdict(message(&stream), &ANSWER.concat()))?;
        }
        session.abort();
        Ok(())
    })
}
