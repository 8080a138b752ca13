//! Differential tests of wirenet's yamux and libp2p's. A scripted peer sends the same
//! frames to both implementations, step by step, and compares their reactions. Any
//! difference that is not listed in [`allowances`] is an error.
//!
//! Nothing here depends on time. A step is over when libp2p's implementation has
//! nothing left to poll, and when our reader waits for more bytes. The application
//! on top of each implementation runs between the steps, on the thread of the test.

pub mod all_scripts;
pub mod allowances;
pub mod application;
pub mod comparison;
pub mod ledger;
pub mod libp2p_side;
pub mod random_scripts;
pub mod reaction;
pub mod script;
pub mod wirenet_side;
