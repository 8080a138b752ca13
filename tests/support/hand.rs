//! Servers and clients that are played by hand, for what no library would do.

use super::{
    PATIENCE,
    frames::{ACK, FIN, Frame, GO_AWAY, SYN},
};
use crossbeam_channel::{Receiver, bounded};
use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};
use wirenet::Wire;

/// Types of layer 2 frames.
pub const ERROR: u32 = 0x04;
pub const CONFIRM_SESSION: u32 = 0x64;

/// What wirenet says in a session handshake that it understands: field 17, bit 4.
pub const FEATURES: [u8; 3] = [0x88, 0x01, 0x10];

/// A layer 2 frame.
pub fn layer_2(kind: u32, command: &str, payload: &[u8]) -> Vec<u8> {
    let words = [kind, command.len() as u32, payload.len() as u32];
    [
        words.map(u32::to_le_bytes).as_flattened(),
        command.as_bytes(),
        payload,
    ]
    .concat()
}

/// Reads a client's request for a session.
pub fn read_request(client: &TcpStream) -> io::Result<Frame> {
    let syn = Frame::read(client)?.expect("a SYN");
    let request = Frame::read(client)?.expect("an open session");
    assert!(syn.has(SYN));
    assert_eq!((syn.stream, request.stream), (1, 1));
    Ok(request)
}

/// Gives a client the session that it asks for.
pub fn confirm_session(mut client: &TcpStream) -> io::Result<()> {
    client.write_all(&confirmation(client)?)
}

/// Reads a client's request, and gives the bytes that confirm it.
pub fn confirmation(client: &TcpStream) -> io::Result<Vec<u8>> {
    answer(client, &[])
}

/// Refuses a client the session that it asks for; a code of 0 is none.
pub fn refuse_session(mut client: &TcpStream, code: u8, text: &str) -> io::Result<()> {
    let number = [15 << 3, code];
    let code = if code == 0 { &[][..] } else { &number };
    let refusal = [&field(3, text.as_bytes())[..], code].concat();
    client.write_all(&answer(client, &refusal)?)
}

/// Reads a client's request, and gives the bytes of an answer with its id.
fn answer(client: &TcpStream, fields: &[u8]) -> io::Result<Vec<u8>> {
    let request = read_request(client)?;
    // Behind the frame's head and command: tag and length of the id, and it.
    let sid = &request.body[12 + "openSession".len()..][..18];
    let payload = [sid, fields].concat();
    let answer = [
        Frame::flags(1, ACK),
        Frame::data(1, layer_2(CONFIRM_SESSION, "confirmSession", &payload)),
        Frame::flags(1, FIN),
    ];
    Ok(answer.map(|frame| frame.encode()).concat())
}

/// What a server does on one connection, which is its own.
pub type Part = Box<dyn FnOnce(TcpStream) -> io::Result<()> + Send>;

/// A server that plays these parts, one after the other, each on the next
/// connection; the last one has to keep its connection if it is to stay.
pub fn play(parts: Vec<Part>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for part in parts {
            let (client, _) = listener.accept().expect("a connection");
            part(client).expect("it goes as planned");
        }
    });
    addr
}

/// Reads until nothing has come for so long: a wait on what happens, or does
/// not. Gives the kinds of the frames that came.
pub fn until_quiet(mut client: &TcpStream, time: Duration) -> io::Result<Vec<u8>> {
    let mut kinds = Vec::new();
    loop {
        client.set_read_timeout(Some(time))?;
        match client.peek(&mut [0]) {
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {
                client.set_read_timeout(Some(PATIENCE))?;
                return Ok(kinds);
            }
            Err(error) => return Err(error),
        }
        client.set_read_timeout(Some(PATIENCE))?;
        match Frame::read(&mut client)? {
            Some(frame) => kinds.push(frame.kind),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A server that plays its part on each connection, and from then on neither
/// reads nor writes.
pub struct Played {
    pub addr: SocketAddr,
    /// The connections on which the part is played; they stay open until they
    /// are taken out of here and dropped.
    pub accepted: Receiver<TcpStream>,
}

impl Played {
    pub fn listen(mut part: impl FnMut(&TcpStream) -> io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, accepted) = bounded(16);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                part(&client).expect("it goes as planned");
                if sender.send(client).is_err() {
                    break;
                }
            }
        });
        Self { addr, accepted }
    }

    /// One that says nothing at all.
    pub fn silent() -> Self {
        Self::listen(|_| Ok(()))
    }
}

/// A protobuf field that holds bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![number << 3 | 2];
    let mut left = bytes.len();
    while left >= 0x80 {
        encoded.push(left as u8 | 0x80);
        left >>= 7;
    }
    encoded.push(left as u8);
    encoded.extend(bytes);
    encoded
}

/// A client by hand that asks for a session of this id; gives the payload of
/// the answer too.
pub fn ask_by_hand(addr: SocketAddr, id: [u8; 16]) -> (TcpStream, Vec<u8>) {
    ask_for(addr, &field(1, &id))
}

/// The same with any request.
pub fn ask_for(addr: SocketAddr, request: &[u8]) -> (TcpStream, Vec<u8>) {
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let open = Frame::data(1, layer_2(0x32, "openSession", request));
    let asked = [Frame::flags(1, SYN), open, Frame::flags(1, FIN)];
    client
        .write_all(&asked.map(|frame| frame.encode()).concat())
        .unwrap();
    let mut answer = Vec::new();
    loop {
        let frame = Frame::read(&client).unwrap().expect("an answer");
        answer.extend(&frame.body);
        if frame.has(FIN) {
            break;
        }
    }
    assert_eq!(answer[..4], CONFIRM_SESSION.to_le_bytes());
    (client, answer.split_off(12 + "confirmSession".len()))
}

/// Reads to the end of a connection; whether a go-away came before it.
pub fn said_goodbye(client: &TcpStream) -> bool {
    let mut last = None;
    while let Some(frame) = Frame::read(client).unwrap() {
        last = Some(frame.kind);
    }
    last == Some(GO_AWAY)
}

/// A client by hand whose session stands.
pub fn join_by_hand(server: &Wire, id: [u8; 16]) -> TcpStream {
    let (client, answer) = ask_by_hand(server.local_addr().expect("it listens"), id);
    // And the names of its handlers, if there are any.
    assert!(answer.starts_with(&field(1, &id)), "{answer:?}");
    client
}
