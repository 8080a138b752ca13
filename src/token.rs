//! Tokens, compared so that the time it takes tells nothing of them.

use subtle::ConstantTimeEq;

/// Whether two tokens are the same, in a time that does not depend on where
/// they differ: for a [validator](crate::Builder::token_validator).
///
/// `==` stops at the first byte that differs, so that who may try often, and
/// measures well, finds a token byte by byte. This looks at all bytes, whatever
/// they are.
///
/// Two tokens of different lengths are told apart at once: a token's length is
/// not hidden. Nor is which of several tokens one was compared with, where a
/// validator looks them up by identification; nor does it make a token that
/// can be guessed any safer: take 16 random bytes or more.
///
/// # Examples
///
/// ```
/// use wirenet::{Wire, same_token};
///
/// let server = Wire::mount("127.0.0.1:0").token_validator(|_stream, _id, token| {
///     match same_token(token, "secret") {
///         true => Ok(()),
///         false => Err("wrong token".into()),
///     }
/// });
/// # server.build()?;
/// # Ok::<(), wirenet::Error>(())
/// ```
#[must_use]
pub fn same_token(shown: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) -> bool {
    shown.as_ref().ct_eq(expected.as_ref()).into()
}

#[cfg(test)]
mod tests {
    use super::same_token;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_says_what_equality_says(
            one in prop::collection::vec(0u8..2, 0..8),
            other in prop::collection::vec(0u8..2, 0..8),
        ) {
            prop_assert_eq!(same_token(&one, &other), one == other);
            prop_assert!(same_token(&one, one.clone()));
        }
    }

    /// Each byte counts, wherever it is and whichever of its bits differs.
    #[test]
    fn one_bit_makes_a_difference() {
        let token = [0x5a; 32];
        for bit in 0..token.len() * 8 {
            let mut other = token;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!same_token(token, other));
        }
    }
}
