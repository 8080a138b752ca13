//! A connection that receives any bytes.

use super::rig::Rig;
use crate::{
    fuzz::Script,
    yamux::{Config, Role, Stream},
};
use std::io::{Read, Write};

/// A connection of either role survives any bytes, in pieces of any size, whether or
/// not its user accepts streams, reads and answers. It ends with its transport.
pub fn connection_bytes(data: &[u8]) {
    let mut script = Script::new(data);
    let flags = script.byte();
    let size = 1 + usize::from(script.byte());
    let role = if flags & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let (accepts, reads, answers) = (flags & 2 != 0, flags & 4 != 0, flags & 8 != 0);
    let config = Config::default()
        .max_streams(4)
        .backlog(3)
        .max_frame(100_000);
    let mut rig = Rig::new(role, config, 1 << 20);
    let mut streams: Vec<Stream> = Vec::new();
    if flags & 32 != 0 {
        // A stream of this side, to which frames may refer.
        let connection = rig.connection.as_ref().expect("it is open");
        streams.extend(connection.open().map(super::rig::never_waiting));
    }
    let mut buf = [0; 512];
    for piece in script.rest().chunks(size) {
        rig.feed(piece);
        rig.turn_all();
        while accepts && let Some(stream) = rig.accept() {
            streams.push(stream);
        }
        for mut stream in &streams {
            let count = if reads { stream.read(&mut buf) } else { Ok(0) };
            if answers && let Ok(count) = count {
                let _ = stream.write(&buf[..count]);
            }
        }
        rig.peer.read(usize::MAX);
        rig.shared().check(true);
    }
    if flags & 64 != 0 {
        rig.peer.finish();
    }
    if flags & 128 != 0 {
        streams.clear();
    }
    rig.finish_alone(streams);
}
