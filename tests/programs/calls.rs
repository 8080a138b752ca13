//! Remote procedure calls as JSON, 10,000 of them over one stream, and one on a stream of its
//! own.

use super::{Outcome, PATIENCE};
use serde_json::{Value, json};
use std::{io, io::Write as _};
use wirenet::{Stream, Wire};

/// The longest request and answer.
const MAX: usize = 1 << 20;

/// Answers every request on the stream.
fn serve(stream: &mut Stream) -> io::Result<()> {
    while let Some(request) = stream.read_message(MAX)? {
        let request: Value = serde_json::from_slice(&request)?;
        let sum = request["a"].as_i64().unwrap_or(0) + request["b"].as_i64().unwrap_or(0);
        let mut answer = stream.writer();
        serde_json::to_writer(&mut answer, &json!({ "id": request["id"], "sum": sum }))?;
        answer.finish()?;
    }
    Ok(())
}

fn call(stream: &Stream, request: &Value) -> io::Result<Value> {
    let mut writer = stream.writer();
    serde_json::to_writer(&mut writer, request)?;
    writer.finish()?;
    let answer = stream.read_message(MAX)?;
    Ok(serde_json::from_slice(&answer.unwrap_or_default())?)
}

#[test]
fn ten_thousand_calls_are_answered_in_turn() -> Outcome {
    let server = Wire::mount("127.0.0.1:0").stream("sum", serve).build()?;
    server.start()?;
    let client = Wire::join(server.local_addr().unwrap()).build()?;
    let session = client.start_within(PATIENCE)?;

    let stream = session.open_stream("sum")?;
    for id in 0..10_000 {
        let answer = call(&stream, &json!({ "id": id, "a": id, "b": 1 }))?;
        assert_eq!(answer, json!({ "id": id, "sum": id + 1 }));
    }
    // One call does not wait for another if each has its own stream.
    let other = session.open_stream_nowait("sum")?;
    assert_eq!(call(&other, &json!({ "a": 2, "b": 3 }))?["sum"], 5);
    // A request that is not JSON ends its stream, not the session.
    (&other).write_all(b"{")?;
    other.finish()?;
    other.read_message(MAX).unwrap_err();
    assert_eq!(call(&stream, &json!({ "a": 2, "b": 2 }))?["sum"], 4);
    Ok(())
}
