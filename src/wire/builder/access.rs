//! The identity of a wire, which peers it accepts, and what they may do.

use super::Builder;
#[cfg(doc)]
use crate::{RefusalCode, wire::Wire};
use crate::{
    error::Denied,
    wire::state::access::{self, Request},
};

/// # Identity and access
impl Builder {
    /// Sets the identification and the token that this wire sends to its peers.
    ///
    /// The identification says which client this is; a hub uses it to recognize a
    /// client that reconnects. The token proves the identification to the peer's
    /// [validator](Self::token_validator). A client sends both when it opens a session,
    /// and each wire sends its token with every stream that it opens. Each may be any
    /// bytes, up to 4,096. Default: both empty. If no validator checks the token, give `""`;
    /// the identification is then unproven, even if the client shows a TLS certificate.
    ///
    /// Without [TLS](Self#tls), everyone on the network path can read the token.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// let addr = server.local_addr().expect("the server listens");
    ///
    /// let client = Wire::join(addr)
    ///     .identification("box-1", "secret")
    ///     .build()?;
    /// client.start_within(Duration::from_secs(5))?;
    ///
    /// let session = server.wait_session(Duration::from_secs(5))?;
    /// assert_eq!(session.identification(), b"box-1");
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("auth", "authentication", "credentials", "login", "token"))]
    pub fn identification(mut self, id: impl Into<Vec<u8>>, token: impl Into<Vec<u8>>) -> Self {
        self.options.identification = id.into();
        self.options.token = token.into();
        self
    }

    /// Sets a closure that checks the tokens of peers.
    ///
    /// The closure is called with a stream name, the client's identification and the
    /// token: once for each session that a client opens, with the name `confirmSession`,
    /// and once for each stream that the peer opens. If it returns an error, the peer is
    /// refused with the error's text. The error may be anything that can be printed: see
    /// [`Denied`]. Default: every peer is accepted.
    ///
    /// **The text is sent to a peer that is not authenticated.** With `?`, the text of an
    /// error can contain paths, addresses of databases, and more. Send a text of your own
    /// instead, as in `.map_err(|_| Denied::for_now("try again later"))?`.
    ///
    /// A client whose session is refused gives up, with [`RefusalCode::TokenRefused`];
    /// if it has had a session since it was started, it retries after a random part of the
    /// [longest wait](Self::retry_wait). With [`Denied::for_now`], for example because the
    /// validator's database cannot be reached, every client retries, with
    /// [`RefusalCode::TryLater`]. `?` refuses with [`Denied::new`];
    /// `.map_err(Denied::for_now)?` refuses for now.
    ///
    /// To tell a session from a stream, compare the name with `"confirmSession"`, which no
    /// stream can have:
    ///
    /// ```
    /// use wirenet::{Denied, Wire, same_token};
    ///
    /// fn validate(name: &str, id: &[u8], token: &[u8]) -> Result<(), Denied> {
    ///     match (name, id) {
    ///         ("confirmSession", _) if same_token(token, "secret") => Ok(()),
    ///         ("confirmSession", _) => Err("wrong token".into()),
    ///         // The session was accepted; this is a stream of it.
    ///         ("restart", b"admin") => Ok(()),
    ///         ("restart", _) => Err("only admin may do this".into()),
    ///         _ => Ok(()),
    ///     }
    /// }
    ///
    /// let server = Wire::mount("127.0.0.1:0").token_validator(validate).build()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    ///
    /// Compare tokens with [`same_token`](crate::same_token), whose running time
    /// does not reveal where two tokens differ.
    ///
    /// The validator runs on the session's thread or on a handler's. If it panics, the
    /// session or stream is refused for now, and the panic is reported to the [error
    /// handler](Self::on_error). While it runs for a session, the session counts
    /// towards [`max_handshakes`](Self::max_handshakes). If it takes longer than the
    /// [handshake timeout](Self::handshake_timeout), the session is not opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{Error, RefusalCode, Wire, same_token};
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .token_validator(|_stream, id, token| match id {
    ///         b"box-1" if same_token(token, "secret") => Ok(()),
    ///         _ => Err("wrong token".into()),
    ///     })
    ///     .build()?;
    /// server.start()?;
    /// let addr = server.local_addr().expect("the server listens");
    ///
    /// let client = |token: &str| {
    ///     Wire::join(addr)
    ///         .identification("box-1", token)
    ///         .build()
    /// };
    /// client("secret")?.start()?;
    ///
    /// let Err(Error::SessionRefused { code, text, .. }) = client("guess")?.start() else {
    ///     panic!("the session was not refused");
    /// };
    /// assert_eq!(code, Some(RefusalCode::TokenRefused));
    /// assert_eq!(text, "wrong token");
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias(
        "auth",
        "authenticate",
        "authentication",
        "confirmSession",
        "login",
        "password"
    ))]
    pub fn token_validator(
        mut self,
        validator: impl Fn(&str, &[u8], &[u8]) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.options.validator = Some(access::validator(validator));
        self
    }

    /// Sets a closure that decides whether a client's [`Request`] is granted, on a
    /// server or a hub.
    ///
    /// Currently it is called for each stream name that a client offers when it opens
    /// its session: after the [validator](Self::token_validator) has accepted the token,
    /// and before the client gets any of the names. Default: every request of an
    /// accepted client is granted.
    ///
    /// An error refuses the whole session, with [`RefusalCode::NameNotAllowed`]. The
    /// refusal is permanent for a client that has not had a session since it was
    /// started. Any other client retries within its longest wait, so that a mistake in
    /// this closure does not lose clients permanently. As for a validator, the error may be
    /// anything that can be printed, even with `?`. [`Denied::for_now`] refuses for
    /// now, with [`RefusalCode::TryLater`], and so does a panic, which is reported to
    /// the [error handler](Self::on_error).
    ///
    /// A hub whose clients do not trust each other needs this option. Without it, a name
    /// whose owner is away goes to any client that offers it.
    ///
    /// The closure runs on the session's thread, under the same limits as the
    /// validator.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{Error, RefusalCode, Request, Wire, same_token};
    ///
    /// // The validator ties identifications to tokens. A client may offer the names that
    /// // begin with its identification.
    /// let hub = Wire::hub("127.0.0.1:0")
    ///     .token_validator(|_stream, id, token| match id {
    ///         b"box-1" if same_token(token, "secret 1") => Ok(()),
    ///         b"box-2" if same_token(token, "secret 2") => Ok(()),
    ///         _ => Err("wrong token".into()),
    ///     })
    ///     .access(|request| match request {
    ///         Request::Offer { who, name } => {
    ///             let is_own = name
    ///                 .split_once(':')
    ///                 .is_some_and(|(owner, _)| owner.as_bytes() == who.identification());
    ///             is_own.then_some(()).ok_or("not yours".into())
    ///         }
    ///         _ => Err("unknown request".into()),
    ///     })
    ///     .build()?;
    /// hub.start()?;
    /// let addr = hub.local_addr().expect("the hub listens");
    ///
    /// let client = |name: &str| {
    ///     Wire::join(addr)
    ///         .identification("box-1", "secret 1")
    ///         .stream(name, |stream| stream.write_message(b"hello"))
    ///         .build()
    /// };
    /// client("box-1:greeting")?.start()?;
    ///
    /// let error = client("box-2:greeting")?.start().unwrap_err();
    /// assert!(matches!(
    ///     error,
    ///     Error::SessionRefused { code: Some(RefusalCode::NameNotAllowed), .. }
    /// ));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("acl", "authorization", "authorize", "permission"))]
    pub fn access(
        mut self,
        access: impl Fn(&Request<'_>) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.options.access = Some(access::access(access));
        self
    }
}
