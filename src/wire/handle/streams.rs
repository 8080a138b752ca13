//! Handlers that are added and removed while a wire runs.

use super::Wire;
#[cfg(doc)]
use crate::wire::{builder::Builder, session::session::Session};
use crate::{error::Error, wire::session::stream::Stream};
use std::{io, sync::Arc};

impl Wire {
    /// Adds a handler for the streams that the peer opens under `name`, from now on.
    ///
    /// An earlier handler of the same name is replaced; its running streams continue.
    /// [`remove_stream`](Self::remove_stream) removes a handler. See also
    /// [`Builder::stream`].
    ///
    /// The handler gets each stream on a thread of a pool. If it returns `Ok`, the stream
    /// is closed gracefully, which ends the message that was being sent. An error or a
    /// panic resets the stream, and is reported to the [error
    /// handler](Builder::on_error); the peer is not told which error, see
    /// [`Builder::stream`]. [`any_error`](crate::any_error) makes handlers whose errors have
    /// any type.
    ///
    /// A peer learns the names when its session opens. A name that is added later can be
    /// opened, but is not in the [`Session::stream_names`] of earlier sessions. It cannot
    /// be opened through a hub, which relays only names that were offered when the
    /// session opened.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] if the name is empty, longer than 255 bytes, or
    /// `confirmSession`; if there are 1,024 handlers already; or if their names would have
    /// more than 131,072 bytes together.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::Read, time::Duration};
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// assert!(session.open_stream("greeting").is_err());
    ///
    /// server.stream("greeting", |stream| stream.write_message(b"hello"))?;
    /// let mut greeting = String::new();
    /// session.open_stream("greeting")?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("accept", "handle", "handler", "route", "serve", "service"))]
    pub fn stream(
        &self,
        name: impl Into<String>,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let handlers = &self.inner.state.handlers;
        handlers.insert(name.into(), Arc::new(handler))
    }
    /// Removes the handler of the streams that the peer opens under `name`, and returns
    /// whether there was one.
    ///
    /// Streams that are open continue, and so do their handlers. From now on, a stream of
    /// this name is refused, with
    /// [`Refusal::HandlerNotFound`](crate::Refusal::HandlerNotFound).
    ///
    /// Peers are not told. A name was announced when the session opened: it remains in the
    /// peer's [`Session::stream_names`] until the session ends, and a hub keeps this client
    /// as the owner of the name, so that calls still arrive here and are refused, and no
    /// other client can offer the name. The next session is opened without it; to give the
    /// name away immediately, end the session with [`Session::close`], after which the
    /// client reconnects. If the handler is a hub's own, later calls go to the client that
    /// offers the name, if one does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::{Error, Refusal, Wire};
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("greeting", |stream| stream.write_message(b"hello"))
    ///     .build()?;
    /// server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// session.open_stream("greeting")?;
    ///
    /// assert!(server.remove_stream("greeting"));
    /// assert!(matches!(
    ///     session.open_stream("greeting"),
    ///     Err(Error::Refused { refusal: Refusal::HandlerNotFound, .. })
    /// ));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("delete", "unregister"))]
    pub fn remove_stream(&self, name: &str) -> bool {
        self.inner.state.handlers.remove(name)
    }
}
