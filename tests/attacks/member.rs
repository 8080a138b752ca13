//! An attacker that was let in: it has a session, and plays it frame by frame.

use crate::{
    raw::Raw,
    server::Server,
    support::{
        frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING, RST, SYN},
        hand::{FEATURES, field, layer_2},
    },
};
use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicU64, Ordering},
};

const ACCEPT: u32 = 0x08;
const OPEN: u32 = 0x16;

pub struct Member {
    pub raw: Raw,
    /// Frames that were read while another one was waited for.
    waiting: VecDeque<Frame>,
    next: u32,
}

impl Member {
    /// One that offers no names.
    pub fn join(server: &Server) -> Self {
        Self::owning(server, &[])
    }

    /// One that offers these.
    pub fn owning(server: &Server, names: &[&str]) -> Self {
        let mut raw = server.dial_raw();
        let names = names.iter().map(|name| field(4, name.as_bytes()));
        let fields: Vec<u8> = names.flatten().chain(FEATURES).collect();
        let id = next_id();
        let answer = raw.join(id, &fields);
        // Its id, and the names of handlers if there are any: no error.
        assert!(answer.starts_with(&field(1, &id)), "{answer:?}");
        Self {
            raw,
            waiting: VecDeque::new(),
            next: 3,
        }
    }

    pub fn send(&mut self, frames: &[Frame]) {
        self.raw.send(frames).unwrap();
    }

    /// A stream's number that was not used before.
    pub fn new_id(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Opens a stream, and waits for nothing.
    pub fn call(&mut self, name: &str) -> u32 {
        let id = self.new_id();
        self.send(&opening(id, name));
        id
    }

    /// Opens a stream, and waits until it is accepted.
    pub fn open(&mut self, name: &str) -> u32 {
        let id = self.call(name);
        let answer = self.wait(|frame| frame.kind == DATA && frame.stream == id);
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(u32::from(answer.body[0]), ACCEPT, "{said}");
        id
    }

    /// A call that the hub passes on; it is not answered yet.
    pub fn called(&mut self) -> u32 {
        let open = |frame: &Frame| frame.body.first() == Some(&(OPEN as u8));
        let call = self.wait(|frame| frame.stream.is_multiple_of(2) && open(frame));
        call.stream
    }

    /// Lets a call in.
    pub fn accept(&mut self, id: u32, name: &str) {
        let accept = Frame::data(id, layer_2(ACCEPT, name, b""));
        self.send(&[Frame::flags(id, ACK), accept]);
    }

    /// The next frame; answers pings. `None` at the end of the connection,
    /// however it has ended.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = match Frame::read(&mut self.raw) {
                Ok(frame) => frame?,
                Err(error) => {
                    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
                    let ends = [BrokenPipe, ConnectionReset, UnexpectedEof];
                    assert!(ends.contains(&error.kind()), "{error}");
                    return None;
                }
            };
            if frame.kind != PING || !frame.has(SYN) {
                return Some(frame);
            }
            let pong = Frame {
                flags: ACK,
                ..frame
            };
            // The other side may have closed meanwhile.
            let _ = self.raw.send(&[pong]);
        }
    }

    /// The next frame of a kind; others wait.
    pub fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at).expect("it is there");
        }
        loop {
            let frame = self.next().expect("the connection stands");
            if wanted(&frame) {
                return frame;
            }
            self.waiting.push_back(frame);
        }
    }

    /// Waits until all that was sent has been dealt with; gives what came
    /// meanwhile. A ping's answer may overtake others, a second ping's does
    /// not.
    pub fn settle(&mut self) -> Vec<Frame> {
        let mut frames: Vec<Frame> = self.waiting.drain(..).collect();
        for value in [77, 78] {
            self.send(&[ping(value)]);
            let came = std::iter::from_fn(|| Some(self.next().expect("the session goes on")));
            frames.extend(came.take_while(|frame| !is_pong(frame, value)));
        }
        frames
    }

    /// Waits until the other side ends the connection; gives the code of its
    /// go-away, if there was one.
    pub fn until_end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GO_AWAY {
                code = Some(frame.length);
            }
        }
        code
    }

    /// Waits for the end of a stream; says whether it was in order.
    pub fn end_of(&mut self, id: u32) -> bool {
        let last = self.wait(|frame| frame.stream == id && (frame.has(FIN) || frame.has(RST)));
        last.has(FIN)
    }
}

/// What opens a stream.
pub fn opening(id: u32, name: &str) -> [Frame; 2] {
    let open = Frame::data(id, layer_2(OPEN, name, b""));
    [Frame::flags(id, SYN), open]
}

pub fn header(kind: u8, flags: u16, stream: u32, length: u32) -> Frame {
    Frame {
        kind,
        flags,
        stream,
        length,
        body: Vec::new(),
    }
}

pub fn ping(value: u32) -> Frame {
    header(PING, SYN, 0, value)
}

pub fn is_pong(frame: &Frame, value: u32) -> bool {
    frame.kind == PING && frame.has(ACK) && frame.length == value
}

/// A session's id that no other has.
fn next_id() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    u128::from(number).to_be_bytes()
}
