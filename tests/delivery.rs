//! A message that is reported as complete is complete, and a message that is
//! reported as delivered has arrived: on slow links, directly and through a hub,
//! over TCP and TLS. There is a test for each way in which that could fail.

mod support;

#[path = "delivery/answers.rs"]
mod answers;
#[path = "delivery/closing.rs"]
mod closing;
#[path = "delivery/end_marks.rs"]
mod end_marks;
#[path = "delivery/namespaces.rs"]
mod namespaces;
#[path = "delivery/threads.rs"]
mod threads;
#[path = "delivery/unread.rs"]
mod unread;
