//! The part of Protocol Buffers that the messages of a session handshake need:
//! fields of bytes, text and unsigned integers. Pure.
//!
//! Hand-written, because two messages of five fields do not justify a code
//! generator: prost took a third of the time needed to build a client for a small
//! box. The tests of `handshake_messages` check that both accept the same input.

/// The deepest nesting of groups that is skipped, as in prost.
const MAX_DEPTH: u32 = 100;

/// Field types.
const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const START_GROUP: u32 = 3;
const END_GROUP: u32 = 4;
const FIXED_32: u32 = 5;

/// Why a payload is not a valid Protocol Buffers message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The payload ends inside a field.
    #[error("ends inside a field")]
    Truncated,
    /// An integer is longer than 64 bits.
    #[error("invalid integer")]
    Integer,
    /// A field has an invalid number or an unknown type.
    #[error("invalid field key {0}")]
    Key(u64),
    /// A known field has a type that differs from the protocol's.
    #[error("field {0} has the wrong type")]
    WrongType(u32),
    /// A text field is not valid UTF-8.
    #[error("field {0} is not UTF-8")]
    NotUtf8(u32),
    /// A group ends without having started, or is nested too deeply.
    #[error("invalid group")]
    Group,
}

/// The fields of a message, in the order in which they were sent.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// A field of a message.
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    value: Value<'a>,
}

enum Value<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
    /// A value of a type that no known field has.
    Other,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<Field<'a>, PayloadError> {
        let (number, kind) = self.key()?;
        let value = match kind {
            VARINT => Value::Integer(self.varint()?),
            LENGTH_DELIMITED => Value::Bytes(self.bytes()?),
            _ => {
                self.skip(number, kind, 0)?;
                Value::Other
            }
        };
        Ok(Field { number, value })
    }

    /// Reads the number and the type of a field.
    fn key(&mut self) -> Result<(u32, u32), PayloadError> {
        let key = self.varint()?;
        let invalid = PayloadError::Key(key);
        let short = u32::try_from(key).map_err(|_| invalid)?;
        let (number, kind) = (short >> 3, short & 7);
        match number > 0 && kind <= FIXED_32 {
            true => Ok((number, kind)),
            false => Err(invalid),
        }
    }

    fn varint(&mut self) -> Result<u64, PayloadError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds a single bit.
            if bits << shift >> shift != bits {
                return Err(PayloadError::Integer);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(PayloadError::Integer)
    }

    /// Reads bytes that are preceded by their length.
    fn bytes(&mut self) -> Result<&'a [u8], PayloadError> {
        let len = self.varint()?;
        self.take(usize::try_from(len).map_err(|_| PayloadError::Truncated)?)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PayloadError> {
        let split = self.rest.split_at_checked(count);
        let (taken, rest) = split.ok_or(PayloadError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Skips the value of a field.
    fn skip(&mut self, number: u32, kind: u32, depth: u32) -> Result<(), PayloadError> {
        if depth == MAX_DEPTH {
            return Err(PayloadError::Group);
        }
        match kind {
            VARINT => self.varint().map(drop),
            FIXED_64 => self.take(8).map(drop),
            LENGTH_DELIMITED => self.bytes().map(drop),
            FIXED_32 => self.take(4).map(drop),
            START_GROUP => loop {
                match self.key()? {
                    (end, END_GROUP) if end == number => return Ok(()),
                    (inner, kind) => self.skip(inner, kind, depth + 1)?,
                }
            },
            // Only an END_GROUP that matches no START_GROUP is left.
            _ => Err(PayloadError::Group),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, PayloadError>;

    /// Returns the next field. There is none after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    pub(crate) fn integer(&self) -> Result<u64, PayloadError> {
        match self.value {
            Value::Integer(value) => Ok(value),
            _ => Err(PayloadError::WrongType(self.number)),
        }
    }

    pub(crate) fn bytes(&self) -> Result<&'a [u8], PayloadError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(PayloadError::WrongType(self.number)),
        }
    }

    pub(crate) fn text(&self) -> Result<&'a str, PayloadError> {
        let text = std::str::from_utf8(self.bytes()?);
        text.map_err(|_| PayloadError::NotUtf8(self.number))
    }
}

