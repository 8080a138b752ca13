//! Checks of what a reader gets.

use std::io::{self, Read};

/// Checks that the next bytes are these.
#[track_caller]
pub fn assert_reads(mut from: impl Read, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    from.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

/// Checks that the bytes have ended.
#[track_caller]
pub fn assert_end(mut from: impl Read) {
    assert_eq!(from.read(&mut [0; 1]).unwrap(), 0);
}

/// Checks that the bytes end with a reset.
#[track_caller]
pub fn assert_reset(mut from: impl Read) {
    let error = io::copy(&mut from, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
}
