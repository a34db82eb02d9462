//! Address space: reserved ranges, guards in them, pages that are in memory, loaded modules.

#[cfg_attr(miri, path = "no_mapping.rs")]
mod mapping;

#[cfg(target_os = "linux")]
pub(crate) use crate::sys::native::memory::modules;
pub(crate) use mapping::{Growth, Mapping, first_resident, is_readable, mapping_limit, page_size};
