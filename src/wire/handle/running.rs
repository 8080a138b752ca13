//! How a program runs and closes a wire.

use super::{Wire, close_unasked};
#[cfg(doc)]
use crate::{error::Operation, wire::builder::Builder};
use crate::{
    error::{Error, ShutdownError},
    spawn::spawn,
    sync::{Receiver, bounded},
    wire::{run::close::close_wire, session::session::Session},
};
use std::{sync::Arc, time::Duration};

impl Wire {
    /// Runs the wire on the current thread, until it is closed.
    ///
    /// A server or hub listens and accepts clients. A client connects and reads its
    /// session; when that has ended, or no session could be opened, it waits and connects
    /// again. Failures that lead to a retry go to the [error
    /// handler](Builder::on_error). Returns when a close has completed, or when a client
    /// gives up.
    ///
    /// A wire that is not closed may be run again after this call has returned.
    ///
    /// # Errors
    ///
    /// - [`Error::Listen`].
    /// - The last error of a client that gives up, which [`Builder::retry_policy`]
    ///   decides: [`Error::Dial`], [`Error::SessionRefused`] and other errors of a
    ///   handshake, whose texts name the address that was dialled; or [`Error::Connection`] if
    ///   the session broke.
    /// - [`Error::Closed`] if the wire was closed before a session was established.
    /// - [`Error::AlreadyConnected`] if the wire is running.
    /// - [`Error::Shutdown`] with what a [`close`](Self::close) has cut, on whichever
    ///   thread it was called.
    ///
    /// # Examples
    ///
    /// A program that serves on its main thread until the first client connects:
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("greeting", |stream| stream.write_message(b"hello"))
    /// #   .on_connect(|wire| {
    /// #       // Once the server listens.
    /// #       let addr = wire.local_addr().expect("the server listens");
    /// #       let client = Wire::join(addr).build().expect("a valid address");
    /// #       client.start().expect("the server accepts");
    /// #   })
    ///     .on_session_open(|session| {
    ///         // Blocks until the wire is closed. `connect` then returns the same error, if
    ///         // there is one.
    ///         let _ = session.close_wire();
    ///     })
    ///     .build()?;
    /// server.connect()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("block", "listen", "run", "serve"))]
    pub fn connect(&self) -> Result<(), Error> {
        let running = self.inner.state.begin()?;
        let mut connected = self.inner.connected();
        let run = || self.inner.run.run(&running.wire, &mut connected);
        let ended = running.wire.threads.track(run)();
        let ended = ended.map_err(|failure| failure.returned(&running.wire));
        // From here on a close does not wait for this thread.
        match &ended {
            Ok(()) => drop(running),
            Err(error) => running.fail(error),
        }
        let closed = self.inner.state.wait_closed();
        ended?;
        closed.map_err(Error::from)
    }

