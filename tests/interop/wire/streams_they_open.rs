//! Streams that the Go peer opens to our handlers. The peer checks the answers: its
//! scripts are in `go/src/interop/wirepeer`. These tests run the scripts.

use super::{Connected, expect_truncated, with_peer};

fn script_is_done(connected: &mut Connected) {
    assert_eq!(connected.peer.note(), "done");
}

#[test]
fn their_write_to_gets_back_messages_of_every_size() {
    with_peer("echo", script_is_done);
}

#[test]
fn their_reader_gets_back_messages_of_every_size() {
    with_peer("echo.reader", script_is_done);
}

#[test]
fn large_chunks_of_their_writer_arrive_intact() {
    with_peer("writer", script_is_done);
}

#[test]
fn sixty_four_concurrent_streams_do_not_mix() {
    with_peer("many", script_is_done);
}

/// More streams than are served concurrently: the others wait.
#[test]
fn a_thousand_concurrent_streams_are_all_served() {
    with_peer("crowd", script_is_done);
}

/// Either peer may have accepted the connection.
#[test]
fn our_handler_answers_a_call() {
    with_peer("call", script_is_done);
}

#[test]
fn data_may_directly_follow_the_open() {
    with_peer("eager", script_is_done);
}

#[test]
fn an_unknown_name_is_refused_with_go_wirenets_text() {
    with_peer("unknown", script_is_done);
}

#[test]
fn our_validators_refusal_text_reaches_them() {
    with_peer("forbidden", script_is_done);
}

#[test]
fn a_missing_end_mark_is_an_error() {
    with_peer("bare", |connected| {
        assert_eq!(expect_truncated(&connected.collected), b"no end mark");
        script_is_done(connected);
    });
}

#[test]
fn a_cut_chunk_is_an_error() {
    with_peer("cut", |connected| {
        expect_truncated(&connected.collected);
        script_is_done(connected);
    });
}
