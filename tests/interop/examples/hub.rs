//! Our hub between a node in Go and one of ours.

use super::go_joins;
use crate::data::parts;
use crate::program::{NONE, join, serve};
use crate::stage::on_stage;

#[test]
fn a_go_node_speaks_to_ours() {
    on_stage("hub: node A in Go", |stage| {
        let (hub, addr) = serve("hub", "hub", NONE);
        let ours = join("hub", "node_b", &addr, NONE);
        ours.line("connected");
        let mut go = go_joins(stage, "hub", "node_a", &addr, &["-interval", "5ms"]);
        assert_eq!(go.note(), "nodeA:hello \"GGGGG\"");
        assert_eq!(go.note(), "FIN");

        ours.line("node A calls");
        let mut heard = ours.lines_to("FIN");
        heard.pop();
        assert_eq!(heard, parts().concat().lines().collect::<Vec<_>>());
        go.stops_well();
        ours.terminate();
        hub.terminate();
    });
}

#[test]
fn our_node_speaks_to_one_in_go() {
    on_stage("hub: node B in Go", |stage| {
        let (hub, addr) = serve("hub", "hub", NONE);
        let mut go = go_joins(stage, "hub", "node_b", &addr, &[]);
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
        go.stops_well();
        hub.terminate();
    });
}
