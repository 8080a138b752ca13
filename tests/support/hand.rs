//! A server that is played by hand, for what no library would do.

use super::frames::{ACK, FIN, Frame, SYN};
use crossbeam_channel::{Receiver, bounded};
use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Types of layer 2 frames.
pub const ERROR: u32 = 0x04;
pub const CONFIRM_SESSION: u32 = 0x64;

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
    let request = read_request(client)?;
    // Behind the frame's head and command: tag and length of the id, and it.
    let sid = &request.body[12 + "openSession".len()..][..18];
    let answer = [
        Frame::flags(1, ACK),
        Frame::data(1, layer_2(CONFIRM_SESSION, "confirmSession", sid)),
        Frame::flags(1, FIN),
    ];
    Ok(answer.map(|frame| frame.encode()).concat())
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
    pub fn listen(part: fn(&TcpStream) -> io::Result<()>) -> Self {
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
