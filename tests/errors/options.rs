//! Wrong options: addresses, names, timeouts.
