//! Our hub between a Go node and one of ours.

use super::go_joins;
use crate::data::parts;
use crate::go_programs::with_go_programs;
use crate::program::{NONE, join, serve};

#[test]
fn a_go_node_calls_our_node() {
    with_go_programs("hub: node A in Go", |programs| {
        let (hub, addr) = serve("hub", "hub", NONE);
        let ours = join("hub", "node_b", &addr, NONE);
        ours.line("connected");
        let mut go = go_joins(programs, "hub", "node_a", &addr, &["-interval", "5ms"]);
        assert_eq!(go.note(), "nodeA:hello \"GGGGG\"");
        assert_eq!(go.note(), "FIN");

        ours.line("node A calls");
        let mut heard = ours.lines_to("FIN");
        heard.pop();
        assert_eq!(heard, parts().concat().lines().collect::<Vec<_>>());
        go.stop();
        ours.terminate();
        hub.terminate();
    });
}

#[test]
fn our_node_calls_a_go_node() {
    with_go_programs("hub: node B in Go", |programs| {
        let (hub, addr) = serve("hub", "hub", NONE);
        let mut go = go_joins(programs, "hub", "node_b", &addr, &[]);
        assert_eq!(go.note(), "connected");
        let ours = join("hub", "node_a", &addr, ["--interval-ms", "5"]);
        for part in parts() {
            assert_eq!(go.note(), format!("nodeB:hello {part:?}"));
        }
        assert_eq!(go.note(), "FIN");
        let mut said = ours.lines_to("FIN");
        said.pop();
        assert_eq!(said, ["GGGGG"]);
        ours.terminate().assert_success();
        go.stop();
        hub.terminate();
    });
}
