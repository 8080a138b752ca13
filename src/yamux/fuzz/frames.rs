//! A connection that receives whole frames in any order, while its user does
//! anything.

use super::{
    peer::Peer,
    rig::{NO_TIME, Rig, never_waiting},
};
use crate::{
    fuzz::Script,
    yamux::{
        Config, Error, Role, Stream,
        frame::{Flags, HEADER_LEN, Header, Kind, StreamId},
    },
};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::Shutdown,
    sync::LazyLock,
    thread,
    time::Duration,
};

/// The most bytes, roughly, that each side sends in a run. More would only take
/// time.
const PLENTY: usize = 1 << 20;

const AN_HOUR: Duration = Duration::from_secs(3600);

/// The lengths of Data frames and of writes.
const LENGTHS: [u32; 16] = [
    0, 1, 2, 11, 12, 13, 511, 1024, 4096, 32_768, 65_535, 65_536, 70_000, 262_143, 262_144, 262_145,
];

/// The deltas of window updates.
const DELTAS: [u32; 8] = [
    0,
    1,
    1000,
    65_536,
    262_144,
    1 << 31,
    u32::MAX - 262_144,
    u32::MAX,
];

/// The data on streams. A lost or repeated byte breaks the pattern.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..400_000u32).map(|index| (index % 251) as u8).collect());

fn pattern(id: u32, offset: u64, len: usize) -> &'static [u8] {
    let start = (u64::from(id) * 7 + offset) % 251;
    &PATTERN[start as usize..][..len]
}

/// A connection of either role survives any frames while its user does anything. A
/// peer that follows the protocol never gets a protocol error, and its data arrives
/// unchanged or not at all.
pub fn connection_frames(data: &[u8]) {
    let mut script = Script::new(data);
    let (flags, more) = (script.byte(), script.byte());
    let mut run = FramesRun::new(flags, more);
    // Rarely, because threads take time.
    if more & 15 != 15 {
        run.run(&mut script);
        return run.end(more);
    }
    // Calls that may wait forever, each on a thread of its own. All of them return at
    // the end.
    let connection = run.rig.connection.clone().expect("it is open");
    let stream = connection.open().expect("it is open");
    thread::scope(|scope| {
        scope.spawn(|| (&stream).read_to_end(&mut Vec::new()).map(drop));
        scope.spawn(|| (0..40).try_for_each(|_| (&stream).write_all(&PATTERN[..9000])));
        scope.spawn(|| connection.ping().map(drop));
        scope.spawn(|| {
            let opened = (0..8).map_while(|_| connection.open().ok());
            opened.collect::<Vec<_>>()
        });
        if more & 32 != 0 {
            scope.spawn(|| connection.close());
        }
        run.run(&mut script);
        run.end(more);
    });
}

struct FramesRun {
    rig: Rig,
    /// The peer follows the protocol.
    polite: bool,
    /// The peer reads only when the script tells it to.
    lazy: bool,
    /// The reader reads only when the script tells it to.
    batches: bool,
    /// Other threads use the connection.
    crowded: bool,
    streams: Vec<Stream>,
    /// How many bytes were read from and written to each stream.
    read: BTreeMap<StreamId, u64>,
    written: BTreeMap<StreamId, u64>,
    next_of_peers: u32,
    /// About how many bytes each side sends.
    plenty: usize,
    sent: usize,
    wrote: usize,
}

impl FramesRun {
    fn new(flags: u8, more: u8) -> Self {
        let role = match flags & 1 {
            0 => Role::Server,
            _ => Role::Client,
        };
        let config = Config::default()
            .max_streams(4)
            .backlog(3)
            .max_window(1 << 20)
            .window_budget(512 << 10)
            .max_frame(300_000)
            // No timeout expires during a run.
            .write_timeout(AN_HOUR)
            .keep_alive(None);
        // With a small capacity, helper threads continue the writes.
        let capacity = match more & 15 {
            0 => 1,
            1 => 30,
            2 => 4096,
            _ => 4 * PLENTY,
        };
        let rig = Rig::new(role, config, capacity);
        Self {
            polite: flags & 2 != 0,
            lazy: flags & 4 != 0,
            batches: flags & 8 != 0,
            crowded: capacity < PLENTY || more & 15 == 15,
            streams: Vec::new(),
            read: BTreeMap::new(),
            written: BTreeMap::new(),
            next_of_peers: rig.peer.role.first_id(),
            rig,
            plenty: PLENTY.min(capacity * 1000),
            sent: 0,
            wrote: 0,
        }
    }

