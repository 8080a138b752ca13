//! What a scripted peer does with its session and its streams.

use super::Peer;
use crate::support::{
    encoding::{ACCEPT, CONFIRM_SESSION, ERROR, OPEN, OPEN_SESSION, field, layer_2},
    frames::{ACK, DATA, FIN, Frame, GO_AWAY, RST, SYN},
};
use std::{net::SocketAddr, thread};
use wirenet::{Session, Stream, Wire};

/// An opening of a stream that the peer received.
pub struct Open {
    pub stream: u32,
    pub name: String,
    pub token: Vec<u8>,
    /// What the Data frame holds after it.
    pub rest: Vec<u8>,
}

impl Peer {
    /// A client over TCP that has a session with this id.
    pub fn join(server: &Wire, id: [u8; 16]) -> Self {
        let addr = server.local_addr().expect("it listens");
        let (peer, answer) = Self::request(addr, &field(1, &id));
        // The names of the server's handlers may follow.
        assert!(answer.starts_with(&field(1, &id)), "{answer:?}");
        peer
    }

    /// Requests a session over TCP. Returns the payload of the answer too.
    pub fn request(addr: SocketAddr, request: &[u8]) -> (Self, Vec<u8>) {
        let mut peer = Self::dial(addr);
        let answer = peer.ask(request);
        (peer, answer)
    }

    /// Requests a session. Returns the payload of the answer.
    pub fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.begin_ask(request);
        self.answer().expect("an answer")
    }

    /// Requests a session, and does not wait for the answer.
    pub fn begin_ask(&mut self, request: &[u8]) {
        let open = layer_2(OPEN_SESSION, "openSession", request);
        // The other end may have closed the connection: then no answer comes.
        let _ = self.try_send([Frame::flags(1, SYN), Frame::data(1, open)]);
    }

    /// The payload of the answer to the request for a session, or `None` if
    /// the connection ends without one.
    pub fn answer(&mut self) -> Option<Vec<u8>> {
        let mut answer = Vec::new();
        loop {
            let frame = self.next().filter(|frame| frame.kind != GO_AWAY)?;
            if answer.is_empty() && frame.kind == DATA {
                // The other end may have closed the connection since.
                let _ = self.try_send(Frame::flags(1, FIN));
            }
            answer.extend(&frame.body);
            if frame.stream == 1 && frame.has(FIN) {
                assert_eq!(answer[..4], CONFIRM_SESSION.to_le_bytes());
                return Some(answer.split_off(12 + "confirmSession".len()));
            }
        }
    }

    /// The id of a stream that this peer may open.
    pub fn new_stream(&mut self) -> u32 {
        self.next_stream += 2;
        self.next_stream - 2
    }

    /// Sends the SYN of a new stream. Returns its id, and the layer 2 frame
    /// that has to follow.
    pub fn begin_open(&mut self, name: &str) -> (u32, Vec<u8>) {
        let stream = self.new_stream();
        self.send(Frame::flags(stream, SYN));
        (stream, layer_2(OPEN, name, b""))
    }

    /// Opens a stream, and does not wait for the answer.
    pub fn call(&mut self, name: &str) -> u32 {
        let stream = self.new_stream();
        self.send(opening(stream, name));
        stream
    }

    /// Opens a stream, and waits until it is accepted.
    pub fn open(&mut self, name: &str) -> u32 {
        let stream = self.call(name);
        self.expect_accepted(stream);
        stream
    }

    pub fn expect_accepted(&mut self, stream: u32) {
        let answer = self.wait(|frame| frame.kind == DATA && frame.stream == stream);
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(u32::from(answer.body[0]), ACCEPT, "{text}");
    }

    pub fn expect_reset(&mut self, stream: u32) {
        self.wait(|frame| frame.stream == stream && frame.has(RST));
    }

    /// The next frame of a stream that is more than an acknowledgement.
    pub fn next_of(&mut self, stream: u32) -> Frame {
        self.wait(|frame| frame.stream == stream && (frame.is_data_or_end() || frame.length > 0))
    }

    /// Waits for the end of a stream. Returns whether it was graceful.
    pub fn ends_gracefully(&mut self, stream: u32) -> bool {
        let end = |frame: &Frame| frame.has(FIN) || frame.has(RST);
        let last = self.wait(|frame| frame.stream == stream && end(frame));
        last.has(FIN)
    }

    /// The next stream that the other end opens.
    pub fn next_open(&mut self) -> Open {
        let frame = self.wait(|frame| {
            frame.stream > 1 && frame.kind == DATA && frame.body.starts_with(&OPEN.to_le_bytes())
        });
        let (head, rest) = frame.body.split_at(12);
        let len = |at: usize| {
            let word = head[at..at + 4].try_into().expect("4 bytes");
            u32::from_le_bytes(word) as usize
        };
        let (name, rest) = rest.split_at(len(4));
        let (token, rest) = rest.split_at(len(8));
        Open {
            stream: frame.stream,
            name: String::from_utf8(name.to_vec()).unwrap(),
            token: token.to_vec(),
            rest: rest.to_vec(),
        }
    }

    pub fn accept(&mut self, open: &Open) {
        self.accept_as(open.stream, &open.name);
    }

    /// Accepts the next stream that the other end opens. Returns its id.
    pub fn accept_next(&mut self) -> u32 {
        let open = self.next_open();
        self.accept(&open);
        open.stream
    }

    /// Accepts a stream that is opened on `session`, whose other end this peer is. Returns
    /// the stream and its id.
    pub fn accept_from(&mut self, session: &Session, name: &str) -> (Stream, u32) {
        let (session, name) = (session.clone(), name.to_owned());
        let opening = thread::spawn(move || session.open_stream(name).unwrap());
        let id = self.accept_next();
        (opening.join().unwrap(), id)
    }

    /// Answers an opening with an accept frame for this name.
    pub fn accept_as(&mut self, stream: u32, name: &str) {
        let accept = Frame::data(stream, layer_2(ACCEPT, name, b""));
        self.send([Frame::flags(stream, ACK), accept]);
    }

    pub fn refuse(&mut self, open: &Open, text: &str) {
        let error = layer_2(ERROR, &open.name, text.as_bytes());
        self.send([
            Frame::flags(open.stream, ACK),
            Frame::data(open.stream, error),
            Frame::flags(open.stream, FIN),
        ]);
    }

    pub fn grant(&mut self, stream: u32, delta: u32) {
        self.send(Frame::grant(stream, delta));
    }
}

/// The frames that open a stream.
pub fn opening(stream: u32, name: &str) -> [Frame; 2] {
    let open = Frame::data(stream, layer_2(OPEN, name, b""));
    [Frame::flags(stream, SYN), open]
}
