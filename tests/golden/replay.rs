//! Replays one side of a recording to wirenet over a real connection.

use crate::{
    program::Program,
    recording::{Recording, Side, Step},
    sent::{SESSION, Sent, check_cuts},
    support::{
        PATIENCE,
        frames::{Frame, GO_AWAY, PING},
    },
};
use crossbeam_channel::{Sender, bounded};
use std::{
    io::Write,
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

/// How the replayed bytes are split.
#[derive(Clone, Copy)]
pub enum Cut {
    /// A write for each frame.
    Frames,
    /// A write for each byte.
    Bytes,
}

/// Replays the recording to `program`, which takes the place of the side `ours`. Returns
/// what it sent, and what was recorded.
pub fn replay(recording: &Recording, ours: Side, program: Program, cut: Cut) -> (Sent, Sent) {
    let (end, ends) = bounded(1);
    thread::scope(|scope| match ours {
        Side::Client => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            scope.spawn(move || (program.client)(addr, &ends));
            let (socket, _) = listener.accept().unwrap();
            Player::new(ours, socket, cut, end).play(recording)
        }
        Side::Server => {
            let server = program.server();
            let addr = server.local_addr().expect("it listens");
            scope.spawn(move || (program.serve)(&server, &ends));
            let socket = TcpStream::connect(addr).unwrap();
            Player::new(ours, socket, cut, end).play(recording)
        }
    })
}

struct Player {
    ours: Side,
    socket: TcpStream,
    cut: Cut,
    /// Tells the program that the recording ends.
    end: Sender<()>,
    /// What the program has sent.
    sent: Sent,
    /// What was recorded up to here.
    recorded: Sent,
    /// Whether the program has sent a go-away.
    going_away: bool,
}

impl Player {
    fn new(ours: Side, socket: TcpStream, cut: Cut, end: Sender<()>) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            ours,
            socket,
            cut,
            end,
            sent: Sent::default(),
            recorded: Sent::default(),
            going_away: false,
        }
    }

    fn play(mut self, recording: &Recording) -> (Sent, Sent) {
        for (side, step) in &recording.steps {
            match (*side == self.ours, step) {
                (true, Step::Send(frame)) => {
                    let first = self.recorded.data_on(SESSION).is_empty();
                    self.recorded.add(frame);
                    if first && !self.recorded.data_on(SESSION).is_empty() {
                        self.recorded.add_features();
                    }
                    self.await_recorded();
                }
                (false, Step::Send(frame)) => self.send(frame),
                (true, Step::End) => {
                    self.end.send(()).expect("the program runs");
                    assert!(self.receive().is_none(), "nothing more is sent");
                }
                (false, Step::End) => {
                    // The program may have ended the connection already.
                    let _ = self.socket.shutdown(Shutdown::Write);
                }
            }
        }
        if self.ours == Side::Client {
            self.recorded.set_session_id(&self.sent.session_id());
        }
        (self.sent, self.recorded)
    }

    /// Waits until the program has sent as much as was recorded up to here.
    fn await_recorded(&mut self) {
        while !self.sent.includes(&self.recorded) {
            let frame = self.receive().expect("more frames");
            check_cuts(self.sent.data_on(frame.stream), &frame);
            self.sent.add(&frame);
        }
    }

    /// The next frame that the protocol prescribes, or `None` at the end of the connection.
    fn receive(&mut self) -> Option<Frame> {
        while let Some(frame) = Frame::read(&self.socket).unwrap() {
            // A close that has to wait asks what the peer has received.
            if frame.kind == PING {
                continue;
            }
            assert!(!self.going_away, "nothing comes after a go-away: {frame:?}");
            if frame.kind == GO_AWAY {
                assert_eq!((frame.stream, frame.length), (0, 0), "a graceful go-away");
                self.going_away = true;
            } else if !frame.is_mere_credit() {
                return Some(frame);
            }
        }
        None
    }

    fn send(&mut self, frame: &Frame) {
        let mut bytes = frame.encode();
        if self.ours == Side::Client && frame.stream == SESSION {
            let [sent, recorded] = [&self.sent, &self.recorded].map(Sent::session_id);
            replace(&mut bytes, &recorded, &sent);
        }
        let len = match self.cut {
            Cut::Frames => bytes.len(),
            Cut::Bytes => 1,
        };
        for piece in bytes.chunks(len) {
            // A refused peer may have left. Only what it has sent matters.
            let _ = self.socket.write_all(piece);
        }
    }
}

/// Replaces `old` with `new`, if it occurs.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    if let Some(at) = bytes.windows(old.len()).position(|part| part == old) {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
}