    fn run(&mut self, script: &mut Script<'_>) {
        while let Some(op) = script.next() {
            match op % 24 {
                op @ 0..13 => {
                    if let Some((header, len)) = self.frame(op, script) {
                        self.send(header, len);
                    }
                }
                op => self.act(op, script),
            }
            if !self.batches {
                self.rig.turn_all();
            }
            if !self.lazy {
                self.rig.peer.read(usize::MAX);
            }
            if !self.crowded {
                self.rig.shared().check(true);
            }
        }
    }

    // -- the peer --

    /// Returns a frame and the length of its body; `None` if this peer would not send
    /// it.
    fn frame(&mut self, op: u8, script: &mut Script<'_>) -> Option<(Header, u32)> {
        let update = Header::window_update;
        let opens = op < 2;
        let id = match opens {
            true => self.next_of_peers,
            false => self.some_id(script),
        };
        if opens {
            self.next_of_peers += 2;
        }
        let stream = StreamId(id);
        let seen = self.rig.peer.streams.entry(id).or_default();
        let polite = self.polite;
        let may_send = !polite || seen.is_sendable();
        let may_reset = !polite || seen.is_known() && !seen.sent_reset && !seen.got_reset;
        let mut data = |window: u64| {
            let len = script.pick(&LENGTHS);
            match polite {
                true => u64::from(len).min(window) as u32,
                false => len,
            }
        };
        Some(match op {
            0 => (update(stream, Flags::SYN, 0), 0),
            1 => {
                let len = data(262_144);
                let flags = Flags::SYN;
                (
                    Header {
                        flags,
                        ..Header::data(stream, len)
                    },
                    len,
                )
            }
            2 | 3 if may_send => {
                let len = data(seen.window);
                (Header::data(stream, len), len)
            }
            4 if may_reset => {
                let delta = script.pick(&DELTAS);
                let room = u64::from(u32::MAX).saturating_sub(seen.credit());
                let delta = if polite {
                    u64::from(delta).min(room) as u32
                } else {
                    delta
                };
                (update(stream, Flags::NONE, delta), 0)
            }
            5 if may_send => (update(stream, Flags::FIN, 0), 0),
            6 if may_reset => (update(stream, Flags::RST, 0), 0),
            7 if !polite || may_reset && seen.acknowledge() => (update(stream, Flags::ACK, 0), 0),
            8 if may_send => {
                let len = data(seen.window);
                let flags = Flags::FIN;
                (
                    Header {
                        flags,
                        ..Header::data(stream, len)
                    },
                    len,
                )
            }
            9 => (Header::ping(Flags::SYN, script.word()), 0),
            10 => (Header::ping(Flags::ACK, u32::from(script.byte())), 0),
            11 => {
                let code = u32::from(script.byte());
                // Rarely an error code, which ends the connection.
                let code = if polite || code < 250 { 0 } else { code - 249 };
                (Header::go_away(code), 0)
            }
            12 if !polite => {
                let kind = script.pick(&[Kind::Data, Kind::WindowUpdate, Kind::Ping, Kind::GoAway]);
                let flags = Flags(u16::from(script.byte()));
                let stream = StreamId(u32::from(script.byte() % 12));
                let len = match kind {
                    Kind::Data => script.pick(&LENGTHS),
                    _ => script.word(),
                };
                let header = Header {
                    kind,
                    flags,
                    stream,
                    length: len,
                };
                (header, header.body_len())
            }
            _ => return None,
        })
    }

    /// Returns the id of a stream that was opened; or any id, if the peer does not
    /// follow the protocol.
    fn some_id(&mut self, script: &mut Script<'_>) -> u32 {
        let choice = script.byte();
        let ids = &self.rig.peer.streams;
        match ids.len() {
            0 => u32::from(choice),
            _ if !self.polite && choice >= 240 => u32::from(choice - 240),
            count => *ids
                .keys()
                .nth(usize::from(choice) % count)
                .expect("one of them"),
        }
    }

    fn send(&mut self, mut header: Header, mut len: u32) {
        let left = self.plenty.saturating_sub(self.sent).max(12) as u32;
        if header.kind == Kind::Data && len > left {
            len = left;
            header.length = len;
        }
        self.sent += HEADER_LEN + len as usize;
        let id = header.stream.0;
        let offset = self.rig.peer.streams.get(&id).map_or(0, |seen| seen.sent);
        self.rig.feed(&header.encode());
        self.rig.feed(pattern(id, offset, len as usize));
    }

    // -- the user --

