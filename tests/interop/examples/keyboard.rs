use super::{go_joins, go_serves};
use crate::program::{Program, example, join};
use crate::stage::on_stage;

/// The Go client answers without reading what it is asked.
#[test]
fn our_server_prints_the_answers_of_go_clients() {
    on_stage("keyboard: we serve", |stage| {
        let mut command = example("keyboard");
        command.args(["server", "--addr", "127.0.0.1:0"]);
        let mut ours = Program::start_with_input(&mut command);
        let addr = ours.address();
        let clients = ["one", "two"].map(|id| {
            let mut go = go_joins(stage, "keyboard", "client", &addr, &["-id", id]);
            assert_eq!(go.note(), "connected");
            ours.line(&format!("joined: {id:?}"));
            go
        });
        for line in ["ls -l", "date"] {
            ours.type_line(line);
            let mut answers = [(); 2].map(|()| ours.line("answer of "));
            answers.sort();
            assert_eq!(answers, ["one", "two"]);
        }
        for go in clients {
            go.stops_well();
        }
        ours.terminate();
    });
}

#[test]
fn our_client_runs_what_is_typed_at_the_go_server() {
    on_stage("keyboard: they serve", |stage| {
        let (mut go, addr) = go_serves(stage, "keyboard", &[]);
        let args = ["--id", "box-1", "--token", "mine"];
        let ours = join("keyboard", "client", &addr, args);
        assert_eq!(go.note(), "joined: box-1 mine");
        go.type_line("echo $((6 * 7)); echo oops >&2");
        assert_eq!(go.note(), r#"box-1 "42\noops\n""#);
        go.type_line("exit 7");
        assert_eq!(go.note(), r#"box-1 """#);
        ours.line("running \"exit 7\"");
        ours.terminate().assert_success();
        go.stops_well();
    });
}
