use super::{go_joins, go_serves, stop_after_clients};
use crate::go_programs::with_go_programs;
use crate::program::{join, serve};

#[test]
fn go_sessions_all_receive_the_same_mebibyte() {
    with_go_programs("bytes: we serve", |programs| {
        let (ours, addr) = serve("bytes", "server", [""; 0]);
        let args = ["-sessions", "8", "-rounds", "2"];
        let mut go = go_joins(programs, "bytes", "client", &addr, &args);
        let mut notes = go.notes(16);
        go.expect_success();
        // Each note contains the digest of the received bytes.
        assert!(notes[0].starts_with("1048576 bytes "), "{notes:?}");
        notes.dedup();
        assert_eq!(notes.len(), 1, "{notes:?}");
        stop_after_clients(ours);
    });
}

#[test]
fn our_sessions_receive_a_mebibyte_per_round_from_the_go_server() {
    with_go_programs("bytes: they serve", |programs| {
        let (go, addr) = go_serves(programs, "bytes", &[]);
        let args = ["--sessions", "8", "--rounds", "2"];
        let ours = join("bytes", "client", &addr, args).end();
        ours.assert_success();
        let read = ours
            .stdout
            .iter()
            .filter(|line| line.ends_with(" read 1048576 bytes"));
        assert_eq!(read.count(), 16, "{ours:?}");
        go.stop();
    });
}
