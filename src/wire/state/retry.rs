//! When a client tries again, and how long it waits before. Pure, but for the
//! dice.

use crate::{
    error::{Error, Panicked, RefusalCode},
    guard::caught,
};
use std::{fmt, time::Duration};
use uuid::Uuid;

/// A try that has failed, or a session that has ended, as a
/// [`Builder::retry_policy`](super::Builder::retry_policy) sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retry<'a> {
    /// How many have failed in a row, this one included: 1, 2 …
    pub attempt: u32,
    /// Whether a session has stood since the wire was taken up. If not, its
    /// address may be wrong.
    pub stood: bool,
    /// Why it failed, or why the session ended.
    pub cause: &'a Error,
    /// What happens without a policy: the wait before the next try, or `None`
    /// for giving up.
    pub wait: Option<Duration>,
}

/// A policy has panicked.
#[derive(Debug)]
pub(crate) struct Broken {
    /// What happens without one.
    pub(crate) wait: Option<Duration>,
    pub(crate) cause: Panicked,
}

type Policy = Box<dyn Fn(&Retry<'_>) -> Option<Duration> + Send + Sync>;

/// The options of trying again.
pub(crate) struct Retrying {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    /// Tries after the first; `None` is no limit.
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
    /// How long to wait after the failure number `attempt` in a row; `None` to
    /// give up.
    ///
    /// # Errors
    ///
    /// When the policy panics.
    pub(crate) fn wait(
        &self,
        attempt: u32,
        stood: bool,
        cause: &Error,
    ) -> Result<Option<Duration>, Broken> {
        let may_not_offer = is_not_allowed(cause);
        let permanent =
            cause.is_permanent() && !(stood && (may_be_anybodys(cause) || may_not_offer));
        let may_pass = !permanent && self.limit.is_none_or(|limit| attempt <= limit);
        let longest = match may_not_offer {
            true => self.max,
            false => self.longest(attempt),
        };
        let wait = may_pass.then(|| scaled(longest, dice()));
        let Some(policy) = &self.policy else {
            return Ok(wait);
        };
        let retry = Retry {
            attempt,
            stood,
            cause,
            wait,
        };
        caught(|| policy(&retry)).map_err(|cause| Broken { wait, cause })
    }

    /// The wait doubles with each failure, up to the limit.
    fn longest(&self, attempt: u32) -> Duration {
        let factor = 1u32
            .checked_shl(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.min.saturating_mul(factor).min(self.max)
    }

    /// A session that lived for so long was no failure: counting starts over.
    /// A server that accepts and closes is not hammered.
    pub(crate) fn lived(&self) -> Duration {
        self.max
    }
}

/// Whether anybody on the way can bring it about, with a packet or a certificate
/// of his own. Where a session has stood, the options were right.
fn may_be_anybodys(cause: &Error) -> bool {
    match cause {
        #[cfg(feature = "tls")]
        Error::Tls(_) => true,
        _ => false,
    }
}

/// Whether the other side does not let this one offer a stream name. Where a
/// session has stood it did, and may do so again: a mistake in its rules, made
/// good after a minute, is not to lose every client for good.
fn is_not_allowed(cause: &Error) -> bool {
    let code = match cause {
        Error::SessionRefused { code, .. } => *code,
        _ => None,
    };
    code == Some(RefusalCode::NameNotAllowed)
}

/// A part of `longest`: clients that lost one server do not come back all at
/// once.
fn scaled(longest: Duration, dice: u32) -> Duration {
    let nanos = longest.as_nanos() * u128::from(dice) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn dice() -> u32 {
    // The last bits of a random UUID are all random.
    Uuid::new_v4().as_u128() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn refused(code: RefusalCode) -> Error {
        let (code, text) = (Some(code), String::new());
        Error::SessionRefused { code, text }
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
    fn a_wait_is_anything_from_nothing_to_the_longest() {
        assert_eq!(scaled(8 * S, 0), Duration::ZERO);
        assert_eq!(scaled(8 * S, u32::MAX), 8 * S);
        assert_eq!(
            scaled(Duration::MAX, u32::MAX),
            Duration::from_nanos(u64::MAX)
        );
        let waits: Vec<Duration> = (0..50)
            .filter_map(|_| Retrying::default().wait(5, false, &Error::Closed).unwrap())
            .collect();
        assert_eq!(waits.len(), 50);
        assert!(waits.iter().all(|wait| *wait <= 60 * S));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn what_anybody_on_the_way_can_bring_about_is_tried_again_where_a_session_has_stood() {
        use crate::tls::TlsError;
        use rustls::{AlertDescription, CertificateError};
        for cause in [
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure),
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
        ] {
            let cause = Error::Tls(TlsError::Handshake(cause));
            assert!(cause.is_permanent());
            let wait = |stood| Retrying::default().wait(1, stood, &cause).unwrap();
            assert_eq!(wait(false), None);
            assert!(wait(true).is_some());
        }
    }

    #[test]
    fn a_name_that_may_not_be_offered_is_final_only_where_no_session_has_stood() {
        let retrying = Retrying::default();
        let cause = refused(RefusalCode::NameNotAllowed);
        let wait = |stood| retrying.wait(1, stood, &cause).unwrap();
        assert_eq!(wait(false), None);
        let waits: Vec<Duration> = (0..50).filter_map(|_| wait(true)).collect();
        assert_eq!(waits.len(), 50);
        // A part of the longest wait, from the first try on.
        assert!(waits.iter().any(|wait| *wait > 5 * S));
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let retrying = Retrying::default();
        assert!(
            retrying
                .wait(1, false, &refused(RefusalCode::TokenRefused))
                .unwrap()
                .is_none()
        );
        assert!(
            retrying
                .wait(1, false, &refused(RefusalCode::Malformed))
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
                retrying.wait(1, false, &refused(code)).unwrap().is_some(),
                "{code:?}"
            );
        }
    }

    #[test]
    fn there_are_as_many_tries_as_the_limit_says() {
        let retrying = Retrying {
            limit: Some(2),
            ..Retrying::default()
        };
        let tried = (1..=4).map(|attempt| {
            retrying
                .wait(attempt, false, &Error::Closed)
                .unwrap()
                .is_some()
        });
        assert!(tried.eq([true, true, false, false]));
    }

    #[test]
    fn a_policy_has_the_last_word() {
        let retrying = Retrying {
            policy: Some(Box::new(|retry| {
                assert_eq!(retry.wait, None);
                Some(retry.attempt * S)
            })),
            ..Retrying::default()
        };
        let wait = retrying
            .wait(7, false, &refused(RefusalCode::TokenRefused))
            .unwrap();
        assert_eq!(wait, Some(7 * S));
    }
}
