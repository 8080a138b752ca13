//! The promises of named streams, with a test for each. The two sides are separate
//! processes where that makes a difference, and otherwise a server and a client in one
//! process.

mod support;

#[path = "transfer/closing.rs"]
mod closing;
#[path = "transfer/files.rs"]
mod files;
#[path = "transfer/independence.rs"]
mod independence;
#[path = "transfer/killed.rs"]
mod killed;
#[path = "transfer/messages.rs"]
mod messages;
#[path = "transfer/opening.rs"]
mod opening;
#[path = "transfer/timeouts.rs"]
mod timeouts;
#[path = "transfer/truncation.rs"]
mod truncation;
