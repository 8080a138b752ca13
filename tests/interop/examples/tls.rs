//! TLS 1.3. Each client checks its server's certificate against `certs/ca.pem`.

use super::{go_joins, go_serves, stop_after_clients};
use crate::go_programs::with_go_programs;
use crate::program::{join, serve};

const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/certs");

#[test]
fn the_go_client_reads_the_messages_of_our_server() {
    with_go_programs("tls: we serve", |programs| {
        let (ours, addr) = serve("tls", "server", ["--interval-ms", "5", "--certs", CERTS]);
        let mut go = go_joins(programs, "tls", "client", &addr, &["-certs", CERTS]);
        assert_eq!(go.notes(3), ["HELLO FROM SERVER!"; 3]);
        go.expect_success();
        let session = ours.line("session=");
        assert!(session.ends_with(" identification=\"client\""), "{session}");
        stop_after_clients(ours);
    });
}

#[test]
fn our_client_reads_the_messages_of_the_go_server() {
    with_go_programs("tls: they serve", |programs| {
        let args = ["-interval", "5ms", "-certs", CERTS];
        let (go, addr) = go_serves(programs, "tls", &args);
        let ours = join("tls", "client", &addr, ["--certs", CERTS]);
        for _ in 0..3 {
            assert_eq!(ours.line("HELLO"), " FROM SERVER!");
        }
        ours.terminate();
        go.stop();
    });
}
