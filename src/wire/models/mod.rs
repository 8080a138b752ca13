//! Sessions between two wires over a transport in memory, run in many orders by
//! a model checker; see [`sync`](crate::sync).

mod session;
