//! Whether a client retries, and how long it waits before. Pure, apart from the
//! random numbers.

use crate::{
    error::Error,
    user_code::{Panicked, caught},
};
use std::{fmt, time::Duration};
use uuid::Uuid;

/// A failed attempt to connect, or a session that has ended, as a
/// [`Builder::retry_policy`](crate::Builder::retry_policy) sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retry<'a> {
    /// The number of failures in a row, including this one: 1, 2 …
    pub attempt: u32,
    /// Whether a session has been established since the wire was started with
    /// [`Wire::connect`], [`Wire::start`] or [`Wire::start_within`]. If not, the address may
    /// be wrong.
    ///
    /// [`Wire::connect`]: crate::Wire::connect
    /// [`Wire::start`]: crate::Wire::start
    /// [`Wire::start_within`]: crate::Wire::start_within
    pub had_session: bool,
    /// Why the attempt failed, or why the session ended.
    pub cause: &'a Error,
    /// The decision without a policy: the wait before the next attempt, or `None`
    /// to give up.
    pub wait: Option<Duration>,
}

/// Whether the client has had a session since it began to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    NoSession,
    HadSession,
}

/// The error for a retry policy that panicked.
#[derive(Debug)]
pub(crate) struct PolicyPanicked {
    /// The decision without a policy.
    pub(crate) wait: Option<Duration>,
    pub(crate) cause: Panicked,
}

type Policy = Box<dyn Fn(&Retry<'_>) -> Option<Duration> + Send + Sync>;

/// The options for retrying.
pub(crate) struct Retrying {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    /// The number of retries in a row; `None` is no limit.
    pub(crate) limit: Option<u32>,
    pub(crate) policy: Option<Policy>,
}

impl fmt::Debug for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrying")
            .field("min", &self.min)
            .field("max", &self.max)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Default for Retrying {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(5),
            max: Duration::from_secs(60),
            limit: None,
            policy: None,
        }
    }
}

impl Retrying {
    /// Returns how long to wait after the failure number `attempt` in a row, or `None`
    /// to give up.
    ///
    /// # Errors
    ///
    /// When the policy panics.
    pub(crate) fn wait(
        &self,
        attempt: u32,
        history: History,
        cause: &Error,
    ) -> Result<Option<Duration>, PolicyPanicked> {
        let had_session = history == History::HadSession;
        let is_refused = cause.is_permanent() && is_refusal(cause);
        let may_pass = had_session && (is_forgeable(cause) || is_refused);
        let gives_up = cause.is_permanent() && !may_pass;
        let is_within_limit = self.limit.is_none_or(|limit| attempt <= limit);
        let longest = match is_refused {
            true => self.max,
            false => self.longest(attempt),
        };
        let wait = (is_within_limit && !gives_up).then(|| scaled(longest, random()));
        let Some(policy) = &self.policy else {
            return Ok(wait);
        };
        let retry = Retry {
            attempt,
            had_session,
            cause,
            wait,
        };
        caught(|| policy(&retry)).map_err(|cause| PolicyPanicked { wait, cause })
    }

