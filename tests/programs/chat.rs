//! Two clients behind NAT talk through a hub, both at once.

use super::{Outcome, PATIENCE};
use std::{
    io::{self, BufRead, Write},
    sync::mpsc,
    thread,
};
use wirenet::{Stream, Wire};

const LINES: usize = 100;

/// Sends lines on this thread while another receives them. Returns the received lines.
fn talk(stream: &Stream, name: &str) -> io::Result<Vec<String>> {
    thread::scope(|scope| {
        let received = scope.spawn(|| stream.reader().lines().collect());
        for number in 0..LINES {
            (&mut &*stream).write_all(format!("{name} {number}\n").as_bytes())?;
        }
        stream.finish()?;
        received.join().expect("the thread does not panic")
    })
}

fn lines_of(name: &str) -> Vec<String> {
    (0..LINES)
        .map(|number| format!("{name} {number}"))
        .collect()
}

#[test]
fn two_clients_talk_through_a_hub() -> Outcome {
    let hub = Wire::hub("127.0.0.1:0").build()?;
    hub.start()?;
    let addr = hub.local_addr().unwrap();

    let (sender, heard) = mpsc::channel();
    let anna = Wire::join(addr)
        .stream("anna", move |stream| {
            sender.send(talk(stream, "anna")?).map_err(io::Error::other)
        })
        .build()?;
    anna.start_within(PATIENCE)?;

    let bert = Wire::join(addr).build()?;
    let stream = bert.start_within(PATIENCE)?.open_stream("anna")?;
    assert_eq!(talk(&stream, "bert")?, lines_of("anna"));
    assert_eq!(heard.recv_timeout(PATIENCE)?, lines_of("bert"));
    Ok(())
}
