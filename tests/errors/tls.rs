//! Certificates that do not match, or cannot be read.
