//! Memory and threads.

use super::Builder;
#[cfg(doc)]
use crate::{wire::Wire, yamux};

/// # Buffers and threads
impl Builder {
    /// Sets the size in bytes up to which a stream's receive window grows. Default:
    /// 16 MiB; at most 2 GiB.
    ///
    /// A window starts with 262,144 bytes, and grows when it limits the speed. The
    /// initial size is enough for 2.6 MB/s with round trips of 100 ms; 16 MiB fill a
    /// link of 1 Gbit/s with round trips of 130 ms. A value below 262,144 keeps
    /// windows from growing. See [`yamux::Config::max_window`].
    #[doc(alias("flow_control", "window_size"))]
    pub fn max_window(mut self, bytes: u32) -> Self {
        self.options.max_window = Some(bytes);
        self
    }

    /// Sets by how many bytes all receive windows of a session may grow together.
    /// Default: 64 MiB.
    ///
    /// A peer may make this side buffer this many bytes, in addition to 262,144 bytes
    /// for each stream. Choose a small value for machines with little memory; 0 keeps
    /// windows from growing, and allows no stream to wait beyond
    /// [`max_streams`](Self::max_streams). See [`yamux::Config::window_budget`].
    #[doc(alias("flow_control", "memory"))]
    pub fn window_budget(mut self, bytes: usize) -> Self {
        self.options.window_budget = Some(bytes);
        self
    }

    /// Sets the size in bytes of the kernel's send buffer for each connection
    /// (`SO_SNDBUF`). Default: the kernel adapts the size, which is best on most links.
    ///
    /// The kernel may use another size: Linux, for example, doubles it, up to a limit of its
    /// own. If the kernel refuses the size, it keeps its default.
    #[doc(alias("SO_SNDBUF"))]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.options.send_buffer = Some(bytes);
        self
    }

    /// Sets the size in bytes of the kernel's receive buffer for each connection
    /// (`SO_RCVBUF`). Default: the kernel adapts the size, which is best on most links.
    ///
    /// The kernel may use another size, as for [`send_buffer`](Self::send_buffer).
    #[doc(alias("SO_RCVBUF"))]
    pub fn recv_buffer(mut self, bytes: usize) -> Self {
        self.options.recv_buffer = Some(bytes);
        self
    }

    /// Sets the stack size in bytes of each thread that runs the program's code:
    /// handlers, hooks, validators, the error handler and the retry policy. Default: the
    /// standard library's default, 2 MiB.
    ///
    /// Only the part in use takes memory, so lowering this saves address space, which
    /// matters on 32-bit systems. The thread that calls [`Wire::connect`] keeps its own
    /// stack. A session's own thread has at least 256 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size = Some(bytes);
        self
    }

    /// Sets the prefix of the threads' names, for debuggers and `top`. Default:
    /// `wirenet`, as in `wirenet-handler`.
    ///
    /// Linux shows 15 bytes of a name. The prefix must not contain a NUL character.
    pub fn thread_name(mut self, prefix: impl Into<String>) -> Self {
        self.options.thread_name = prefix.into();
        self
    }
}
