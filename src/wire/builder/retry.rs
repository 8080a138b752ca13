//! When a client connects again.

use super::Builder;
use crate::wire::state::retry::Retry;
#[cfg(doc)]
use crate::{RefusalCode, error::Error, wire::Wire};
use std::time::Duration;

/// # Reconnecting
///
/// These options have no effect on a server or a hub.
impl Builder {
    /// Sets the bounds of the wait before a client retries. Default: 5 s and 60 s.
    ///
    /// After the *n*-th failure in a row, the wait is a random time of up to `min` ·
    /// 2ⁿ⁻¹, and at most `max`. It is random so that the clients of a server that was
    /// unavailable do not all reconnect at once. A session that has lasted for `max`
    /// is not a failure: counting starts over.
    ///
    /// `min` must be greater than zero, and must not exceed `max`. A small `min` suits
    /// one client of one server; thousands of clients need a larger one, so that the
    /// server can accept them all when it is available again. On a metered link, raise
    /// `max`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::Wire;
    ///
    /// let client = Wire::join("hub.example:8989")
    ///     .retry_wait(Duration::from_secs(1), Duration::from_secs(30))
    ///     .build()?;
    /// # let _ = client;
    ///
    /// // The bounds are checked.
    /// let error = Wire::join("hub.example:8989")
    ///     .retry_wait(Duration::ZERO, Duration::from_secs(30))
    ///     .build()
    ///     .unwrap_err();
    /// assert!(error.to_string().contains("must be greater than zero"));
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("backoff", "interval", "reconnect"))]
    pub fn retry_wait(mut self, min: Duration, max: Duration) -> Self {
        self.options.retrying.min = min;
        self.options.retrying.max = max;
        self
    }

    /// Sets how often in a row a client retries. Default: `None`, no limit.
    ///
    /// With 0, the client never retries: the wire ends with its first session, or with
    /// the first failure.
    #[doc(alias("attempts", "reconnect"))]
    pub fn retry_max(mut self, count: impl Into<Option<u32>>) -> Self {
        self.options.retrying.limit = count.into();
        self
    }

    /// Sets a closure that decides whether and when a client retries.
    ///
    /// The closure gets the failure, and returns the wait before the next attempt, or
    /// `None` to give up. Default: [`Retry::wait`], which gives up immediately on a
    /// [permanent](Error::is_permanent) error. Once a session has been established,
    /// however, it gives up neither on a TLS failure, which anyone on the network path
    /// can cause, nor on a refusal of the session, which may come from a temporary fault of
    /// the server. After a refusal it retries after a random part of the [longest
    /// wait](Self::retry_wait). A certificate that one side does not accept because of its
    /// dates is never a permanent error: a clock may be set later, or the certificate renewed.
    ///
    /// The policy runs on the thread that serves the session. A panic is caught and
    /// reported to the [error handler](Self::on_error), and the default applies.
    ///
    /// # Examples
    ///
    /// A client that gives up if its first attempt fails, and otherwise retries as by
    /// default:
    ///
    /// ```
    /// use wirenet::{Error, Wire};
    ///
    /// # // A port that refuses connections.
    /// # let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// let client = Wire::join(addr)
    ///     .retry_policy(|retry| match retry.had_session {
    ///         true => retry.wait,
    ///         false => None,
    ///     })
    ///     .build()?;
    /// // There is no server at this address.
    /// assert!(matches!(client.start(), Err(Error::Dial { .. })));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("backoff", "reconnect"))]
    pub fn retry_policy(
        mut self,
        policy: impl Fn(&Retry<'_>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.options.retrying.policy = Some(Box::new(policy));
        self
    }
}
