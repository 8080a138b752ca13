//! Whether a hub has relayed what its clients sent.

use super::HubClient;
use crate::{
    wire::session::{
        chunk::{self, CUT_SHORT},
        frame::{FrameDecoder, FrameKind},
    },
    yamux::INITIAL_WINDOW,
};

/// Returns how many bytes at the beginning of a stream are complete chunks and end marks.
fn whole_chunks(bytes: &[u8]) -> usize {
    let mut decoder = chunk::ChunkDecoder::default();
    let (mut rest, mut whole) = (bytes, 0);
    while !rest.is_empty() {
        let (used, step) = decoder.step(rest);
        rest = &rest[used..];
        if let chunk::Step::Bytes(count) = step {
            decoder.take(count);
            rest = &rest[count..];
        }
        if !decoder.inside_chunk() {
            whole = bytes.len() - rest.len();
        }
    }
    whole
}

/// Returns whether the bytes of a stream end inside a chunk.
fn ends_inside_chunk(bytes: &[u8]) -> bool {
    whole_chunks(bytes) < bytes.len()
}

/// Returns whether the bytes of a stream end between two messages, or before the first one.
fn ends_between_messages(bytes: &[u8]) -> bool {
    let mut decoder = chunk::ChunkDecoder::default();
    let (mut rest, mut in_message) = (bytes, false);
    while !rest.is_empty() {
        let (used, step) = decoder.step(rest);
        rest = &rest[used..];
        in_message = step != chunk::Step::End;
        if let chunk::Step::Bytes(count) = step {
            decoder.take(count);
            rest = &rest[count..];
        }
    }
    !in_message
}

impl HubClient {
    /// Checks that what was received on each call is what was sent, or a part of it and an
    /// error.
    pub(in crate::wire::fuzz) fn check_calls(&self, other: &Self) {
        if self.garbled || other.garbled {
            // The hub may have misread what was sent.
            return;
        }
        for (id, to) in &self.calls {
            let other_end = if to.client == self.number {
                self
            } else {
                other
            };
            let seen = &self.peer.streams[id];
            let mut came = seen.came.as_slice();
            let first = FrameDecoder::default()
                .next(&mut came)
                .expect("a frame of the protocol");
            let is_owner = match first.map(|first| first.kind) {
                Some(FrameKind::Open) => true,
                Some(FrameKind::Accept) => false,
                _ => continue,
            };
            let sent = &other_end.sent[&to.id];
            if self.is_cut_short(came, sent) {
                continue;
            }
            assert!(sent.starts_with(came), "not what was sent");
            if seen.got_fin && !other_end.peer.streams[&to.id].sent_fin {
                // The hub ends a call whose owner has ended it, if it closes one of the
                // connections.
                let closes = [self, other_end].map(|client| client.connection().is_going_away());
                assert!(
                    is_owner && seen.sent_fin && closes.contains(&true),
                    "an end that was not sent"
                );
                assert!(ends_between_messages(came), "a message was ended");
            } else if seen.got_fin {
                assert_eq!(
                    came.len(),
                    sent.len(),
                    "a truncated message is taken for complete"
                );
            }
        }
    }

    /// Returns whether `came`, of what was `sent`, ends as an aborted stream does for a peer
    /// that gets no resets.
    fn is_cut_short(&self, came: &[u8], sent: &[u8]) -> bool {
        let cut = came.strip_suffix(&CUT_SHORT);
        let cut = cut.is_some_and(|cut| sent.starts_with(cut));
        // Inside a chunk, the FIN alone shows the truncation.
        let inside = || sent.starts_with(came) && ends_inside_chunk(came);
        !self.takes_resets && (cut || inside())
    }

    /// Checks that what was sent at the other ends of calls has been received, as far as
    /// there is credit for it, and their ends as well.
    pub(in crate::wire::fuzz) fn check_relayed(&self, other: &Self) {
        for (id, from) in &self.calls {
            let other_end = if from.client == self.number {
                self
            } else {
                other
            };
            let Some(other_seen) = other_end.peer.streams.get(&from.id) else {
                continue;
            };
            let seen = &self.peer.streams[id];
            let mut came = seen.came.as_slice();
            let first = FrameDecoder::default().next(&mut came);
            let cut = seen.got_fin && self.is_cut_short(came, &other_end.sent[&from.id]);
            let ended = seen.sent_fin && seen.got_fin;
            // After a FIN, there is no way to abort a stream to a peer that gets no resets.
            let unabortable = !self.takes_resets && seen.got_fin && other_seen.sent_reset;
            let over = cut || unabortable || seen.got_reset || seen.sent_reset || ended;
            if other_seen.sent_reset && !(other_seen.sent_fin && other_seen.got_fin) {
                assert!(over, "a reset is not relayed");
            }
            // With less credit, the hub may wait for more.
            let enough = seen.credit() >= u64::from(INITIAL_WINDOW / 2);
            if over || !enough || other_seen.got_reset {
                continue;
            }
            assert!(matches!(first, Ok(Some(_))), "no answer");
            let all = &other_end.sent[&from.id];
            // An incomplete chunk may be held until it is complete.
            let is_held = !other_seen.sent_fin && came.len() == whole_chunks(all);
            assert!(is_held || came.len() == all.len(), "bytes are not relayed");
            assert_eq!(seen.got_fin, other_seen.sent_fin, "an end is not relayed");
        }
    }
}
