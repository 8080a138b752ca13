//! A server sends new firmware to devices. A device that cannot install it says why, even in
//! the middle of the transfer.

use super::{Outcome, PATIENCE};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use wirenet::{Stream, Wire};

/// Receives a checksum and an image, and answers whether the image is installed.
fn install(stream: &mut Stream, disk: &mut [u8]) -> io::Result<()> {
    let expected = stream.read_message(32)?.unwrap_or_default();
    let mut free = &mut disk[..];
    let answer = match io::copy(&mut stream.take(1 << 30), &mut free) {
        Err(error) => format!("error: {error}"),
        Ok(size) if *expected == *Sha256::digest(&disk[..size as usize]) => "ok".into(),
        Ok(_) => "error: wrong checksum".into(),
    };
    // Returning `Ok` ends the stream. The server gets the answer even if it is still sending.
    stream.write_message(answer)
}

/// Sends an image to a device, and returns the answer.
fn update(
    server: &Wire,
    device: &str,
    checksum: &[u8],
    image: &[u8],
    progress: impl Fn(usize),
) -> io::Result<String> {
    let session = server.wait_session_for(device, PATIENCE)?;
    let mut stream = session.open_stream("firmware")?;
    stream.write_message(checksum)?;
    let parts = image.chunks(64 * 1024);
    let sent = parts.enumerate().try_for_each(|(number, part)| {
        progress(number * 64 * 1024);
        stream.write_all(part)
    });
    // The answer is worth more than the error of a write: it may be the reason for it.
    match sent.and_then(|()| stream.finish()) {
        Ok(()) => io::read_to_string(stream),
        Err(error) => io::read_to_string(stream).map_err(|_| error),
    }
}

#[test]
fn a_device_answers_whether_it_has_installed_its_firmware() -> Outcome {
    let server = Wire::mount("127.0.0.1:0").build()?;
    server.start()?;
    let device = |name: &str, disk: usize| {
        let device = Wire::join(server.local_addr().unwrap())
            .identification(name, "")
            .stream("firmware", move |stream| {
                install(stream, &mut vec![0; disk])
            })
            .build()?;
        device.start_within(PATIENCE).map(|_| device)
    };
    let _large = device("large", 10_000_000)?;
    let _small = device("small", 100_000)?;

    let image: Vec<u8> = (0..2_000_000_u32)
        .map(|number| (number / 7) as u8)
        .collect();
    let checksum = Sha256::digest(&image);
    let sent = std::cell::Cell::new(0);
    let update = |device, checksum| update(&server, device, checksum, &image, |to| sent.set(to));

    assert_eq!(update("large", &checksum)?, "ok");
    assert_eq!(update("large", &[0; 32])?, "error: wrong checksum");
    assert_eq!(
        update("small", &checksum)?,
        "error: failed to write whole buffer"
    );
    assert!(sent.get() < image.len() / 2, "the server stopped early");
    Ok(())
}
