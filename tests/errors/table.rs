//! A row of the table: prints it, and checks what the message must contain.

use std::fmt::Display;

/// Prints `input` and `message`, and checks that the message is one line that contains each
/// of `expected`.
#[allow(dead_code, reason = "the modules below use it")]
#[track_caller]
pub fn row(input: impl Display, message: impl Display, expected: &[&str]) {
    let message = message.to_string();
    println!("{input}\n    {message}");
    assert!(!expected.is_empty(), "{input}: nothing is checked");
    assert!(!message.contains('\n'), "{input}: {message:?}");
    for part in expected {
        assert!(
            message.contains(part),
            "{input}: {part:?} is not in {message:?}"
        );
    }
}
