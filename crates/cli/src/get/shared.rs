//! The state that all downloads of a run share, and the check of existing files.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use indicatif::HumanCount;
use overlapped::fs;
use overlapped::time::Duration;

use super::client::Client;
use super::client::url::Url;
use super::failure::Failure;
use super::file::checksum::Checksum;
use super::file::key::Key;
use super::file::name::Names;
use super::file::partial::publish::SavedFiles;
use super::file::record::Records;
use super::file::sink::Target;
use super::rate_limit::RateLimiter;
use super::report::outcome::Outcome;
use super::report::progress::Progress;
use crate::display::{Escaped, count};

/// A file to download.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The URL, or the reason why it cannot be requested.
    pub(super) url: Result<Url, String>,
    /// The URL without user and password, for messages and files.
    pub(super) shown: String,
    pub(super) key: Key,
    /// The name in the folder.
    pub(super) name: String,
    /// True if that name was given by the user, a list, or an earlier run; otherwise the server may
    /// propose another one.
    pub(super) has_fixed_name: bool,
    /// The checksum that the file must have.
    pub(super) sha256: Option<Checksum>,
}

/// Options of all downloads.
#[derive(Debug, Clone, Copy)]
pub(super) struct DownloadOptions {
    pub(super) resume: bool,
    pub(super) overwrite: bool,
    /// True if files get the modification date that the server states.
    pub(super) remote_time: bool,
    pub(super) retries: u32,
    pub(super) retry_delay: Duration,
}

/// The state that all downloads of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) folder: PathBuf,
    /// The target, if it is not a folder of files.
    pub(super) target: Option<Target>,
    pub(super) options: DownloadOptions,
    pub(super) names: Rc<RefCell<Names>>,
    pub(super) records: Rc<Records>,
    pub(super) progress: Rc<Progress>,
    pub(super) rate_limiter: RateLimiter,
    pub(super) saved_files: SavedFiles,
    /// The number of partial files that are left.
    pub(super) left: Rc<Cell<usize>>,
}

impl Shared {
    /// Decides about an existing file of that name; `None` if the name is free, or may be replaced.
    pub(super) fn check_existing(
        &self,
        path: &Path,
        item: &Item,
    ) -> Option<Result<Outcome, Failure>> {
        fs::symlink_metadata(path).ok()?;
        let shown = Escaped::new(path);
        let refused = |text: String| Some(Err(Failure::permanent(text)));
        let target = fs::metadata(path);
        if target.as_ref().is_ok_and(|target| target.is_dir()) {
            return refused(format!("{shown} is a folder; --output saves elsewhere"));
        }
        if self.options.overwrite {
            return None;
        }
        let len = match target {
            Ok(target) => target.len(),
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::NotFound => "is a dangling link".to_owned(),
                    _ => format!("is a link that cannot be followed: {error}"),
                };
                return refused(format!(
                    "{shown} {why}; --overwrite saves anyway, --output saves elsewhere"
                ));
            }
        };
        if !self.options.resume {
            return refused(format!(
                "{shown} exists; --overwrite replaces it, --output saves elsewhere"
            ));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        match name.and_then(|name| self.records.record_of(name)) {
            Some(record) if record.key != item.key => refused(format!(
                "{shown} was saved from another URL; --overwrite replaces it, --output saves \
                 elsewhere"
            )),
            Some(record) if record.length != len => refused(format!(
                "{shown} has {}, and had {} when it was saved; --overwrite replaces it",
                count(len, "byte"),
                HumanCount(record.length)
            )),
            record => {
                if let Some(checksum) = item.sha256 {
                    match checksum.check_file(path) {
                        Ok(Ok(())) => {}
                        Ok(Err(text)) => {
                            return refused(format!("{shown}: {text}; --overwrite replaces it"));
                        }
                        Err(error) => {
                            return Some(Err(Failure::from_disk_error("cannot read", &error)));
                        }
                    }
                }
                let is_recorded = record.is_some();
                Some(Ok(Outcome::Existed { path: path.to_owned(), is_recorded }))
            }
        }
    }
}
