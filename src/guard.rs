//! Code of the user's that may panic, where a panic must not take a thread of the
//! library's along, or leave something behind that the thread was to clear.

use crate::error::Panicked;
use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs code of the user's.
///
/// # Errors
///
/// When it panics.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let panicked = Panicked::from_payload(&*payload);
        // It is the user's too, and may panic when it is dropped.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        if let Err(another) = dropped {
            mem::forget(another);
        }
        panicked
    })
}

/// Logs, which runs the user's logger. One that writes to a pipe that is closed
/// panics as `println!` does; there is nobody to be told of it.
pub(crate) fn log(log: impl FnOnce()) {
    // The logger is what would be told of it.
    let _ = caught(log);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic_any(Self);
        }
    }

    #[test]
    fn a_panic_is_caught_whatever_it_carries() {
        assert_eq!(caught(|| 7).unwrap(), 7);
        let text = caught(|| panic!("oh")).unwrap_err().to_string();
        assert!(text.contains("oh"), "{text}");
        caught(|| panic_any(PanicsAgain)).unwrap_err();
    }
}
