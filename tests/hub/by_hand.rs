//! A client of a hub that is played by hand, frame by frame.

use crate::{
    support::{
        PATIENCE,
        frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING, RST, SYN},
        hand::{CONFIRM_SESSION, ERROR, FEATURES, field, layer_2},
    },
    transport,
};
use socket2::{Domain, Socket, Type};
use std::{
    collections::VecDeque,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
};

const ACCEPT: u32 = 0x08;
const OPEN: u32 = 0x16;
const OPEN_SESSION: u32 = 0x32;

pub struct Hand {
    pub socket: transport::Socket,
    /// Frames that were read while another one was waited for.
    waiting: VecDeque<Frame>,
    next: u32,
}

/// An open frame that the hub sent, and what came right after it.
pub struct Open {
    pub stream: u32,
    pub name: String,
    pub token: Vec<u8>,
    pub rest: Vec<u8>,
}

impl Hand {
    /// Opens a session that offers some names.
    pub fn join(addr: &str, identification: &str, names: &[&str]) -> Self {
        Self::join_with(addr, identification, names, |_| Ok(()))
    }

    /// The same, over a socket that is `set` before it connects.
    pub fn join_with(
        addr: &str,
        identification: &str,
        names: &[&str],
        set: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> Self {
        let mut request = request(identification, names);
        request.extend(FEATURES);
        let (hand, answer) = Self::ask(addr, &request, set);
        // Its id, and what the hub understands: no error.
        assert_eq!(answer, [&request[..18], &FEATURES].concat());
        hand
    }

    /// Asks for a session; gives the answer's payload too.
    pub fn ask(
        addr: &str,
        request: &[u8],
        set: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> (Self, Vec<u8>) {
        let mut hand = Self::begin_ask(addr, request, set);
        let answer = hand.answer().expect("an answer");
        (hand, answer)
    }

    /// The same without waiting for the answer.
    pub fn begin_ask(
        addr: &str,
        request: &[u8],
        set: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> Self {
        let addr: SocketAddr = addr.parse().unwrap();
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        set(&socket).unwrap();
        socket.connect(&addr.into()).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut hand = Self {
            socket: transport::by_hand(socket),
            waiting: VecDeque::new(),
            next: 3,
        };
        hand.send(&Frame::flags(1, SYN));
        let open = layer_2(OPEN_SESSION, "openSession", request);
        hand.send(&Frame::data(1, open));
        hand
    }

    /// The payload of the answer to what was asked; `None` if the connection
    /// ends without one.
    pub fn answer(&mut self) -> Option<Vec<u8>> {
        let mut answer = loop {
            let frame = Frame::read(&mut self.socket).ok().flatten()?;
            match frame.kind {
                DATA if frame.stream == 1 => break frame,
                _ => {}
            }
        };
        assert_eq!(answer.body[..4], CONFIRM_SESSION.to_le_bytes());
        self.send(&Frame::flags(1, FIN));
        self.wait(|frame| frame.stream == 1 && frame.has(FIN));
        Some(answer.body.split_off(12 + "confirmSession".len()))
    }

    pub fn send(&mut self, frame: &Frame) {
        self.socket.write_all(&frame.encode()).unwrap();
    }

    /// Grants a stream more credit.
    pub fn grant(&mut self, stream: u32, delta: u32) {
        let mut update = Frame::flags(stream, 0);
        update.length = delta;
        self.send(&update);
    }

    /// Reads the next frame; answers pings.
    fn read(&mut self) -> Frame {
        loop {
            let frame = Frame::read(&mut self.socket).unwrap().expect("a frame");
            match frame.kind {
                PING if frame.has(SYN) => self.send(&Frame {
                    flags: ACK,
                    ..frame
                }),
                PING => {}
                GO_AWAY => assert_eq!(frame.length, 0, "it complains about us"),
                _ => return frame,
            }
        }
    }

    /// The next frame of a kind; others wait.
    pub fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at).expect("it is there");
        }
        loop {
            let frame = self.read();
            if wanted(&frame) {
                return frame;
            }
            self.waiting.push_back(frame);
        }
    }

