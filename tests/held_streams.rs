//! A peer opens more streams at once than a session may have. Those beyond the limit
//! are held, and served one after the other.

mod support;

use crossbeam_channel::{Receiver, Sender, unbounded};
use std::{collections::BTreeMap, io::Read, thread};
use support::{
    PATIENCE,
    encoding::{ACCEPT, OPEN, layer_2},
    frames::{ACK, DATA, FIN, Frame, GO_AWAY, RST, SYN},
    in_time,
    peer::Peer,
};
use wirenet::{Builder, Wire};

/// The default of `max_streams`.
const LIMIT: u32 = 512;

/// A server whose handlers wait until they are released, and a scripted client.
struct Scene {
    // Dropped first, so that the server's close does not wait for it.
    client: Peer,
    /// Each message releases one handler; dropping it releases all.
    release: Option<Sender<()>>,
    server: Wire,
    running: Receiver<()>,
}

impl Scene {
    fn new(set: impl FnOnce(Builder) -> Builder) -> Self {
        let (release, released) = unbounded();
        let (runs, running) = unbounded();
        let server = set(Wire::mount("127.0.0.1:0")).build().unwrap();
        let handler = move |stream: &mut wirenet::Stream| {
            runs.send(()).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received)?;
            // Disconnected when all handlers are released.
            let _ = released.recv();
            stream.write_message(&received)
        };
        server.stream("echo", handler).unwrap();
        server.start().unwrap();
        let client = Peer::join(&server, [7; 16]);
        Self {
            server,
            release: Some(release),
            running,
            client,
        }
    }

    fn release_one(&self) {
        self.release.as_ref().unwrap().send(()).unwrap();
    }

    /// Waits until `count` more handlers run.
    fn expect_running(&self, count: u32) {
        for _ in 0..count {
            self.running.recv_timeout(PATIENCE).unwrap();
        }
    }
}

/// What is sent on a stream, and comes back: a chunk and an end mark.
fn message(id: u32) -> Vec<u8> {
    [4u32.to_le_bytes(), id.to_le_bytes(), [0; 4]].concat()
}

/// The next frame of a stream, other than a mere grant.
fn next(client: &mut Peer) -> Frame {
    client.skip_to(|frame| frame.kind != GO_AWAY && !frame.is_mere_credit())
}

/// Opens a stream, sends a message on it and ends it.
fn call(client: &mut Peer, id: u32) {
    client.send([
        Frame::flags(id, SYN),
        Frame::data(id, layer_2(OPEN, "echo", b"")),
        Frame::data(id, message(id)),
        Frame::flags(id, FIN),
    ]);
}

/// Reads frames until `is_enough` of them. Returns the ids of the streams that
/// were acknowledged, in that order. Fails if a stream is reset.
fn acknowledged_until(client: &mut Peer, mut is_enough: impl FnMut(&Frame) -> bool) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    loop {
        let frame = next(client);
        assert!(!frame.has(RST), "{frame:?}");
        if frame.has(ACK) {
            acknowledged.push(frame.stream);
        }
        if is_enough(&frame) {
            return acknowledged;
        }
    }
}

/// Waits until `count` streams have got their whole answer. Returns those that
/// were acknowledged.
fn answered(client: &mut Peer, mut count: usize) -> Vec<u32> {
    let mut answers = BTreeMap::<u32, Vec<u8>>::new();
    acknowledged_until(client, |frame| {
        answers.entry(frame.stream).or_default().extend(&frame.body);
        if frame.has(FIN) {
            let answer = &answers[&frame.stream];
            assert!(answer.ends_with(&message(frame.stream)), "{answer:?}");
            count -= 1;
        }
        count == 0
    })
}

/// Waits until `count` streams are accepted. Returns those that were
/// acknowledged.
fn accepted(client: &mut Peer, mut count: u32) -> Vec<u32> {
    acknowledged_until(client, |frame| {
        if frame.kind == DATA {
            assert_eq!(frame.body[..4], ACCEPT.to_le_bytes());
            count -= 1;
        }
        count == 0
    })
}

/// The ids of `count` streams, starting behind the stream of the session.
fn ids(count: u32) -> impl Iterator<Item = u32> {
    (3..).step_by(2).take(count as usize)
}

#[test]
fn a_stream_beyond_the_limit_is_served_when_another_has_ended() {
    in_time(|| {
        let mut scene = Scene::new(|server| server);
        let client = &mut scene.client;
        ids(LIMIT).for_each(|id| call(client, id));
        let mut acknowledged = accepted(client, LIMIT);
        acknowledged.sort_unstable();
        assert!(acknowledged.into_iter().eq(ids(LIMIT)));
        let one_more = 2 * LIMIT + 3;
        call(client, one_more);
        assert_eq!(client.settle(), [], "neither acknowledged nor reset");
        scene.expect_running(LIMIT);
        assert!(scene.running.is_empty());
        scene.release_one();
        scene.expect_running(1);
        scene.release_one();
        // The handlers may be released in any order.
        let client = &mut scene.client;
        let acknowledged = answered(client, 2);
        assert_eq!(acknowledged, [one_more]);
    });
}

#[test]
fn a_peer_that_waits_for_acknowledgements_has_any_number_of_streams_served() {
    in_time(|| {
        let mut scene = Scene::new(|server| server.max_streams(4));
        scene.release.take();
        let client = &mut scene.client;
        let (first, rest): (Vec<u32>, Vec<u32>) = ids(1000).partition(|id| *id <= 2 * 256 + 1);
        first.iter().for_each(|id| call(client, *id));
        let mut acknowledged = 0;
        for id in rest {
            while acknowledged == 0 {
                let frame = next(client);
                assert!(!frame.has(RST), "{frame:?}");
                acknowledged += u32::from(frame.has(ACK));
            }
            acknowledged -= 1;
            call(client, id);
        }
        scene.expect_running(1000);
        let stats = scene.server.stats();
        assert_eq!((stats.streams_refused, stats.streams_reset), (0, 0));
    });
}

#[test]
fn a_held_stream_that_its_peer_resets_never_gets_a_handler() {
    in_time(|| {
        let mut scene = Scene::new(|server| server.max_streams(1));
        let client = &mut scene.client;
        for id in [3, 5, 7] {
            call(client, id);
        }
        client.send(Frame::flags(5, RST));
        client.settle();
        scene.release.take();
        let acknowledged = answered(client, 2);
        assert!(acknowledged.ends_with(&[7]) && !acknowledged.contains(&5));
        assert_eq!(scene.running.iter().take(2).count(), 2);
        assert!(scene.running.is_empty());
    });
}

#[test]
fn a_close_resets_held_streams_and_lets_the_others_end() {
    in_time(|| {
        let mut scene = Scene::new(|server| server.max_streams(1));
        let client = &mut scene.client;
        for id in [3, 5, 7] {
            call(client, id);
        }
        accepted(client, 1);
        let server = scene.server.clone();
        let closing = thread::spawn(move || server.close());
        let mut reset = [5, 7].map(|_| next(client));
        reset.sort_by_key(|frame| frame.stream);
        assert_eq!(reset, [5, 7].map(|id| Frame::flags(id, RST)));
        scene.release.take();
        answered(client, 1);
        // The client ends the connection after the server.
        scene.client.receive_all();
        let socket = scene.client.socket();
        socket.shutdown(std::net::Shutdown::Both).unwrap();
        closing.join().unwrap().unwrap();
        assert_eq!(scene.running.try_iter().count(), 1);
    });
}
