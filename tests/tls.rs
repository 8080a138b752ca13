//! The TLS transport, and yamux over it: which peers each side accepts, how a connection
//! ends, and how rustls is driven.

#![cfg(feature = "tls")]

mod support;

#[path = "tls/ending.rs"]
mod ending;
#[path = "tls/fixtures.rs"]
mod fixtures;
#[path = "tls/loading.rs"]
mod loading;
#[path = "tls/pair.rs"]
mod pair;
#[path = "tls/reload.rs"]
mod reload;
#[path = "tls/rustls_peer.rs"]
mod rustls_peer;
#[path = "tls/streams.rs"]
mod streams;
#[path = "tls/traffic.rs"]
mod traffic;
#[path = "tls/verification.rs"]
mod verification;
#[path = "tls/x509_v1.rs"]
mod x509_v1;

use pair::{both, ends};
use support::{PATIENCE, in_time};

#[test]
fn bytes_go_both_ways() {
    in_time(|| {
        let (mut near, mut far) = ends(both());
        near.send(b"hello");
        far.expect(b"hello");
        far.send(b"and back");
        near.expect(b"and back");
    });
}
