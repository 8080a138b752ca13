//! What is said to be complete is complete, and what is said to have been
//! delivered has arrived: on slow links, directly and through a hub, over TCP
//! and TLS. A test for each way in which that could fail.

mod support;

#[path = "delivery/answers.rs"]
mod answers;
#[path = "delivery/closing.rs"]
mod closing;
#[path = "delivery/ends.rs"]
mod ends;
#[path = "delivery/left.rs"]
mod left;
#[path = "delivery/namespaces.rs"]
mod namespaces;
#[path = "delivery/threads.rs"]
mod threads;
