use super::{go_joins, go_serves};
use crate::program::{NONE, join, serve};
use crate::stage::on_stage;

#[test]
fn our_server_lets_in_go_clients_with_the_right_token() {
    on_stage("auth: we serve", |stage| {
        let (ours, addr) = serve("auth", "server", NONE);
        for node in ["aws", "macbook"] {
            let mut go = go_joins(stage, "auth", node, &addr, &[]);
            assert_eq!(go.note(), "connected");
            let verdict = ours.line(&format!("node=\"{node}.svc\" "));
            assert_eq!(verdict, "stream=\"confirmSession\" accepted");
            assert_eq!(ours.line(node), " some payload");
            go.stops_well();
        }
        let mut go = go_joins(stage, "auth", "digitalocean", &addr, &[]);
        assert_eq!(go.note(), "refused: invalid token");
        go.ends_well();
        let verdict = ours.line("node=\"digitalocean.svc\" ");
        assert_eq!(verdict, "stream=\"confirmSession\" refused");
        let ours = ours.terminate();
        assert!(ours.stdout.is_empty(), "{ours:?}");
    });
}

#[test]
fn the_go_server_lets_in_our_clients_with_the_right_token() {
    on_stage("auth: they serve", |stage| {
        let (mut go, addr) = go_serves(stage, "auth", &[]);
        for node in ["aws", "macbook"] {
            let ours = join("auth", node, &addr, NONE);
            ours.line("connected");
            assert_eq!(go.note(), format!("{node}.svc confirmSession accepted"));
            assert_eq!(go.note(), format!("{node}:read \"{node} some payload\""));
            ours.terminate().assert_success();
        }
        let ours = join("auth", "digitalocean", &addr, NONE).end();
        ours.assert_failure("error: session refused: invalid token");
        assert_eq!(go.note(), "digitalocean.svc confirmSession refused");
        go.stops_well();
    });
}
