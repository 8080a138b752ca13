//! Programs that people write with this library, each as short as it should be.
//!
//! Others are tests of their own: HTTP, WebSocket and TLS inside a stream (`bytes`), HTTP
//! through a hub to a Unix socket (`pipe`), a TCP service through a hub (`examples`), yamux
//! over the pipes of a child process (`stdio`, `yamux`).

#[path = "programs/backup.rs"]
mod backup;
#[path = "programs/calls.rs"]
mod calls;
#[path = "programs/chat.rs"]
mod chat;
#[cfg(unix)]
#[path = "programs/commands.rs"]
mod commands;
#[path = "programs/download.rs"]
mod download;
#[path = "programs/firmware.rs"]
mod firmware;
#[path = "programs/jobs.rs"]
mod jobs;
#[path = "programs/logs.rs"]
mod logs;
#[path = "programs/sensors.rs"]
mod sensors;
#[path = "programs/settings.rs"]
mod settings;

use std::{error::Error, time::Duration};

type Outcome = Result<(), Box<dyn Error>>;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
