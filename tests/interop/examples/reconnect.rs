use super::{go_joins, go_serves_at, stop_after_clients};
use crate::go_programs::with_go_programs;
use crate::program::{Program, example, join};

/// Too slow to send a second greeting during the test.
const SLOW: &str = "100000";
const QUICK: &str = "5";

fn greeting(index: usize) -> String {
    format!("{index}. Hello from server!")
}

/// Starts our server, at an IP address that no other test uses. So no other program
/// takes the port while the server restarts.
fn serve_at(addr: &str, pace: &str) -> (Program, String) {
    let mut command = example("reconnect");
    command.args(["server", "--interval-ms", pace, "--addr", addr]);
    let server = Program::start(&mut command);
    let addr = server.address();
    (server, addr)
}

#[test]
fn the_go_client_resumes_after_our_server_restarts() {
    with_go_programs("reconnect: we serve", |programs| {
        let (first, addr) = serve_at("127.41.1.1:0", SLOW);
        let mut go = go_joins(programs, "reconnect", "client", &addr, &["-wait", "20ms"]);
        assert_eq!(go.notes(2), ["connected", &greeting(0)]);
        first.signal("KILL");
        first.end();

        let (second, _) = serve_at(&addr, QUICK);
        assert_eq!(go.note(), "connected");
        assert_eq!(go.notes(20), (1..=20).map(greeting).collect::<Vec<_>>());
        assert_eq!(go.note(), "data complete!");
        go.expect_success();
        stop_after_clients(second);
    });
}

#[test]
fn our_client_resumes_after_the_go_server_restarts() {
    with_go_programs("reconnect: they serve", |programs| {
        let go_serves_at = |addr: &str, pace: &str| {
            let pace = format!("{pace}ms");
            go_serves_at(programs, "reconnect", addr, &["-interval", &pace])
        };
        let (mut first, addr) = go_serves_at("127.41.1.2:0", SLOW);
        let waits = ["--wait-ms", "20", "--max-wait-ms", "200"];
        let ours = join("reconnect", "client", &addr, waits);
        ours.line(&greeting(0));
        assert_eq!(first.note(), "from 0");
        first.stop();

        let (mut second, _) = go_serves_at(&addr, QUICK);
        let ours = ours.end();
        assert!(ours.status.success(), "{ours:?}");
        let mut lines = ours.stdout;
        assert_eq!(lines.pop().as_deref(), Some("data complete!"));
        lines.retain(|line| line.contains("Hello"));
        assert_eq!(lines, (1..=20).map(greeting).collect::<Vec<_>>());
        assert_eq!(second.note(), "from 1");
        second.stop();
    });
}
