//! Typical uses of streams.

use crate::support::{
    in_time,
    pattern::Pattern,
    wires::{Link, message},
};
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use std::io::{self, Read, Write};

#[test]
fn json_is_sent_and_answered() {
    in_time(|| {
        let link = Link::serving("balance", |stream| {
            let asked: Value = serde_json::from_reader(stream.reader())?;
            let answer = json!({ "of": asked["id"], "balance": 12.5, "text": "Grüße ✋" });
            let mut writer = stream.writer();
            serde_json::to_writer(&mut writer, &answer)?;
            writer.finish()
        });
        let stream = link.near.open_stream("balance").unwrap();
        let question =
            json!({ "id": 7, "filter": ["a", "b"], "nested": { "long": "x".repeat(5000) } });
        serde_json::to_writer(&stream, &question).unwrap();
        stream.finish().unwrap();
        let answer: Value = serde_json::from_reader(stream.reader()).unwrap();
        assert_eq!(
            answer,
            json!({ "of": 7, "balance": 12.5, "text": "Grüße ✋" })
        );
    });
}

#[test]
fn one_stream_carries_several_json_messages() {
    in_time(|| {
        let link = Link::serving("add", |stream| {
            while stream.next_message()? {
                let pair: [i64; 2] = serde_json::from_reader(stream.reader())?;
                stream.write_message(&serde_json::to_vec(&(pair[0] + pair[1]))?)?;
            }
            Ok(())
        });
        let stream = link.near.open_stream("add").unwrap();
        for number in 0..20 {
            let pair = serde_json::to_vec(&[number, 1000]).unwrap();
            stream.write_message(&pair).unwrap();
            let sum: i64 = serde_json::from_reader(stream.reader()).unwrap();
            assert_eq!(sum, number + 1000);
        }
        stream.close().unwrap();
    });
}

#[test]
fn one_stream_carries_messages_of_all_lengths() {
    const LENGTHS: [usize; 9] = [0, 1, 1023, 1024, 1025, 4096, 65_535, 65_536, 300_000];

    in_time(|| {
        let link = Link::serving("mirror", |stream| {
            while stream.next_message()? {
                let bytes = message(stream)?;
                stream.write_message(&bytes)?;
            }
            Ok(())
        });
        let stream = link.near.open_stream("mirror").unwrap();
        for (seed, len) in (0..).zip(LENGTHS) {
            let bytes = Pattern::new(seed).to_vec(len);
            stream.write_message(&bytes).unwrap();
            assert!(message(&stream).unwrap() == bytes);
            assert!(stream.was_finished());
        }
        stream.close().unwrap();
    });
}

#[test]
fn a_reader_and_a_writer_each_handle_one_message() {
    in_time(|| {
        let link = Link::serving("shout", |stream| {
            let mut text = String::new();
            stream.reader().read_to_string(&mut text)?;
            let mut writer = stream.writer();
            for word in text.split(' ') {
                writer.write_all(word.to_uppercase().as_bytes())?;
                writer.write_all(b"!")?;
            }
            writer.finish()
        });
        for text in ["hello", "one two three"] {
            let stream = link.near.open_stream("shout").unwrap();
            let mut writer = stream.writer();
            write!(writer, "{text}").unwrap();
            writer.finish().unwrap();
            let mut answer = String::new();
            stream.reader().read_to_string(&mut answer).unwrap();
            assert_eq!(answer, text.to_uppercase().replace(' ', "!") + "!");
        }
    });
}

/// `io::copy` does what `ReadFrom` and `WriteTo` do in go-wirenet.
#[test]
fn io_copy_works_into_and_out_of_a_stream() {
    const LEN: usize = 3_000_000;

    in_time(|| {
        let (took, takes) = bounded(1);
        let link = Link::serving("files", move |stream| {
            let mut received = tempfile::tempfile()?;
            let len = io::copy(stream, &mut received)?;
            took.send(len).unwrap();
            io::Seek::rewind(&mut received)?;
            io::copy(&mut received, stream)?;
            stream.finish()
        });
        let bytes = Pattern::new(5).to_vec(LEN);
        let mut stream = link.near.open_stream("files").unwrap();
        let sent = io::copy(&mut &bytes[..], &mut stream).unwrap();
        stream.finish().unwrap();
        let mut back = Vec::new();
        let received = io::copy(&mut stream, &mut back).unwrap();
        assert_eq!((sent, received), (LEN as u64, LEN as u64));
        assert_eq!(takes.recv().unwrap(), LEN as u64);
        assert!(back == bytes);
    });
}
