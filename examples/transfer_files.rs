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
    collections::HashSet,
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use support::{
    output::{print_line, say},
    stop::Stop,
    with_path,
};
use tempfile::NamedTempFile;
use wirenet::{Session, Stream, Wire};

/// The stream that carries the names and contents.
const FILES: &str = "stats";
/// The stream that our client offers, on which the server tells it of a file that
/// cannot be sent: one message with its name, then one with the reason.
const FAILURES: &str = "stats:failed";
/// The longest file name and the longest reason that the client accepts, in bytes. It
/// is the longest path on common systems, whose file systems allow names of 255 bytes.
const MAX_NAME: u64 = 4096;
/// How many files the server may fail to send before the client gives up.
const MAX_UNSENT: usize = 10_000;

/// Copies the files of a folder from a server to a client.
///
/// The server handles the stream `stats`: for each file of a folder, sorted by name, it
/// sends one message with the name, then one with the content. The client writes the
/// files to its own folder. A file that either of them cannot handle is reported and
/// skipped; the client's exit status is then nonzero.
///
/// Either side can be the go-wirenet example of the same name. A go-wirenet server that
/// cannot open a file ends the stream as if all files were sent: check the number of
/// files that the client prints. A go-wirenet client gets an error after the other
/// files, or inside a file that cannot be read to its end.
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
    let wire = Wire::mount(addr).stream(FILES, move |stream| send_files(stream, &dir));
    support::serve(wire, stop)
}

fn send_files(stream: &mut Stream, dir: &Path) -> io::Result<()> {
    let mut untold = 0;
    for name in files(dir)? {
        let path = dir.join(&name);
        let opened = match to_bytes(&name) {
            Some(bytes) => File::open(&path).map(|file| (bytes, file)),
            None => Err(invalid("the name is not Unicode")),
        };
        match opened {
            Ok((bytes, file)) => send_file(stream, &path, &bytes, file)?,
            Err(error) if tell_failure(stream.session(), &path, &error)? => {}
            Err(_) => untold += 1,
        }
    }
    match untold {
        0 => Ok(()),
        // The client can learn it only from an error.
        _ => Err(io::Error::other(format!(
            "{untold} files could not be sent"
        ))),
    }
}

fn send_file(stream: &mut Stream, path: &Path, name: &[u8], file: File) -> io::Result<()> {
    stream.write_message(name)?;
    let mut content = Content {
        file,
        failure: None,
    };
    io::copy(&mut content, stream)?;
    if let Some(error) = content.failure
        // From now on, the client does not accept the content as complete.
        && !tell_failure(stream.session(), path, &error)?
    {
        return Err(with_path(path)(error));
    }
    stream.finish()
}

/// A file that ends at the first error of a read.
struct Content {
    file: File,
    failure: Option<io::Error>,
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buf) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.failure = Some(error);
                Ok(0)
            }
            outcome => outcome,
        }
    }
}

/// Reports a file that cannot be sent, and tells the client. Returns whether the client
/// knows.
fn tell_failure(session: &Session, path: &Path, error: &io::Error) -> io::Result<bool> {
    log::warn!("{}: {error}", path.display());
    if session.stream_names().iter().all(|name| name != FAILURES) {
        return Ok(false);
    }
    let name = path.file_name().unwrap_or_default();
    let bytes = to_bytes(name).unwrap_or_else(|| name.to_string_lossy().as_bytes().into());
    let stream = session.open_stream(FAILURES)?;
    stream.write_message(&bytes)?;
    stream.write_message(error.to_string())?;
    // The client ends the stream when it has taken note.
    while stream.next_message()? {}
    Ok(true)
}

/// Returns the sorted names of a folder's regular files.
fn files(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(with_path(dir))? {
        let entry = entry.map_err(with_path(dir))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}

// -- the client --

fn client(addr: String, dir: &Path, stop: &Stop) -> io::Result<()> {
    fs::create_dir_all(dir).map_err(with_path(dir))?;
    let receipt = Arc::new(Receipt::default());
    let noting = Arc::clone(&receipt);
    let wire = Wire::join(addr).stream(FAILURES, move |stream| noting.take_failure(stream));
    let (wire, session) = support::connect_once(wire, stop)?;
    let outcome = receive_files(&session, dir, &receipt);
    support::close(&wire);
    say!("received {} files", receipt.received.load(Ordering::SeqCst));
    let failed = receipt.failed.load(Ordering::SeqCst);
    outcome?;
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::other(format!(
            "{failed} files were not received"
        ))),
    }
}

/// What has happened to the files so far.
#[derive(Default)]
struct Receipt {
    received: AtomicU64,
    failed: AtomicU64,
    /// The files that the server cannot send. It may be ahead of this client, which
    /// may yet have to receive the beginnings of some of them.
    unsent: Mutex<HashSet<Vec<u8>>>,
}

