use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{go_joins, go_serves, stop_after_clients};
use crate::go_programs::with_go_programs;
use crate::pattern::pattern;
use crate::program::{join, names, serve};

const FILES: [(&str, usize); 6] = [
    (".hidden", 1),
    ("empty", 0),
    ("größe 文件", 1_025),
    ("large", 700_001),
    ("name with spaces .txt", 1_023),
    ("one chunk", 1_024),
];

/// Creates a folder that contains the files, and an empty one.
fn folders() -> [TempDir; 2] {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    for (name, len) in FILES {
        fs::write(folders[0].path().join(name), pattern(len as u64, len)).expect("a file");
    }
    folders
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().expect("a path in UTF-8")
}

fn assert_files(folder: &Path) {
    assert_eq!(names(folder), FILES.map(|(name, _)| name));
    for (name, len) in FILES {
        let content = fs::read(folder.join(name)).expect("a file");
        assert!(content == pattern(len as u64, len), "{name}");
    }
}

#[test]
fn our_files_arrive_at_the_go_client() {
    with_go_programs("transfer_files: we serve", |programs| {
        let [from, to] = folders();
        let (ours, addr) = serve("transfer_files", "server", ["--dir", path(&from)]);
        let go = go_joins(
            programs,
            "transfer_files",
            "client",
            &addr,
            &["-dir", path(&to)],
        );
        go.expect_success();
        assert_files(to.path());
        stop_after_clients(ours);
    });
}

#[test]
fn files_from_the_go_server_arrive() {
    with_go_programs("transfer_files: they serve", |programs| {
        let [from, to] = folders();
        let (go, addr) = go_serves(programs, "transfer_files", &["-dir", path(&from)]);
        let ours = join("transfer_files", "client", &addr, ["--dir", path(&to)]);
        ours.end().assert_success();
        assert_files(to.path());
        go.stop();
    });
}

/// Files that the Go server cannot read: it ends the stream at the first of them.
#[test]
#[cfg(unix)]
fn a_file_that_the_go_server_cannot_read_ends_the_copy() {
    with_go_programs("transfer_files: they serve, and fail", |programs| {
        for halfway in [false, true] {
            let [from, to] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
            for name in ["a", "c"] {
                fs::write(from.path().join(name), name).expect("a file");
            }
            let odd = from.path().join("b");
            match halfway {
                // It is opened, and its name sent, before reading fails.
                true => fs::create_dir(&odd).expect("a folder"),
                false => std::os::unix::fs::symlink("nowhere", &odd).expect("a link"),
            }
            let (go, addr) = go_serves(programs, "transfer_files", &["-dir", path(&from)]);
            let ours = join("transfer_files", "client", &addr, ["--dir", path(&to)]).end();
            assert_eq!(ours.stdout.last().expect("a line"), "received 1 files");
            assert_eq!(names(to.path()), ["a"]);
            // Before a name, the end looks as if all files were sent.
            assert_eq!(ours.status.success(), !halfway, "{ours:?}");
            drop(go);
        }
    });
}

/// The Go client gets all other files, and then an error.
#[test]
#[cfg(target_os = "linux")]
fn a_file_that_we_cannot_open_is_an_error_for_the_go_client() {
    with_go_programs("transfer_files: we serve, and fail", |programs| {
        let from = Path::new("/proc/sys/net/ipv4/route");
        let readable = |name: &String| fs::File::open(from.join(name)).is_ok();
        let all = names(from);
        let readable: Vec<_> = all.iter().filter(|name| readable(name)).cloned().collect();
        assert!(readable.len() < all.len(), "one cannot be opened");
        let to = tempfile::tempdir().expect("a folder");
        let args = ["--dir", from.to_str().expect("UTF-8")];
        let (ours, addr) = serve("transfer_files", "server", args);
        let args = ["-dir", path(&to)];
        let mut go = go_joins(programs, "transfer_files", "client", &addr, &args);
        go.notes(readable.len());
        drop(go);
        ours.warning("1 files could not be sent");
        assert_eq!(names(to.path()), readable);
        ours.terminate();
    });
}
