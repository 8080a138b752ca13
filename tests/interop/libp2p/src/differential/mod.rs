//! The same script of frames for wirenet's yamux and libp2p's: a peer that is
//! no library plays it to both at once, a step at a time, and compares what
//! each does about it. What they may differ in is written down in
//! [`allowances`]; any other difference is an error.
//!
//! Nothing here depends on time. libp2p's side is polled until it has nothing
//! left to do, ours until its reader waits for bytes; the application behind
//! runs between the steps, on the thread of the test.

pub mod allowances;
pub mod application;
pub mod duel;
pub mod exhaustive;
pub mod generate;
pub mod ledger;
pub mod ours;
pub mod reaction;
pub mod script;
pub mod theirs;
