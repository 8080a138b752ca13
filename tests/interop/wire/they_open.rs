//! Streams that the Go side opens, to our handlers. What comes back is checked
//! there; here its scripts are only started and waited for.

use std::io::ErrorKind;

use super::{Connected, PATIENCE, with_peer};

fn script_is_done(connected: &mut Connected) {
    assert_eq!(connected.peer.note(), "done");
}

#[test]
fn messages_of_every_size_come_back_to_their_write_to() {
    with_peer("echo", script_is_done);
}

#[test]
fn messages_of_every_size_come_back_to_their_reader_whole() {
    with_peer("echo.reader", script_is_done);
}

#[test]
fn large_chunks_from_their_writer_arrive_whole() {
    with_peer("writer", script_is_done);
}

#[test]
fn sixty_four_streams_at_once_do_not_mix() {
    with_peer("many", script_is_done);
}

/// More than are served at once: the others wait.
#[test]
fn a_thousand_streams_at_once_are_all_served() {
    with_peer("crowd", script_is_done);
}

/// Whichever side accepted the connection.
#[test]
fn our_handler_answers_a_call() {
    with_peer("call", script_is_done);
}

#[test]
fn data_may_follow_the_open_at_once() {
    with_peer("eager", script_is_done);
}

#[test]
fn an_unknown_name_is_refused_in_go_wirenets_words() {
    with_peer("unknown", script_is_done);
}

#[test]
fn our_validators_refusal_comes_in_its_words() {
    with_peer("forbidden", script_is_done);
}

#[test]
fn an_end_without_an_end_mark_is_an_error() {
    with_peer("bare", |connected| {
        let collected = connected
            .collected
            .recv_timeout(PATIENCE)
            .expect("a handler that ran");
        assert_eq!(collected.bytes, b"no end mark");
        assert_eq!(collected.end, Err(ErrorKind::UnexpectedEof));
        script_is_done(connected);
    });
}

#[test]
fn an_end_inside_a_chunk_is_an_error() {
    with_peer("cut", |connected| {
        let collected = connected
            .collected
            .recv_timeout(PATIENCE)
            .expect("a handler that ran");
        assert_eq!(collected.end, Err(ErrorKind::UnexpectedEof));
        script_is_done(connected);
    });
}
