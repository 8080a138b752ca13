//! TLS 1.3, and each client checks its server's certificate against `certs/ca.pem`.

use super::{go_joins, go_serves};
use crate::program::{join, serve};
use crate::stage::on_stage;

const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/certs");

#[test]
fn the_go_client_hears_our_server() {
    on_stage("tls: we serve", |stage| {
        let (ours, addr) = serve("tls", "server", ["--interval-ms", "5", "--certs", CERTS]);
        let mut go = go_joins(stage, "tls", "client", &addr, &["-certs", CERTS]);
        assert_eq!(go.notes(3), ["HELLO FROM SERVER!"; 3]);
        go.ends_well();
        let session = ours.line("session=");
        assert!(session.ends_with(" identification=\"client\""), "{session}");
        ours.terminate().assert_success();
    });
}

#[test]
fn our_client_hears_the_go_server() {
    on_stage("tls: they serve", |stage| {
        let args = ["-interval", "5ms", "-certs", CERTS];
        let (go, addr) = go_serves(stage, "tls", &args);
        let ours = join("tls", "client", &addr, ["--certs", CERTS]);
        for _ in 0..3 {
            assert_eq!(ours.line("HELLO"), " FROM SERVER!");
        }
        ours.terminate();
        go.stops_well();
    });
}
