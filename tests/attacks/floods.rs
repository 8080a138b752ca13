//! Floods at the full speed of the machine, by a peer that reads what it gets
//! for them. Each is only as fast as one thread deals with it, and goes on for
//! `WIRENET_FLOOD_MS` milliseconds (300).

use crate::{
    attack::Attack,
    honest::Honest,
    member::{Member, header, is_pong, opening, ping},
    server::{PLAIN, Setup, TCP},
    support::{
        frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE},
        hand::layer_2,
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

/// What the last ping of a flood asks.
const LAST: u32 = 0xF100D;

/// The token that is good is one that nobody has.
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
    Duration::from_millis(millis.map_or(300, |millis| millis.parse().unwrap()))
}

/// What became of a flood.
struct Flooded {
    /// Frames that were sent in a second, until all were dealt with.
    rate: f64,
    /// How many answers were of the kind that was asked for.
    answers: usize,
    /// The session was not ended for it.
    goes_on: bool,
}

impl Flooded {
    fn end(&self) -> &'static str {
        match self.goes_on {
            true => "goes on",
            false => "was cut, as it was read too slowly",
        }
    }
}

/// Sends what `batch` gives, again and again, beside a thread that reads; then
/// waits until all of it was dealt with.
fn flood(
    member: &mut Member,
    mut batch: impl FnMut(&mut Member) -> Vec<u8>,
    is_answer: impl Fn(&Frame) -> bool + Send,
) -> Flooded {
    let socket = member.raw.socket().try_clone().unwrap();
    let began = Instant::now();
    let mut sent = 0;
    let (answers, goes_on) = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut socket = BufReader::with_capacity(1 << 16, socket);
            // Bytes that were not read reset what the other side has closed.
            let mut next = || Frame::read(&mut socket).ok().flatten();
            let answers = std::iter::from_fn(&mut next).take_while(|frame| !is_pong(frame, LAST));
            let count = answers.filter(is_answer).count();
            let goes_on = next().is_some();
            if !goes_on {
                // What the other side has no room for would be offered to it on.
                let _ = socket.get_ref().shutdown(Shutdown::Both);
            }
            (count, goes_on)
        });
        while began.elapsed() < time() {
            let frames = batch(member);
            if member.raw.write_all(&frames).is_err() {
                break;
            }
            sent += BATCH;
        }
        // The second answer comes after all others.
        let _ = member.raw.send(&[ping(LAST), ping(LAST + 1)]);
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

/// A flood with one frame, over and over, beside a stream that is open.
fn flood_with(name: &'static str, frame: fn(u32) -> Frame) {
    let attack = attack(name, "none: no memory is kept for it", 256 << 10);
    attack.run(TCP, move |stage| {
        let mut member = Member::join(stage.server);
        let stream = member.open("echo");
        let frames = frame(stream).encode().repeat(BATCH);
        let flooded = flood(&mut member, |_| frames.clone(), |_| false);
        assert!(flooded.goes_on);
        format!("{:.0}/s taken; the session goes on", flooded.rate)
    });
}

#[test]
fn pings_are_answered_to_who_reads_the_answers() {
    let limit = "64 KiB of answers not read, then the end";
    attack("pings", limit, 512 << 10).run(TCP, |stage| {
        let mut member = Member::join(stage.server);
        let frames = ping(5).encode().repeat(BATCH);
        let is_pong = |frame: &Frame| is_pong(frame, 5);
        let flooded = flood(&mut member, |_| frames.clone(), is_pong);
        assert!(flooded.answers > 0);
        format!("{:.0}/s; the session {}", flooded.rate, flooded.end())
    });
}

#[test]
fn pongs_that_nobody_asked_for_change_nothing() {
    flood_with("pongs not asked for", |_| header(PING, ACK, 0, 9));
}

#[test]
fn window_updates_of_nothing_change_nothing() {
    let update = |stream| header(WINDOW_UPDATE, 0, stream, 0);
    flood_with("window updates of 0", update);
}

#[test]
fn empty_data_changes_nothing() {
    flood_with("empty Data frames", |id| header(DATA, 0, id, 0));
}

