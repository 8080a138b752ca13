use super::{go_joins, go_serves};
use crate::go_programs::with_go_programs;
use crate::program::{NONE, join, serve};

#[test]
fn our_server_accepts_go_clients_with_the_right_token() {
    with_go_programs("auth: we serve", |programs| {
        let (ours, addr) = serve("auth", "server", NONE);
        for node in ["aws", "macbook"] {
            let mut go = go_joins(programs, "auth", node, &addr, &[]);
            assert_eq!(go.note(), "connected");
            let verdict = ours.line(&format!("node=\"{node}.svc\" "));
            assert_eq!(verdict, "stream=\"confirmSession\" accepted");
            assert_eq!(ours.line(node), " some payload");
            go.stop();
        }
        let mut go = go_joins(programs, "auth", "digitalocean", &addr, &[]);
        assert_eq!(go.note(), "refused: invalid token");
        go.expect_success();
        let verdict = ours.line("node=\"digitalocean.svc\" ");
        assert_eq!(verdict, "stream=\"confirmSession\" refused");
        let ours = ours.terminate();
        assert!(ours.stdout.is_empty(), "{ours:?}");
    });
}

#[test]
fn the_go_server_accepts_our_clients_with_the_right_token() {
    with_go_programs("auth: they serve", |programs| {
        let (mut go, addr) = go_serves(programs, "auth", &[]);
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
        go.stop();
    });
}
