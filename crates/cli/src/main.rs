//! The `overlapped` program.
fn main() {}
