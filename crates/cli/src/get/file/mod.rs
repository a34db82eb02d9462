//! What is on the disk: the file while it is not complete, its name, and the record of its URL.
//!
//! | file | one job |
//! |---|---|
//! | `part/` | the file while it is not complete, and giving it its name |
//! | `plain` | files of this program's own, in others' folders |
//! | `sink` | such a file, or what is written to as the bytes come: pipes, devices |
//! | `batch` | small reads become large writes |
//! | `version` | whether the bytes of two responses may stand in one file |
//! | `name` | names that are safe, whoever proposes them |
//! | `record` | which URL a complete file was saved from |
//! | `checksum` | whether a file is the one that the user expects |

pub(super) mod batch;
pub(super) mod checksum;
pub(super) mod name;
pub(super) mod part;
mod plain;
pub(super) mod record;
pub(super) mod sink;
pub(super) mod version;
