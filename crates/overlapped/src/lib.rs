//! Blocking Rust with overlapped I/O.
