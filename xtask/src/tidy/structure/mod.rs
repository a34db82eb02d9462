//! Rules about who may name what: rooms, files, the system, unsafe code, operations.

pub(super) mod calls;
pub(super) mod catch_all;
pub(super) mod circles;
mod graph;
pub(super) mod imports;
pub(super) mod safety;
