//! The outbox and its writing role: several senders, a transport that is full
//! or fails, and the helper thread. Nobody waits for ever; what was queued
//! leaves once, in the order of each stream.

use super::stage::{Frame, Stage, bytes_of, config, run, send_all, stage};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Error, INITIAL_WINDOW, Role, Stream,
        frame::{Flags, Header, Kind, StreamId},
        segment::MAX_PAYLOAD,
    },
};
use std::{net::Shutdown, time::Duration};

/// With three senders of so many full frames each, more is to be sent than the
/// outbox holds.
const SENDERS: usize = 3;
const FRAMES: u8 = 3;

/// What the transport holds: less than two frames.
const NARROW: usize = 100_000;

/// Sends `FRAMES` full frames, each of its own number.
fn send(stream: &Stream) -> Result<(), Error> {
    (0..FRAMES).try_for_each(|number| {
        let fill = |credit: usize| credit.min(MAX_PAYLOAD);
        let put = |segment: &mut crate::yamux::segment::Segment, count| {
            segment.put(&vec![number; count]);
        };
        stream.send_frame(fill, put).map(drop)
    })
}

/// The numbers of the whole frames that came for a stream, in their order.
fn numbers(frames: &[Frame], stream: StreamId) -> Vec<u8> {
    let data = frames
        .iter()
        .filter(|frame| frame.header.kind == Kind::Data && frame.header.stream == stream);
    data.map(|frame| {
        assert_eq!(frame.body.len(), MAX_PAYLOAD);
        let (first, last) = (frame.body[0], frame.body[MAX_PAYLOAD - 1]);
        assert_eq!(first, last);
        first
    })
    .collect()
}

fn narrow_stage() -> (Stage, Vec<Stream>) {
    let stage = stage(Role::Client, config(), NARROW);
    let open = || stage.connection.open().unwrap();
    let streams = std::iter::repeat_with(open).take(SENDERS).collect();
    (stage, streams)
}

/// `timeout` is that of each write: with one, a write does not wait in the
/// transport, but has a helper do so.
fn sending(time: Time, timeout: Option<Duration>) {
    check(time, move || {
        let (stage, streams) = narrow_stage();
        let ids: Vec<StreamId> = streams.iter().map(Stream::id).collect();
        let hears = stage.peer.hears;
        let peer = thread::spawn(move || hears.until_the_end());
        let senders: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                stream.set_write_timeout(timeout).unwrap();
                thread::spawn(move || {
                    let sent = send(&stream);
                    (stream, sent)
                })
            })
            .collect();
        let sent: Vec<_> = senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .collect();
        stage.connection.start_close();
        let frames = peer.join().unwrap();
        let all: Vec<u8> = (0..FRAMES).collect();
        for (id, (_, sent)) in ids.iter().zip(&sent) {
            let came = numbers(&frames, *id);
            assert!(all.starts_with(&came), "{came:?}");
            if time == Time::Stands {
                assert!(sent.is_ok(), "{sent:?}");
                assert_eq!(came, all);
            }
        }
        stage.connection.cut();
    });
}

#[test]
fn many_senders_all_come_to_their_end() {
    sending(Time::Stands, None);
}

#[test]
fn senders_that_do_not_wait_in_the_transport_come_to_their_end_too() {
    sending(Time::Stands, Some(Duration::from_secs(1)));
}

#[test]
fn a_send_that_times_out_leaves_the_others_what_is_theirs() {
    sending(Time::Passes, Some(Duration::from_secs(1)));
}

#[test]
fn a_transport_that_takes_nothing_in_time_ends_all_waits() {
    sending(Time::Passes, None);
}

