//! wirenet's layer 1 against the crate `yamux` of libp2p, over TCP on
//! loopback. This is what the tests share: the other side as an object that
//! opens and accepts, and a frame for a test that has a deadline.

#![forbid(unsafe_code)]

pub mod differential;
#[path = "../../../support/frames.rs"]
pub mod frames;
#[path = "../../pattern.rs"]
pub mod pattern;
pub mod peer;
pub mod play;
