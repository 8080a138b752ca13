//! The lookup of a stream's name, and its possible results.

use super::{handlers::Handler, wire_state::WireState};
use crate::{
    error::Refusal,
    yamux::{self, segment::Segment},
};

/// A function that looks up what serves the streams of a name. A function pointer, so
/// that only a hub links the relay.
pub(crate) type Find = fn(&WireState, &str) -> Result<Admitted, Refusal>;

/// What serves a stream that is admitted.
pub(crate) enum Admitted {
    Handler(Handler),
    /// On a hub: a stream of the session that owns the name.
    Relay(Box<dyn OwnerLeg>),
}

/// The leg of a relay to the owner of the name, before it is joined with the caller's.
/// If the leg is dropped instead, its stream is aborted, because a graceful end would
/// tell the owner that the call is complete.
///
/// A trait, so that only a hub links how legs are joined.
pub(crate) trait OwnerLeg {
    /// Relays between this leg and the caller's stream, beginning with the bytes
    /// that have already been read from the caller's stream.
    fn join(self: Box<Self>, caller: (yamux::Stream, Segment));
}
