//! Data over a TLS connection, and deadlines of handshakes.

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
fn a_read_without_data_is_not_an_end() {
    in_time(|| {
        let (mut peer, mut far) = with_server(sockets(), server());
        let soon = Some(Duration::from_millis(5));
        far.0.reader.set_timeout(soon).unwrap();
        let record = peer.encrypt(&[7; 3000]);
        let (first, rest) = record.split_at(2000);
        for piece in [&[][..], first, rest] {
            peer.send(piece);
            if piece.len() == rest.len() {
                break;
            }
            // Nothing, or the beginning of a record, which is not lost.
            let error = far.read(&mut [0; 10]).unwrap_err();
            let goes_on = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
            assert!(goes_on.contains(&error.kind()), "{error}");
        }
        far.0.reader.set_timeout(Some(super::PATIENCE)).unwrap();
        far.expect(&[7; 3000]);
        assert_eq!(far.read(&mut []).unwrap(), 0);
        let more = peer.encrypt(b"more");
        peer.send(&more);
        far.expect(b"more");
    });
}

/// Each byte is sent after the read of the byte before it has returned. A read that waited
/// for the whole record would wait forever.
#[test]
fn a_record_that_trickles_in_does_not_block_a_read_forever() {
    in_time(|| {
        let (mut peer, mut far) = with_server(sockets(), server());
        far.0.reader.set_timeout(Some(super::PATIENCE)).unwrap();
        let record = peer.encrypt(&[7; 16_000]);
        let (trickling, rest) = record.split_at(1000);
        for byte in trickling {
            peer.send(&[*byte]);
            let error = far.0.reader.read(&mut [0; 10]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        }
        peer.send(rest);
        far.expect(&[7; 16_000]);
    });
}

#[test]
fn data_that_arrives_with_the_handshake_is_read_without_waiting() {
    in_time(|| {
        let (near, far) = sockets();
        let (mut peer, mut far) = thread::scope(|scope| {
            let far =
                scope.spawn(move || TlsStream::server(far, &server(), super::pair::patience()));
            let mut peer = RustlsPeer::client(near);
            peer.begin();
            let records = peer.encrypt(b"at once");
            peer.send(&records);
            (peer, End::new(far.join().unwrap().unwrap()))
        });
        far.expect(b"at once");
        far.send(b"so");
        peer.expect(b"so");
    });
}

#[test]
fn a_small_buffer_gets_all_of_many_large_records() {
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

/// Writes `len` bytes of the pattern in slices of odd sizes, and ends.
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

/// The halves of one end, for a thread each.
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

/// Both ends write and read at the same time, on two threads each.
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
fn both_directions_carry_data_at_full_speed_at_the_same_time() {
    in_time(|| {
        let (near, far) = streams(both());
        both_ways(near, far, 16 << 20);
    });
}

#[test]
fn both_directions_continue_after_both_were_blocked() {
    in_time(|| {
        let (near, far) = shake_hands(narrow_sockets(), both(), "127.0.0.1");
        let mut both = [End::new(near.unwrap()), End::new(far.unwrap())];
        // Neither end reads until neither can write.
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
fn keys_are_updated_repeatedly_while_both_sides_send() {
    in_time(|| {
        let client = TlsClient::from(Arc::new(client_config(short_lived())));
        let server = TlsServer::from(Arc::new(server_config(short_lived())));
        let (near, far) = streams((client, server));
        // Some 250 updates each way.
        both_ways(near, far, 4 << 20);
    });
}

#[test]
fn a_peer_may_update_its_keys_at_any_time() {
    in_time(|| {
        let (mut near, mut peer) = with_client(sockets(), client());
        for round in 0..40_u8 {
            peer.tls.refresh_traffic_keys().unwrap();
            let records = peer.encrypt(&[round; 100]);
            peer.send(&records);
            near.expect(&[round; 100]);
            // The answer to the update is sent along.
            near.send(&[round; 100]);
            peer.expect(&[round; 100]);
        }
    });
}

/// A configuration for a server that sends tickets in records of 64 bytes.
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
fn an_incomplete_ticket_does_no_harm() {
    in_time(|| {
        let (near, far) = sockets();
        let (mut peer, mut near) = thread::scope(|scope| {
            let near = scope.spawn(move || {
                TlsStream::client(near, &client(), "127.0.0.1", super::pair::patience())
            });
            let mut peer = RustlsPeer::server(far, generous());
            peer.begin();
            (peer, End::new(near.join().unwrap().unwrap()))
        });
        let tickets = peer.records();
        assert!(tickets.len() > 200, "{}", tickets.len());
        near.0
            .reader
            .set_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        // Each piece ends inside a record, and inside a ticket.
        for piece in tickets.chunks(150) {
            peer.send(piece);
            let error = near.read(&mut [0; 10]).unwrap_err();
            let goes_on = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
            assert!(goes_on.contains(&error.kind()), "{error}");
            // Writing works meanwhile.
            near.send(b"x");
            peer.expect(b"x");
        }
        near.0.reader.set_timeout(Some(super::PATIENCE)).unwrap();
        let records = peer.encrypt(b"done");
        peer.send(&records);
        near.expect(b"done");
    });
}

/// There is always more to read: the peer sends a byte after each round trip on another
/// connection.
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
                // Until the handshake has been given up.
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
            assert!(trickling.join().unwrap(), "the whole record was sent");
        }
    });
}

#[test]
fn the_deadline_ends_a_handshake_with_a_silent_peer() {
    in_time(|| {
        let (near, _far) = sockets();
        let began = Instant::now();
        let deadline = began + Duration::from_millis(50);
        let error = TlsStream::server(near, &server(), deadline).unwrap_err();
        assert!(matches!(error, TlsError::TimedOut), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    });
}
