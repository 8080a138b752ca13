//! The shortest way through the library: a server and a client in one program,
//! and a real file that goes from one to the other through a named stream.
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
use support::{SESSION_TIMEOUT, random::RandomBytes, stop::Stop};
use wirenet::{Session, Wire};

/// Sends a file from a server to a client, both in this program, over loopback.
///
/// Prints the rate, and compares the SHA-256 of the file with that of its copy;
/// the exit status is not 0 if they differ. The copy is thrown away. Ctrl-C and
/// SIGTERM close properly. RUST_LOG=debug shows what the library does.
#[derive(Parser)]
struct Args {
    /// The file to send; without it, a temporary one of random bytes
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The size of the temporary file
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
    support::run(|stop| {
        let folder = tempfile::tempdir()?;
        let file = match args.file {
            Some(path) => path,
            None => make_file(folder.path().join("file"), args.size, stop)?,
        };
        transfer(&file, &folder.path().join("copy"), stop)
    })
}

/// Sends `file` through a stream, to be written to `copy`, and compares them.
fn transfer(file: &Path, copy: &Path, stop: &Stop) -> io::Result<()> {
    let len = file_len(file)?;
    let checksum = sha256(file, stop)?;

    let server = serve(file.into(), checksum)?;
    stop.closes(&server);
    let addr = server.local_addr().expect("it listens").to_string();

    let client = Wire::join(&addr).build()?;
    stop.closes(&client);
    client.start()?;
    let session = client.wait_session(SESSION_TIMEOUT)?;

    println!("sending {} over {addr}", HumanBytes(len));
    let promised = receive(&session, copy, len)?;
    client.close()?;
    server.close()?;

    compare(&promised, &sha256(copy, stop)?)
}

/// The server: whoever opens the stream `file` gets two messages, the file and
/// its checksum.
fn serve(file: PathBuf, checksum: String) -> io::Result<Wire> {
    let server = Wire::mount("127.0.0.1:0")
        .stream("file", move |stream| {
            io::copy(&mut File::open(&file)?, stream)?;
            stream.finish()?;
            stream.write_message(checksum.as_bytes())
        })
        .build()?;
    server.start()?;
    Ok(server)
}

/// The client: writes the file to `copy`, prints the rate, and gives the
/// checksum that the server sent.
fn receive(session: &Session, copy: &Path, len: u64) -> io::Result<String> {
    let bar = progress_bar(len);
    let begun = Instant::now();
    let mut stream = session.open_stream("file")?;
    let count = io::copy(&mut stream, &mut bar.wrap_write(File::create(copy)?))?;
    let time = begun.elapsed();
    bar.finish_and_clear();

    let rate = HumanBytes((count as f64 / time.as_secs_f64()) as u64);
    let count = HumanBytes(count);
    println!("received {count} in {time:.2?}: {rate}/s, reading and writing the files included");

    let mut checksum = String::new();
    stream.reader().read_to_string(&mut checksum)?;
    stream.close()?;
    Ok(checksum)
}

fn compare(sent: &str, received: &str) -> io::Result<()> {
    println!("sha256 sent     {sent}");
    println!("sha256 received {received}");
    if sent != received {
        return Err(io::Error::other("the checksums differ"));
    }
    println!("checksums match");
    Ok(())
}

/// A file of random bytes.
fn make_file(path: PathBuf, mib: u32, stop: &Stop) -> io::Result<PathBuf> {
    let len = u64::from(mib) << 20;
    println!("making a file of {} of random bytes", HumanBytes(len));
    let bytes = RandomBytes::new().take(len);
    io::copy(&mut stop.guard(bytes), &mut File::create(&path)?)?;
    Ok(path)
}

fn file_len(path: &Path) -> io::Result<u64> {
    let about = path.metadata().map_err(support::at(path))?;
    match about.is_file() {
        true => Ok(about.len()),
        false => Err(support::at(path)(io::Error::other("not a regular file"))),
    }
}

/// The checksum of a file as hexadecimal digits.
fn sha256(path: &Path, stop: &Stop) -> io::Result<String> {
    let file = File::open(path).map_err(support::at(path))?;
    let mut hasher = Sha256::new();
    io::copy(&mut stop.guard(file), &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// Shown only where stderr is a terminal.
fn progress_bar(len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes} {bytes_per_sec}");
    ProgressBar::new(len).with_style(style.expect("a good template"))
}
