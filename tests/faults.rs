//! What happens on broken networks: nothing hangs, nothing is left over, and
//! fewer bytes are never taken for all.

mod support;

#[path = "faults/names.rs"]
mod names;
#[path = "faults/transfer.rs"]
mod transfer;
#[path = "faults/unhurried.rs"]
mod unhurried;
