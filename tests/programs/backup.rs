//! A server fetches a backup: `tar` on the client, `tar` on the server. A failure on the
//! client is an error on the server.

use super::{Outcome, PATIENCE};
use std::{
    fs, io,
    path::Path,
    process::{Child, Command, Stdio},
};
use wirenet::{Session, Stream, Wire};

/// Sends the folder as a tar archive.
fn send(stream: &mut Stream, folder: &Path) -> io::Result<()> {
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .args(["-cf", "-", "."])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    io::copy(tar.stdout.as_mut().expect("it is piped"), stream)?;
    succeeded(tar)
    // Returning `Ok` ends the message. After an error, the receiver gets an error, too.
}

/// Fetches the folder of a client.
fn fetch(session: &Session, folder: &Path) -> io::Result<()> {
    let mut stream = session.open_stream("backup")?;
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .args(["-xf", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    io::copy(&mut stream, tar.stdin.as_mut().expect("it is piped"))?;
    succeeded(tar)
}

fn succeeded(mut child: Child) -> io::Result<()> {
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("tar: {status}"))),
    }
}

#[test]
fn a_server_fetches_a_folder_from_a_client_with_tar() -> Outcome {
    let (from, to) = (tempfile::tempdir()?, tempfile::tempdir()?);
    fs::create_dir(from.path().join("photos"))?;
    fs::write(from.path().join("photos/1"), vec![1; 300_000])?;
    fs::write(from.path().join("notes"), "remember")?;

    let server = Wire::mount("127.0.0.1:0").build()?;
    server.start()?;
    let folder = from.path().to_owned();
    let client = Wire::join(server.local_addr().unwrap())
        .identification("box-1", "")
        .stream("backup", move |stream| send(stream, &folder))
        .build()?;
    client.start_within(PATIENCE)?;
    let session = server.wait_session_for("box-1", PATIENCE)?;

    fetch(&session, to.path())?;
    assert_eq!(fs::read(to.path().join("photos/1"))?, vec![1; 300_000]);
    assert_eq!(fs::read(to.path().join("notes"))?, b"remember");

    // The folder is gone: `tar` fails, and the server learns of it.
    drop(from);
    fetch(&session, to.path()).unwrap_err();
    Ok(())
}
