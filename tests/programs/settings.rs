//! A server sends new settings to the clients that it finds by name, and asks one of them.

use super::{Outcome, PATIENCE};
use std::{
    io,
    sync::{Arc, Mutex},
};
use wirenet::{Stream, Wire};

const MAX: usize = 4096;

/// Keeps the settings that a server sends.
fn keep(stream: &mut Stream, settings: &Mutex<Vec<u8>>) -> io::Result<()> {
    let Some(new) = stream.read_message(MAX)? else {
        return Err(io::Error::other("no settings were sent"));
    };
    *settings.lock().unwrap() = new;
    // The answer says that the settings are in use.
    stream.write_message(b"")
}

#[test]
fn a_server_sends_settings_to_the_clients_that_it_names() -> Outcome {
    let server = Wire::mount("127.0.0.1:0").build()?;
    server.start()?;
    let mut boxes = Vec::new();
    for name in ["box-1", "box-2", "box-3"] {
        let settings = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&settings);
        let client = Wire::join(server.local_addr().unwrap())
            .identification(name, "")
            .stream("settings", move |stream| keep(stream, &kept))
            .build()?;
        client.start_within(PATIENCE)?;
        boxes.push((client, settings));
    }

    for name in ["box-1", "box-3"] {
        let session = server.wait_session_for(name, PATIENCE)?;
        let stream = session.open_stream("settings")?;
        stream.write_message(name.as_bytes())?;
        assert_eq!(stream.read_message(MAX)?, Some(Vec::new()));
    }
    let settings = boxes.iter().map(|(_, kept)| kept.lock().unwrap().clone());
    assert!(settings.eq([b"box-1".to_vec(), Vec::new(), b"box-3".to_vec()]));
    Ok(())
}
