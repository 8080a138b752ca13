//! The options of a wire, with their defaults. [`Builder`] documents each.
//!
//! [`Builder`]: crate::Builder

#[cfg(feature = "tls")]
use crate::tls::TlsConfig;
use crate::{
    error::{Error, OpError},
    sync::thread,
    wire::{
        session::{
            frame,
            session::{Session, SessionSettings},
        },
        state::{
            access::{Access, Rejected, Request, Validator},
            retry::Retrying,
        },
    },
    yamux,
};
use std::{sync::Arc, time::Duration};

/// The smallest stack of a session's thread. A TLS handshake uses a large part of
/// it.
const MIN_STACK: usize = 256 * 1024;

/// The stack that the standard library gives a thread.
const STD_STACK: usize = 2 * 1024 * 1024;

/// The longest time of a socket's timer that every kernel accepts.
pub(crate) const LONGEST_TCP_TIMER: Duration = Duration::from_secs(32_767);

/// What happens when a session is established, and when it has ended. A trait, so that only a
/// program with hooks links it.
pub(crate) trait SessionEvents {
    fn opened(self: Arc<Self>);
    /// The session keeps its `slot` until that is dropped.
    fn closed(self: Arc<Self>, slot: Arc<dyn Send + Sync>);
}

/// Returns the events of a session of the wire `W`.
pub(crate) type NewSessionEvents<W> = fn(&Arc<W>, &Session) -> Arc<dyn SessionEvents>;

/// Shared with the thread that runs it.
pub(crate) type SessionHook = Arc<dyn Fn(&Session) + Send + Sync>;
type ErrorHandler = Box<dyn Fn(&OpError) + Send + Sync>;

/// The value of every option.
pub(crate) struct Options {
    pub(crate) identification: Vec<u8>,
    pub(crate) token: Vec<u8>,
    pub(crate) validator: Option<Validator>,
    pub(crate) access: Option<Access>,
    pub(crate) on_session_open: Option<SessionHook>,
    pub(crate) on_session_close: Option<SessionHook>,
    pub(crate) on_error: Option<ErrorHandler>,
    pub(crate) max_sessions: usize,
    pub(crate) max_handshakes: usize,
    pub(crate) max_names: usize,
    pub(crate) max_streams: usize,
    pub(crate) handler_limit: usize,
    pub(crate) stack_size: Option<usize>,
    pub(crate) thread_name: String,
    pub(crate) dial_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) session_close_timeout: Duration,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) takes_unmarked_end: bool,
    pub(crate) write_timeout: Duration,
    pub(crate) keep_alive: bool,
    pub(crate) keep_alive_interval: Duration,
    pub(crate) retrying: Retrying,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) recv_buffer: Option<usize>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsConfig>,
    /// `None` is the default of [`yamux::Config`].
    pub(crate) max_window: Option<u32>,
    /// `None` is the default of [`yamux::Config`].
    pub(crate) window_budget: Option<usize>,
    /// See [`yamux::Config::in_lockstep`].
    #[cfg(any(test, fuzzing))]
    pub(crate) is_in_lockstep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identification: Vec::new(),
            token: Vec::new(),
            validator: None,
            access: None,
            on_session_open: None,
            on_session_close: None,
            on_error: None,
            max_sessions: 12_288,
            max_handshakes: 64,
            max_names: 1024,
            max_streams: 512,
            handler_limit: 1024,
            stack_size: None,
            thread_name: "wirenet".into(),
            dial_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            session_close_timeout: Duration::from_secs(5),
            read_timeout: None,
            takes_unmarked_end: false,
            write_timeout: Duration::from_secs(10),
            keep_alive: true,
            keep_alive_interval: Duration::from_secs(15),
            retrying: Retrying::default(),
            send_buffer: None,
            recv_buffer: None,
            #[cfg(feature = "tls")]
            tls: None,
            max_window: None,
            window_budget: None,
            #[cfg(any(test, fuzzing))]
            is_in_lockstep: false,
        }
    }
}