    /// Whether such a frame was read while another one was waited for.
    pub fn has_waiting(&self, wanted: impl FnMut(&Frame) -> bool) -> bool {
        self.waiting.iter().any(wanted)
    }

    /// The next frame of a stream that is more than an acknowledgement.
    pub fn next_of(&mut self, stream: u32) -> Frame {
        self.wait(|frame| {
            let says = frame.kind == DATA || frame.length > 0 || frame.has(FIN) || frame.has(RST);
            frame.stream == stream && says
        })
    }

    /// A call that the hub passes on.
    pub fn next_open(&mut self) -> Open {
        let frame = self.wait(|frame| {
            frame.kind == DATA && frame.stream % 2 == 0 && frame.body.starts_with(&[OPEN as u8])
        });
        let word = |at: usize| {
            u32::from_le_bytes(frame.body[at..at + 4].try_into().expect("4 bytes")) as usize
        };
        let (name, token) = (word(4), word(8));
        let (name_at, token_at) = (12, 12 + name);
        Open {
            stream: frame.stream,
            name: String::from_utf8(frame.body[name_at..token_at].to_vec()).unwrap(),
            token: frame.body[token_at..token_at + token].to_vec(),
            rest: frame.body[token_at + token..].to_vec(),
        }
    }

    /// Lets a call in.
    pub fn accept(&mut self, open: &Open) {
        self.send(&Frame::flags(open.stream, ACK));
        let answer = layer_2(ACCEPT, &open.name, b"");
        self.send(&Frame::data(open.stream, answer));
    }

    pub fn refuse(&mut self, open: &Open, text: &str) {
        self.send(&Frame::flags(open.stream, ACK));
        let answer = layer_2(ERROR, &open.name, text.as_bytes());
        self.send(&Frame::data(open.stream, answer));
        self.send(&Frame::flags(open.stream, FIN));
    }

    /// What opens a stream; the bytes of its first Data frame, without more.
    pub fn begin_open(&mut self, name: &str) -> (u32, Vec<u8>) {
        let stream = self.next;
        self.next += 2;
        self.send(&Frame::flags(stream, SYN));
        (stream, layer_2(OPEN, name, b""))
    }

    /// Opens a stream and waits until it is accepted.
    pub fn open(&mut self, name: &str) -> u32 {
        let (stream, open) = self.begin_open(name);
        self.send(&Frame::data(stream, open));
        self.expect_accepted(stream);
        stream
    }

    pub fn expect_accepted(&mut self, stream: u32) {
        let answer = self.wait(|frame| frame.kind == DATA && frame.stream == stream);
        assert_eq!(u32::from(answer.body[0]), ACCEPT, "it is accepted");
    }

    pub fn expect_reset(&mut self, stream: u32) {
        self.wait(|frame| frame.stream == stream && frame.has(RST));
    }
}

/// Ends a message.
pub const END: [u8; 4] = [0; 4];

/// The bytes of a message in chunks, without an end mark.
pub fn chunks(bytes: &[u8], size: usize) -> Vec<u8> {
    bytes
        .chunks(size)
        .flat_map(|chunk| [&(chunk.len() as u32).to_le_bytes(), chunk].concat())
        .collect()
}

/// Takes the chunks apart that lie in a Data frame.
///
/// # Panics
///
/// If a chunk is cut by the frame's end.
pub fn whole_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_at_checked(4).expect("a length is cut");
        let len = u32::from_le_bytes(head.try_into().expect("4 bytes")) as usize;
        let (chunk, rest) = rest.split_at_checked(len).expect("a chunk is cut");
        bytes.extend(chunk);
        body = rest;
    }
    bytes
}

/// What a client asks that says nothing of what it understands, as go-wirenet's.
pub fn request(identification: &str, names: &[&str]) -> Vec<u8> {
    let mut request = field(1, uuid().as_bytes());
    request.extend(field(3, identification.as_bytes()));
    for name in names {
        request.extend(field(4, name.as_bytes()));
    }
    request
}

/// A session id: any will do that no other test has.
fn uuid() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016}", NEXT.fetch_add(1, Ordering::Relaxed))
}
