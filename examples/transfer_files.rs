//! Copies a folder over one stream: for each file one message with its name,
//! then one message with its content.
//!
//! ```text
//! cargo run --release --example transfer_files -- server --dir FROM
//! cargo run --release --example transfer_files -- client --dir TO
//! ```

mod support;

use clap::Subcommand;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};
use support::{output::print_line, stop::Stop, with_path};
use wirenet::{Session, Stream, Wire};

/// The longest file name that the client accepts, in bytes. It is the limit of
/// the common file systems.
const MAX_NAME: u64 = 255;

/// Copies the files of a folder from a server to a client.
///
/// The server handles the stream `stats`: for each file of a folder, sorted by
/// name, it sends one message with the name, then one with the content. The client
/// writes the files to its own folder. Either side can be the go-wirenet example of
/// the same name.
#[derive(Subcommand)]
enum Role {
    /// Sends a folder to every client that asks, until stopped
    ///
    /// Sends only the regular files directly in the folder: it skips subfolders
    /// and symbolic links.
    Server {
        /// The folder to send
        #[arg(long)]
        dir: PathBuf,
    },
    /// Receives the files once
    ///
    /// A file appears under its name only when it is complete, and replaces an
    /// existing file. Names that point outside the folder are refused.
    Client {
        /// The folder to write to; it is created if it does not exist
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    support::run_role::<7989, Role>(|role, addr, stop| match role {
        Role::Server { dir } => server(addr, dir, stop),
        Role::Client { dir } => client(addr, &dir, stop).map_err(|error| stop.unfinished(error)),
    })
}

// -- the server --

fn server(addr: String, dir: PathBuf, stop: &Stop) -> io::Result<()> {
    // Report an unreadable folder now, not when the first client asks.
    files(&dir)?;
    let wire = Wire::mount(addr).stream("stats", move |stream| send_files(stream, &dir));
    support::serve(wire, stop)
}

fn send_files(stream: &mut Stream, dir: &Path) -> io::Result<()> {
    for name in files(dir)? {
        let path = dir.join(&name);
        let mut file = File::open(&path).map_err(with_path(&path))?;
        stream.write_message(name.as_bytes())?;
        io::copy(&mut file, stream)?;
        stream.finish()?;
    }
    Ok(())
}

/// Returns the sorted names of a folder's regular files.
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(with_path(dir))? {
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
    fs::create_dir_all(dir).map_err(with_path(dir))?;
    let (wire, session) = support::connect_once(Wire::join(addr), stop)?;
    let outcome = receive_files(&session, dir);
    wire.close()?;
    outcome
}

fn receive_files(session: &Session, dir: &Path) -> io::Result<()> {
    let mut stream = session.open_stream("stats")?;
    while stream.next_message()? {
        let name = read_name(&stream)?;
        if !stream.next_message()? {
            return Err(invalid(format!("the content of {name:?} is missing")));
        }
        let len = receive_file(&mut stream, dir, &name)?;
        print_line!("{name:?}: {len} bytes")?;
    }
    stream.close()
}

fn read_name(stream: &Stream) -> io::Result<String> {
    let mut name = Vec::new();
    stream.reader().take(MAX_NAME + 1).read_to_end(&mut name)?;
    if name.len() as u64 > MAX_NAME {
        return Err(invalid(format!(
            "a file name is longer than {MAX_NAME} bytes"
        )));
    }
    let name = String::from_utf8(name)
        .map_err(|error| invalid(format!("a file name is not UTF-8: {error}")))?;
    match stays_inside(&name) {
        true => Ok(name),
        false => Err(invalid(format!(
            "file name {name:?} refused: it points outside the folder"
        ))),
    }
}

/// Returns whether a file of this name stays directly in the folder that it is
/// joined to, on every operating system.
fn stays_inside(name: &str) -> bool {
    let plain = Path::new(name).file_name() == Some(name.as_ref());
    plain && !name.contains(['/', '\\', '\0'])
}

/// Writes the message to a temporary file first and then renames it, so that a
/// truncated file never looks complete.
fn receive_file(stream: &mut Stream, dir: &Path, name: &str) -> io::Result<u64> {
    let path = dir.join(name);
    let mut partial = partial_file().tempfile_in(dir).map_err(with_path(dir))?;
    let len = io::copy(stream, &mut partial)?;
    partial
        .persist(&path)
        .map_err(|error| with_path(&path)(error.error))?;
    Ok(len)
}

/// Returns a builder for a temporary file, which is deleted if it is not renamed.
fn partial_file() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    {
        // The usual permissions of a new file. The default allows only the
        // owner to read it.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

// -- errors --

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
