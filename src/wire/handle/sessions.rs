//! The sessions of a wire, as its program finds them.

use super::Wire;
use crate::{
    error::Error,
    wire::session::{id::SessionId, session::Session, stats::Stats},
};
use std::{net::SocketAddr, time::Duration};

impl Wire {
    /// Returns the sessions that are established now; a client has at most one.
    ///
    /// The list is empty before the first session, and between two sessions of a client.
    /// [`wait_session`](Self::wait_session) waits for one.
    #[doc(alias("clients", "connections", "peers"))]
    pub fn sessions(&self) -> Vec<Session> {
        self.inner.state.sessions()
    }

    /// Returns the session with this id, if it is established.
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.inner.state.session(id)
    }

    /// Waits until a session is established, and returns it.
    ///
    /// A client has only one session. A server or hub with several sessions returns any
    /// of them.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if there is none within `timeout`. Its text and its `cause` say
    /// why the last attempt failed, or why the last session ended, if the wire knows.
    /// [`Error::Closed`] if the wire is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::{Error, Wire};
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// let none = server.wait_session(Duration::from_millis(10));
    /// assert!(matches!(none, Err(Error::TimedOut { .. })));
    ///
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr.to_string()).identification("box-1", "").build()?;
    /// # client.start()?;
    /// // A client connects.
    /// let session = server.wait_session(Duration::from_secs(5))?;
    /// assert_eq!(session.identification(), b"box-1");
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("accept"))]
    pub fn wait_session(&self, timeout: Duration) -> Result<Session, Error> {
        self.inner.state.wait_session(timeout)
    }

    /// Returns the address at which a server or hub listens, or from which a client is
    /// connected; `None` before that, or if the system does not know it.
    #[doc(alias("port"))]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.state.local_addr()
    }

    /// Returns counts of everything that the wire has done so far, for all its
    /// sessions together, including those that have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr.to_string()).build()?;
    /// # client.start()?;
    /// # server.wait_session(std::time::Duration::from_secs(5))?;
    ///
    /// // A client has connected.
    /// let stats = server.stats();
    /// assert_eq!(stats.sessions, 1);
    /// println!("{} bytes received since {:?}", stats.bytes_received, stats.since);
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("counters", "metrics", "statistics"))]
    pub fn stats(&self) -> Stats {
        self.inner.state.stats()
    }
}

impl Session {
    /// Returns a handle of the wire that the session belongs to.
    ///
    /// Returns `None` if the program no longer has a handle, so that the wire
    /// closes.
    ///
    /// This is how a handler or a hook reaches its wire. A handler that captures a
    /// [`Wire`] keeps it running forever: the wire owns the handler, and the handler
    /// owns the wire.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").stream("count", |stream| {
    ///     let wire = stream.session().wire().ok_or(wirenet::Error::Closed)?;
    ///     let count = wire.sessions().len();
    ///     stream.write_message(count.to_string().as_bytes())
    /// });
    /// # server.build()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    pub fn wire(&self) -> Option<Wire> {
        let inner = self.wire_handle()?.downcast().ok()?;
        Some(Wire { inner })
    }
}
