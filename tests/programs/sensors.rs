//! A box pushes measurements as lines of JSON, for as long as it runs.

use super::{Outcome, PATIENCE};
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, Write},
    sync::mpsc,
};
use wirenet::Wire;

#[test]
fn a_box_pushes_measurements_line_by_line() -> Outcome {
    let (sender, measured) = mpsc::channel();
    let server = Wire::mount("127.0.0.1:0")
        .stream("measurements", move |stream| {
            for line in stream.reader().lines() {
                let measurement: Value = serde_json::from_str(&line?)?;
                sender.send(measurement).map_err(io::Error::other)?;
            }
            Ok(())
        })
        .build()?;
    server.start()?;

    let client = Wire::join(server.local_addr().unwrap()).build()?;
    let stream = client.start_within(PATIENCE)?.open_stream("measurements")?;
    let mut lines = stream.writer();
    for second in 0..10 {
        serde_json::to_writer(&mut lines, &json!({ "second": second, "celsius": 21.5 }))?;
        lines.write_all(b"\n")?;
        // Sends the line now.
        lines.flush()?;
        assert_eq!(measured.recv_timeout(PATIENCE)?["second"], second);
    }
    lines.finish()?;
    Ok(())
}