    /// Runs the wire on a new thread.
    ///
    /// Returns when a server or hub listens, or when a client's first session is
    /// established. Later errors go to the [error handler](Builder::on_error);
    /// [`wait`](Self::wait) waits for the end.
    ///
    /// **For a client, this waits forever while the client retries**: if the address is
    /// mistyped or the server is down, it does not return. Each failed attempt goes to
    /// the error handler, or is logged: as a warning, or at `debug` if it failed like the
    /// one before. [`start_within`](Self::start_within) waits for a limited time and returns
    /// the cause.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect) up to that point, and
    /// [`Error::Thread`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// let addr = server.local_addr().expect("the server listens");
    /// assert_ne!(addr.port(), 0);
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("background", "spawn"))]
    pub fn start(&self) -> Result<(), Error> {
        // The thread always sends before it ends, unless it panics.
        self.spawn_run()?.recv().unwrap_or(Err(Error::Closed))
    }

    /// Runs the wire on a new thread, and returns its first session.
    ///
    /// For a client that must be connected before the program goes on: waits for the
    /// session for at most `timeout`, during which the client retries. As with
    /// [`start`](Self::start), failed attempts and later errors go to the [error
    /// handler](Builder::on_error).
    ///
    /// A server or hub listens, and then waits in the same way for its first client. It
    /// usually needs [`start`](Self::start) instead, which does not wait for clients.
    ///
    /// The session does not keep the wire open: keep the [`Wire`] as long as the session is
    /// used.
    ///
    /// # Errors
    ///
    /// - [`Error::TimedOut`] if there is no session within `timeout`. Its text and its
    ///   `cause` say why the last attempt failed. The wire is closed, and cannot be started
    ///   again: build another one. To keep trying, use [`start`](Self::start) on another
    ///   thread, and [`wait_session`](Self::wait_session).
    /// - The errors of [`start`](Self::start), immediately: for example
    ///   [`Error::SessionRefused`], if a client's token is wrong. The wire does not run,
    ///   and may be started again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::Read, time::Duration};
    /// use wirenet::Wire;
    ///
    /// # let server = Wire::mount("127.0.0.1:0")
    /// #     .stream("greeting", |stream| stream.write_message(b"hello"))
    /// #     .build()?;
    /// # server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// let client = Wire::join(addr).build()?;
    /// let session = client.start_within(Duration::from_secs(5))?;
    ///
    /// let mut greeting = String::new();
    /// session.open_stream("greeting")?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// An address at which no server listens:
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::Wire;
    ///
    /// # // A port that refuses connections.
    /// # let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// let client = Wire::join(addr).build()?;
    /// let error = client.start_within(Duration::from_millis(100)).unwrap_err();
    /// let expected = format!("no session within 100ms: cannot connect to {addr}: ");
    /// assert!(error.to_string().starts_with(&expected));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("connect_timeout", "start_timeout", "timeout"))]
    pub fn start_within(&self, timeout: Duration) -> Result<Session, Error> {
        let first_up = self.spawn_run()?;
        let state = &self.inner.state;
        match state.wait_first_session(timeout) {
            Ok(Some(session)) => Ok(session),
            Ok(None) => {
                first_up.recv().unwrap_or(Err(Error::Closed))?;
                // The wire had a session, and has given up since.
                Err(state.why_ended().unwrap_or(Error::Closed))
            }
            Err(timed_out) => {
                close_unasked(state);
                Err(timed_out)
            }
        }
    }

    /// Runs the wire on a new thread. The returned channel receives `Ok` when the wire is
    /// up for the first time, or the error if it ends before.
    fn spawn_run(&self) -> Result<Receiver<Result<(), Error>>, Error> {
        let running = self.inner.state.begin()?;
        let state = Arc::clone(&running.wire);
        let run = Arc::clone(&self.inner.run);
        let mut connected = self.inner.connected();
        let (sender, first_up) = bounded(1);
        let thread = state.options.thread(run.thread_name());
        let work = move || {
            let mut was_up = false;
            let ended = run.run(&running.wire, &mut |session| {
                was_up = true;
                connected(session);
                // The channel is full if the wire was up before.
                let _ = sender.try_send(Ok(()));
            });
            let Err(failure) = ended else {
                return;
            };
            let error = failure.returned(&running.wire);
            if was_up {
                failure.report_last(&running.wire);
                return running.fail(&error);
            }
            running.fail(&error);
            // The channel has room: nothing was sent before. Fails if the call has timed out; the
            // wire keeps the error.
            let _ = sender.try_send(Err(error));
        };
        let spawned = spawn(thread, state.threads.track(work));
        spawned.map_err(|error| Error::Thread(Arc::new(error)))?;
        Ok(first_up)
    }

    /// Ends a client's wait before its next attempt to connect.
    ///
    /// For programs that are notified when the network is available again. If an
    /// attempt is in progress and fails, the wait after it is ended instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::mpsc, time::Duration};
    /// use wirenet::Wire;
    ///
    /// let (sender, failures) = mpsc::channel();
    /// # // A port that refuses connections.
    /// # let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// let client = Wire::join(addr)
    ///     .retry_policy(|_| Some(Duration::from_secs(3600)))
    ///     .on_error(move |error| {
    ///         let _ = sender.send(error.to_string());
    ///     })
    ///     .build()?;
    ///
    /// # let other = client.clone();
    /// # let thread = std::thread::spawn(move || other.connect());
    /// // The client runs on another thread, and has no network at first.
    /// failures.recv()?;
    ///
    /// // The network is available again: do not wait for an hour.
    /// client.reconnect_now();
    /// failures.recv()?;
    /// # client.close()?;
    /// # let _ = thread.join();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("nudge", "retry", "wake"))]
    pub fn reconnect_now(&self) {
        self.inner.state.nudge();
    }

    /// Waits until a wire that was [started](Self::start) no longer runs.
    ///
    /// Returns when a close has completed, or when a client has given up, and immediately
    /// if the wire does not run. A close does not wait for the thread that waits here.
    ///
    /// When called from a client's error handler or retry policy, waits only for a close,
    /// because the wire cannot end before that handler or policy has returned.
    ///
    /// # Errors
    ///
    /// - The last error of a client that gave up, or another error that ended the run, as
    ///   [`connect`](Self::connect) returns it.
    /// - [`Error::Shutdown`] with what a [`close`](Self::close) has cut, on whichever
    ///   thread it was called.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    ///
    /// // Usually in a signal handler.
    /// let closing = server.clone();
    /// thread::spawn(move || closing.close());
    ///
    /// server.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("block", "join"))]
    pub fn wait(&self) -> Result<(), Error> {
        self.inner.state.wait()
    }

    /// Closes the wire gracefully.
    ///
    /// In this order, a close
    ///
    /// 1. stops accepting and connecting;
    /// 2. tells every peer that it accepts no new streams;
    /// 3. waits for the [running streams](Session#running-streams) of all sessions
    ///    to end, for up to [`Builder::session_close_timeout`] in all: those whose handlers
    ///    run, and those that the program has opened and neither side has ended (drop idle
    ///    ones before);
    /// 4. cuts the remaining streams, which wakes every blocked read, write, open and
    ///    wait;
    /// 5. waits for the wire's threads to end, for at most a second.
    ///
    /// A handler can check [`Session::is_closing`] to learn that it should end.
    /// [`connect`](Self::connect) and [`wait`](Self::wait) return when the close does.
    ///
    /// `Ok` means that the peer of each open session has received everything that was
    /// sent on its connection: messages that were finished before have arrived. A peer
    /// that uses this library acknowledges this; any other peer closes its side
    /// afterwards. `Ok` does not mean that the peer's program has read its streams.
    ///
    /// Closing again does no harm. A handler, a hook or a validator may close the wire:
    /// the close does not wait for its own caller. A handler's own stream is cut, so a
    /// handler should send its answer before it closes the wire. A close in an error
    /// handler that runs on a session's own thread cuts that session immediately. A
    /// client that is resolving a name leaves the resolving thread behind, until the
    /// system gives up. Idle threads are told to end, but the close does not wait for
    /// them.
    ///
    /// When the last handle is dropped, the wire is closed in the same way, and an error
    /// goes to the [error handler](Builder::on_error) as [`Operation::Close`]. If a
    /// handler, a hook or a validator drops it, the wire is closed on another thread,
    /// which waits for the handler, hook or validator to return.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`], with what was cut, what was not acknowledged in time, and what
    /// still runs. The wire is closed in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::{Error, Wire};
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr).build()?;
    /// # client.start()?;
    ///
    /// server.close()?;
    /// assert!(matches!(server.wait_session(Duration::ZERO), Err(Error::Closed)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// On SIGTERM, with the crate signal-hook: lets transfers end for up to 20 seconds, and
    /// reports those that did not.
    ///
    /// ```
    /// # #[cfg(unix)]
    /// # fn main() -> std::io::Result<()> {
    /// # use std::time::Duration;
    /// # use wirenet::Wire;
    /// use signal_hook::{consts::SIGTERM, iterator::Signals};
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .session_close_timeout(Duration::from_secs(20))
    ///     .build()?;
    /// let mut signals = Signals::new([SIGTERM])?;
    /// server.start()?;
    ///
    /// # signal_hook::low_level::raise(SIGTERM)?;
    /// signals.forever().next();
    /// if let Err(error) = server.close() {
    ///     for cut in &error.sessions {
    ///         eprintln!("not finished: {:?} of {:?}", cut.stream_names, cut.peer_addr);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// # #[cfg(not(unix))]
    /// # fn main() {}
    /// ```
    #[doc(alias("shutdown", "stop"))]
    pub fn close(&self) -> Result<(), ShutdownError> {
        close_wire(&self.inner.state)
    }
}
