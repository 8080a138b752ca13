//! What errors of a stream say about it: which stream, and which wait was too long.

use super::frame::StreamId;
use crate::time::Spaced;
use std::{fmt, sync::Arc, time::Duration};

/// The stream that an [`Error`](super::Error) is about.
///
/// Displays its number, as in `stream 5`, or its name if the stream was opened under one, as
/// in `stream "echo"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AboutStream {
    id: StreamId,
    /// The name of a stream of the layer above.
    name: Option<Arc<str>>,
}

impl AboutStream {
    pub(crate) fn new(id: StreamId) -> Self {
        Self { id, name: None }
    }

    pub(super) fn set_name(&mut self, name: &str) {
        self.name = Some(name.into());
    }

    /// Returns the stream's number.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Returns `text` if the stream has a name, and otherwise `""`. Only streams of the layer
    /// above have one, and `text` is about what only that layer has, such as handlers.
    pub(super) fn if_named<'a>(&self, text: &'a str) -> &'a str {
        match self.name {
            Some(_) => text,
            None => "",
        }
    }
}

impl fmt::Display for AboutStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "stream {name:?}"),
            None => write!(f, "stream {}", self.id),
        }
    }
}

/// What an [`Error::TimedOut`](super::Error::TimedOut) has waited for, and how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waited(pub(super) Option<(WaitedFor, AboutStream, Duration)>);

/// What a timeout of a stream limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitedFor {
    /// Data of the peer.
    Data,
    /// Room to send.
    Room,
}

impl Waited {
    /// Returns the timeout that passed: that of the stream's reads, or of its writes. `None`
    /// if it was another deadline.
    pub fn timeout(&self) -> Option<Duration> {
        let (_, _, timeout) = self.0.as_ref()?;
        Some(*timeout)
    }
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((waited_for, stream, timeout)) = &self.0 else {
            return f.write_str("timed out: the deadline of the call has passed");
        };
        let timeout = Spaced(*timeout);
        match waited_for {
            WaitedFor::Data => write!(f, "no data for {timeout} on {stream}"),
            WaitedFor::Room => write!(
                f,
                "nothing could be sent for {timeout} on {stream}: the peer does not read"
            ),
        }
    }
}
