//! Plays one side of a recording to our other one over a real connection.

use crate::{
    program::Program,
    recording::{Recording, Side, Step},
    sent::{SESSION, Sent, check_cuts},
    support::{
        PATIENCE,
        frames::{Frame, GO_AWAY},
    },
};
use crossbeam_channel::{Sender, bounded};
use std::{
    io::Write,
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

/// How what is played is cut on its way.
#[derive(Clone, Copy)]
pub enum Cut {
    /// A write for each frame.
    Frames,
    /// A write for each byte.
    Bytes,
}

/// Plays the recording with our side in the place of `ours`, which does
/// `program`; gives what it sent, and what was recorded of it.
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
    /// Says to our side that the recording ends here.
    end: Sender<()>,
    /// What our side has sent.
    sent: Sent,
    /// What it had sent up to here when it was recorded.
    recorded: Sent,
    /// It has said that it goes away.
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
                    self.end.send(()).expect("our side runs");
                    assert!(self.receive().is_none(), "nothing is left to be sent");
                }
                (false, Step::End) => {
                    // Our side may have ended the connection already.
                    let _ = self.socket.shutdown(Shutdown::Write);
                }
            }
        }
        if self.ours == Side::Client {
            self.recorded.set_session_id(&self.sent.session_id());
        }
        (self.sent, self.recorded)
    }

    /// Waits until our side has sent as much as was recorded up to here.
    fn await_recorded(&mut self) {
        while !self.sent.has_come_to(&self.recorded) {
            let frame = self.receive().expect("our side goes on");
            check_cuts(self.sent.data_on(frame.stream), &frame);
            self.sent.add(&frame);
        }
    }

    /// The next frame, past what is free; `None` at the connection's end.
    fn receive(&mut self) -> Option<Frame> {
        while let Some(frame) = Frame::read(&self.socket).unwrap() {
            assert!(!self.going_away, "nothing comes after a go-away: {frame:?}");
            if frame.kind == GO_AWAY {
                assert_eq!((frame.stream, frame.length), (0, 0), "in good order");
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
            // Whom it refuses may have left: what counts is what was sent.
            let _ = self.socket.write_all(piece);
        }
    }
}

/// Puts `new` where `old` is, if it is there.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    if let Some(at) = bytes.windows(old.len()).position(|part| part == old) {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
}
