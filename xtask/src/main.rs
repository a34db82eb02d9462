//! Repository programs.
fn main() {}
