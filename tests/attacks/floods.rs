//! Floods at full speed by a peer that reads all answers. Each is only as fast
//! as one thread of the server processes it, and lasts for `WIRENET_FLOOD_MS`
//! milliseconds (100 by default).

use crate::{
    attack::Attack,
    honest_client::HonestClient,
    server::{HUBS, Kind, PLAIN, Place, Setup, TCP},
    support::{
        encoding::{ERROR, layer_2},
        frames::{ACK, FIN, Frame, RST, SYN},
        peer::{Peer, opening},
    },
};
use std::{
    env,
    io::{BufReader, Write},
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

/// Frames that are sent at once.
const BATCH: usize = 256;

/// The first byte of a refusal.
const REFUSED: u8 = ERROR as u8;

/// The value of the last ping of a flood.
const LAST: u32 = 0xF100D;

/// No peer has the token for `secret`.
pub const GUARDED: Setup = Setup {
    name: "guarded",
    set: |builder| {
        builder.token_validator(|name, _, _| match name {
            "secret" => Err("wrong token".into()),
            _ => Ok(()),
        })
    },
};

fn time() -> Duration {
    let millis = env::var("WIRENET_FLOOD_MS").ok();
    Duration::from_millis(millis.map_or(100, |millis| millis.parse().unwrap()))
}

/// The result of a flood.
struct Flooded {
    /// Frames sent per second, until all were processed.
    rate: f64,
    /// The number of answers that match.
    answers: usize,
    /// Whether the session is still open.
    goes_on: bool,
}

impl Flooded {
    fn end(&self) -> &'static str {
        match self.goes_on {
            true => "goes on",
            false => "was cut because the peer read too slowly",
        }
    }
}

/// Repeatedly sends what `batch` returns, while another thread reads. Then waits
/// until the server has processed all of it.
fn flood(
    member: &mut Peer,
    mut batch: impl FnMut(&mut Peer) -> Vec<u8>,
    is_answer: impl Fn(&Frame) -> bool + Send,
) -> Flooded {
    let socket = member.socket().try_clone().unwrap();
    let began = Instant::now();
    let mut sent = 0;
    let (answers, goes_on) = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut socket = BufReader::with_capacity(1 << 16, socket);
            // The server has reset the connection if it closed it with unread bytes.
            let mut next = || Frame::read(&mut socket).ok().flatten();
            let answers =
                std::iter::from_fn(&mut next).take_while(|frame| *frame != Frame::pong(LAST));
            let count = answers.filter(is_answer).count();
            let goes_on = next().is_some();
            if !goes_on {
                // Otherwise the writer would wait for room that never comes.
                let _ = socket.get_ref().shutdown(Shutdown::Both);
            }
            (count, goes_on)
        });
        while began.elapsed() < time() {
            let frames = batch(member);
            if member.write_all(&frames).is_err() {
                break;
            }
            sent += BATCH;
        }
        // The second answer comes after all other answers.
        let _ = member.try_send([Frame::ping(LAST), Frame::ping(LAST + 1)]);
        reading.join().unwrap()
    });
    Flooded {
        rate: sent as f64 / began.elapsed().as_secs_f64(),
        answers,
        goes_on,
    }
}

fn attack(name: &'static str, limit: &'static str, memory: usize) -> Attack {
    Attack {
        name,
        limit,
        setup: &PLAIN,
        memory,
    }
}

/// A flood with one frame, repeated, while a stream is open.
fn flood_with(name: &'static str, frame: fn(u32) -> Frame) {
    let attack = attack(name, "none needed: no memory is kept", 256 << 10);
    attack.run(TCP, move |stage| {
        let mut member = stage.server.member();
        let stream = member.open("echo");
        let frames = frame(stream).encode().repeat(BATCH);
        let flooded = flood(&mut member, |_| frames.clone(), |_| false);
        assert!(flooded.goes_on);
        format!("{:.0}/s processed; the session goes on", flooded.rate)
    });
}

#[test]
fn pings_are_answered_while_the_answers_are_read() {
    let limit = "64 KiB of unread answers, then the session ends";
    attack("pings", limit, 512 << 10).run(TCP, |stage| {
        let mut member = stage.server.member();
        let frames = Frame::ping(5).encode().repeat(BATCH);
        let is_pong = |frame: &Frame| *frame == Frame::pong(5);
        let flooded = flood(&mut member, |_| frames.clone(), is_pong);
        assert!(flooded.answers > 0);
        format!(
            "{} answered; the session {}",
            flooded.answers,
            flooded.end()
        )
    });
}

#[test]
fn unsolicited_pongs_change_nothing() {
    flood_with("unsolicited pongs", |_| Frame::pong(9));
}

#[test]
fn window_updates_of_zero_change_nothing() {
    let update = |stream| Frame::flags(stream, 0);
    flood_with("window updates of 0", update);
}

#[test]
fn empty_data_changes_nothing() {
    flood_with("empty Data frames", |id| Frame::data(id, Vec::new()));
}

#[test]
fn unsolicited_acks_change_nothing() {
    let ack = |stream| Frame::flags(stream, ACK);
    flood_with("unsolicited ACKs", ack);
}

