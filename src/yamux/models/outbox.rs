//! The outbox and its writing role: several senders, a transport that is full or
//! fails, and the helper thread. No thread waits forever, and queued frames are sent
//! once, in the order of each stream.

use super::stage::{PeerFrame, Stage, bytes_of, config, run, send_all, stage};
use crate::{
    sync::{Time, check, thread},
    yamux::{
        Error, INITIAL_WINDOW, Rest, Role, Stream,
        frame::{Flags, Header, Kind, StreamId},
        segment::MAX_PAYLOAD,
    },
};
use std::{net::Shutdown, time::Duration};

/// Senders, and full frames of each: more than the outbox holds.
const SENDERS: usize = 3;
const FRAMES: u8 = 3;

/// The capacity of a transport that holds less than two frames.
const NARROW: usize = 100_000;

/// Sends [`FRAMES`] full frames, each filled with its number.
fn send(stream: &Stream) -> Result<(), Error> {
    (0..FRAMES).try_for_each(|number| {
        let fill = |credit: usize| credit.min(MAX_PAYLOAD);
        let put = |segment: &mut crate::yamux::segment::Segment, count| {
            segment.put(&vec![number; count]);
            Rest::Busy
        };
        stream.send_frame(fill, put).map(drop)
    })
}

/// Returns the numbers of a stream's frames, in the order in which they were
/// received.
fn numbers(frames: &[PeerFrame], stream: StreamId) -> Vec<u8> {
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

/// Makes a helper wait in the transport, and fills the outbox behind it. Returns two
/// streams on which nothing was sent.
fn full_outbox(stage: &Stage) -> [Stream; 2] {
    let open = || stage.connection.open().unwrap();
    for stream in [open(), open()] {
        let timeout = Some(Duration::from_secs(1));
        stream.set_write_timeout(timeout).unwrap();
        send(&stream).unwrap();
    }
    [open(), open()]
}

/// `timeout` is the write timeout of the streams. With a timeout, writes do not wait
/// in the transport, but leave that to a helper.
fn sending(time: Time, timeout: Option<Duration>) {
    check(time, move || {
        let (stage, streams) = narrow_stage();
        let ids: Vec<StreamId> = streams.iter().map(Stream::id).collect();
        let receiver = stage.peer.receiver;
        let peer = thread::spawn(move || receiver.read_to_end());
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
            if time == Time::Fixed {
                assert!(sent.is_ok(), "{sent:?}");
                assert_eq!(came, all);
            }
        }
        stage.connection.cut();
    });
}

#[test]
fn all_of_many_senders_finish() {
    sending(Time::Fixed, None);
}

#[test]
fn senders_that_do_not_wait_in_the_transport_finish_too() {
    sending(Time::Fixed, Some(Duration::from_secs(1)));
}

#[test]
fn a_send_that_times_out_does_not_harm_others() {
    sending(Time::Advancing, Some(Duration::from_secs(1)));
}

#[test]
fn a_transport_that_accepts_nothing_in_time_ends_all_waits() {
    sending(Time::Advancing, None);
}

#[test]
fn a_failing_transport_wakes_threads_that_wait_for_room() {
    check(Time::Fixed, || {
        let stage = stage(Role::Client, config(), NARROW);
        let streams = full_outbox(&stage);
        let senders = streams.map(|stream| thread::spawn(move || send_all(&stream, b"abc")));
        stage.peer.sender.cut();
        for sender in senders {
            match sender.join().unwrap() {
                // It was queued before the transport failed.
                Ok(()) | Err(Error::Io(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        // No thread has read the connection yet.
        let reading = run(stage.reader);
        assert!(reading.join().unwrap().is_err());
    });
}

/// One stream waits for credit while the frame of another meets a failing transport.
#[test]
fn a_failing_transport_wakes_threads_that_wait_for_credit() {
    check(Time::Fixed, || {
        let (stage, streams) = narrow_stage();
        let [waits, sends, ..] = &streams[..] else {
            unreachable!()
        };
        let (waits, sends) = (waits.clone(), sends.clone());
        waits.core().send.lock().window.take(INITIAL_WINDOW);
        let waiting = thread::spawn(move || send_all(&waits, b"no credit"));
        stage.peer.sender.cut();
        // The write is queued before the transport fails, or fails.
        let _ = send_all(&sends, b"fails");
        assert!(matches!(waiting.join().unwrap(), Err(Error::Io(_))));
    });
}

/// Three threads wait for room. Two of them do not use it, because of what `spoils`
/// does to their stream.
fn passing_room_on(spoils: fn(&Stream)) {
    check(Time::Fixed, move || {
        let stage = stage(Role::Client, config(), NARROW);
        let [spoilt, sends] = full_outbox(&stage);
        let [one, other, sent] = [&spoilt, &spoilt, &sends].map(|stream| {
            let stream = stream.clone();
            thread::spawn(move || send_all(&stream, b"abc"))
        });
        let receiver = stage.peer.receiver;
        let peer = thread::spawn(move || receiver.read_to_end());
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
fn a_thread_that_leaves_passes_its_room_on() {
    passing_room_on(|spoilt| spoilt.shutdown(Shutdown::Write).unwrap());
}

#[test]
fn a_thread_without_credit_passes_its_room_on() {
    passing_room_on(|spoilt| {
        let mut send = spoilt.core().send.lock();
        let credit = send.window.credit();
        send.window.take(credit);
    });
}

/// Threads that may wait for the transport take the writing role over from those
/// that may not.
#[test]
fn a_thread_that_takes_the_writing_role_over_returns() {
    check(Time::Fixed, || {
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
        // Everything is in the transport: no thread is left to write.
        let mut receiver = stage.peer.receiver;
        let mut frames = super::stage::Frames::default();
        frames.take(&receiver.read());
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

/// The reader answers while senders send and the transport is full.
#[test]
fn answers_are_sent_while_all_threads_write() {
    check(Time::Fixed, || {
        let (stage, streams) = narrow_stage();
        let Stage {
            connection,
            reader,
            peer,
            ..
        } = stage;
        let reading = run(reader);
        let mut sender = peer.sender;
        let pinging = thread::spawn(move || {
            for value in [1, 2] {
                sender.send(Header::ping(Flags::SYN, value), b"");
            }
            sender.finish();
        });
        let receiving = thread::spawn(move || peer.receiver.read_to_end());
        let mut senders = Vec::new();
        for stream in streams {
            senders.push(thread::spawn(move || send(&stream).map(|()| stream)));
        }
        pinging.join().unwrap();
        for sender in senders {
            let _ = sender.join().unwrap();
        }
        connection.start_close();
        let frames = receiving.join().unwrap();
        let answers = frames
            .iter()
            .filter(|frame| frame.header.kind == Kind::Ping);
        let answers: Vec<u32> = answers.map(|frame| frame.header.length).collect();
        // The peer has ended its direction, and with it the connection.
        assert!([1, 2].starts_with(&answers), "{answers:?}");
        let _ = reading.join().unwrap();
    });
}

/// Frames that are queued to be sent with the next frame are sent, whichever thread
/// sends that one.
#[test]
fn queued_frames_are_sent_before_the_end() {
    check(Time::Fixed, || {
        let stage = stage(Role::Client, config(), 64);
        let receiver = stage.peer.receiver;
        let peer = thread::spawn(move || receiver.read_to_end());
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
