//! Clients that wait for their server.

use super::output::say;
use std::sync::{Arc, Mutex, PoisonError};
use wirenet::{Builder, OpError, Operation};

/// Why the clients of this program cannot connect, as it was printed. Each cause is
/// printed once until it changes, even if several clients have it.
#[derive(Clone, Default)]
pub struct Failures {
    by_client: Arc<Mutex<Vec<Option<String>>>>,
}

impl Failures {
    /// Makes a client retry until its server accepts it, even if that has never
    /// happened. Only an error that waiting cannot fix ends the client, such as a wrong
    /// token or certificate. Prints `connected` each time the client is connected.
    pub fn keep_trying(&self, client: Builder, connected: String) -> Builder {
        let index = {
            let mut clients = self.lock();
            clients.push(None);
            clients.len() - 1
        };
        let (cleared, shared) = (self.clone(), self.clone());
        client
            .on_connect(move |_| {
                cleared.lock()[index] = None;
                say!("{connected}");
            })
            .on_error(move |error| shared.report(index, error))
    }

    fn report(&self, index: usize, error: &OpError) {
        match error.operation {
            Operation::Dial | Operation::Handshake => {
                let text = Some(error.cause.to_string());
                let mut clients = self.lock();
                let is_new = !clients.contains(&text);
                clients[index].clone_from(&text);
                drop(clients);
                if let Some(text) = text.filter(|_| is_new) {
                    log::warn!("{text}; trying again");
                }
            }
            _ => log::warn!("{error}"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<String>>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
