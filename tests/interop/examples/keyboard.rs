use super::{go_joins, go_serves};
use crate::go_programs::with_go_programs;
use crate::program::{Program, example, join};

/// The Go client answers without reading the command.
#[test]
fn our_server_prints_the_answers_of_go_clients() {
    with_go_programs("keyboard: we serve", |programs| {
        let mut command = example("keyboard");
        command.args(["server", "--addr", "127.0.0.1:0"]);
        let mut ours = Program::start_with_input(&mut command);
        let addr = ours.address();
        let clients = ["one", "two"].map(|id| {
            let mut go = go_joins(programs, "keyboard", "client", &addr, &["-id", id]);
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
            go.stop();
        }
        ours.terminate();
    });
}

#[test]
fn our_client_runs_the_commands_of_the_go_server() {
    with_go_programs("keyboard: they serve", |programs| {
        let (mut go, addr) = go_serves(programs, "keyboard", &[]);
        let args = ["--id", "box-1", "--token", "mine"];
        let ours = join("keyboard", "client", &addr, args);
        assert_eq!(go.note(), "joined: box-1 mine");
        go.type_line("echo $((6 * 7)); echo oops >&2");
        assert_eq!(go.note(), r#"box-1 "42\noops\n""#);
        go.type_line("exit 7");
        assert_eq!(go.note(), r#"box-1 """#);
        ours.line("running \"exit 7\"");
        ours.terminate().assert_success();
        go.stop();
    });
}
