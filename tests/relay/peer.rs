//! Clients of a hub that are played by hand, several of them side by side on one
//! thread.

use crate::{
    support::{
        PATIENCE,
        frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING, SYN},
        hand::layer_2,
    },
    transport,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    cell::RefCell,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const ACCEPT: u32 = 0x08;
pub const OPEN: u32 = 0x16;
/// The stream that owners offer.
pub const NAME: &str = "name";

/// A peer, and what it is read and written over.
pub struct Peer {
    socket: RefCell<transport::Socket>,
    tcp: TcpStream,
}

impl Peer {
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.borrow_mut().write_all(bytes)
    }

    pub fn try_next(&self) -> io::Result<Option<Frame>> {
        Frame::read(&mut *self.socket.borrow_mut())
    }

    pub fn set_read_timeout(&self, timeout: Duration) {
        self.tcp.set_read_timeout(Some(timeout)).unwrap();
    }
}

pub fn send(to: &Peer, frames: &[Frame]) {
    let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    to.try_send(&bytes).unwrap();
}

pub fn grant(stream: u32, flags: u16, length: u32) -> Frame {
    let mut frame = Frame::flags(stream, flags);
    frame.length = length;
    frame
}

pub fn next(from: &Peer) -> Frame {
    from.try_next().unwrap().expect("a frame")
}

/// Answers what has to be answered, until `wanted` says so.
pub fn read_until(from: &Peer, mut wanted: impl FnMut(&Frame) -> bool) -> Frame {
    loop {
        let frame = next(from);
        if wanted(&frame) {
            return frame;
        }
        assert_ne!(frame.kind, GO_AWAY, "code {}", frame.length);
        if frame.kind == PING && frame.has(SYN) {
            let mut pong = frame.clone();
            pong.flags = ACK;
            send(from, &[pong]);
        }
    }
}

/// Waits until the hub has seen to all that was sent so far. Twice: the answer
/// may leave before the end of the turn in which the ping was read.
pub fn sync(peer: &Peer) {
    for value in [7, 8] {
        let mut ping = Frame::flags(0, SYN);
        (ping.kind, ping.length) = (PING, value);
        send(peer, &[ping]);
        read_until(peer, |frame| {
            frame.kind == PING && frame.has(ACK) && frame.length == value
        });
    }
}

/// A client by hand, with a session, that offers these names. A small buffer
/// keeps what it does not read out of the kernel.
pub fn join(addr: SocketAddr, id: u8, names: &[&str], small: bool) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    if small {
        socket.set_recv_buffer_size(4096).unwrap();
    }
    socket.connect(&addr.into()).unwrap();
    let tcp = TcpStream::from(socket);
    tcp.set_nodelay(true).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = Peer {
        tcp: tcp.try_clone().unwrap(),
        socket: RefCell::new(transport::by_hand(tcp)),
    };
    let mut request = [&[0x0a, 16][..], &[id; 16]].concat();
    for name in names {
        request.extend([0x22, name.len() as u8]);
        request.extend(name.as_bytes());
    }
    let open = Frame::data(1, layer_2(0x32, "openSession", &request));
    send(&client, &[Frame::flags(1, SYN), open, Frame::flags(1, FIN)]);
    read_until(&client, |frame| frame.stream == 1 && frame.has(FIN));
    client
}

/// Opens the stream of `NAME` and leaves the answer to `accepted`.
pub fn open(caller: &Peer, stream: u32) {
    let frame = Frame::data(stream, layer_2(OPEN, NAME, b""));
    send(caller, &[Frame::flags(stream, SYN), frame]);
}

pub fn accepted(caller: &Peer, stream: u32) {
    let frame = read_until(caller, |frame| frame.stream == stream && frame.kind == DATA);
    assert_eq!(frame.body[0], ACCEPT as u8, "{frame:?}");
}

/// The owner's part of an opening; gives the stream's number.
pub fn accept(owner: &Peer) -> u32 {
    let open = read_until(owner, |frame| frame.kind == DATA);
    let answer = Frame::data(open.stream, layer_2(ACCEPT, NAME, b""));
    send(owner, &[Frame::flags(open.stream, ACK), answer]);
    open.stream
}

/// A stream from `caller` to `owner`; its number there.
pub fn relayed(caller: &Peer, stream: u32, owner: &Peer) -> u32 {
    open(caller, stream);
    let number = accept(owner);
    accepted(caller, stream);
    number
}

pub fn bytes(stream: u32, count: u32) -> Frame {
    Frame::data(stream, vec![7; count as usize])
}
