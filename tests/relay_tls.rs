//! What a hub relays where a peer is slow, lost, or means no good, over TLS.
#![cfg(feature = "tls")]

mod support;

#[path = "relay/peer.rs"]
mod peer;
#[path = "relay/promises.rs"]
mod promises;
#[allow(dead_code, reason = "the tests of hubs use more of it")]
#[path = "hub/over_tls.rs"]
mod transport;
