//! Handlers that fail with errors of any type.

use crate::wire::session::stream::Stream;
#[cfg(doc)]
use crate::wire::{Builder, Wire};
use std::{error::Error, fmt, io};

/// Makes a handler out of a closure whose errors have any type, for
/// [`Builder::stream`] and [`Wire::stream`].
///
/// A closure needs its return type: `|stream| -> anyhow::Result<()> { … }`. Without it, the
/// compiler reports E0283, because `?` converts into many types. (`Builder::stream` itself
/// takes only closures that return [`io::Result`], so these need no return type.)
///
/// In the closure, `?` works on errors of all types that convert into its own error type,
/// which may be `anyhow::Error`, `Box<dyn Error + Send + Sync>`, or a type of the program:
/// see [`HandlerError`].
/// The [error handler](Builder::on_error) gets the error itself as the
/// [`cause`](crate::OpError::cause), from which `downcast_ref` returns it; the
/// [`OpError`](crate::OpError) prints it with its [sources](Error::source). A boxed
/// [`io::Error`] is still an [`io::Error`].
///
/// # Examples
///
/// With `Box<dyn Error + Send + Sync>`, and with a type of the program:
///
/// ```
/// use std::{error::Error, fmt, io::Read};
/// use wirenet::{Stream, Wire, any_error};
///
/// #[derive(Debug)]
/// struct DiskFull;
///
/// impl Error for DiskFull {}
///
/// impl fmt::Display for DiskFull {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("the disk is full")
///     }
/// }
///
/// fn add(stream: &mut Stream) -> Result<(), Box<dyn Error + Send + Sync>> {
///     let mut text = String::new();
///     stream.read_to_string(&mut text)?;
///     let number: u32 = text.parse()?;
///     stream.write_message((number + 1).to_string())?;
///     Ok(())
/// }
///
/// let server = Wire::mount("127.0.0.1:0")
///     .stream("add", any_error(add))
///     .stream("backup", any_error(|_stream| Err(DiskFull)))
///     .on_error(|error| {
///         if error.cause.is::<DiskFull>() {
///             eprintln!("{error}: delete old backups");
///         }
///     })
///     .build()?;
/// # Ok::<(), wirenet::Error>(())
/// ```
///
/// With `anyhow`:
///
/// ```
/// use anyhow::Context;
/// use std::fs;
/// use wirenet::{Wire, any_error};
///
/// let server = Wire::mount("127.0.0.1:0")
///     .stream("uptime", any_error(|stream| -> anyhow::Result<()> {
///         let uptime = fs::read("/proc/uptime").context("cannot read the uptime")?;
///         stream.write_message(&uptime)?;
///         Ok(())
///     }))
///     .build()?;
/// # Ok::<(), wirenet::Error>(())
/// ```
#[doc(alias("anyhow", "error", "eyre", "handler"))]
pub fn any_error<E>(
    handler: impl Fn(&mut Stream) -> Result<(), E> + Send + Sync + 'static,
) -> impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static
where
    E: HandlerError,
{
    move |stream| {
        handler(stream).map_err(|error| match error.into().downcast() {
            Ok(error) => *error,
            Err(error) => io::Error::other(Wrapped(error)),
        })
    }
}

/// An error of a handler that [`any_error`] makes: any type that converts into
/// `Box<dyn Error + Send + Sync>`.
///
/// These are all types that implement [`Error`], [`Send`] and [`Sync`], and also
/// `anyhow::Error`, `Box<dyn Error + Send + Sync>`, [`String`] and `&str`. `Box<dyn Error>`
/// is not one of them, because it cannot be passed to another thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a handler",
    label = "this error does not convert into `Box<dyn Error + Send + Sync>`",
    note = "give the closure another return type: `-> anyhow::Result<()>`, or `-> Result<(), \
            Box<dyn Error + Send + Sync>>`"
)]
pub trait HandlerError: Into<Box<dyn Error + Send + Sync>> {}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn Error + Send + Sync>>> HandlerError for E {}

/// An error on its way through an [`io::Error`]. Private, so that only
/// [`cause_of`] takes it out.
struct Wrapped(Box<dyn Error + Send + Sync>);

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// Returns the error of a handler: what [`any_error`] has wrapped, or the error itself.
pub(crate) fn cause_of(error: io::Error) -> Box<dyn Error + Send + Sync> {
    match error.downcast::<Wrapped>() {
        Ok(wrapped) => wrapped.0,
        Err(error) => error.into(),
    }
}
