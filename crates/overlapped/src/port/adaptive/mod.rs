//! Choices of a port's between two ways, by what has paid lately.

pub(super) mod eager;
pub(crate) mod spin;
