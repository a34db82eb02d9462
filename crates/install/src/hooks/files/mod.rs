//! Reads and writes of any descriptor; files.

mod descriptors;
mod paths;
mod positioned;
mod transfers;

pub(crate) use descriptors::*;
pub(crate) use paths::*;
pub(crate) use positioned::*;
pub(crate) use transfers::*;
