//! How a connection ends, and what the peer sees.

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

/// The error of rustls inside an I/O error.
fn rustls_error(error: &io::Error) -> &rustls::Error {
    let inner = error.get_ref().expect("an error inside");
    inner.downcast_ref().expect("one of rustls")
}

#[test]
fn a_graceful_end_leaves_the_other_direction_open() {
    in_time(|| {
        let (mut near, mut far) = ends(both());
        near.send(b"that is all");
        near.finish();
        let (bytes, end) = far.receive_all();
        assert_eq!(bytes, b"that is all");
        end.unwrap();
        // The end is permanent.
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        far.send(b"not from here");
        near.expect(b"not from here");
        far.finish();
        near.receive_all().1.unwrap();
    });
}

#[test]
fn nothing_is_written_after_the_end() {
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
fn a_connection_that_ends_without_an_alert_is_truncated() {
    in_time(|| {
        let (mut peer, mut far) = with_server(sockets(), server());
        let records = peer.encrypt(b"so far");
        peer.send(&records);
        peer.socket.shutdown(Shutdown::Write).unwrap();
        let (bytes, end) = far.receive_all();
        assert_eq!(bytes, b"so far");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_connection_that_ends_inside_a_record_is_truncated() {
    in_time(|| {
        let (mut near, mut peer) = with_client(sockets(), client());
        let mut records = peer.encrypt(b"whole");
        records.extend(peer.encrypt(b"cut off"));
        peer.send(&records[..records.len() - 1]);
        peer.socket.shutdown(Shutdown::Write).unwrap();
        let (bytes, end) = near.receive_all();
        assert_eq!(bytes, b"whole");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_connection_that_is_reset_is_an_error() {
    in_time(|| {
        let (peer, mut far) = with_server(sockets(), server());
        SockRef::from(&peer.socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        let error = far.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_local_shutdown_is_neither_truncation_nor_an_end() {
    in_time(|| {
        let (near, far) = streams(both());
        let mut near = End::new(near);
        let closer = Arc::clone(&near.0.closer);
        let reading = thread::spawn(move || near.read(&mut [0; 10]));
        closer.shutdown();
        let error = reading.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        // To the peer it is truncation.
        let error = End::new(far).receive_all().1.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

/// Writes until nothing more fits. Returns the number of bytes.
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
            "{taken} bytes were accepted, although the peer does not read"
        );
    }
}

#[test]
fn a_shutdown_wakes_a_reader_and_a_writer_that_wait_for_the_peer() {
    in_time(|| {
        let (_peer, mut far) = with_server(narrow_sockets(), server());
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
fn buffered_bytes_are_sent_before_the_end() {
    in_time(|| {
        let (mut peer, mut far) = with_server(narrow_sockets(), server());
        let taken = fill(&mut far);
        let full = far.0.writer.finish(Wait::Never).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let finishing = thread::spawn(move || {
            far.finish();
            far
        });
        let (bytes, end) = peer.receive_all();
        assert_eq!(bytes.len(), taken);
        end.unwrap();
        finishing.join().unwrap();
    });
}

#[test]
fn the_write_timeout_ends_a_write_to_a_peer_that_reads_nothing() {
    in_time(|| {
        let (_peer, mut far) = with_server(narrow_sockets(), server());
        fill(&mut far);
        let timeout = Some(Duration::from_millis(50));
        far.0.writer.set_timeout(timeout).unwrap();
        // The system may find room for a little more.
        let slices = [IoSlice::new(&[7; 5000])];
        let mut writes = (0..100).map(|_| far.0.writer.write(&slices, Wait::Block));
        let error = writes
            .find_map(Result::err)
            .expect("an error once there is no room");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

/// A good record, and then a corrupt one.
fn good_and_bad(peer: &mut RustlsPeer) -> Vec<u8> {
    let mut records = peer.encrypt(b"good");
    let mut bad = peer.encrypt(b"bad");
    *bad.last_mut().unwrap() ^= 1;
    records.extend(bad);
    records
}

fn is_bad_record_alert(error: &io::Error) -> bool {
    *rustls_error(error) == rustls::Error::AlertReceived(AlertDescription::BadRecordMac)
}

#[test]
fn data_before_a_corrupt_record_is_read_and_the_peer_gets_an_alert() {
    in_time(|| {
        let (mut peer, mut far) = with_server(sockets(), server());
        let records = good_and_bad(&mut peer);
        peer.send(&records);
        // In two reads, so that the failure must be remembered.
        far.expect(b"go");
        let (bytes, end) = far.receive_all();
        assert_eq!(bytes, b"od");
        assert_eq!(
            *rustls_error(&end.unwrap_err()),
            rustls::Error::DecryptError
        );
        let error = far.read(&mut [0]).unwrap_err();
        assert_eq!(*rustls_error(&error), rustls::Error::DecryptError);
        let error = peer.receive_all().1.unwrap_err();
        assert!(is_bad_record_alert(&error), "{error}");
        far.try_send(b"too late").unwrap_err();
    });
}

#[test]
fn a_reader_sends_an_alert_through_a_writer_that_waits() {
    in_time(|| {
        let (mut peer, mut far) = with_server(narrow_sockets(), server());
        let taken = fill(&mut far);
        let halves = far.0;
        let (mut reader, mut writer) = (halves.reader, halves.writer);
        let (about_to, waits) = bounded(0);
        let writing = thread::spawn(move || {
            about_to.send(()).unwrap();
            writer.flush(Wait::Block)
        });
        waits.recv().unwrap();
        let records = good_and_bad(&mut peer);
        peer.send(&records);
        assert_eq!(super::pair::read(&mut *reader, &mut [0; 10]).unwrap(), 4);
        super::pair::read(&mut *reader, &mut [0; 10]).unwrap_err();
        // Reading makes room.
        let (bytes, end) = peer.receive_all();
        assert_eq!(bytes.len(), taken);
        let error = end.unwrap_err();
        assert!(is_bad_record_alert(&error), "{error}");
        writing.join().unwrap().unwrap();
    });
}

#[test]
fn a_client_without_the_required_certificate_gets_the_alert_with_its_first_read() {
    in_time(|| {
        let server = server().client_ca(ca()).unwrap();
        let (near, far) = meet((client(), server));
        let refused = far.unwrap_err();
        let none = matches!(
            refused,
            TlsError::Handshake(rustls::Error::NoCertificatesPresented)
        );
        assert!(none, "{refused:?}");
        // The server's refusal arrives after the client's handshake.
        let mut halves = near.unwrap().split().unwrap();
        let error = super::pair::read(&mut *halves.reader, &mut [0; 10]).unwrap_err();
        let required = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(*rustls_error(&error), required);
    });
}