#[test]
fn frames_of_streams_that_never_existed_are_skipped() {
    let data = |_| Frame::data(1_000_001, vec![7; 8]);
    flood_with("Data for unknown streams", data);
    let reset = |_| Frame::flags(1_000_001, RST);
    flood_with("resets of unknown streams", reset);
}

#[test]
fn go_aways_after_the_first_change_nothing() {
    flood_with("go-aways", |_| Frame::go_away(0));
}

/// Asserts that the honest client's streams are served meanwhile.
fn assert_others_are_served(honest: &HonestClient) {
    for _ in 0..5 {
        honest.opens("echo").unwrap();
    }
}

/// A flood of new streams.
struct Streams {
    name: &'static str,
    setup: &'static Setup,
    places: &'static [Place],
    /// The number of peers that flood at once, each on a session of its own.
    members: usize,
    /// The frames of one stream. Takes the name that the honest client calls.
    open: fn(u32, &str) -> Vec<Frame>,
    is_refused: fn(&Frame) -> bool,
}

impl Streams {
    fn new(name: &'static str, open: fn(u32, &str) -> Vec<Frame>) -> Self {
        Self {
            name,
            setup: &PLAIN,
            places: TCP,
            members: 1,
            open,
            is_refused: |frame| frame.has(RST) || frame.body.first() == Some(&REFUSED),
        }
    }

    fn run(self) {
        let attack = Attack {
            setup: self.setup,
            ..attack(self.name, "max_streams 512, handler_limit 1,024", 8 << 20)
        };
        attack.run(self.places, move |stage| {
            let floods: Vec<Flooded> = thread::scope(|scope| {
                let honest = stage.honest;
                let others = scope.spawn(|| assert_others_are_served(honest));
                let begin = |_| {
                    let member = stage.server.member();
                    scope.spawn(|| self.flood(member, honest.calls()))
                };
                let floods: Vec<_> = (0..self.members).map(begin).collect();
                others.join().unwrap();
                floods.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let usage = stage.server.usage();
            let threads = usage.threads;
            assert!(threads < 1200, "{threads} threads");
            // Each stream is counted once; a hub opens streams too.
            let is_hub = stage.place.kind == Kind::Hub;
            assert!(
                is_hub || usage.streams_reset <= usage.streams_accepted,
                "{usage:?}"
            );
            let rate: f64 = floods.iter().map(|one| one.rate).sum();
            let refused: usize = floods.iter().map(|one| one.answers).sum();
            let end = floods[0].end();
            format!("{rate:.0}/s, {refused} refused; {threads} threads; the session {end}")
        });
    }

    fn flood(&self, mut member: Peer, name: &str) -> Flooded {
        let per_stream = (self.open)(1, name).len();
        let streams = |member: &mut Peer| {
            let ids = (0..BATCH / per_stream).map(|_| member.new_stream());
            let frames = ids.flat_map(|id| (self.open)(id, name));
            frames.flat_map(|frame| frame.encode()).collect()
        };
        let flooded = flood(&mut member, streams, self.is_refused);
        Flooded {
            rate: flooded.rate / per_stream as f64,
            ..flooded
        }
    }
}

fn open_and_reset(id: u32, name: &str) -> Vec<Frame> {
    [&opening(id, name)[..], &[Frame::flags(id, RST)]].concat()
}

fn open_and_finish(id: u32, name: &str) -> Vec<Frame> {
    [&opening(id, name)[..], &[Frame::flags(id, FIN)]].concat()
}

#[test]
fn open_and_reset_in_a_loop_does_not_starve_other_peers() {
    let open = |id, _: &str| open_and_reset(id, "echo");
    Streams::new("open and reset (CVE-2023-44487)", open).run();
    let many = Streams {
        members: 8,
        ..Streams::new("the same on 8 sessions at once", open)
    };
    many.run();
    let open = |id, _: &str| [SYN, RST].map(|flag| Frame::flags(id, flag)).to_vec();
    Streams::new("SYN and RST without an open frame", open).run();
}

#[test]
fn open_and_reset_in_a_loop_does_not_keep_calls_from_an_owner() {
    let relayed = Streams {
        places: &HUBS[..1],
        ..Streams::new("open and reset of an honest owner's stream", open_and_reset)
    };
    relayed.run();
}

#[test]
fn endless_opens_are_reset_beyond_the_limit() {
    let open = |id, _: &str| vec![Frame::flags(id, SYN)];
    Streams::new("opens that send nothing", open).run();
    let open = |id, _: &str| opening(id, "echo").to_vec();
    Streams::new("opens of a handler that blocks", open).run();
}

#[test]
fn requests_that_cause_resets_do_not_starve_other_peers() {
    let open = |id, _: &str| open_and_finish(id, "nobody's");
    Streams::new("opens of an unknown name (CVE-2025-8671)", open).run();
    let wrong = Streams {
        setup: &GUARDED,
        ..Streams::new("opens with a wrong token", |id, _: &str| {
            open_and_finish(id, "secret")
        })
    };
    wrong.run();
    let open = |id, _: &str| {
        let wrong = Frame::data(id, layer_2(0x99, "echo", b""));
        vec![Frame::flags(id, SYN), wrong]
    };
    Streams::new("opens that do not begin with a frame", open).run();
}
