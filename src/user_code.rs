//! Runs the program's code, which may panic: a panic must neither end a thread of the
//! library, nor skip the thread's cleanup.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// A handler or a hook panicked, with this message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(pub String);

impl Panicked {
    /// Takes the message out of a panic's payload.
    pub(crate) fn from_payload(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "with no message".into()))
    }
}

/// Runs the program's code.
///
/// # Errors
///
/// When the code panics.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let panicked = Panicked::from_payload(&*payload);
        // The payload is the program's, too, and may panic when it is dropped.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        if let Err(another) = dropped {
            mem::forget(another);
        }
        panicked
    })
}

/// Logs, which runs the program's logger. Like `println!`, a logger panics when it
/// writes to a closed pipe. That panic is ignored.
pub(crate) fn log(log: impl FnOnce()) {
    // The panic cannot be reported: the logger itself failed.
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
