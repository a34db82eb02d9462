//! What is judged stands with the tests of the protocols, so that it is judged without a fuzzer,
//! too.
#![forbid(unsafe_code)]

#[path = "../../crates/wire/tests/fuzzed/mod.rs"]
pub mod fuzzed;
#[path = "../../crates/wire/tests/rig/mod.rs"]
mod rig;
