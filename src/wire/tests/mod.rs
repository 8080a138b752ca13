//! Tests that need a whole wire, and access to its private parts.

#[cfg(not(shuttle))]
mod ids;
#[cfg(all(not(shuttle), any(target_os = "linux", target_os = "android")))]
mod sockets;
