//! Two clients that use one identification, as their hub sees them, and as the client that
//! lost its session sees it. Pure: time is an argument.
//!
//! On a hub, a client that presents the identification of an owner takes over the owner's
//! names: usually it is the same client, whose old connection is dead without the hub
//! knowing. Two different clients, however, take over from each other again and again.
//! Nothing on the wire tells the loser why its session ended, so it infers that from how
//! often this happens.

use crate::error::PrintableBytes;
use std::{
    collections::VecDeque,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Takeovers that are further apart have nothing to do with each other. A client that lost
/// its session is back within a minute, by default.
const APART: Duration = Duration::from_secs(120);

/// How long after a report the same identification is not reported again.
const QUIET: Duration = Duration::from_secs(600);

/// How many identifications are remembered; the one that was longest unused is forgotten.
const REMEMBERED: usize = 64;

/// How many takeovers in a row are suspicious if all addresses are the same. A single client
/// on a bad link may take over from itself, too.
const SUSPICIOUS: u32 = 3;

/// The takeovers of a hub.
#[derive(Default)]
pub(crate) struct Takeovers {
    /// The identification that was taken over last comes last.
    recent: VecDeque<Takeover>,
}

struct Takeover {
    identification: Vec<u8>,
    at: Instant,
    /// How many takeovers followed each other, at most [`APART`] apart.
    in_a_row: u32,
    /// The address of the client that lost its session.
    loser: Option<IpAddr>,
    reported: Option<Instant>,
}

impl Takeovers {
    /// Notes that a client at `winner` has taken over the session of one at `loser`. Returns
    /// whether to report that two clients use the identification.
    pub(crate) fn note(
        &mut self,
        identification: &[u8],
        loser: Option<IpAddr>,
        winner: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        let mut recent = self.recent.iter();
        let known = recent.position(|other| other.identification == identification);
        let known = known.and_then(|index| self.recent.remove(index));
        let mut takeover = known.unwrap_or_else(|| Takeover {
            identification: identification.into(),
            at: now,
            in_a_row: 0,
            loser: None,
            reported: None,
        });
        if now.saturating_duration_since(takeover.at) > APART {
            takeover.in_a_row = 0;
        }
        takeover.in_a_row += 1;
        let loser_is_back = takeover.in_a_row > 1 && winner == takeover.loser && winner != loser;
        let is_suspicious = loser_is_back || takeover.in_a_row >= SUSPICIOUS;
        let is_quiet = takeover
            .reported
            .is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        let report = is_suspicious && !is_quiet;
        if report {
            takeover.reported = Some(now);
        }
        (takeover.at, takeover.loser) = (now, loser);
        self.recent.push_back(takeover);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        report
    }
}

/// The sessions in a row that a client's server has ended soon after their start.
#[derive(Default)]
pub(crate) struct EndedSessions {
    in_a_row: u32,
    longest: Duration,
}

impl EndedSessions {
    /// Notes that the server has ended a session, which lasted for `lifetime`.
    pub(crate) fn add(&mut self, lifetime: Duration) {
        self.in_a_row += 1;
        self.longest = self.longest.max(lifetime);
    }

    /// Returns the probable reason, if there are suspiciously many such sessions.
    pub(crate) fn explain(&self, identification: &[u8]) -> Option<String> {
        (self.in_a_row >= SUSPICIOUS).then(|| {
            format!(
                "the server ended {} sessions in a row, each within {:.1?} of its start; is the \
                 server restarting, or does another client use the identification {}?",
                self.in_a_row,
                self.longest,
                PrintableBytes(identification)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));
    const S: Duration = Duration::from_secs(1);

    /// Notes takeovers. Each has the time since the one before, its loser, and its winner.
    fn reported(takeovers: &[(Duration, Option<IpAddr>, Option<IpAddr>)]) -> Vec<bool> {
        let (mut noted, mut now) = (Takeovers::default(), Instant::now());
        let takeovers = takeovers.iter().map(|(after, loser, winner)| {
            now += *after;
            noted.note(b"box-1", *loser, *winner, now)
        });
        takeovers.collect()
    }

    #[test]
    fn a_client_that_comes_back_from_another_address_is_reported_at_once() {
        let takeovers = [(S, HERE, THERE), (S, THERE, HERE), (S, HERE, THERE)];
        assert_eq!(reported(&takeovers), [false, true, false]);
    }

    #[test]
    fn clients_at_one_address_are_reported_at_the_third_takeover_in_a_row() {
        let at_home = (S, HERE, HERE);
        assert_eq!(reported(&[at_home; 4]), [false, false, true, false]);
        let rarely = (APART + S, HERE, HERE);
        assert_eq!(reported(&[rarely; 4]), [false; 4]);
    }

    #[test]
    fn a_client_that_moves_is_not_reported() {
        let moved_and_lost_again = [(S, HERE, THERE), (S, THERE, THERE)];
        assert_eq!(reported(&moved_and_lost_again), [false, false]);
        let moved_and_moved_back_later = [(S, HERE, THERE), (APART + S, THERE, HERE)];
        assert_eq!(reported(&moved_and_moved_back_later), [false, false]);
    }

    #[test]
    fn an_identification_is_reported_again_only_after_a_while() {
        let mut takeovers = vec![(S, HERE, HERE); 3];
        takeovers.extend([(60 * S, HERE, HERE); 11]);
        let reported = reported(&takeovers);
        let at: Vec<usize> = (0..reported.len()).filter(|at| reported[*at]).collect();
        assert_eq!(at, [2, 12]);
    }

    #[test]
    fn a_bounded_number_of_identifications_is_remembered() {
        let (mut noted, now) = (Takeovers::default(), Instant::now());
        for number in 0..1000u32 {
            noted.note(&number.to_be_bytes(), HERE, HERE, now);
        }
        assert_eq!(noted.recent.len(), REMEMBERED);
    }

    #[test]
    fn a_client_whose_sessions_end_again_and_again_is_told_so() {
        let mut ended = EndedSessions::default();
        ended.add(S);
        ended.add(3 * S);
        assert_eq!(ended.explain(b"box-1"), None);
        ended.add(2 * S);
        let text = ended.explain(b"box-1").unwrap();
        assert_eq!(
            text,
            "the server ended 3 sessions in a row, each within 3.0s of its start; is the server \
             restarting, or does another client use the identification \"box-1\"?"
        );
        let text = ended.explain(b"box\xff").unwrap();
        assert!(
            text.ends_with(r#"the identification b"box\xff"?"#),
            "{text}"
        );
    }
}
