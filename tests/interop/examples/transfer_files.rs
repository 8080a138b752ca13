use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{go_joins, go_serves};
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
        ours.terminate().assert_success();
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
