use super::{go_joins, go_serves};
use crate::program::{join, serve};
use crate::stage::on_stage;

#[test]
fn go_sessions_all_get_the_same_mebibyte() {
    on_stage("bytes: we serve", |stage| {
        let (ours, addr) = serve("bytes", "server", [""; 0]);
        let args = ["-sessions", "8", "-rounds", "2"];
        let mut go = go_joins(stage, "bytes", "client", &addr, &args);
        let mut notes = go.notes(16);
        go.ends_well();
        // With the digest of what came.
        assert!(notes[0].starts_with("1048576 bytes "), "{notes:?}");
        notes.dedup();
        assert_eq!(notes.len(), 1, "{notes:?}");
        ours.terminate().assert_success();
    });
}

#[test]
fn our_sessions_get_a_mebibyte_each_round_from_the_go_server() {
    on_stage("bytes: they serve", |stage| {
        let (go, addr) = go_serves(stage, "bytes", &[]);
        let args = ["--sessions", "8", "--rounds", "2"];
        let ours = join("bytes", "client", &addr, args).end();
        ours.assert_success();
        let read = ours
            .stdout
            .iter()
            .filter(|line| line.ends_with(" read 1048576 bytes"));
        assert_eq!(read.count(), 16, "{ours:?}");
        go.stops_well();
    });
}
