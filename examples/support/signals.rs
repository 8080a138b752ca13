//! The signals that ask a program to stop.

use std::io;

/// What a signal asks for.
pub enum Request {
    /// Ctrl-C or SIGTERM.
    Stop,
    /// SIGHUP: the terminal is gone, or the configuration has changed.
    HangUp,
}

/// Calls `handler` on a thread of its own for each signal that arrives from now on. A
/// signal that the program was started to ignore stays ignored: SIGHUP under `nohup`,
/// SIGINT in the background of a shell without job control.
#[cfg(unix)]
pub fn handle(handler: impl Fn(Request) + Send + 'static) -> io::Result<()> {
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };
    let handled = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let mut signals = Signals::new(handled.filter(|signal| !is_ignored(*signal)))?;
    std::thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            handler(match signal {
                SIGHUP => Request::HangUp,
                _ => Request::Stop,
            });
        }
    })?;
    Ok(())
}

/// Returns whether the program was started to ignore a signal.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Returns `true` for SIGHUP, so that it is never handled: safe code cannot find out
/// whether it is ignored on this system, and a handler would end a program that was
/// started with `nohup`.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn is_ignored(signal: i32) -> bool {
    signal == signal_hook::consts::SIGHUP
}

/// Calls `handler` on a thread of its own for each Ctrl-C from now on.
#[cfg(not(unix))]
pub fn handle(handler: impl Fn(Request) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || handler(Request::Stop)).map_err(io::Error::other)
}
