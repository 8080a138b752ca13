//! How the name of a stream is looked up, and what may be found.

use super::{handlers::Handler, wire_state::WireState};
use crate::{
    error::Refusal,
    yamux::{self, segment::Segment},
};

/// Looks up what serves the streams of a name. A function pointer, so that only a hub
/// links the relay.
pub(crate) type Find = fn(&WireState, &str) -> Result<Admitted, Refusal>;

/// What serves a stream that is admitted.
pub(crate) enum Admitted {
    Handler(Handler),
    /// On a hub: a stream of the session that owns the name.
    Relay(Box<dyn OwnerLeg>),
}

/// The leg of a relay to the owner of the name, before it is joined with the caller's.
/// If it is dropped instead, its stream is aborted: a graceful end would tell the owner
/// that the call is complete.
///
/// A trait, so that only a hub links how legs are joined.
pub(crate) trait OwnerLeg {
    /// Relays between this leg and the caller's stream, beginning with what has been
    /// read from that.
    fn join(self: Box<Self>, caller: (yamux::Stream, Segment));
}
