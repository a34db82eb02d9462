//! One set of tests for every backend. Each runs on the ring, on the ring with every operation
//! forced to its fallback, and on readiness.

mod cancel;
mod files;
mod hints;
mod ops;
mod pressure;
mod registrations;
mod splice;
mod support;
