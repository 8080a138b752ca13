//! Streams that are refused, reset, or too slow.
