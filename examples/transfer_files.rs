//! A folder of files over one stream: for each file a message with its name,
//! then a message with its content.
//!
//! ```text
//! cargo run --release --example transfer_files -- server --dir FROM
//! cargo run --release --example transfer_files -- client --dir TO
//! ```

mod support;

use clap::Subcommand;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use support::{at, stop::Stop};
use wirenet::{Session, Stream, Wire};

/// The longest name that file systems have, in bytes.
const MAX_NAME: u64 = 255;

/// Copies the files of a folder from a server to a client.
///
/// The server serves the stream `stats`: for each file of a folder one message
/// with its name, then one with its content, in the order of their names. The
/// client writes them into a folder of its own. Either side may be the
/// go-wirenet example of the same name. Ctrl-C and SIGTERM close properly.
/// RUST_LOG=debug shows what the library does.
#[derive(Subcommand)]
enum Role {
    /// Sends a folder to whoever asks, until it is stopped
    ///
    /// Only the regular files right in the folder are sent: no subfolders, and
    /// nothing through symbolic links.
    Server {
        /// The folder to send
        #[arg(long)]
        dir: PathBuf,
    },
    /// Receives the files once
    ///
    /// A file appears under its name when it is complete, and replaces one that
    /// was there. A name that would leave the folder is refused.
    Client {
        /// The folder to write to; made if it is not there
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    support::play::<7989, Role>(|role, addr, stop| match role {
        Role::Server { dir } => server(addr, dir, stop),
        Role::Client { dir } => client(addr, &dir, stop),
    })
}

// -- the server --

fn server(addr: String, dir: PathBuf, stop: &Stop) -> io::Result<()> {
    // Better told now than to the first client.
    files(&dir)?;
    let wire = Wire::mount(addr).stream("stats", move |stream| send_files(stream, &dir));
    support::serve(wire, stop)
}

fn send_files(stream: &mut Stream, dir: &Path) -> io::Result<()> {
    for name in files(dir)? {
        let path = dir.join(&name);
        let mut file = File::open(&path).map_err(at(&path))?;
        stream.write_message(name.as_bytes())?;
        io::copy(&mut file, stream)?;
        stream.finish()?;
    }
    Ok(())
}

/// The names of a folder's regular files, sorted.
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = entry.file_name().into_string();
            names.push(name.map_err(|name| invalid(format!("{name:?} is not UTF-8")))?);
        }
    }
    names.sort();
    Ok(names)
}

// -- the client --

fn client(addr: String, dir: &Path, stop: &Stop) -> io::Result<()> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    let (wire, session) = support::join(Wire::join(addr), stop)?;
    let outcome = receive_files(&session, dir);
    wire.close()?;
    outcome
}

fn receive_files(session: &Session, dir: &Path) -> io::Result<()> {
    let mut stream = session.open_stream("stats")?;
    while stream.next_message()? {
        let name = read_name(&stream)?;
        if !stream.next_message()? {
            return Err(invalid(format!("{name:?} came without its content")));
        }
        let len = receive_file(&mut stream, dir, &name)?;
        writeln!(io::stdout(), "{name:?}: {len} bytes")?;
    }
    stream.close()
}

fn read_name(stream: &Stream) -> io::Result<String> {
    let mut name = Vec::new();
    stream.reader().take(MAX_NAME + 1).read_to_end(&mut name)?;
    if name.len() as u64 > MAX_NAME {
        return Err(invalid(format!("a name of more than {MAX_NAME} bytes")));
    }
    let name = String::from_utf8(name).map_err(|error| invalid(format!("a name: {error}")))?;
    match stays_inside(&name) {
        true => Ok(name),
        false => Err(invalid(format!(
            "name {name:?} refused: it leaves the folder"
        ))),
    }
}

/// Whether a file of this name lies right in the folder that it is put into,
/// on whatever system.
fn stays_inside(name: &str) -> bool {
    let plain = Path::new(name).file_name() == Some(name.as_ref());
    plain && !name.contains(['/', '\\', '\0'])
}

/// Writes the message to a file with another name first, so that what was cut
/// off never looks complete.
fn receive_file(stream: &mut Stream, dir: &Path, name: &str) -> io::Result<u64> {
    let path = dir.join(name);
    let mut partial = partial_file().tempfile_in(dir).map_err(at(dir))?;
    let len = io::copy(stream, &mut partial)?;
    partial
        .persist(&path)
        .map_err(|error| at(&path)(error.error))?;
    Ok(len)
}

/// A file that goes away if it is not given its name.
fn partial_file() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    {
        // As for any new file; by default it would be readable by us alone.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

// -- errors --

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
