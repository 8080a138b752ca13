use crate::program::{DEADLINE, Ended, Program, example, names, run};
use crate::refusing::Refusing;
use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::mpsc::channel,
};
use tempfile::TempDir;
use wirenet::{Stream, Wire};

/// Two folders inside a temporary one.
pub struct Folders {
    all: TempDir,
    pub from: PathBuf,
    pub to: PathBuf,
}

impl Folders {
    pub fn new() -> Self {
        let all = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| all.path().join(name));
        fs::create_dir(&from).unwrap();
        Self { all, from, to }
    }

    pub fn server(&self) -> (Program, String) {
        let mut command = example("transfer_files");
        command.args(["server", "--addr", "127.0.0.1:0", "--dir"]);
        let server = Program::start(command.arg(&self.from));
        let addr = server.address();
        (server, addr)
    }

    pub fn client(&self, addr: &str) -> Program {
        let mut command = example("transfer_files");
        command.args(["client", "--addr", addr, "--dir"]);
        Program::start(command.arg(&self.to))
    }

    pub fn received(&self, name: &str) -> Vec<u8> {
        fs::read(self.to.join(name)).unwrap()
    }

    /// Runs the client against a server with this handler.
    pub fn receive_from(&self, handler: impl Handler) -> Ended {
        let (_wire, addr) = serve(handler);
        self.client(&addr).end()
    }
}

pub trait Handler: Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static {}
impl<F: Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static> Handler for F {}

/// Starts a server whose handler need not follow the example's protocol.
pub fn serve(handler: impl Handler) -> (Wire, String) {
    let wire = Wire::mount("127.0.0.1:0").stream("stats", handler);
    let wire = wire.build().unwrap();
    wire.start().unwrap();
    let addr = wire.local_addr().unwrap().to_string();
    (wire, addr)
}

/// Returns content in which lost, doubled or swapped bytes are noticed.
pub fn content(len: usize) -> Vec<u8> {
    let number = |index: usize| index.wrapping_mul(0x9e37_79b9) >> 16;
    (0..len).map(|index| number(index) as u8).collect()
}

#[test]
fn all_files_arrive() {
    let folders = Folders::new();
    let files = [
        ("empty", content(0)),
        ("large", content(5 << 20)),
        ("name with spaces .txt", content(1)),
        ("größe 文件 🗂", content(100_000)),
        (".hidden", content(1025)),
        ("-dash", content(1024)),
        ("two\nlines", content(1023)),
    ];
    for (name, content) in &files {
        fs::write(folders.from.join(name), content).unwrap();
    }
    let (server, addr) = folders.server();
    let client = folders.client(&addr).end();
    client.assert_success();
    let sorted = names(&folders.from).into_iter().map(|name| {
        let len = folders.from.join(&name).metadata().unwrap().len();
        format!("{name:?}: {len} bytes")
    });
    let mut expected: Vec<_> = sorted.collect();
    expected.push("received 7 files".into());
    assert_eq!(client.stdout, expected);
    assert_eq!(names(&folders.to), names(&folders.from));
    for (name, content) in files {
        assert!(
            folders.received(name) == content,
            "{name:?} has other content"
        );
    }
    server.terminate().assert_success();
}

#[test]
fn an_empty_folder_arrives() {
    let folders = Folders::new();
    let (server, addr) = folders.server();
    folders.client(&addr).end().assert_success();
    assert!(names(&folders.to).is_empty());
    server.terminate().assert_success();
}

#[test]
fn two_clients_at_once_receive_the_same_files() {
    let [one, two] = [Folders::new(), Folders::new()];
    fs::write(one.from.join("large"), content(3 << 20)).unwrap();
    let (server, addr) = one.server();
    let clients = [one.client(&addr), two.client(&addr)];
    for client in clients {
        client.end().assert_success();
    }
    assert!(one.received("large") == content(3 << 20));
    assert!(two.received("large") == content(3 << 20));
    server.terminate().assert_success();
}

#[cfg(unix)]
#[test]
fn only_regular_files_directly_in_the_folder_are_sent() {
    let folders = Folders::new();
    fs::create_dir(folders.from.join("folder")).unwrap();
    fs::write(folders.from.join("folder/inside"), "x").unwrap();
    fs::write(folders.all.path().join("outside"), "x").unwrap();
    std::os::unix::fs::symlink("../outside", folders.from.join("link")).unwrap();
    fs::write(folders.from.join("file"), "x").unwrap();
    let (server, addr) = folders.server();
    folders.client(&addr).end().assert_success();
    assert_eq!(names(&folders.to), ["file"]);
    server.terminate().assert_success();
}

#[test]
fn an_existing_file_is_replaced() {
    let folders = Folders::new();
    fs::create_dir(&folders.to).unwrap();
    fs::write(folders.to.join("file"), "the old one, which is longer").unwrap();
    fs::write(folders.from.join("file"), "the new one").unwrap();
    let (server, addr) = folders.server();
    folders.client(&addr).end().assert_success();
    assert_eq!(folders.received("file"), b"the new one");
    server.terminate().assert_success();
}

#[cfg(unix)]
#[test]
fn a_received_file_has_the_permissions_of_a_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folders = Folders::new();
    fs::write(folders.from.join("file"), "x").unwrap();
    let (server, addr) = folders.server();
    folders.client(&addr).end().assert_success();
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode();
    // This process has created the sent file, under the same umask.
    assert_eq!(
        mode(folders.to.join("file")),
        mode(folders.from.join("file"))
    );
    server.terminate().assert_success();
}

