//! The user's callbacks panic, block forever, or call back into the library, in
//! every place that they are called from. Other peers do not notice.

mod costs;

use crate::{
    honest_client::HonestClient,
    server::{Kind, Place, TCP, echo},
    support::{PATIENCE, encoding::field, peer::Peer, within},
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Operation, ShutdownError, Wire};

/// Where the callback is called from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    ValidatorOfSession,
    ValidatorOfStream,
    OnConnect,
    OnSessionOpen,
    OnSessionClose,
    Handler,
    /// For a peer that was refused.
    ErrorOfHandshake,
    /// For a stream that was refused.
    ErrorOfStream,
    /// For a session that was lost, on the thread of its reader.
    ErrorOfSession,
}

use Where::*;

const WHERES: [Where; 9] = [
    ValidatorOfSession,
    ValidatorOfStream,
    OnConnect,
    OnSessionOpen,
    OnSessionClose,
    Handler,
    ErrorOfHandshake,
    ErrorOfStream,
    ErrorOfSession,
];

/// What the callback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Panics,
    Blocks,
    /// Reads all state, adds handlers, opens streams, aborts sessions.
    CallsBack,
    Closes,
}

const CLOSE: Duration = Duration::from_millis(300);

/// Extra time for a close on a busy machine. A close may take a second longer than
/// its timeout.
const GRACE: Duration = Duration::from_secs(4);

/// The identification of the client that triggers the callbacks.
const CULPRIT: &[u8] = b"culprit";

/// The user's code.
struct Callbacks {
    at: Where,
    deed: Deed,
    wire: Mutex<Option<Wire>>,
    began: Sender<()>,
    closed: Sender<(Result<(), ShutdownError>, Duration)>,
    /// Disconnected at the end of the test.
    blocked: Receiver<()>,
}

impl Callbacks {
    fn run(&self, at: Where) {
        if at != self.at {
            return;
        }
        let wire = self.wire.lock().clone().expect("it was set");
        let _ = self.began.send(());
        match self.deed {
            Deed::Panics => panic!("a callback panics, in {at:?}"),
            Deed::Blocks => {
                let _ = self.blocked.recv();
            }
            Deed::CallsBack => call_back(&wire),
            Deed::Closes => {
                let began = Instant::now();
                let outcome = wire.close();
                let _ = self.closed.send((outcome, began.elapsed()));
            }
        }
    }
}

fn call_back(wire: &Wire) {
    let _ = (wire.stats(), wire.local_addr(), format!("{wire:?}"));
    wire.stream("late", echo).unwrap();
    wire.reconnect_now();
    for session in wire.sessions() {
        assert!(wire.session(session.id()).is_some() || session.is_closed());
        // The client does not serve this name, and may be closing.
        let _ = session.open_stream_nowait("late");
        if session.identification() == CULPRIT {
            session.abort();
        }
    }
}

/// Sets the callbacks in all places.
fn with_callbacks(builder: Builder, callbacks: &Arc<Callbacks>) -> Builder {
    let [validator, connect, open, close, handler, error] = [(); 6].map(|()| Arc::clone(callbacks));
    builder
        .token_validator(move |name, id, token| {
            if id == CULPRIT {
                validator.run(match name {
                    "confirmSession" => ValidatorOfSession,
                    _ => ValidatorOfStream,
                });
            }
            match token {
                b"wrong" => Err("wrong".into()),
                _ => Ok(()),
            }
        })
        .on_connect(move |_| connect.run(OnConnect))
        .on_session_open(move |session| {
            if session.identification() == CULPRIT {
                open.run(OnSessionOpen);
            }
        })
        .on_session_close(move |session| {
            if session.identification() == CULPRIT {
                close.run(OnSessionClose);
            }
        })
        .stream("echo", echo)
        .stream("deed", move |_| {
            handler.run(Handler);
            Ok(())
        })
        .on_error(move |told| {
            if told.identification == CULPRIT {
                match told.operation {
                    Operation::Handshake => error.run(ErrorOfHandshake),
                    Operation::OpenStream(_) => error.run(ErrorOfStream),
                    Operation::Session => error.run(ErrorOfSession),
                    _ => {}
                }
            }
        })
}