/// Writes a message. The caller appends the fields in the order of their
/// numbers.
#[derive(Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// Appends an integer, unless it is 0, the meaning of a missing field.
    pub(crate) fn integer(mut self, number: u32, value: u64) -> Self {
        if value != 0 {
            self.varint(u64::from(number << 3 | VARINT));
            self.varint(value);
        }
        self
    }

    /// Appends bytes, unless they are empty, the meaning of a missing field.
    pub(crate) fn bytes(self, number: u32, bytes: &[u8]) -> Self {
        match bytes.is_empty() {
            true => self,
            false => self.element(number, bytes),
        }
    }

    /// Appends a field for each text of a list.
    pub(crate) fn texts(self, number: u32, texts: &[String]) -> Self {
        texts.iter().fold(self, |message, text| {
            message.element(number, text.as_bytes())
        })
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn element(mut self, number: u32, bytes: &[u8]) -> Self {
        self.varint(u64::from(number << 3 | LENGTH_DELIMITED));
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(bytes: &[u8]) -> Result<Vec<u64>, PayloadError> {
        Fields::new(bytes).map(|field| field?.integer()).collect()
    }

    #[test]
    fn integers_are_as_in_the_specification() {
        let message = Encoder::default().integer(1, 150).integer(2, 0);
        assert_eq!(message.into_bytes(), [0x08, 0x96, 0x01]);
        for value in [1, 0x7f, 0x80, 1 << 32, u64::MAX] {
            let message = Encoder::default().integer(1, value);
            assert_eq!(integers(&message.into_bytes()), Ok(vec![value]));
        }
    }

    #[test]
    fn an_integer_may_be_longer_than_it_needs_but_not_beyond_64_bits() {
        let mut bytes = [0x80; 11];
        bytes[0] = 0x08;
        bytes[10] = 0;
        assert_eq!(integers(&bytes), Ok(vec![0]));
        bytes[10] = 1;
        assert_eq!(integers(&bytes), Ok(vec![1 << 63]));
        bytes[10] = 2;
        assert_eq!(integers(&bytes), Err(PayloadError::Integer));
        let endless = [&[0x08][..], &[0x80; 10], &[0]].concat();
        assert_eq!(integers(&endless), Err(PayloadError::Integer));
    }

    #[test]
    fn bytes_and_texts_are_as_in_the_specification() {
        let texts = ["testing".into(), String::new()];
        let message = Encoder::default().bytes(1, b"").texts(2, &texts);
        let bytes = message.into_bytes();
        assert_eq!(bytes, b"\x12\x07testing\x12\x00");
        let found: Vec<_> = Fields::new(&bytes)
            .map(|field| field.unwrap().text().unwrap())
            .collect();
        assert_eq!(found, texts);
    }

    #[test]
    fn an_invalid_payload_is_an_error_that_tells_why() {
        use PayloadError::{Group, Integer, Key, Truncated, WrongType};
        for (bytes, error) in [
            (&b"\x08"[..], Truncated),
            (b"\x08\x80", Truncated),
            (b"\x12\x02a", Truncated),
            (b"\x12\x00", WrongType(2)),
            (b"\x0d123", Truncated),
            (b"\x09", Truncated),
            (b"\x00", Key(0)),
            (b"\x0e", Key(14)),
            (b"\x80\x80\x80\x80\x10", Key(1 << 32)),
            (b"\x0c", Group),
            (b"\x0b\x14", Group),
            (b"\x0b", Truncated),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", Integer),
        ] {
            assert_eq!(integers(bytes), Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn groups_are_skipped_up_to_a_depth() {
        let nested = |depth| [vec![0x0b; depth], vec![0x0c; depth]].concat();
        for (depth, ok) in [(1, true), (100, true), (101, false)] {
            let mut fields = Fields::new(&nested(depth))
                .map(|field| field.map(drop))
                .collect::<Vec<_>>();
            assert_eq!(fields.pop().unwrap().is_ok(), ok, "{depth}");
            assert_eq!(fields.len(), 0);
        }
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut fields = Fields::new(b"\x00\x08\x01");
        assert!(fields.next().is_some_and(|field| field.is_err()));
        assert!(fields.next().is_none());
    }
}
