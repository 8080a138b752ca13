//! How a connection ends, and what the other end takes that for.

use super::{
    in_time,
    pair::{End, both, ca, client, ends, meet, narrow_sockets, server, sockets, streams},
    rustls_peer::{RustlsPeer, with_client, with_server},
};
use crossbeam_channel::bounded;
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    net::Shutdown,
    sync::Arc,
    thread,
    time::Duration,
};
use wirenet::{
    TlsError,
    tls::rustls::{self, AlertDescription},
    transport::{Transport, Wait},
};

/// What rustls said, inside of an I/O error.
fn said(error: &io::Error) -> &rustls::Error {
    let inner = error.get_ref().expect("an error inside");
    inner.downcast_ref().expect("one of rustls")
}

#[test]
fn an_end_in_order_is_an_end_and_leaves_the_other_direction_open() {
    in_time(|| {
        let (mut near, mut far) = ends(both());
        near.send(b"that is all");
        near.finish();
        let (bytes, end) = far.receive_all();
        assert_eq!(bytes, b"that is all");
        end.unwrap();
        // It stays one.
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        far.send(b"not from here");
        near.expect(b"not from here");
        far.finish();
        near.receive_all().1.unwrap();
    });
}

#[test]
fn nothing_is_written_behind_the_end() {
    in_time(|| {
        let (mut near, mut far) = ends(both());
        near.send(b"first");
        near.finish();
        let error = near.try_send(b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        // Ending it again does nothing.
        near.finish();
        let (bytes, end) = far.receive_all();
        assert_eq!(bytes, b"first");
        end.unwrap();
    });
}

#[test]
fn a_connection_that_just_ends_is_truncated() {
    in_time(|| {
        let (mut hand, mut far) = with_server(sockets(), server());
        let records = hand.encrypt(b"so far");
        hand.send(&records);
        hand.socket.shutdown(Shutdown::Write).unwrap();
        let (bytes, end) = far.receive_all();
        assert_eq!(bytes, b"so far");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_connection_that_ends_inside_of_a_record_is_truncated() {
    in_time(|| {
        let (mut near, mut hand) = with_client(sockets(), client());
        let mut records = hand.encrypt(b"whole");
        records.extend(hand.encrypt(b"cut off"));
        hand.send(&records[..records.len() - 1]);
        hand.socket.shutdown(Shutdown::Write).unwrap();
        let (bytes, end) = near.receive_all();
        assert_eq!(bytes, b"whole");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_connection_that_is_reset_is_an_error() {
    in_time(|| {
        let (hand, mut far) = with_server(sockets(), server());
        SockRef::from(&hand.socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(hand);
        let error = far.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_connection_that_was_cut_here_is_neither_truncated_nor_ended() {
    in_time(|| {
        let (near, far) = streams(both());
        let mut near = End::new(near);
        let closer = Arc::clone(&near.0.closer);
        let reading = thread::spawn(move || near.read(&mut [0; 10]));
        closer.shutdown();
        let error = reading.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        // The peer has to take it for a truncation.
        let error = End::new(far).receive_all().1.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

/// Writes until no more fits, and says how much that was.
fn fill(end: &mut End) -> usize {
    let mut taken = 0;
    loop {
        match end.0.writer.write(&[IoSlice::new(&[7; 5000])], Wait::Never) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
            Err(error) => panic!("{error}"),
        }
        assert!(
            taken < 1 << 20,
            "{taken} bytes were taken, which nobody reads"
        );
    }
}

#[test]
fn cutting_frees_a_reader_and_a_writer_that_wait_for_the_peer() {
    in_time(|| {
        let (_hand, mut far) = with_server(narrow_sockets(), server());
        fill(&mut far);
        let halves = far.0;
        let (mut reader, mut writer) = (halves.reader, halves.writer);
        reader.set_timeout(None).unwrap();
        writer.set_timeout(None).unwrap();
        let (about_to, waits) = bounded(2);
        let write = about_to.clone();
        let writing = thread::spawn(move || {
            write.send(()).unwrap();
            writer.flush(Wait::Block)
        });
        let reading = thread::spawn(move || {
            about_to.send(()).unwrap();
            super::pair::read(&mut *reader, &mut [0; 10])
        });
        waits.recv().unwrap();
        waits.recv().unwrap();
        halves.closer.shutdown();
        writing.join().unwrap().unwrap_err();
        reading.join().unwrap().unwrap_err();
    });
}

#[test]
fn what_was_taken_and_did_not_fit_is_sent_before_the_end() {
    in_time(|| {
        let (mut hand, mut far) = with_server(narrow_sockets(), server());
        let taken = fill(&mut far);
        let full = far.0.writer.finish(Wait::Never).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let finishing = thread::spawn(move || {
            far.finish();
            far
        });
        let (bytes, end) = hand.receive_all();
        assert_eq!(bytes.len(), taken);
        end.unwrap();
        finishing.join().unwrap();
    });
}

#[test]
fn a_peer_that_takes_nothing_runs_into_the_write_timeout() {
    in_time(|| {
        let (_hand, mut far) = with_server(narrow_sockets(), server());
        fill(&mut far);
        let timeout = Some(Duration::from_millis(50));
        far.0.writer.set_timeout(timeout).unwrap();
        // The system may find room for a little more.
        let slices = [IoSlice::new(&[7; 5000])];
        let mut writes = (0..100).map(|_| far.0.writer.write(&slices, Wait::Block));
        let error = writes.find_map(Result::err).expect("no room in the end");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

/// A good record and then a bad one.
fn good_and_bad(hand: &mut RustlsPeer) -> Vec<u8> {
    let mut records = hand.encrypt(b"good");
    let mut bad = hand.encrypt(b"bad");
    *bad.last_mut().unwrap() ^= 1;
    records.extend(bad);
    records
}

fn is_bad_record_alert(error: &io::Error) -> bool {
    *said(error) == rustls::Error::AlertReceived(AlertDescription::BadRecordMac)
}

#[test]
fn what_came_before_a_corrupt_record_is_read_and_the_peer_is_told() {
    in_time(|| {
        let (mut hand, mut far) = with_server(sockets(), server());
        let records = good_and_bad(&mut hand);
        hand.send(&records);
        // In two reads, so that the failure has to last.
        far.expect(b"go");
        let (bytes, end) = far.receive_all();
        assert_eq!(bytes, b"od");
        assert_eq!(*said(&end.unwrap_err()), rustls::Error::DecryptError);
        let error = far.read(&mut [0]).unwrap_err();
        assert_eq!(*said(&error), rustls::Error::DecryptError);
        let error = hand.receive_all().1.unwrap_err();
        assert!(is_bad_record_alert(&error), "{error}");
        far.try_send(b"too late").unwrap_err();
    });
}

#[test]
fn a_reader_tells_the_peer_through_a_writer_that_waits() {
    in_time(|| {
        let (mut hand, mut far) = with_server(narrow_sockets(), server());
        let taken = fill(&mut far);
        let halves = far.0;
        let (mut reader, mut writer) = (halves.reader, halves.writer);
        let (about_to, waits) = bounded(0);
        let writing = thread::spawn(move || {
            about_to.send(()).unwrap();
            writer.flush(Wait::Block)
        });
        waits.recv().unwrap();
        let records = good_and_bad(&mut hand);
        hand.send(&records);
        assert_eq!(super::pair::read(&mut *reader, &mut [0; 10]).unwrap(), 4);
        super::pair::read(&mut *reader, &mut [0; 10]).unwrap_err();
        // Only now is there room.
        let (bytes, end) = hand.receive_all();
        assert_eq!(bytes.len(), taken);
        let error = end.unwrap_err();
        assert!(is_bad_record_alert(&error), "{error}");
        writing.join().unwrap().unwrap();
    });
}

#[test]
fn a_client_without_the_certificate_asked_for_hears_so_with_its_first_read() {
    in_time(|| {
        let server = server().client_ca(ca()).unwrap();
        let (near, far) = meet((client(), server));
        let refused = far.unwrap_err();
        let none = matches!(
            refused,
            TlsError::Handshake(rustls::Error::NoCertificatesPresented)
        );
        assert!(none, "{refused:?}");
        // The server's refusal comes after the client is done.
        let mut halves = near.unwrap().split().unwrap();
        let error = super::pair::read(&mut *halves.reader, &mut [0; 10]).unwrap_err();
        let required = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(*said(&error), required);
    });
}
