//! The properties of the protocols' tests, for the fuzz targets.
//!
//! They are a part of the tests of `overlapped-wire`, so that no fuzzer is needed to check them.
#![forbid(unsafe_code)]

#[path = "../../crates/wire/tests/properties/mod.rs"]
pub mod properties;
#[path = "../../crates/wire/tests/support/mod.rs"]
mod support;
