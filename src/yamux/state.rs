//! The states of a stream's two halves, and their transitions. Pure.
//!
//! ```text
//!  sending                               receiving
//!
//!   Open ──finish()──▶ Finished           Open ──FIN────▶ Finished
//!    │                    │                │ └─stop()─▶ Stopped ──FIN──▶ Finished
//!    │ reset / RST        │ reset / RST    │ reset / RST   │ reset / RST
//!    ▼                    ▼                ▼               ▼
//!   Reset ◀───────────────┘               Reset ◀──────────┘
//! ```
//!
//! "reset" is this side's, or by the end of the connection; "RST" is the peer's. A
//! receiving half that is Finished can still be reset by either side, but not by the end
//! of the connection, because everything up to the FIN was received.
//!
//! A half is *done* once it is Finished or Reset. A stream is gone once both of
//! its halves are done: the peer may forget it, and later frames for it are
//! skipped.

/// Which side or event reset a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetBy {
    /// This side.
    Us,
    /// The peer.
    Peer,
    /// The end of the connection.
    Connection,
}

/// The state of our sending half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendState {
    /// Data may be sent.
    Open,
    /// Our FIN is sent or queued; only a reset can follow.
    Finished,
    /// The half was reset.
    Reset(ResetBy),
}

/// The state of our receiving half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecvState {
    /// Data is buffered for the reader.
    Open,
    /// No thread will read; data is discarded.
    Stopped,
    /// The peer's FIN was received.
    Finished,
    /// The half was reset.
    Reset(ResetBy),
}

/// What to do with received data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnData {
    /// Buffer it for the reader.
    Deliver,
    /// Count it against the window, and discard it.
    Discard,
    /// The stream is reset: skip it.
    Skip,
    /// The peer sent data after its own FIN: a protocol error.
    Violation,
}

impl SendState {
    /// Ends the half gracefully. Returns whether to send a FIN, which is true only
    /// once.
    pub(crate) fn finish(&mut self) -> bool {
        let open = *self == Self::Open;
        if open {
            *self = Self::Finished;
        }
        open
    }

    /// Resets the half. The first cause stays.
    pub(crate) fn reset(&mut self, by: ResetBy) {
        if !matches!(self, Self::Reset(_)) {
            *self = Self::Reset(by);
        }
    }
}

impl RecvState {
    /// Returns whether no more data will be received.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Self::Finished | Self::Reset(_))
    }

    /// Returns what to do with the body of a Data frame.
    pub(crate) fn on_data(self) -> OnData {
        match self {
            Self::Open => OnData::Deliver,
            Self::Stopped => OnData::Discard,
            Self::Finished => OnData::Violation,
            Self::Reset(_) => OnData::Skip,
        }
    }

    /// Handles the peer's FIN. A second one changes nothing.
    pub(crate) fn on_fin(&mut self) {
        if matches!(self, Self::Open | Self::Stopped) {
            *self = Self::Finished;
        }
    }

    /// Notes that no thread will read.
    pub(crate) fn stop(&mut self) {
        if *self == Self::Open {
            *self = Self::Stopped;
        }
    }

    /// Resets the half. The first cause stays, and the end of the connection does
    /// not change a half that is complete.
    pub(crate) fn reset(&mut self, by: ResetBy) {
        match self {
            Self::Open | Self::Stopped => *self = Self::Reset(by),
            // Everything up to the FIN has been received.
            Self::Finished if by != ResetBy::Connection => *self = Self::Reset(by),
            Self::Finished | Self::Reset(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ResetBy::{Connection, Peer, Us};

    const RECV: [RecvState; 6] = [
        RecvState::Open,
        RecvState::Stopped,
        RecvState::Finished,
        RecvState::Reset(Us),
        RecvState::Reset(Peer),
        RecvState::Reset(Connection),
    ];

    fn after(mut state: RecvState, event: impl FnOnce(&mut RecvState)) -> RecvState {
        event(&mut state);
        state
    }

    #[test]
    fn data_in_every_receiving_state_has_its_stated_outcome() {
        use OnData::{Deliver, Discard, Skip, Violation};
        let outcomes = [Deliver, Discard, Violation, Skip, Skip, Skip];
        for (state, outcome) in RECV.into_iter().zip(outcomes) {
            assert_eq!(state.on_data(), outcome, "{state:?}");
        }
    }

    #[test]
    fn fin_in_every_receiving_state_has_its_stated_outcome() {
        use RecvState::{Finished, Reset};
        let outcomes = [
            Finished,
            Finished,
            Finished,
            Reset(Us),
            Reset(Peer),
            Reset(Connection),
        ];
        for (state, outcome) in RECV.into_iter().zip(outcomes) {
            assert_eq!(after(state, RecvState::on_fin), outcome, "{state:?}");
        }
    }

    #[test]
    fn reset_in_every_receiving_state_has_its_stated_outcome() {
        use RecvState::{Finished, Reset};
        for by in [Us, Peer, Connection] {
            let finished = if by == Connection {
                Finished
            } else {
                Reset(by)
            };
            let outcomes = [
                Reset(by),
                Reset(by),
                finished,
                Reset(Us),
                Reset(Peer),
                Reset(Connection),
            ];
            for (state, outcome) in RECV.into_iter().zip(outcomes) {
                assert_eq!(after(state, |s| s.reset(by)), outcome, "{state:?} {by:?}");
            }
        }
    }

    #[test]
    fn stop_in_every_receiving_state_has_its_stated_outcome() {
        for state in RECV {
            let outcome = if state == RecvState::Open {
                RecvState::Stopped
            } else {
                state
            };
            assert_eq!(after(state, RecvState::stop), outcome);
        }
    }

    #[test]
    fn a_fin_is_sent_once_and_never_after_a_reset() {
        let mut state = SendState::Open;
        assert!(state.finish());
        assert!(!state.finish());
        for by in [Us, Peer, Connection] {
            let mut state = SendState::Open;
            state.reset(by);
            assert!(!state.finish());
            assert_eq!(state, SendState::Reset(by));
        }
    }

    #[test]
    fn the_first_cause_of_a_reset_stays() {
        for first in [Us, Peer, Connection] {
            for second in [Us, Peer, Connection] {
                let mut state = SendState::Open;
                state.reset(first);
                state.reset(second);
                assert_eq!(state, SendState::Reset(first));
            }
        }
    }

    #[test]
    fn a_half_is_done_when_it_is_finished_or_reset() {
        for state in RECV {
            let done = !matches!(state, RecvState::Open | RecvState::Stopped);
            assert_eq!(state.is_done(), done, "{state:?}");
        }
    }
}