    fn act(&mut self, op: u8, script: &mut Script<'_>) {
        match op {
            13 => self.open(),
            14 => self.streams.extend(self.rig.accept()),
            15 => self.write(script),
            16 => self.read(script),
            17 => {
                let how = script.pick(&[Shutdown::Read, Shutdown::Write, Shutdown::Both]);
                if let Some(stream) = self.stream(script) {
                    stream.shutdown(how).expect("always");
                }
            }
            18 if !self.streams.is_empty() => {
                let index = usize::from(script.byte()) % self.streams.len();
                drop(self.streams.swap_remove(index));
            }
            19 => {
                if let Some(stream) = self.stream(script) {
                    stream.reset();
                }
            }
            20 => self.end_somehow(script.byte()),
            21 => {
                let most = script.pick(&[1, 12, 100, 5000, 1 << 20]);
                self.rig.peer.read(most);
            }
            22 => {
                if let Some(connection) = &self.rig.connection {
                    connection.age();
                }
            }
            _ => {
                self.rig.turn();
            }
        }
    }

    fn stream(&self, script: &mut Script<'_>) -> Option<&Stream> {
        let index = usize::from(script.byte()).checked_rem(self.streams.len())?;
        self.streams.get(index)
    }

    fn open(&mut self) {
        let Some(connection) = &self.rig.connection else {
            return;
        };
        // With a deadline, because the limit on open streams may be reached.
        let opened = connection.open_queued(Some(crate::time::deadline(NO_TIME)));
        if let Ok(stream) = opened {
            stream.flush_queued();
            self.streams.push(never_waiting(stream));
        }
    }

    fn write(&mut self, script: &mut Script<'_>) {
        let len = script.pick(&LENGTHS) as usize;
        let len = len.min(self.plenty.saturating_sub(self.wrote).max(12));
        let Some(mut stream) = self.stream(script) else {
            return;
        };
        let id = stream.id();
        let offset = self.written.get(&id).copied().unwrap_or(0);
        if let Ok(count) = stream.write(pattern(id.0, offset, len)) {
            *self.written.entry(id).or_default() += count as u64;
            self.wrote += count;
        }
    }

    fn read(&mut self, script: &mut Script<'_>) {
        let mut buf = vec![0; script.pick(&LENGTHS) as usize];
        let Some(stream) = self.stream(script).cloned() else {
            return;
        };
        self.read_from(&stream, &mut buf);
    }

    /// Reads once. Returns whether there may be more.
    fn read_from(&mut self, mut stream: &Stream, buf: &mut [u8]) -> bool {
        let id = stream.id();
        let offset = self.read.entry(id).or_default();
        match stream.read(buf) {
            Ok(0) if buf.is_empty() => false,
            Ok(0) => {
                if let Some(seen) = self.rig.peer.streams.get(&id.0).filter(|_| self.polite) {
                    assert!(seen.sent_fin, "an end without a FIN");
                    assert_eq!(
                        *offset, seen.sent,
                        "a truncated stream is taken for complete"
                    );
                }
                false
            }
            Ok(count) => {
                if self.polite {
                    assert!(buf[..count] == *pattern(id.0, *offset, count));
                }
                *offset += count as u64;
                true
            }
            Err(_) => false,
        }
    }

    fn end_somehow(&mut self, how: u8) {
        let Some(connection) = &self.rig.connection else {
            return;
        };
        match how {
            // The others are rarer: not much can happen after them.
            0..200 => connection.go_away(),
            200..230 => connection.close_when_idle(),
            230..240 => connection.start_close(),
            240..245 => connection.cut(),
            245..250 => self.rig.connection = None,
            250..=255 => self.rig.peer.finish(),
        }
    }

    fn end(mut self, how: u8) {
        match how >> 6 {
            0 => self.rig.connection = None,
            1 => self.rig.peer.finish(),
            2 => self.rig.feed(&[0; 5]),
            _ => {}
        }
        self.rig.come_to_an_end();
        if self.polite && how >> 6 != 2 {
            let end = &self.rig.end;
            assert!(!matches!(end, Some(Error::Protocol(_))), "{end:?}");
        }
        let streams = std::mem::take(&mut self.streams);
        let mut buf = vec![0; 100_000];
        for stream in &streams {
            while self.read_from(stream, &mut buf) {}
        }
        self.check_what_came(&self.rig.peer);
        match self.crowded {
            true => self.rig.finish(streams),
            false => self.rig.finish_alone(streams),
        }
    }

    /// Checks that the peer received what was written, or a prefix of it.
    fn check_what_came(&self, peer: &Peer) {
        for (id, written) in &self.written {
            // The peer may not have received the SYN.
            let Some(seen) = peer.streams.get(&id.0).filter(|seen| seen.is_known()) else {
                continue;
            };
            let len = seen.came.len();
            assert!(seen.came == *pattern_of(id.0, len));
            assert!(len as u64 <= *written);
            assert!(!seen.got_fin || len as u64 == *written);
        }
    }
}

/// Returns the first `len` bytes that are written to a stream.
fn pattern_of(id: u32, len: usize) -> Vec<u8> {
    let first = u64::from(id) * 7;
    (0..len as u64)
        .map(|offset| ((first + offset) % 251) as u8)
        .collect()
}