impl Options {
    /// Checks the values of all options.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for the first option with an invalid value.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_lengths()?;
        self.check_counts()?;
        self.check_times()?;
        if self.thread_name.contains('\0') {
            let name = &self.thread_name;
            let reason = format!("{name:?} contains a NUL character, which threads cannot have");
            return Err(invalid("thread_name", reason));
        }
        Ok(())
    }

    fn check_lengths(&self) -> Result<(), Error> {
        for (what, bytes) in [
            ("identification", &self.identification),
            ("token", &self.token),
        ] {
            if bytes.len() > frame::MAX_PAYLOAD {
                let (len, max) = (bytes.len(), frame::MAX_PAYLOAD);
                let reason = format!("the {what} has {len} bytes, and at most {max} are allowed");
                return Err(invalid("identification", reason));
            }
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), Error> {
        for (option, count) in [
            ("handler_limit", self.handler_limit),
            ("max_streams", self.max_streams),
            ("max_sessions", self.max_sessions),
            ("max_handshakes", self.max_handshakes),
        ] {
            if count == 0 {
                return Err(invalid(
                    option,
                    "must be greater than zero, but is 0".into(),
                ));
            }
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), Error> {
        let no_pings = "; `keep_alive(false)` switches pings off";
        let no_timeout = "; `None` is no timeout";
        for (option, what, time, instead) in [
            ("dial_timeout", "", Some(self.dial_timeout), ""),
            ("handshake_timeout", "", Some(self.handshake_timeout), ""),
            (
                "keep_alive_interval",
                "",
                Some(self.keep_alive_interval),
                no_pings,
            ),
            (
                "read_write_timeouts",
                "`read` ",
                self.read_timeout,
                no_timeout,
            ),
            (
                "read_write_timeouts",
                "`write` ",
                Some(self.write_timeout),
                "",
            ),
            ("retry_wait", "`min` ", Some(self.retrying.min), ""),
        ] {
            if time.is_some_and(|time| time.is_zero()) {
                let reason = format!("{what}must be greater than zero, but is 0{instead}");
                return Err(invalid(option, reason));
            }
        }
        let (min, max) = (self.retrying.min, self.retrying.max);
        if min > max {
            let reason =
                format!("`min` must not exceed `max`, but is {min:?} with a `max` of {max:?}");
            return Err(invalid("retry_wait", reason));
        }
        Ok(())
    }

    /// Returns a builder for a thread named after `what` that may run the program's code. Its
    /// stack has the size that the program chose, or the standard library's default. Only the
    /// part in use takes memory.
    pub(crate) fn thread(&self, what: &str) -> thread::Builder {
        let builder = thread::Builder::new().name(format!("{}-{what}", self.thread_name));
        match self.stack_size {
            Some(bytes) => builder.stack_size(bytes.max(MIN_STACK)),
            None => builder,
        }
    }

    /// Returns the settings of each connection.
    pub(crate) fn connection(&self) -> yamux::Config {
        // A refused stream is reported on whichever thread of the connection offers it,
        // which runs the program's error handler.
        let stack_size = self
            .stack_size
            .map_or(STD_STACK, |bytes| bytes.max(MIN_STACK));
        let mut config = yamux::Config::default()
            .stack_size(stack_size)
            .keep_alive(self.keep_alive.then_some(self.keep_alive_interval))
            .write_timeout(self.write_timeout)
            .max_streams(self.max_streams)
            .thread_name(&self.thread_name);
        if let Some(bytes) = self.max_window {
            config = config.max_window(bytes);
        }
        if let Some(bytes) = self.window_budget {
            config = config.window_budget(bytes);
        }
        // The sockets then have this timeout too.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.write_timeout <= LONGEST_TCP_TIMER {
            config = config.timed_by_system();
        }
        #[cfg(any(test, fuzzing))]
        if self.is_in_lockstep {
            config = config.in_lockstep();
        }
        config
    }

    /// Returns the settings of each session.
    pub(crate) fn session(&self) -> SessionSettings {
        SessionSettings {
            token: self.token.clone(),
            open_timeout: self.handshake_timeout,
            close_timeout: self.session_close_timeout,
            read_timeout: self.read_timeout,
            takes_unmarked_end: self.takes_unmarked_end,
        }
    }

    /// Asks the validator, if there is one, about a token.
    pub(crate) fn validate(&self, name: &str, id: &[u8], token: &[u8]) -> Result<(), Rejected> {
        match &self.validator {
            Some(validator) => validator(name, id, token),
            None => Ok(()),
        }
    }

    /// Asks the `access` closure, if there is one, about a request.
    pub(crate) fn permit(&self, request: &Request<'_>) -> Result<(), Rejected> {
        match &self.access {
            Some(access) => access(request),
            None => Ok(()),
        }
    }
}

fn invalid(option: &'static str, reason: String) -> Error {
    Error::Option { option, reason }
}
