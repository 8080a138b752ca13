//! A server and a client, from the handshake to the close of both.

use crate::{
    error::{Error, ShutdownError},
    sync::{Time, check, thread},
    time::deadline,
    transport::{Halves, Transport, memory},
    wire::{
        Session, Stream,
        models::pending,
        run::{close::close_wire, handshake::Handshake, inbound, serving::Established},
        session::frame::{Frame, FrameKind},
        state::{handlers::Handlers, options::Options, registry::Registry, wire_state::WireState},
    },
    yamux::Role,
};
use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

const MESSAGE: &[u8] = b"a message of some bytes";

fn wire(handler: Option<fn(&mut Stream) -> io::Result<()>>) -> Arc<WireState> {
    let handlers = Handlers::default();
    if let Some(handler) = handler {
        let inserted = handlers.insert("echo".into(), Arc::new(handler));
        inserted.unwrap();
    }
    let options = Options {
        keep_alive: false,
        stack_size: Some(256 * 1024),
        on_error: Some(Box::new(|_| ())),
        ..Options::default()
    };
    WireState::new(
        options,
        handlers,
        Registry::of_server,
        inbound::find_handler,
        None,
    )
}

/// Opens a session and serves it, on a thread of the wire.
fn serve(wire: &Arc<WireState>, end: memory::End, role: Role) -> thread::JoinHandle<()> {
    let (halves, shared) = (end.split().unwrap(), Arc::clone(wire));
    let work = move || {
        let Ok(established) = open(&shared, halves, role) else {
            return;
        };
        let _ = shared.serve(established);
    };
    thread::spawn(wire.threads.track(work))
}

fn open(wire: &Arc<WireState>, halves: Halves, role: Role) -> Result<Established, Error> {
    let by = deadline(wire.options.handshake_timeout);
    let pending = pending(wire).map_err(|_| {
        // A real socket would be closed with its last half.
        halves.closer.shutdown();
        Error::Closed
    })?;
    let mut handshake = Handshake::new(wire, halves, role, by).unwrap();
    let agreed = match role {
        Role::Client => handshake.ask()?,
        Role::Server => handshake.answer(&pending)?,
    };
    let id = agreed.id;
    let established = wire.establish(handshake, agreed, &pending);
    established.inspect_err(|_| wire.release(id))
}

fn echo(stream: &mut Stream) -> io::Result<()> {
    let mut message = Vec::new();
    stream.read_to_end(&mut message)?;
    stream.write_message(&message)
}

/// Sends a message and returns the echo.
fn request_echo(session: &Session) -> io::Result<Vec<u8>> {
    let mut stream = session.open_stream("echo")?;
    stream.write_message(MESSAGE)?;
    let mut echo = Vec::new();
    stream.read_to_end(&mut echo)?;
    Ok(echo)
}

/// Returns whether the close cut nothing, and only the frame that opens the stream was
/// not acknowledged: it was queued when the peer closed, and the call has failed.
fn lacks_an_open_frame(closed: &Result<(), ShutdownError>) -> bool {
    let open = Frame {
        kind: FrameKind::Open,
        command: "echo".into(),
        payload: Vec::new(),
    };
    let len = open.encode().len() as u64;
    closed.as_ref().is_err_and(|error| {
        let sessions = &error.sessions[..];
        matches!(sessions, [session] if session.streams == 0 && session.unacknowledged == len)
            && error.running == 0
    })
}

/// When the wires are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closes {
    /// After the client has received the echo.
    After,
    /// At any time, both wires.
    Both,
    /// By the handler.
    Handler,
}

fn session(time: Time, closes: Closes) {
    check(time, move || {
        let handler = match closes {
            Closes::Handler => |stream: &mut Stream| {
                let message = echo(stream);
                // The closes below are checked; this one ends inside of them.
                let _ = stream.session().close_wire();
                message
            },
            Closes::After | Closes::Both => echo,
        };
        let (server, client) = (wire(Some(handler)), wire(None));
        let (here, there) = memory::pair(1 << 16);
        let threads = [
            serve(&server, there, Role::Server),
            serve(&client, here, Role::Client),
        ];
        let client_thread = {
            let client = Arc::clone(&client);
            thread::spawn(move || {
                let session = client.wait_session(Duration::from_secs(1))?;
                request_echo(&session)
            })
        };
        let closing = (closes == Closes::Both).then(|| {
            let server = Arc::clone(&server);
            thread::spawn(move || close_wire(&server))
        });
        let echoed = match closes {
            Closes::After => client_thread.join().unwrap(),
            Closes::Handler => client_thread.join().unwrap(),
            Closes::Both => {
                let closed = close_wire(&client);
                let echoed = client_thread.join().unwrap();
                assert!(
                    closed.is_ok()
                        || time == Time::Advancing
                        || (echoed.is_err() && lacks_an_open_frame(&closed)),
                    "{closed:?}"
                );
                echoed
            }
        };
        if let Ok(echo) = &echoed {
            assert_eq!(echo, MESSAGE);
        }
        if closes == Closes::After && time == Time::Fixed {
            echoed.unwrap();
        }
        if let Some(closing) = closing {
            let closed = closing.join().unwrap();
            assert!(closed.is_ok() || time == Time::Advancing, "{closed:?}");
        }
        for wire in [&client, &server] {
            let closed = close_wire(wire);
            assert!(closed.is_ok() || time == Time::Advancing, "{closed:?}");
            assert!(wire.sessions().is_empty());
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_message_is_echoed_and_both_wires_close() {
    session(Time::Fixed, Closes::After);
}

#[test]
fn a_close_of_both_wires_truncates_no_message() {
    session(Time::Fixed, Closes::Both);
}

#[test]
fn a_handler_may_close_its_own_wire() {
    session(Time::Fixed, Closes::Handler);
}

#[test]
fn a_close_returns_even_if_every_timeout_expires() {
    session(Time::Advancing, Closes::Both);
}
