//! The handlers by name.

use crate::{
    error::Error,
    sync::Mutex,
    wire::session::{frame::check_name, handshake_messages::CONFIRM_SESSION, stream::Stream},
};
use std::{io, sync::Arc};

/// Serves the streams of a name.
pub(crate) type Handler = Arc<dyn Fn(&mut Stream) -> io::Result<()> + Send + Sync>;

/// The limit on handlers of a wire.
pub(crate) const MAX_HANDLERS: usize = 1024;

/// The limit on the bytes of all their names together: the names are sent in one
/// frame, which must fit into the first window of its stream.
const MAX_NAMES: usize = 128 * 1024;

/// The handlers of a wire.
#[derive(Default)]
pub(crate) struct Handlers {
    /// Sorted by name, so that peers get the names in the same order each time.
    by_name: Mutex<Vec<(String, Handler)>>,
}

impl Handlers {
    /// Adds a handler, or replaces the one of the same name.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] if the name is invalid, or a limit is reached.
    pub(crate) fn insert(&self, name: String, handler: Handler) -> Result<(), Error> {
        let wrong = |reason| Error::Option {
            option: "stream",
            reason,
        };
        check_name(&name).map_err(wrong)?;
        if name == CONFIRM_SESSION {
            return Err(wrong(format!(
                "the stream name {name:?} is reserved by the protocol; choose another one"
            )));
        }
        let mut by_name = self.by_name.lock();
        let replaced = match position(&by_name, &name) {
            Ok(index) => Some(std::mem::replace(&mut by_name[index].1, handler)),
            Err(index) => {
                let names: usize = by_name.iter().map(|(name, _)| name.len()).sum();
                if by_name.len() >= MAX_HANDLERS || names + name.len() > MAX_NAMES {
                    let handlers = by_name.len();
                    return Err(wrong(format!(
                        "no room for {name:?}: there are {handlers} handlers, whose names have \
                         {names} bytes, and at most {MAX_HANDLERS} and {MAX_NAMES} are allowed"
                    )));
                }
                by_name.insert(index, (name, handler));
                None
            }
        };
        drop(by_name);
        // Not under the lock: dropping the program's closure runs the program's code.
        drop(replaced);
        Ok(())
    }

    /// Removes a handler. Returns whether there was one.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut by_name = self.by_name.lock();
        let removed = position(&by_name, name).map(|index| by_name.remove(index));
        drop(by_name);
        // The handler is dropped here and not under the lock: dropping the program's closure
        // runs the program's code.
        removed.is_ok()
    }

    /// Returns all names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let by_name = self.by_name.lock();
        by_name.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Handler> {
        let by_name = self.by_name.lock();
        let index = position(&by_name, name).ok()?;
        Some(Arc::clone(&by_name[index].1))
    }
}

/// Returns the index of the handler, or `Err` with where it belongs.
fn position(by_name: &[(String, Handler)], name: &str) -> Result<usize, usize> {
    by_name.binary_search_by(|(other, _)| other.as_str().cmp(name))
}