/// A client that makes the server call all of the callbacks.
fn misbehave(addr: &str) {
    let join = || Wire::join(addr).retry_max(0).identification(CULPRIT, "");
    let refused = join().identification(CULPRIT, "wrong").build().unwrap();
    let _ = refused.start();
    let client = join().build().unwrap();
    if client.start().is_err() {
        return;
    }
    // The session may have ended already.
    let session = client.sessions().pop();
    let open = |name| session.as_ref()?.open_stream_nowait(name).ok();
    if let Some(mut stream) = open("nobody's") {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
        let _ = stream.read(&mut [0]);
    }
    if let Some(mut stream) = open("deed") {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
        let _ = stream.read(&mut [0]);
    }
    let _ = client.close();
    // And a session that is lost.
    let _ = lose_session(addr);
}

fn lose_session(addr: &str) -> io::Result<()> {
    let mut peer = Peer::over(TcpStream::connect(addr)?, false);
    peer.begin_ask(&[field(1, &[1; 16]), field(3, CULPRIT)].concat());
    // The confirmation.
    peer.read_exact(&mut [0; 60])?;
    peer.write_all(b"this is no header")?;
    peer.read_to_close();
    Ok(())
}

fn try_it(place: Place, at: Where, deed: Deed) {
    let (began, has_begun) = unbounded();
    let (closed, was_closed) = unbounded();
    let (release, blocked) = bounded::<()>(0);
    let callbacks = Arc::new(Callbacks {
        at,
        deed,
        wire: Mutex::new(None),
        began,
        closed,
        blocked,
    });
    let builder = match place.kind {
        Kind::Mount => Wire::mount("127.0.0.1:0"),
        Kind::Hub => Wire::hub("127.0.0.1:0"),
    };
    let builder = builder
        .session_close_timeout(CLOSE)
        .handshake_timeout(Duration::from_secs(5));
    let server = with_callbacks(builder, &callbacks).build().unwrap();
    *callbacks.wire.lock() = Some(server.clone());
    server.start().unwrap();
    let addr = server.local_addr().expect("it listens");
    let honest = (deed != Deed::Closes).then(|| HonestClient::join_at(addr, place));
    let culprit = thread::spawn(move || misbehave(&addr.to_string()));
    has_begun
        .recv_timeout(PATIENCE)
        .expect("the callback is called");
    if let Some(honest) = honest {
        honest.trips(20);
        // New clients are accepted.
        HonestClient::join_at(addr, place).trips(20);
    } else {
        let (outcome, took) = was_closed.recv_timeout(PATIENCE).expect("it returns");
        assert!(took < CLOSE + GRACE, "{took:?}, {outcome:?}");
        let _ = server.wait();
    }
    let asked = Instant::now();
    let outcome = server.close();
    let took = asked.elapsed();
    assert!(took < CLOSE + GRACE, "{took:?}, {outcome:?}");
    if deed == Deed::Blocks {
        let running = outcome.expect_err("it still blocks").running;
        assert!(running >= 1, "{running}");
    }
    // All callbacks return.
    callbacks.wire.lock().take();
    drop(release);
    culprit.join().unwrap();
}

fn everywhere(deed: Deed) {
    within(2 * PATIENCE, move || {
        for place in TCP {
            thread::scope(|scope| {
                for at in WHERES {
                    let name = format!("{deed:?} in {at:?}");
                    let attempt = move || try_it(*place, at, deed);
                    let named = thread::Builder::new().name(name);
                    named.spawn_scoped(scope, attempt).unwrap();
                }
            });
        }
    });
}

#[test]
fn callbacks_may_panic_everywhere() {
    everywhere(Deed::Panics);
}

#[test]
fn callbacks_that_block_forever_do_not_block_other_peers() {
    everywhere(Deed::Blocks);
}

#[test]
fn callbacks_may_call_the_library_from_everywhere() {
    everywhere(Deed::CallsBack);
}

#[test]
fn callbacks_may_close_the_wire_from_everywhere() {
    everywhere(Deed::Closes);
}
