//! What a hub promises: clients call each other through it.

mod support;

#[path = "hub/aborting.rs"]
mod aborting;
#[path = "hub/aborting_credit.rs"]
mod aborting_credit;
#[path = "hub/aborts.rs"]
mod aborts;
#[path = "hub/answers.rs"]
mod answers;
#[path = "hub/chunks.rs"]
mod chunks;
#[path = "hub/closing.rs"]
mod closing;
#[cfg(target_os = "linux")]
#[path = "hub/costs.rs"]
mod costs;
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
#[path = "hub/relaying.rs"]
mod relaying;
#[path = "hub/stage.rs"]
mod stage;
#[path = "hub/waiting.rs"]
mod waiting;
#[path = "hub/windows.rs"]
mod windows;