#[test]
fn acks_that_nobody_asked_for_change_nothing() {
    let ack = |stream| header(WINDOW_UPDATE, ACK, stream, 0);
    flood_with("ACKs not asked for", ack);
}

#[test]
fn frames_of_streams_that_never_were_are_skipped() {
    let data = |_| Frame::data(1_000_001, vec![7; 8]);
    flood_with("Data of streams that are not there", data);
    let reset = |_| header(WINDOW_UPDATE, RST, 1_000_001, 0);
    flood_with("resets of streams that are not there", reset);
}

#[test]
fn go_aways_change_nothing_more_after_the_first() {
    flood_with("go-aways", |_| header(GO_AWAY, 0, 0, 0));
}

/// Every stream that the honest client opens meanwhile is served.
fn assert_others_are_served(honest: &Honest) {
    for _ in 0..5 {
        honest.opens("echo").unwrap();
    }
}

/// A flood of new streams, which `open` begins and ends.
fn flood_of_streams(
    name: &'static str,
    setup: &'static Setup,
    open: fn(u32) -> Vec<Frame>,
    counted: fn(&Frame) -> bool,
) {
    let attack = Attack {
        setup,
        ..attack(name, "max_streams 512, handler_limit 1,024", 4 << 20)
    };
    attack.run(TCP, move |stage| {
        let mut member = Member::join(stage.server);
        let per_stream = open(1).len();
        let streams = |member: &mut Member| {
            let ids = (0..BATCH / per_stream).map(|_| member.new_id());
            let frames = ids.flat_map(open);
            frames.flat_map(|frame| frame.encode()).collect()
        };
        let flooded = thread::scope(|scope| {
            let honest = stage.honest;
            let others = scope.spawn(|| assert_others_are_served(honest));
            let flooded = flood(&mut member, streams, counted);
            others.join().unwrap();
            flooded
        });
        let threads = stage.server.usage().threads;
        assert!(threads < 1200, "{threads} threads");
        let rate = flooded.rate / per_stream as f64;
        let end = if flooded.goes_on {
            "goes on"
        } else {
            "was cut"
        };
        let refused = flooded.answers;
        format!("{rate:.0}/s, {refused} refused; {threads} threads; the session {end}")
    });
}

fn is_reset(frame: &Frame) -> bool {
    frame.has(RST)
}

fn is_refused(frame: &Frame) -> bool {
    frame.has(RST) || frame.body.first() == Some(&4)
}

#[test]
fn open_and_reset_in_a_loop_starves_nobody() {
    let open = |id| {
        let reset = header(WINDOW_UPDATE, RST, id, 0);
        [&opening(id, "echo")[..], &[reset]].concat()
    };
    flood_of_streams("open and reset (CVE-2023-44487)", &PLAIN, open, is_refused);
    let open = |id| {
        let syn = header(WINDOW_UPDATE, SYN, id, 0);
        vec![syn, header(WINDOW_UPDATE, RST, id, 0)]
    };
    flood_of_streams("SYN and RST, and no open", &PLAIN, open, is_refused);
}

#[test]
fn opens_without_end_are_reset_beyond_the_limit() {
    let open = |id| vec![Frame::flags(id, SYN)];
    flood_of_streams("opens that say nothing", &PLAIN, open, is_reset);
    let open = |id| opening(id, "echo").to_vec();
    flood_of_streams("opens of a handler that waits", &PLAIN, open, is_refused);
}

#[test]
fn requests_that_make_us_reset_starve_nobody() {
    let open = |id| {
        let fin = Frame::flags(id, FIN);
        [&opening(id, "nobody's")[..], &[fin]].concat()
    };
    flood_of_streams(
        "opens of an unknown name (CVE-2025-8671)",
        &PLAIN,
        open,
        is_refused,
    );
    let open = |id| {
        let fin = Frame::flags(id, FIN);
        [&opening(id, "secret")[..], &[fin]].concat()
    };
    flood_of_streams("opens with a wrong token", &GUARDED, open, is_refused);
    let open = |id| {
        let wrong = Frame::data(id, layer_2(0x99, "echo", b""));
        vec![Frame::flags(id, SYN), wrong]
    };
    flood_of_streams("opens that are no frame", &PLAIN, open, is_reset);
}
