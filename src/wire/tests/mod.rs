//! Tests that need a whole wire and look inside of it.

#[cfg(not(shuttle))]
mod ids;
#[cfg(all(not(shuttle), any(target_os = "linux", target_os = "android")))]
mod sockets;
