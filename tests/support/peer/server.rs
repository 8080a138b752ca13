//! Scripted peers that are servers.

use super::Peer;
use crate::support::{
    encoding::{CONFIRM_SESSION, field, layer_2},
    frames::{ACK, FIN, Frame, SYN, encode_all},
};
use crossbeam_channel::{Receiver, bounded};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    thread,
};

impl Peer {
    /// Reads a client's request for a session.
    pub fn read_request(&mut self) -> io::Result<Frame> {
        let syn = self.try_receive()?.expect("a SYN");
        let request = self.try_receive()?.expect("an open session");
        assert!(syn.has(SYN));
        assert_eq!((syn.stream, request.stream), (1, 1));
        Ok(request)
    }

    /// Confirms the session that a client requests.
    pub fn confirm_session(&mut self) -> io::Result<()> {
        self.answer_request(&[])
    }

    /// Refuses the session that a client requests, without a code if it is 0.
    pub fn refuse_session(&mut self, code: u8, text: &str) -> io::Result<()> {
        let number = [15 << 3, code];
        let code = if code == 0 { &[][..] } else { &number };
        let fields = [&field(3, text.as_bytes())[..], code].concat();
        self.answer_request(&fields)
    }

    /// Answers a client's request with its id and these fields.
    pub fn answer_request(&mut self, fields: &[u8]) -> io::Result<()> {
        let answer = self.answer_to_request(fields)?;
        io::Write::write_all(self, &answer)
    }

    /// Reads a client's request. Returns the bytes of an answer.
    pub fn answer_to_request(&mut self, fields: &[u8]) -> io::Result<Vec<u8>> {
        let request = self.read_request()?;
        // The id is the first field: a tag, a length, and 16 bytes.
        let id = &request.body[12 + "openSession".len()..][..18];
        let payload = [id, fields].concat();
        Ok(encode_all([
            Frame::flags(1, ACK),
            Frame::data(1, layer_2(CONFIRM_SESSION, "confirmSession", &payload)),
            Frame::flags(1, FIN),
        ]))
    }
}

/// What a server does on one connection.
pub type Script = Box<dyn FnOnce(Peer) -> io::Result<()> + Send>;

/// Starts a server that follows one script after the other, each on the next
/// connection.
pub fn play(scripts: Vec<Script>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for script in scripts {
            let (socket, _) = listener.accept().expect("a connection");
            script(Peer::over_tcp(socket)).expect("the script succeeds");
        }
    });
    addr
}

/// A server that follows the same script on each connection, and then neither
/// reads nor writes.
pub struct ScriptedServer {
    pub addr: SocketAddr,
    /// The connections on which the script has ended. They stay open until
    /// they are received from here and dropped.
    pub accepted: Receiver<Peer>,
}

impl ScriptedServer {
    pub fn listen(mut script: impl FnMut(&mut Peer) -> io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, accepted) = bounded(16);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut peer = Peer::over_tcp(socket.expect("a connection"));
                script(&mut peer).expect("the script succeeds");
                if sender.send(peer).is_err() {
                    break;
                }
            }
        });
        Self { addr, accepted }
    }

    /// A server that sends nothing at all.
    pub fn silent() -> Self {
        Self::listen(|_| Ok(()))
    }
}
