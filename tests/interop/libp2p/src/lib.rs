//! Tests wirenet's layer 1 against libp2p's crate `yamux`, over TCP on loopback.
//!
//! This library contains what the tests share: a libp2p peer that opens and
//! accepts streams, a runner with a deadline, and the differential tests. In names,
//! "we" is wirenet and "they" is libp2p.

#![forbid(unsafe_code)]

pub mod both_roles;
pub mod differential;
#[path = "../../echo.rs"]
pub mod echo;
#[path = "../../../support/frames.rs"]
pub mod frames;
#[path = "../../pattern.rs"]
pub mod pattern;
pub mod peer;