impl Receipt {
    /// Takes note of a file that the server cannot send. It may have begun to send it.
    fn take_failure(&self, stream: &Stream) -> io::Result<()> {
        let mut texts = [Vec::new(), Vec::new()];
        for text in &mut texts {
            stream.next_message()?;
            *text = read_text(stream)?;
        }
        let [name, reason] = texts;
        self.fail(&name, String::from_utf8_lossy(&reason).escape_debug());
        let mut unsent = self.unsent();
        unsent.insert(name);
        match unsent.len() > MAX_UNSENT {
            true => Err(invalid("too many files cannot be sent")),
            false => Ok(()),
        }
    }

    fn fail(&self, name: &[u8], reason: impl fmt::Display) {
        self.failed.fetch_add(1, Ordering::SeqCst);
        log::error!("{} was not received: {reason}", Quoted(name));
    }

    fn is_unsent(&self, name: &[u8]) -> bool {
        self.unsent().contains(name)
    }

    fn unsent(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn receive_files(session: &Session, dir: &Path, receipt: &Receipt) -> io::Result<()> {
    let mut stream = session.open_stream(FILES)?;
    while stream.next_message()? {
        let name = read_text(&stream)?;
        if !stream.next_message()? {
            receipt.fail(&name, "its content is missing");
            break;
        }
        // The next message skips the content of a file that is refused.
        let written = match to_file_name(&name) {
            Ok(file) => {
                let content = receive_content(&mut stream, dir)?;
                // If the server could not read the file to its end, it has said so by
                // now, and the content is deleted.
                if receipt.is_unsent(&name) {
                    continue;
                }
                content.and_then(|content| content.keep(&dir.join(file)))
            }
            Err(reason) => Err(invalid(reason)),
        };
        match written {
            Ok(len) => {
                receipt.received.fetch_add(1, Ordering::SeqCst);
                // A list that cannot be printed does not end the transfer.
                let _ = print_line!("{}: {len} bytes", Quoted(&name));
            }
            Err(error) => receipt.fail(&name, error),
        }
    }
    stream.close()
}

/// Reads the current message: a name, or a reason.
fn read_text(stream: &Stream) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    stream.reader().take(MAX_NAME + 1).read_to_end(&mut text)?;
    match text.len() as u64 > MAX_NAME {
        true => Err(invalid("the server sends a name of more than 4096 bytes")),
        false => Ok(text),
    }
}

/// Writes the message to a temporary file, so that a truncated file never looks
/// complete. The outer error is one after which no file can be received, the inner one
/// concerns this file: the disk may be full for it, but not for a smaller one.
fn receive_content(stream: &mut Stream, dir: &Path) -> io::Result<io::Result<Complete>> {
    let file = partial_file().tempfile_in(dir).map_err(with_path(dir))?;
    let mut partial = Partial {
        file,
        failure: None,
    };
    let len = io::copy(stream, &mut partial)?;
    Ok(match partial.failure {
        None => Ok(Complete {
            file: partial.file,
            len,
        }),
        Some(error) => Err(error),
    })
}

/// A file that discards what is written after the first failure.
struct Partial {
    file: NamedTempFile,
    failure: Option<io::Error>,
}

impl Write for Partial {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.failure.is_none() {
            self.failure = self.file.write_all(buf).err();
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A complete copy, which is deleted if it is not kept.
struct Complete {
    file: NamedTempFile,
    len: u64,
}

impl Complete {
    /// Gives the copy its name. Returns its length.
    fn keep(self, path: &Path) -> io::Result<u64> {
        match self.file.persist(path) {
            Ok(_) => Ok(self.len),
            Err(error) => Err(with_path(path)(error.error)),
        }
    }
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

// -- names --

/// Returns a name as it is sent. On Unix, it may be any bytes.
fn to_bytes(name: &OsStr) -> Option<Vec<u8>> {
    #[cfg(unix)]
    let name = Some(std::os::unix::ffi::OsStrExt::as_bytes(name));
    #[cfg(not(unix))]
    let name = name.to_str().map(str::as_bytes);
    name.map(Into::into)
}

/// Returns the name of a file directly in a folder.
fn to_file_name(name: &[u8]) -> Result<OsString, &'static str> {
    #[cfg(unix)]
    let file: Result<OsString, &str> = Ok(std::os::unix::ffi::OsStringExt::from_vec(name.into()));
    #[cfg(not(unix))]
    let file = String::from_utf8(name.into())
        .map(OsString::from)
        .map_err(|_| "the name is not Unicode");
    let file = file?;
    // Elsewhere, these separate folders, drives and streams.
    let separators: &[u8] = if cfg!(unix) { b"/\0" } else { b"/\\:\0" };
    let plain = Path::new(&file).file_name() == Some(&file);
    match plain && !name.iter().any(|byte| separators.contains(byte)) {
        true => Ok(file),
        false => Err("the name is not that of a file in the folder"),
    }
}

/// Prints a name that may contain anything on a single line.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            let valid = format!("{:?}", chunk.valid());
            f.write_str(&valid[1..valid.len() - 1])?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

// -- errors --

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
