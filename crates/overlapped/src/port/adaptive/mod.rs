//! What a port does one way or another, as it has paid lately.

pub(super) mod eager;
pub(crate) mod spin;
