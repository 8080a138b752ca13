use crate::program::{Program, example, names, run};
use std::fs;

/// Runs the example with a folder of its own for temporary files, and checks that
/// none is left. Returns its output.
fn run_quickstart(args: &[&str]) -> Vec<String> {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = example("quickstart");
    let ended = Program::start(command.args(args).env("TMPDIR", temporary.path())).end();
    ended.assert_success();
    assert!(names(temporary.path()).is_empty());
    ended.stdout
}

#[test]
fn a_file_arrives_and_its_checksums_match() {
    let lines = run_quickstart(&["--size", "3"]);
    assert_eq!(lines[0], "creating a file of 3.00 MiB of random bytes");
    assert!(lines[2].starts_with("received 3.00 MiB in "), "{lines:?}");
    let sent = lines[3].strip_prefix("sha256 sent     ").unwrap();
    let received = lines[4].strip_prefix("sha256 received ").unwrap();
    assert_eq!(sent, received);
    assert_eq!(sent.len(), 64);
    assert_eq!(lines[5..], ["checksums match"]);
}

#[test]
fn an_empty_file_arrives() {
    let lines = run_quickstart(&["--size", "0"]);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert!(lines.contains(&format!("sha256 received {empty}")));
    assert_eq!(lines.last().unwrap(), "checksums match");
}

#[test]
fn a_given_file_arrives_and_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with spaces, größer");
    fs::write(&path, "abc").unwrap();
    let lines = run_quickstart(&["--file", path.to_str().unwrap()]);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(lines.contains(&format!("sha256 received {abc}")));
    assert_eq!(fs::read(&path).unwrap(), b"abc");
}

#[test]
fn a_path_that_is_not_a_file_is_refused() {
    run("quickstart", ["--file", "/no/such/file"]).assert_failure("/no/such/file");
    run("quickstart", ["--file", "/"]).assert_failure("/: not a regular file");
}

#[test]
fn wrong_arguments_are_refused() {
    run("quickstart", ["--size", "large"]).assert_failure("--size");
    run("quickstart", ["--size", "1", "--file", "x"]).assert_failure("--file");
    run("quickstart", ["--colour"]).assert_failure("--colour");
}

#[test]
fn an_interrupt_ends_the_program_and_removes_its_files() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = example("quickstart");
    // This would take minutes.
    command.args(["--size", "100000"]);
    let program = Program::start(command.env("TMPDIR", temporary.path()));
    program.line("creating a file");
    program.signal("INT");
    program.end().assert_failure("error: interrupted");
    assert!(names(temporary.path()).is_empty());
}

#[test]
fn the_log_goes_to_stderr() {
    let mut command = example("quickstart");
    let ended = Program::start(command.args(["--size", "1"]).env("RUST_LOG", "debug")).end();
    assert!(ended.status.success());
    assert!(ended.stderr.contains("DEBUG wirenet"), "{ended:?}");
}

#[test]
fn help_lists_all_options() {
    let help = run("quickstart", ["--help"]);
    help.assert_success();
    let help = help.stdout.join("\n");
    assert!(help.contains("--file <PATH>") && help.contains("--size <MIB>"));
}
