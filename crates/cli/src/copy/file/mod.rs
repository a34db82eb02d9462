//! Everything that is no folder: one file, from opening it to the copy's name.
//!
//! | file | contents |
//! |---|---|
//! | `regular` | regular files: contents, attributes, name |
//! | `special` | links, and files that are created rather than copied |
//! | `temporary` | the copy while it has no name |
//! | `stale` | temporary files that killed processes have left |
//! | `data` | contents and holes, comparing |
//! | `attributes` | owners, permissions, times, extended attributes |
//! | `name` | whether the copy may have its name, and giving it |
//! | `copied` | the result |

pub(super) mod attributes;
pub(super) mod copied;
pub(super) mod data;
mod name;
pub(super) mod regular;
pub(super) mod special;
pub(super) mod stale;
mod temporary;
