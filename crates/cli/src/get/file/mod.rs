//! Files on the disk: the partial file, its final name, and the record of its URL.
//!
//! | file | contents |
//! |---|---|
//! | `partial/` | the partial file, and its publication under the final name |
//! | `own_files` | this program's own files, in folders that others may write to |
//! | `sink` | a partial file, or a target that is written at once: pipes, devices |
//! | `batch` | small reads combined into large writes |
//! | `version` | whether the bytes of two responses may be combined in one file |
//! | `name` | safe names, whatever a server proposes |
//! | `key` | a digest that stands for a URL |
//! | `record` | the URL that a complete file was saved from |
//! | `checksum` | SHA-256 checksums that the user expects |

pub(super) mod batch;
pub(super) mod checksum;
pub(super) mod key;
pub(super) mod name;
mod own_files;
pub(super) mod partial;
pub(super) mod record;
pub(super) mod sink;
pub(super) mod version;
