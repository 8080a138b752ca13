//! Waits for the wire's end where the wire's own work is done.

use super::SOON;
use crate::support::{
    PATIENCE,
    link::{joining, mounting, started},
    within,
};
use crossbeam_channel::bounded;
use std::sync::{Arc, OnceLock};
use wirenet::Wire;

/// It runs on the thread whose end that is.
#[test]
fn a_retry_policy_that_waits_for_the_wire_is_released_by_its_close() {
    within(SOON, || {
        let server = started(mounting());
        let found = Arc::new(OnceLock::<Wire>::new());
        let wire = Arc::clone(&found);
        let (begin, began) = bounded(1);
        let (end, ended) = bounded(1);
        let client = joining(&server)
            .retry_policy(move |retry| {
                if begin.try_send(()).is_ok() {
                    let _ = end.try_send(wire.wait().wait());
                }
                retry.wait
            })
            .build()
            .unwrap();
        assert!(found.set(client.clone()).is_ok());
        client.start().unwrap();
        server.wait_session(PATIENCE).unwrap().abort();
        began.recv().unwrap();
        client.close().unwrap();
        ended.recv_timeout(PATIENCE).unwrap().unwrap();
        client.wait().unwrap();
    });
}
