//! Comparison of tokens in constant time.

use subtle::ConstantTimeEq;

/// Returns whether two tokens are equal, in a time that does not depend on where
/// they differ. For use in a [validator](crate::Builder::token_validator).
///
/// `==` stops at the first byte that differs. An attacker who can try often and
/// measure how long each answer takes can find a token byte by byte. This function
/// always compares all bytes.
///
/// It does not hide the length of a token: for tokens of different lengths, it
/// returns immediately. Nor does it hide which token was looked up, in a validator
/// that keeps one for each identification. A token that can be guessed remains
/// unsafe: use at least 16 random bytes.
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
#[doc(alias = "constant_time_eq")]
#[doc(alias = "ct_eq")]
#[doc(alias = "secure_compare")]
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
        fn it_agrees_with_equality(
            one in prop::collection::vec(0u8..2, 0..8),
            other in prop::collection::vec(0u8..2, 0..8),
        ) {
            prop_assert_eq!(same_token(&one, &other), one == other);
            prop_assert!(same_token(&one, one.clone()));
        }
    }

    #[test]
    fn tokens_that_differ_in_a_single_bit_are_unequal() {
        let token = [0x5a; 32];
        for bit in 0..token.len() * 8 {
            let mut other = token;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!same_token(token, other));
        }
    }
}
