//! Broken and slow networks: nothing hangs, no resources are left over, and a
//! truncated message is never considered complete.

mod support;

#[path = "faults/cut_transfers.rs"]
mod cut_transfers;
#[path = "faults/name_lookup.rs"]
mod name_lookup;
#[path = "faults/slow_connections.rs"]
mod slow_connections;
