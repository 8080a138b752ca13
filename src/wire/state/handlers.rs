//! The handlers by name, and the running of one.

use crate::{
    error::Error,
    sync::Mutex,
    wire::session::{frame::check_name, hello::CONFIRM_SESSION, stream::Stream},
};
use std::{io, sync::Arc};

/// What serves a named stream.
pub(crate) type Handler = Arc<dyn Fn(&mut Stream) -> io::Result<()> + Send + Sync>;

/// Handlers that a wire can have.
pub(crate) const MAX_HANDLERS: usize = 1024;

/// Bytes of all their names together: they go over the wire in one frame, which
/// has to fit the first window of its stream.
const MAX_NAMES: usize = 128 * 1024;

/// In the order of their names, so that what is said of them is the same each
/// time.
#[derive(Default)]
pub(crate) struct Handlers {
    by_name: Mutex<Vec<(String, Handler)>>,
}

impl Handlers {
    pub(crate) fn insert(&self, name: String, handler: Handler) -> Result<(), Error> {
        let wrong = |reason| Error::Option {
            option: "stream",
            reason,
        };
        check_name(&name).map_err(wrong)?;
        if name == CONFIRM_SESSION {
            return Err(wrong(format!("the name {name:?} belongs to the protocol")));
        }
        let mut by_name = self.by_name.lock();
        let replaced = match position(&by_name, &name) {
            Ok(index) => Some(std::mem::replace(&mut by_name[index].1, handler)),
            Err(index) => {
                let names: usize = by_name.iter().map(|(name, _)| name.len()).sum();
                if by_name.len() >= MAX_HANDLERS || names + name.len() > MAX_NAMES {
                    let limit = format!(
                        "more than {MAX_HANDLERS} handlers, or {MAX_NAMES} bytes of their names"
                    );
                    return Err(wrong(limit));
                }
                by_name.insert(index, (name, handler));
                None
            }
        };
        drop(by_name);
        // The user's code may do anything when it is dropped.
        drop(replaced);
        Ok(())
    }

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

/// Where the handler of this name is, or belongs.
fn position(by_name: &[(String, Handler)], name: &str) -> Result<usize, usize> {
    by_name.binary_search_by(|(other, _)| other.as_str().cmp(name))
}
