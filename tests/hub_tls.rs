//! The promises of a hub, over TLS.
#![cfg(feature = "tls")]

mod support;

#[path = "hub/answers.rs"]
mod answers;
#[path = "hub/broken_off.rs"]
mod broken_off;
#[path = "hub/by_hand.rs"]
mod by_hand;
#[path = "hub/chunks.rs"]
mod chunks;
#[path = "hub/closing.rs"]
mod closing;
#[path = "hub/ending.rs"]
mod ending;
#[path = "hub/flow.rs"]
mod flow;
#[path = "hub/names.rs"]
mod names;
#[path = "hub/opening.rs"]
mod opening;
#[path = "hub/places.rs"]
mod places;
#[path = "hub/stage.rs"]
mod stage;
#[path = "hub/over_tls.rs"]
mod transport;
#[path = "hub/waiting.rs"]
mod waiting;
