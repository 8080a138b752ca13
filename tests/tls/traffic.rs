//! What rustls wants done with care while bytes flow.

use super::{
    fixtures::{client_config, server_config, short_lived},
    in_time,
    pair::{End, both, client, ends, narrow_sockets, server, shake_hands, sockets, streams},
    rustls_peer::{RustlsPeer, with_client, with_server},
    support::pattern::{PIECE, Pattern},
};
use std::{
    io::{self, IoSlice, Read, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use wirenet::{
    TlsClient, TlsError, TlsServer,
    tls::rustls::{ServerConfig, crypto::ring},
    transport::{Halves, TlsStream, Transport, Wait},
};

#[test]
fn a_read_that_finds_nothing_is_no_end() {
    in_time(|| {
        let (mut hand, mut far) = with_server(sockets(), server());
        let soon = Some(Duration::from_millis(5));
        far.0.reader.set_timeout(soon).unwrap();
        let record = hand.encrypt(&[7; 3000]);
        let (first, rest) = record.split_at(2000);
        for piece in [&[][..], first, rest] {
            hand.send(piece);
            if piece.len() == rest.len() {
                break;
            }
            // Nothing, or the beginning of a record: of which nothing is lost.
            let error = far.read(&mut [0; 10]).unwrap_err();
            let goes_on = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
            assert!(goes_on.contains(&error.kind()), "{error}");
        }
        far.0.reader.set_timeout(Some(super::PATIENCE)).unwrap();
        far.expect(&[7; 3000]);
        assert_eq!(far.read(&mut []).unwrap(), 0);
        let more = hand.encrypt(b"more");
        hand.send(&more);
        far.expect(b"more");
    });
}

/// Each byte is sent when the read of the one before it has returned: a read
/// that waited for the record would wait for ever.
#[test]
fn a_record_that_trickles_in_does_not_hold_up_a_read_for_ever() {
    in_time(|| {
        let (mut hand, mut far) = with_server(sockets(), server());
        far.0.reader.set_timeout(Some(super::PATIENCE)).unwrap();
        let record = hand.encrypt(&[7; 16_000]);
        let (trickling, rest) = record.split_at(1000);
        for byte in trickling {
            hand.send(&[*byte]);
            let error = far.0.reader.read(&mut [0; 10]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        }
        hand.send(rest);
        far.expect(&[7; 16_000]);
    });
}

#[test]
fn what_comes_along_with_the_handshake_is_read_without_waiting() {
    in_time(|| {
        let (near, far) = sockets();
        let (mut hand, mut far) = thread::scope(|scope| {
            let far =
                scope.spawn(move || TlsStream::server(far, &server(), super::pair::patience()));
            let mut hand = RustlsPeer::client(near);
            hand.begin();
            let records = hand.encrypt(b"at once");
            hand.send(&records);
            (hand, End::new(far.join().unwrap().unwrap()))
        });
        far.expect(b"at once");
        far.send(b"so");
        hand.expect(b"so");
    });
}

#[test]
fn a_reader_with_a_small_buffer_gets_all_of_many_large_records() {
    in_time(|| {
        let (mut near, mut far) = ends(both());
        let pattern = Pattern::new(1);
        let bytes = pattern.to_vec(500_000);
        let sending = thread::spawn(move || {
            near.send(&bytes);
            near.finish();
        });
        let mut position = 0;
        let mut buf = [0; 700];
        loop {
            let count = far.read(&mut buf).unwrap();
            if count == 0 {
                break;
            }
            pattern.check(position, &buf[..count]);
            position += count as u64;
        }
        assert_eq!(position, 500_000);
        sending.join().unwrap();
    });
}

/// Writes the pattern in slices of odd sizes, `len` bytes, and ends.
fn write_pattern(halves: &mut Halves, seed: u64, len: usize) {
    let pattern = Pattern::new(seed);
    let mut position = 0;
    while position < len {
        let piece = pattern.at(position as u64, PIECE.min(len - position));
        let (first, rest) = piece.split_at(piece.len() / 3);
        let slices = [IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(rest)];
        position += halves.writer.write(&slices, Wait::Block).unwrap();
    }
    halves.writer.finish(Wait::Block).unwrap();
}

fn read_pattern(halves: &mut Halves, seed: u64, len: usize) {
    let pattern = Pattern::new(seed);
    let mut buf = vec![0; 50_000];
    let mut position = 0;
    loop {
        let count = super::pair::read(&mut *halves.reader, &mut buf).unwrap();
        if count == 0 {
            break;
        }
        pattern.check(position, &buf[..count]);
        position += count as u64;
    }
    assert_eq!(position, len as u64);
}

/// The halves of one end, for one thread each.
fn parts(end: TlsStream) -> (Halves, Halves) {
    let halves = End::new(end).0;
    let nothing = || {
        let (end, _) = wirenet::transport::memory::pair(1);
        end.split().unwrap()
    };
    let (for_reading, for_writing) = (nothing(), nothing());
    (
        Halves {
            reader: halves.reader,
            ..for_reading
        },
        Halves {
            writer: halves.writer,
            ..for_writing
        },
    )
}

/// Both ends write and read at the same time, each on two threads.
fn both_ways(near: TlsStream, far: TlsStream, len: usize) {
    let ((mut near_reads, mut near_writes), (mut far_reads, mut far_writes)) =
        (parts(near), parts(far));
    thread::scope(|scope| {
        scope.spawn(|| write_pattern(&mut near_writes, 1, len));
        scope.spawn(|| write_pattern(&mut far_writes, 2, len));
        scope.spawn(|| read_pattern(&mut far_reads, 1, len));
        scope.spawn(|| read_pattern(&mut near_reads, 2, len));
    });
}

#[test]
fn both_directions_carry_as_much_as_they_can_at_the_same_time() {
    in_time(|| {
        let (near, far) = streams(both());
        both_ways(near, far, 16 << 20);
    });
}

#[test]
fn both_directions_go_on_after_both_were_stuck() {
    in_time(|| {
        let (near, far) = shake_hands(narrow_sockets(), both(), "127.0.0.1");
        let mut both = [End::new(near.unwrap()), End::new(far.unwrap())];
        // Neither reads before neither can write.
        let taken = both.each_mut().map(|end| {
            let mut taken = 0;
            while let Ok(count) = end.0.writer.write(&[IoSlice::new(&[7; 5000])], Wait::Never) {
                taken += count;
            }
            taken
        });
        let [near, far] = both;
        let go_on = |end: End, others: usize| {
            thread::spawn(move || {
                let Halves {
                    mut reader,
                    mut writer,
                    closer,
                    ..
                } = end.0;
                let writing = thread::spawn(move || writer.finish(Wait::Block).unwrap());
                let mut received = 0;
                let mut buf = [0; 999];
                loop {
                    let count = super::pair::read(&mut *reader, &mut buf).unwrap();
                    assert!(buf[..count].iter().all(|byte| *byte == 7));
                    received += count;
                    if count == 0 {
                        break;
                    }
                }
                assert_eq!(received, others);
                writing.join().unwrap();
                closer
            })
        };
        let ends = [go_on(near, taken[1]), go_on(far, taken[0])];
        for end in ends {
            end.join().unwrap();
        }
    });
}

#[test]
fn keys_are_changed_again_and_again_while_both_sides_send() {
    in_time(|| {
        let client = TlsClient::from(Arc::new(client_config(short_lived())));
        let server = TlsServer::from(Arc::new(server_config(short_lived())));
        let (near, far) = streams((client, server));
        // Some 250 changes each way.
        both_ways(near, far, 4 << 20);
    });
}

#[test]
fn a_peer_may_change_its_keys_whenever_it_likes() {
    in_time(|| {
        let (mut near, mut hand) = with_client(sockets(), client());
        for round in 0..40_u8 {
            hand.tls.refresh_traffic_keys().unwrap();
            let records = hand.encrypt(&[round; 100]);
            hand.send(&records);
            near.expect(&[round; 100]);
            // Its answer to the change goes along.
            near.send(&[round; 100]);
            hand.expect(&[round; 100]);
        }
    });
}

/// For a server that sends tickets in records of 64 bytes.
fn generous() -> Arc<ServerConfig> {
    let mut config = server_config(ring::default_provider());
    config.max_fragment_size = Some(64);
    config.send_tls13_tickets = 4;
    Arc::new(config)
}

#[test]
fn tickets_in_small_pieces_do_no_harm() {
    in_time(|| {
        let (mut near, mut far) = ends((client(), generous().into()));
        near.send(b"and?");
        far.expect(b"and?");
        far.send(&[7; 1000]);
        near.expect(&[7; 1000]);
    });
}

#[test]
fn a_ticket_that_is_half_there_does_no_harm() {
    in_time(|| {
        let (near, far) = sockets();
        let (mut hand, mut near) = thread::scope(|scope| {
            let near = scope.spawn(move || {
                TlsStream::client(near, &client(), "127.0.0.1", super::pair::patience())
            });
            let mut hand = RustlsPeer::server(far, generous());
            hand.begin();
            (hand, End::new(near.join().unwrap().unwrap()))
        });
        let tickets = hand.records();
        assert!(tickets.len() > 200, "{}", tickets.len());
        near.0
            .reader
            .set_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        // Not a whole number of records, and in the middle of a ticket.
        for piece in tickets.chunks(150) {
            hand.send(piece);
            let error = near.read(&mut [0; 10]).unwrap_err();
            let goes_on = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
            assert!(goes_on.contains(&error.kind()), "{error}");
            // Nor does writing then.
            near.send(b"x");
            hand.expect(b"x");
        }
        near.0.reader.set_timeout(Some(super::PATIENCE)).unwrap();
        let records = hand.encrypt(b"done");
        hand.send(&records);
        near.expect(b"done");
    });
}

/// There is more to read all the time: a byte for each message that goes there
/// and back elsewhere.
#[test]
fn a_handshake_that_trickles_in_has_one_deadline() {
    in_time(|| {
        for ours_is_client in [true, false] {
            let (near, mut far) = sockets();
            let (mut elsewhere, echoing) = sockets();
            elsewhere.set_nodelay(true).unwrap();
            echoing.set_nodelay(true).unwrap();
            thread::spawn(move || io::copy(&mut &echoing, &mut &echoing));
            let trickling = thread::spawn(move || {
                // A handshake record of 16,000 bytes.
                let record = [&[22, 3, 3, 62, 128][..], &[0; 16_000]].concat();
                // Until ours has given up.
                record.iter().any(|byte| {
                    elsewhere.write_all(&[7]).unwrap();
                    elsewhere.read_exact(&mut [0]).unwrap();
                    far.write_all(&[*byte]).is_err()
                })
            });
            let began = Instant::now();
            let deadline = began + Duration::from_millis(150);
            let outcome = if ours_is_client {
                TlsStream::client(near, &client(), "127.0.0.1", deadline)
            } else {
                TlsStream::server(near, &server(), deadline)
            };
            let error = outcome.unwrap_err();
            assert!(matches!(error, TlsError::TimedOut), "{error:?}");
            assert!(began.elapsed() < Duration::from_secs(4));
            assert!(trickling.join().unwrap(), "it has not said all by then");
        }
    });
}

#[test]
fn a_silent_peer_runs_into_the_deadline() {
    in_time(|| {
        let (near, _far) = sockets();
        let began = Instant::now();
        let deadline = began + Duration::from_millis(50);
        let error = TlsStream::server(near, &server(), deadline).unwrap_err();
        assert!(matches!(error, TlsError::TimedOut), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    });
}