#[test]
fn who_waits_hears_of_a_transport_that_fails() {
    check(Time::Stands, || {
        let (stage, streams) = narrow_stage();
        let (mut hears, says) = (stage.peer.hears, stage.peer.says);
        let peer = thread::spawn(move || {
            hears.some();
            says.cut();
        });
        let senders: Vec<_> = streams
            .into_iter()
            .map(|stream| thread::spawn(move || send(&stream)))
            .collect();
        for sender in senders {
            match sender.join().unwrap() {
                // It was queued before that was known.
                Ok(()) | Err(Error::Io(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        peer.join().unwrap();
        // Nobody has read the connection yet.
        let reading = run(stage.reader);
        assert!(reading.join().unwrap().is_err());
    });
}

/// One stream has no credit, and another's frame meets a transport that fails.
#[test]
fn who_waits_for_credit_hears_of_a_transport_that_fails() {
    check(Time::Stands, || {
        let (stage, streams) = narrow_stage();
        let [waits, sends, ..] = &streams[..] else {
            unreachable!()
        };
        let (waits, sends) = (waits.clone(), sends.clone());
        waits.core().send.lock().window.take(INITIAL_WINDOW);
        let waiting = thread::spawn(move || send_all(&waits, b"no credit"));
        stage.peer.says.cut();
        // Queued, and then it failed, or the other way round.
        let _ = send_all(&sends, b"fails");
        assert!(matches!(waiting.join().unwrap(), Err(Error::Io(_))));
    });
}

/// Three wait for room; two of them do not use it when there is some, because
/// of what `spoils` does to their stream.
fn letting_in(spoils: fn(&Stream)) {
    check(Time::Stands, move || {
        let stage = stage(Role::Client, config(), NARROW);
        let [fills, also, spoilt, sends] = [(); 4].map(|()| stage.connection.open().unwrap());
        // A helper waits in the transport, with the outbox full behind it.
        for stream in [&fills, &also] {
            stream
                .set_write_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            send(stream).unwrap();
        }
        let [one, other, sent] = [&spoilt, &spoilt, &sends].map(|stream| {
            let stream = stream.clone();
            thread::spawn(move || send_all(&stream, b"abc"))
        });
        let hears = stage.peer.hears;
        let peer = thread::spawn(move || hears.until_the_end());
        spoils(&spoilt);
        sent.join().unwrap().unwrap();
        stage.connection.start_close();
        for spoilt in [one, other] {
            let _ = spoilt.join().unwrap();
        }
        assert_eq!(bytes_of(&peer.join().unwrap(), sends.id()), b"abc");
        stage.connection.cut();
    });
}

#[test]
fn who_is_let_in_and_leaves_lets_others_in() {
    letting_in(|spoilt| spoilt.shutdown(Shutdown::Write).unwrap());
}

#[test]
fn who_is_let_in_and_has_no_credit_lets_others_in() {
    letting_in(|spoilt| {
        let mut send = spoilt.core().send.lock();
        let credit = send.window.credit();
        send.window.take(credit);
    });
}

/// Some must not wait for the transport, others may: those take the writing
/// over.
#[test]
fn who_takes_the_writing_over_comes_back_from_it() {
    check(Time::Stands, || {
        let stage = stage(Role::Client, config(), super::stage::ROOMY);
        let streams = [(); 2].map(|()| stage.connection.open().unwrap());
        let ids = streams.each_ref().map(Stream::id);
        let opening = stage.connection.clone();
        let opener = thread::spawn(move || [(); 2].map(|()| opening.open().unwrap()));
        let senders = streams.map(|stream| {
            thread::spawn(move || {
                send_all(&stream, b"a").unwrap();
                send_all(&stream, b"b").unwrap();
                stream
            })
        });
        let mut kept: Vec<Stream> = Vec::new();
        kept.extend(senders.map(|sender| sender.join().unwrap()));
        kept.extend(opener.join().unwrap());
        // All is in the transport, for nobody is left to write.
        let mut hears = stage.peer.hears;
        let mut frames = super::stage::Frames::default();
        frames.take(&hears.some());
        let frames = frames.whole();
        for id in ids {
            assert_eq!(bytes_of(&frames, id), b"ab");
        }
        let syns = frames
            .iter()
            .filter(|frame| frame.header.flags.contains(Flags::SYN));
        assert_eq!(syns.count(), 4);
    });
}

/// The reader answers, senders send, and the transport is full.
#[test]
fn answers_leave_though_everybody_writes() {
    check(Time::Stands, || {
        let (stage, streams) = narrow_stage();
        let Stage {
            connection,
            reader,
            peer,
            ..
        } = stage;
        let reading = run(reader);
        let mut says = peer.says;
        let pinging = thread::spawn(move || {
            for value in [1, 2] {
                says.frame(Header::ping(Flags::SYN, value), b"");
            }
            says.finish();
        });
        let hearing = thread::spawn(move || peer.hears.until_the_end());
        let mut senders = Vec::new();
        for stream in streams {
            senders.push(thread::spawn(move || send(&stream).map(|()| stream)));
        }
        pinging.join().unwrap();
        for sender in senders {
            let _ = sender.join().unwrap();
        }
        connection.start_close();
        let frames = hearing.join().unwrap();
        let answers = frames
            .iter()
            .filter(|frame| frame.header.kind == Kind::Ping);
        let answers: Vec<u32> = answers.map(|frame| frame.header.length).collect();
        // The peer has ended its side, and with it the connection.
        assert!([1, 2].starts_with(&answers), "{answers:?}");
        let _ = reading.join().unwrap();
    });
}

/// What is queued to leave with what is sent next leaves, whoever sends that.
#[test]
fn whatever_was_queued_leaves_before_the_end() {
    check(Time::Stands, || {
        let stage = stage(Role::Client, config(), 64);
        let hears = stage.peer.hears;
        let peer = thread::spawn(move || hears.until_the_end());
        let streams = [(); 3].map(|()| stage.connection.open().unwrap());
        let ids = [1, 3, 5].map(StreamId);
        let senders = streams.map(|stream| {
            thread::spawn(move || {
                send_all(&stream, b"ab").unwrap();
                assert!(stream.try_queue(b"c"));
                stream.shutdown(Shutdown::Write).unwrap();
                stream
            })
        });
        let streams = senders.map(|sender| sender.join().unwrap());
        stage.connection.start_close();
        let frames = peer.join().unwrap();
        for id in ids {
            assert_eq!(bytes_of(&frames, id), b"abc");
            let fins = frames.iter().filter(|frame| {
                frame.header.stream == id && frame.header.flags.contains(Flags::FIN)
            });
            assert_eq!(fins.count(), 1);
        }
        stage.connection.cut();
        drop(streams);
    });
}
