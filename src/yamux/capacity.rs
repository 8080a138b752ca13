//! Frees memory that a collection needed only briefly.

use std::collections::VecDeque;

/// A collection that keeps its memory while it is in normal use.
pub(super) trait GiveBack {
    /// Frees the memory of a collection that is empty and has room for more than
    /// `kept` elements.
    fn give_back(&mut self, kept: usize);
}

impl<T> GiveBack for Vec<T> {
    fn give_back(&mut self, kept: usize) {
        if self.is_empty() && self.capacity() > kept {
            *self = Self::new();
        }
    }
}

impl<T> GiveBack for VecDeque<T> {
    fn give_back(&mut self, kept: usize) {
        if self.is_empty() && self.capacity() > kept {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_collection_that_has_grown_gives_memory_back() {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(1_u8);
        bytes.give_back(8);
        assert_eq!(bytes.capacity(), 64);
        bytes.clear();
        bytes.give_back(64);
        assert_eq!(bytes.capacity(), 64);
        bytes.give_back(8);
        assert_eq!(bytes.capacity(), 0);
    }
}
