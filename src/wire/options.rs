//! What the builder has gathered: every option, its default, and why.

use super::{
    Wire,
    access::{self, Rejected, Request},
    frame,
    retry::Retrying,
    session::Session,
};
#[cfg(feature = "tls")]
use crate::tls::TlsConfig;
use crate::{
    error::{Denied, Error, OpError},
    sync::thread,
    yamux,
};
use std::{sync::Arc, time::Duration};

/// The stack that a session's thread has at least: the handshake of TLS uses a
/// good part of it.
const LEAST_STACK: usize = 256 * 1024;

type Validator = Box<dyn Fn(&str, &[u8], &[u8]) -> Result<(), Denied> + Send + Sync>;
type Access = Box<dyn Fn(&Request<'_>) -> Result<(), Denied> + Send + Sync>;
/// Shared with the thread that runs it.
pub(super) type SessionHook = Arc<dyn Fn(&Session) + Send + Sync>;
pub(super) type ConnectHook = Arc<dyn Fn(&Wire) + Send + Sync>;
type ErrorHandler = Box<dyn Fn(&OpError) + Send + Sync>;

pub(super) struct Options {
    pub(super) identification: Vec<u8>,
    pub(super) token: Vec<u8>,
    pub(super) validator: Option<Validator>,
    pub(super) access: Option<Access>,
    pub(super) on_connect: Option<ConnectHook>,
    pub(super) on_session_open: Option<SessionHook>,
    pub(super) on_session_close: Option<SessionHook>,
    pub(super) on_error: Option<ErrorHandler>,
    pub(super) max_sessions: usize,
    pub(super) max_handshakes: usize,
    pub(super) max_names: usize,
    pub(super) max_streams: usize,
    pub(super) handler_limit: usize,
    pub(super) stack_size: Option<usize>,
    pub(super) thread_name: String,
    pub(super) dial_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) session_close_timeout: Duration,
    pub(super) read_timeout: Option<Duration>,
    pub(super) takes_unmarked_end: bool,
    pub(super) write_timeout: Duration,
    pub(super) keep_alive: bool,
    pub(super) keep_alive_interval: Duration,
    pub(super) retrying: Retrying,
    pub(super) send_buffer: Option<usize>,
    pub(super) recv_buffer: Option<usize>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsConfig>,
    pub(super) yamux: yamux::Config,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identification: Vec::new(),
            token: Vec::new(),
            validator: None,
            access: None,
            on_connect: None,
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
            yamux: yamux::Config::default(),
        }
    }
}

impl Options {
    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// [`Error::Option`], naming the one whose value cannot be.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |option, reason: &str| {
            let reason = reason.into();
            Err(Error::Option { option, reason })
        };
        for bytes in [&self.identification, &self.token] {
            if bytes.len() > frame::MAX_PAYLOAD {
                return wrong("identification", "longer than 4,096 bytes");
            }
        }
        for (option, count, reason) in [
            (
                "handler_limit",
                self.handler_limit,
                "0 handlers can serve nothing",
            ),
            ("max_streams", self.max_streams, "a session opens with one"),
            ("max_sessions", self.max_sessions, "0 sessions serve nobody"),
            (
                "max_handshakes",
                self.max_handshakes,
                "0 handshakes let nobody in",
            ),
        ] {
            if count == 0 {
                return wrong(option, reason);
            }
        }
        for (option, timeout) in [
            ("dial_timeout", Some(self.dial_timeout)),
            ("handshake_timeout", Some(self.handshake_timeout)),
            ("keep_alive_interval", Some(self.keep_alive_interval)),
            ("read_write_timeouts", self.read_timeout),
            ("read_write_timeouts", Some(self.write_timeout)),
        ] {
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                return wrong(option, "0 is no time");
            }
        }
        if self.retrying.min.is_zero() {
            return wrong("retry_wait", "without a wait a server is hammered");
        }
        if self.retrying.min > self.retrying.max {
            return wrong("retry_wait", "the least wait is longer than the longest");
        }
        if self.thread_name.contains('\0') {
            return wrong("thread_name", "contains a zero byte");
        }
        Ok(())
    }

    /// A thread that is called `what`, and may run the user's code: it has the
    /// stack that the user wants, or else what the standard library gives, of
    /// which only what is used takes memory. Our own part fits into the least.
    pub(super) fn thread(&self, what: &str) -> thread::Builder {
        let builder = thread::Builder::new().name(format!("{}-{what}", self.thread_name));
        match self.stack_size {
            Some(bytes) => builder.stack_size(bytes.max(LEAST_STACK)),
            None => builder,
        }
    }

    /// The settings of each connection.
    pub(super) fn connection(&self) -> yamux::Config {
        let keep_alive = self.keep_alive.then_some(self.keep_alive_interval);
        let config = self.yamux.clone().keep_alive(keep_alive);
        config
            .write_timeout(self.write_timeout)
            .max_streams(self.max_streams)
            .thread_name(&self.thread_name)
    }

    /// Asks the validator, if there is one.
    pub(super) fn validate(&self, name: &str, id: &[u8], token: &[u8]) -> Result<(), Rejected> {
        let Some(validator) = &self.validator else {
            return Ok(());
        };
        access::ask(|| validator(name, id, token))
    }

    /// Asks whether somebody may have what it wants, if there is somebody to ask.
    pub(super) fn permit(&self, request: &Request<'_>) -> Result<(), Rejected> {
        let Some(access) = &self.access else {
            return Ok(());
        };
        access::ask(|| access(request))
    }
}
