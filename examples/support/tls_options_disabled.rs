//! Replaces `tls_options.rs` when the library is built without TLS: there are
//! no TLS options.

use super::stop::Stop;
use std::io;
use wirenet::Builder;

#[derive(clap::Args)]
pub struct ServerTls {}

#[derive(clap::Args)]
pub struct ClientTls {}

impl ServerTls {
    pub fn apply(&self, wire: Builder, _stop: &Stop) -> io::Result<Builder> {
        Ok(wire)
    }
}

impl ClientTls {
    pub fn apply(&self, wire: Builder) -> io::Result<Builder> {
        Ok(wire)
    }
}
