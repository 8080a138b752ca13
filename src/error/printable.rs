//! Text from a peer, made safe to print.

use std::fmt::{self, Write};

/// Prints a peer's text on a single line, without characters that control a
/// terminal.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            // Line separators and marks that change the direction of text. Unicode
            // does not count them as control characters.
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                write!(f, "{}", char.escape_default())
            }
            _ if char.is_control() => write!(f, "{}", char.escape_default()),
            _ => f.write_char(char),
        })
    }
}

/// Prints bytes that are usually text, such as an identification: in quotation marks if
/// they are text, and otherwise as `b"\xff"`. Control characters are escaped.
pub(crate) struct PrintableBytes<'a>(pub(crate) &'a [u8]);

impl fmt::Display for PrintableBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) => write!(f, "{text:?}"),
            // Where the text is invalid does not matter.
            Err(_) => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

impl fmt::Debug for PrintableBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_printed_as_text_if_they_are_text() {
        for (bytes, shown) in [
            (&b"box-1"[..], r#""box-1""#),
            ("bücher".as_bytes(), r#""bücher""#),
            (b"", r#""""#),
            (b"a\"\n\x1b", r#""a\"\n\u{1b}""#),
            ("\u{202e}\u{2028}".as_bytes(), r#""\u{202e}\u{2028}""#),
            (b"a\xff\0", r#"b"a\xff\x00""#),
        ] {
            let printable = PrintableBytes(bytes);
            assert_eq!(printable.to_string(), shown);
            assert_eq!(format!("{printable:?}"), shown);
        }
    }
}
