//! Builds the Go programs, once in a test run.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, iter};

/// Where Debian's packages of Go libraries put their sources.
const DEBIAN_GOPATH: &str = "/usr/share/gocode";
const YAMUX: &str = "github.com/hashicorp/yamux";

/// The folder with the built programs, or none where Go is missing.
///
/// # Panics
///
/// If the programs do not build; and if Go is missing in CI.
pub fn programs() -> Option<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(build) {
        Ok(folder) => Some(folder),
        Err(missing) if env::var_os("CI").is_some() => panic!("{missing}, and this is CI"),
        Err(missing) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            // Past the test harness, which keeps what passing tests print.
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
            "{program} does not build:\n{complaint}"
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
        // The programs need nothing of C, and neither should the machine.
        .env("CGO_ENABLED", "0")
        .output()
}

/// Ours first, then the package's home, then the user's own.
fn gopath() -> OsString {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/go");
    let users = env::var_os("GOPATH").unwrap_or_default();
    let paths = iter::once(ours)
        .chain([PathBuf::from(DEBIAN_GOPATH)])
        .chain(env::split_paths(&users).filter(|path| path.is_absolute()));
    env::join_paths(paths).expect("a GOPATH without separators in its folders")
}

/// What checks our frames has to be checked itself: an audit that notices
/// nothing would pass every test here.
#[test]
fn the_audit_notices_every_violation() {
    if programs().is_none() {
        return;
    }
    let tested = go(&["test", "interop/audit"]).expect("go, which has just run");
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}");
}