#[test]
fn a_name_that_leaves_the_folder_is_refused() {
    let bad = [
        "", ".", "..", "../evil", "/evil", "sub/evil", "evil/", "evil/.", "ev\0il",
    ];
    for name in bad {
        let folders = Folders::new();
        let client = folders.receive_from(move |stream| {
            stream.write_message(b"good")?;
            stream.write_message(b"content")?;
            stream.write_message(name.as_bytes())?;
            stream.write_message(b"content")?;
            stream.write_message(b"good too")?;
            stream.write_message(b"content")
        });
        client.assert_failure(&format!(
            "{name:?} was not received: the name is not that of a file in the folder"
        ));
        client.assert_failure("error: 1 files were not received");
        // The other files are complete.
        assert_eq!(names(&folders.to), ["good", "good too"], "{name:?}");
        assert_eq!(names(folders.all.path()), ["from", "to"], "{name:?}");
    }
    assert!(!Path::new("/evil").exists());
}

#[test]
fn an_endless_name_is_refused() {
    let folders = Folders::new();
    let client = folders.receive_from(write_forever);
    client.assert_failure("a name of more than 4096 bytes");
    assert!(names(&folders.to).is_empty());
}

/// Sends an endless message.
fn write_forever(stream: &mut Stream) -> io::Result<()> {
    io::copy(&mut io::repeat(b'x'), stream).map(drop)
}

#[test]
fn a_file_that_cannot_be_written_is_reported() {
    let folders = Folders::new();
    fs::create_dir_all(folders.to.join("taken")).unwrap();
    fs::write(folders.from.join("taken"), "x").unwrap();
    fs::write(folders.from.join("taken too"), "x").unwrap();
    let (server, addr) = folders.server();
    let client = folders.client(&addr).end();
    client.assert_failure(&format!("{:?} was not received: ", "taken"));
    assert_eq!(names(&folders.to), ["taken", "taken too"]);
    server.terminate().assert_success();
}

#[test]
fn a_transfer_that_is_cut_leaves_no_file() {
    let cut: [fn(&mut Stream) -> io::Result<()>; 3] = [
        |_| Err(io::Error::other("the stream is reset")),
        |stream| {
            stream.session().abort();
            Ok(())
        },
        |stream| {
            stream.session().close_wire()?;
            Ok(())
        },
    ];
    for cut in cut {
        let folders = Folders::new();
        let client = folders.receive_from(move |stream| {
            stream.write_message(b"file")?;
            stream.write_all(&content(100_000))?;
            cut(stream)
        });
        client.assert_failure("error: ");
        assert!(names(&folders.to).is_empty());
    }
}

#[test]
fn a_name_without_content_is_an_error() {
    let folders = Folders::new();
    let client = folders.receive_from(|stream| stream.write_message(b"file"));
    client.assert_failure("\"file\" was not received: its content is missing");
    assert!(names(&folders.to).is_empty());
}

#[test]
fn a_client_that_is_stopped_closes_its_session_and_leaves_no_file() {
    let folders = Folders::new();
    let (tell, told) = channel();
    let (_wire, addr) = serve(move |stream| {
        stream.write_message(b"file")?;
        stream.write_all(&content(100_000))?;
        tell.send(()).unwrap();
        // Nothing arrives: this returns when the client is gone.
        let gone = io::copy(stream, &mut io::sink());
        tell.send(()).unwrap();
        gone.and(Err(io::Error::other("the file is incomplete")))
    });
    let client = folders.client(&addr);
    told.recv_timeout(DEADLINE).unwrap();
    client.signal("TERM");
    client.end().assert_failure("error: interrupted");
    told.recv_timeout(DEADLINE).unwrap();
    assert!(names(&folders.to).is_empty());
}

#[test]
fn a_server_can_be_stopped_during_a_transfer() {
    let folders = Folders::new();
    // A sparse file: too large to be sent during the test, without using the disk.
    let file = fs::File::create(folders.from.join("endless")).unwrap();
    file.set_len(1 << 40).unwrap();
    let (server, addr) = folders.server();
    let client = Wire::join(addr).build().unwrap();
    client.start().unwrap();
    let session = client.wait_session(DEADLINE).unwrap();
    let mut stream = session.open_stream("stats").unwrap();
    let mut name = String::new();
    stream.reader().read_to_string(&mut name).unwrap();
    assert_eq!(name, "endless");
    // The content is not read, so that the server is blocked in a write.
    server.terminate();
    io::copy(&mut stream, &mut io::sink()).unwrap_err();
}

#[test]
fn an_unreachable_server_is_reported() {
    let folders = Folders::new();
    let refusing = Refusing::new();
    let addr = refusing.addr.to_string();
    let client = folders.client(&addr).end();
    client.assert_failure(&format!("error: cannot connect to {addr}"));
}

#[test]
fn a_missing_folder_is_reported() {
    let args = ["server", "--addr", "127.0.0.1:0", "--dir", "/no/such"];
    run("transfer_files", args).assert_failure("/no/such");
}

#[test]
fn wrong_arguments_are_refused() {
    run("transfer_files", [""; 0]).assert_failure("Usage: transfer_files");
    run("transfer_files", ["server"]).assert_failure("--dir <DIR>");
    run("transfer_files", ["client"]).assert_failure("--dir <DIR>");
    let folders = Folders::new();
    folders.client("nowhere").end().assert_failure("nowhere");
    folders
        .client("127.0.0.1:99999")
        .end()
        .assert_failure("99999");
}

#[test]
fn help_lists_all_roles_and_options() {
    let help = run("transfer_files", ["--help"]);
    help.assert_success();
    let help = help.stdout.join("\n");
    assert!(help.contains("server") && help.contains("client"));
    assert!(help.contains("--addr <HOST:PORT>") && help.contains("127.0.0.1:7989"));
    for role in ["server", "client"] {
        let help = run("transfer_files", [role, "--help"]).stdout.join("\n");
        assert!(help.contains("--dir <DIR>"), "{help}");
    }
}
