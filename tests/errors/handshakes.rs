//! Peers that speak another protocol, or none.
