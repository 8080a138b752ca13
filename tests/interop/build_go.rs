//! Builds the Go programs, once per test run.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, iter};

/// The folder of Go sources that Debian's packages install.
const DEBIAN_GOPATH: &str = "/usr/share/gocode";
const YAMUX: &str = "github.com/hashicorp/yamux";

/// Returns the folder with the built programs, or `None` if Go is missing.
///
/// # Panics
///
/// If building the programs fails, or if Go is missing in CI.
pub fn built_programs() -> Option<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(build) {
        Ok(folder) => Some(folder),
        Err(missing) if env::var_os("CI").is_some() => panic!("{missing}, and this is CI"),
        Err(missing) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            // This bypasses the test harness, which captures what tests print.
            _ = writeln!(io::stderr(), "SKIPPED {test}: {missing}");
            None
        }
    }
}

fn build() -> Result<PathBuf, String> {
    let found = go(&["list", YAMUX]).map_err(|error| format!("no Go toolchain ({error})"))?;
    if !found.status.success() {
        return Err(format!("no package {YAMUX} for the Go toolchain"));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-go");
    for program in ["yamuxpeer", "wirepeer", "examplepeer"] {
        let path = folder
            .join(program)
            .into_os_string()
            .into_string()
            .expect("a path in UTF-8");
        let built = go(&["build", "-o", &path, &format!("interop/{program}")]);
        let built = built.expect("go, which has just run");
        let complaint = String::from_utf8_lossy(&built.stderr);
        assert!(
            built.status.success(),
            "building {program} failed:\n{complaint}"
        );
    }
    Ok(folder)
}

fn go(arguments: &[&str]) -> io::Result<Output> {
    Command::new("go")
        .args(arguments)
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("GOPATH", gopath())
        // The programs use no C code, so they should build without a C compiler.
        .env("CGO_ENABLED", "0")
        .output()
}

/// Returns the GOPATH: this project's folder, then Debian's, then the user's.
fn gopath() -> OsString {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/go");
    let users = env::var_os("GOPATH").unwrap_or_default();
    let paths = iter::once(ours)
        .chain([PathBuf::from(DEBIAN_GOPATH)])
        .chain(env::split_paths(&users).filter(|path| path.is_absolute()));
    env::join_paths(paths).expect("a GOPATH without separators in its folders")
}

/// Tests the audit itself: an audit that misses violations would let every test
/// pass.
#[test]
fn the_audit_reports_every_violation() {
    if built_programs().is_none() {
        return;
    }
    let tested = go(&["test", "interop/audit"]).expect("go, which has just run");
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}");
}
