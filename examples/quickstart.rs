//! A tour of the library: a server and a client in one program, and a file that
//! the server sends to the client over a named stream.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```

mod support;

use clap::Parser;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};
use support::{SESSION_TIMEOUT, output::say, random::RandomBytes, stop::Stop};
use wirenet::{Session, Wire};

/// Sends a file from a server to a client, both in this program, over loopback.
///
/// Prints the rate, and compares the SHA-256 checksums of the file and its copy:
/// the exit status is nonzero if they differ. Deletes the copy.
#[derive(Parser)]
#[command(after_long_help = support::SIGNALS)]
struct Args {
    /// The file to send [default: a temporary file of random bytes]
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The size of the temporary file, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 256,
        conflicts_with = "file"
    )]
    size: u32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    support::run(|stop| run(args, stop).map_err(|error| stop.unfinished(error)))
}

fn run(args: Args, stop: &Stop) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = match args.file {
        Some(path) => path,
        None => create_file(folder.path().join("file"), args.size, stop)?,
    };
    transfer(&file, &folder.path().join("copy"), stop)
}

/// Sends `file` over a stream, writes it to `copy`, and compares the two.
fn transfer(file: &Path, copy: &Path, stop: &Stop) -> io::Result<()> {
    let len = file_len(file)?;
    let checksum = sha256(file, stop)?;

    let server = serve(file.into(), checksum)?;
    stop.close_on_stop(&server);
    let addr = server.local_addr().expect("the server listens");

    let client = Wire::join(addr).build()?;
    stop.close_on_stop(&client);
    let session = client.start_within(SESSION_TIMEOUT)?;

    say!("sending {} over {addr}", HumanBytes(len));
    let sent_checksum = receive(&session, copy, len)?;
    client.close()?;
    server.close()?;

    compare(&sent_checksum, &sha256(copy, stop)?)
}

/// Starts the server. It answers each stream `file` with two messages: the file
/// and its checksum.
fn serve(file: PathBuf, checksum: String) -> io::Result<Wire> {
    let server = Wire::mount("127.0.0.1:0")
        .stream("file", move |stream| {
            io::copy(&mut File::open(&file)?, stream)?;
            stream.finish()?;
            stream.write_message(&checksum)
        })
        .build()?;
    server.start()?;
    Ok(server)
}

/// Receives the file on the client and writes it to `copy`. Prints the rate, and
/// returns the checksum that the server sent.
fn receive(session: &Session, copy: &Path, len: u64) -> io::Result<String> {
    let file = File::create(copy).map_err(support::with_path(copy))?;
    let bar = progress_bar(len);
    let start = Instant::now();
    let mut stream = session.open_stream("file")?;
    let count = io::copy(&mut stream, &mut bar.wrap_write(file))?;
    let time = start.elapsed();
    bar.finish_and_clear();

    let rate = HumanBytes((count as f64 / time.as_secs_f64()) as u64);
    let count = HumanBytes(count);
    say!("received {count} in {time:.2?}: {rate}/s, including file reads and writes");

    let mut checksum = String::new();
    stream.reader().read_to_string(&mut checksum)?;
    stream.close()?;
    Ok(checksum)
}

fn compare(sent: &str, received: &str) -> io::Result<()> {
    say!("sha256 sent     {sent}");
    say!("sha256 received {received}");
    if sent != received {
        return Err(io::Error::other("the checksums differ"));
    }
    say!("checksums match");
    Ok(())
}

/// Creates a file of random bytes.
fn create_file(path: PathBuf, mib: u32, stop: &Stop) -> io::Result<PathBuf> {
    let len = u64::from(mib) << 20;
    say!("creating a file of {} of random bytes", HumanBytes(len));
    let bytes = RandomBytes::new().take(len);
    let copied = File::create(&path)
        .and_then(|mut file| io::copy(&mut stop.interruptible(bytes), &mut file));
    copied.map_err(support::with_path(&path))?;
    Ok(path)
}

fn file_len(path: &Path) -> io::Result<u64> {
    let metadata = path.metadata().map_err(support::with_path(path))?;
    match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(support::with_path(path)(io::Error::other(
            "not a regular file",
        ))),
    }
}

/// Returns a file's checksum as hexadecimal digits.
fn sha256(path: &Path, stop: &Stop) -> io::Result<String> {
    let file = File::open(path).map_err(support::with_path(path))?;
    let mut hasher = Sha256::new();
    io::copy(&mut stop.interruptible(file), &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// Returns a progress bar, which is visible only if stderr is a terminal.
fn progress_bar(len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes} {bytes_per_sec}");
    ProgressBar::new(len).with_style(style.expect("the template is valid"))
}
