//! The sessions of a wire, as its program finds them.

use super::Wire;
#[cfg(doc)]
use crate::wire::builder::Builder;
use crate::{
    error::Error,
    wire::session::{id::SessionId, session::Session, stats::Stats},
};
use std::{net::SocketAddr, time::Duration};

impl Wire {
    /// Returns the sessions that are established now; a client has at most one.
    ///
    /// The list is empty before the first session, and between two sessions of a client.
    /// [`wait_session`](Self::wait_session) waits for one, and
    /// [`session_for`](Self::session_for) finds a client's by its identification. The
    /// order has no meaning.
    #[doc(alias("clients", "connections", "peers"))]
    pub fn sessions(&self) -> Vec<Session> {
        self.inner.state.sessions()
    }

    /// Returns the session with this id, if it is established.
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.inner.state.session(id)
    }

    /// Returns the session of the client with this [identification], if it is
    /// established.
    ///
    /// If several sessions have the same identification, this is the one that was
    /// established last: a client that lost its connection and has reconnected may still
    /// have its old session until the server notices the loss. Sessions that have ended
    /// are never returned. The call searches a sorted index, so it is fast even with many
    /// sessions.
    ///
    /// A client finds its own session under its own identification.
    ///
    /// [identification]: Builder::identification
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::Read, time::Duration};
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// assert!(server.session_for("box-1").is_none());
    ///
    /// # let addr = server.local_addr().expect("the server listens");
    /// let client = Wire::join(addr)
    ///     .identification("box-1", "secret")
    ///     .stream("greeting", |stream| stream.write_message(b"hello"))
    ///     .build()?;
    /// client.start_within(Duration::from_secs(5))?;
    /// # server.wait_session_for("box-1", Duration::from_secs(5))?;
    ///
    /// if let Some(session) = server.session_for("box-1") {
    ///     let mut greeting = String::new();
    ///     session.open_stream("greeting")?.read_to_string(&mut greeting)?;
    ///     assert_eq!(greeting, "hello");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("client", "find", "get", "lookup", "session_by_identification"))]
    pub fn session_for(&self, identification: impl AsRef<[u8]>) -> Option<Session> {
        self.inner.state.session_for(identification.as_ref())
    }

    /// Returns a session whose peer offers streams of this name, if there is one.
    ///
    /// On a hub, this is the owner of the name. On a server, several clients may offer
    /// the name; this is the one whose session was established last. On a client, it is
    /// the session with the server, if that offers the name.
    ///
    /// A peer offers the names for which it had handlers when the session was opened; see
    /// [`Session::stream_names`]. Like [`session_for`](Self::session_for), this is fast even
    /// with many sessions.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::Wire;
    ///
    /// let hub = Wire::hub("127.0.0.1:0").build()?;
    /// hub.start()?;
    /// # let addr = hub.local_addr().expect("the hub listens");
    /// let owner = Wire::join(addr)
    ///     .identification("box-1", "secret")
    ///     .stream("backup", |stream| stream.write_message(b"hello"))
    ///     .build()?;
    /// owner.start_within(Duration::from_secs(5))?;
    /// # hub.wait_session(Duration::from_secs(5))?;
    ///
    /// let session = hub.session_offering("backup").expect("the owner is connected");
    /// assert_eq!(session.identification(), b"box-1");
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("find", "lookup", "owner", "session_by_name"))]
    pub fn session_offering(&self, name: &str) -> Option<Session> {
        self.inner.state.session_offering(name)
    }

    /// Waits until a session is established, and returns it.
    ///
    /// A client has only one session. A server or hub with several sessions returns any
    /// of them; [`wait_session_for`](Self::wait_session_for) waits for a certain client.
    ///
    /// # Errors
    ///
    /// - [`Error::TimedOut`] if there is none within `timeout`. Its text and its `cause` say
    ///   why the last attempt failed, or why the last session ended, if the wire knows; or
    ///   that the wire was not started.
    /// - [`Error::Closed`] if the wire is closed.
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
    /// # let client = Wire::join(addr).identification("box-1", "").build()?;
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

    /// Waits until the client with this [identification](Builder::identification) has a
    /// session, and returns it.
    ///
    /// If there are several, this is the one that was established last; see
    /// [`session_for`](Self::session_for).
    ///
    /// # Errors
    ///
    /// As for [`wait_session`](Self::wait_session). On a server or hub, the cause is about
    /// the last connection that did not become a session, whichever client it came from.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// let none = server.wait_session_for("box-1", Duration::from_millis(10));
    /// assert_eq!(none.unwrap_err().to_string(), "no session of \"box-1\" within 10ms");
    ///
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr).identification("box-1", "").build()?;
    /// # client.start()?;
    /// // The client connects.
    /// let session = server.wait_session_for("box-1", Duration::from_secs(5))?;
    /// assert_eq!(session.identification(), b"box-1");
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias = "accept")]
    pub fn wait_session_for(
        &self,
        identification: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<Session, Error> {
        let identification = identification.as_ref();
        self.inner.state.wait_session_for(identification, timeout)
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
    /// # let client = Wire::join(addr).build()?;
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
    /// Returns `None` if the program no longer has a handle, which means that the wire
    /// closes.
    ///
    /// This is how a handler or a hook reaches its wire. A handler that captures a
    /// [`Wire`] keeps it running until it is closed: the wire owns the handler, and the
    /// handler owns the wire.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").stream("count", |stream| {
    ///     let wire = stream.session().wire().ok_or(wirenet::Error::Closed)?;
    ///     let count = wire.sessions().len();
    ///     stream.write_message(count.to_string())
    /// });
    /// # server.build()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    pub fn wire(&self) -> Option<Wire> {
        let inner = self.wire_handle()?.downcast().ok()?;
        Some(Wire { inner })
    }
}