    /// Returns the longest wait, which doubles with each failure, up to the limit.
    fn longest(&self, attempt: u32) -> Duration {
        let factor = 1u32
            .checked_shl(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.min.saturating_mul(factor).min(self.max)
    }

    /// Returns the lifetime from which a session counts as a success, so that the
    /// count of failures starts over. A server that accepts sessions and closes them
    /// immediately is thus retried after longer and longer waits.
    pub(crate) fn min_lifetime(&self) -> Duration {
        self.max
    }
}

/// Returns whether an attacker on the network path can cause the error, with one packet
/// or with another certificate. If the client has had a session, its options are right,
/// so such an error is not permanent.
fn is_forgeable(cause: &Error) -> bool {
    match cause {
        #[cfg(feature = "tls")]
        Error::Tls { .. } => true,
        Error::Explained { cause, .. } => is_forgeable(cause),
        _ => false,
    }
}

/// Returns whether the server refused the session. If the client has had a session, the
/// server did accept its request, and may do so again: a validator whose database is down,
/// or a mistake in the server's rules, must not lose every client permanently. This
/// includes servers that send no code, which have validators, too.
fn is_refusal(cause: &Error) -> bool {
    match cause {
        Error::SessionRefused { .. } => true,
        Error::Explained { cause, .. } => is_refusal(cause),
        _ => false,
    }
}

/// Returns a random part of `longest`, so that clients that lost the same server do not
/// all reconnect at once.
fn scaled(longest: Duration, random: u32) -> Duration {
    let nanos = longest.as_nanos() * u128::from(random) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn random() -> u32 {
    // The last bits of a random UUID are all random.
    Uuid::new_v4().as_u128() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RefusalCode;

    const S: Duration = Duration::from_secs(1);

    fn refused(code: RefusalCode) -> Error {
        Error::SessionRefused {
            code: Some(code),
            text: String::new(),
            addr: None,
        }
    }

    #[test]
    fn the_longest_wait_doubles_up_to_the_limit_and_never_overflows() {
        let retrying = Retrying::default();
        for (attempt, seconds) in [
            (1, 5),
            (2, 10),
            (3, 20),
            (4, 40),
            (5, 60),
            (32, 60),
            (33, 60),
            (u32::MAX, 60),
        ] {
            assert_eq!(retrying.longest(attempt), seconds * S, "{attempt}");
        }
    }

    #[test]
    fn a_wait_is_a_random_part_of_the_longest_wait() {
        assert_eq!(scaled(8 * S, 0), Duration::ZERO);
        assert_eq!(scaled(8 * S, u32::MAX), 8 * S);
        assert_eq!(
            scaled(Duration::MAX, u32::MAX),
            Duration::from_nanos(u64::MAX)
        );
        let waits: Vec<Duration> = (0..50)
            .filter_map(|_| {
                Retrying::default()
                    .wait(5, History::NoSession, &Error::Closed)
                    .unwrap()
            })
            .collect();
        assert_eq!(waits.len(), 50);
        assert!(waits.iter().all(|wait| *wait <= 60 * S));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_error_that_an_attacker_can_cause_is_retried_after_a_session() {
        use crate::tls::TlsError;
        use rustls::{AlertDescription, CertificateError};
        for cause in [
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
        ] {
            let cause = Error::from(TlsError::Handshake(cause));
            assert!(cause.is_permanent());
            let wait = |history| Retrying::default().wait(1, history, &cause).unwrap();
            assert_eq!(wait(History::NoSession), None);
            assert!(wait(History::HadSession).is_some());
        }
    }

    #[test]
    fn a_refusal_is_final_only_without_an_earlier_session() {
        let retrying = Retrying::default();
        for cause in [
            refused(RefusalCode::NameNotAllowed),
            refused(RefusalCode::TokenRefused),
            refused(RefusalCode::Malformed),
            // go-wirenet sends no code.
            Error::SessionRefused {
                code: None,
                text: "failed to validate".into(),
                addr: None,
            },
        ] {
            let wait = |history| retrying.wait(1, history, &cause).unwrap();
            assert_eq!(wait(History::NoSession), None);
            let waits: Vec<Duration> = (0..50).filter_map(|_| wait(History::HadSession)).collect();
            assert_eq!(waits.len(), 50);
            // A part of the longest wait, from the first attempt on.
            assert!(waits.iter().any(|wait| *wait > 5 * S));
        }
    }

    #[test]
    fn a_permanent_error_is_not_retried() {
        let retrying = Retrying::default();
        assert!(
            retrying
                .wait(1, History::NoSession, &refused(RefusalCode::TokenRefused))
                .unwrap()
                .is_none()
        );
        assert!(
            retrying
                .wait(1, History::NoSession, &refused(RefusalCode::Malformed))
                .unwrap()
                .is_none()
        );
        for code in [
            RefusalCode::NameTaken,
            RefusalCode::TooManySessions,
            RefusalCode::Closing,
            RefusalCode::TryLater,
            RefusalCode::Unknown,
        ] {
            assert!(
                retrying
                    .wait(1, History::NoSession, &refused(code))
                    .unwrap()
                    .is_some(),
                "{code:?}"
            );
        }
    }

    #[test]
    fn the_limit_counts_retries_in_a_row() {
        let retrying = Retrying {
            limit: Some(2),
            ..Retrying::default()
        };
        let tried = (1..=4).map(|attempt| {
            retrying
                .wait(attempt, History::NoSession, &Error::Closed)
                .unwrap()
                .is_some()
        });
        assert!(tried.eq([true, true, false, false]));
    }

    #[test]
    fn a_policy_overrides_the_default() {
        let retrying = Retrying {
            policy: Some(Box::new(|retry| {
                assert_eq!(retry.wait, None);
                Some(retry.attempt * S)
            })),
            ..Retrying::default()
        };
        let wait = retrying
            .wait(7, History::NoSession, &refused(RefusalCode::TokenRefused))
            .unwrap();
        assert_eq!(wait, Some(7 * S));
    }
}
