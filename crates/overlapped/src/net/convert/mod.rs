//! Conversions to and from std's types and the system's numbers.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
