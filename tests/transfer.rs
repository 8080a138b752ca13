//! What is promised of named streams, a test for each promise: between two
//! processes where a process makes a difference, else between a server and a
//! client in one.

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
