//! The choice of the content coding: the file itself, a precompressed sibling, or compression.

mod coding;
mod compress;

use std::ffi::CString;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::RANGE;

use super::find::Finder;
use super::resource::{FileContent, Resource};
use crate::web::file_stat::stat_path;
use coding::accepted;
pub(super) use coding::{Coding, accepted_from_server};
pub(super) use compress::compress;

/// The sizes of files that are compressed: smaller ones are not worth it, larger ones take too
/// long.
const COMPRESSED_SIZES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 20;

impl Finder<'_> {
    /// Returns `plain` in the coding that suits the client best.
    pub(super) fn best_coding(
        &self,
        request: &http::Request<()>,
        plain: Rc<Resource>,
    ) -> Rc<Resource> {
        if !plain.compressible || !request.headers().contains_key(http::header::ACCEPT_ENCODING) {
            return plain;
        }
        let mut accepted = accepted(request.headers()).filter(|coding| *coding != Coding::Identity);
        // A precompressed sibling precedes compression: it is smaller, and supports ranges.
        if !self.has_no_sibling(&plain)
            && let Some(sibling) = accepted.find_map(|coding| self.sibling(&plain, coding))
        {
            return sibling;
        }
        // Compression may differ each time, so a range of its output would be undefined.
        if !request.headers().contains_key(RANGE)
            && let Some(coding) = accepted_from_server(request.headers())
            && let Some(compressed) = self.compressed(&plain, coding)
        {
            return compressed;
        }
        plain
    }

    /// Tells whether `plain` has no precompressed sibling. An unchanged folder has the same names
    /// as before, so one stat of the folder replaces three of siblings.
    fn has_no_sibling(&self, plain: &Resource) -> bool {
        let end = plain.absolute.as_bytes().iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let Ok(parent) = CString::new(&plain.absolute.as_bytes()[..=end]) else { return false };
        let Ok(found) = stat_path(&parent) else { return false };
        if plain.no_sibling.get() == Some(found) {
            return true;
        }
        let has_none = [Coding::Brotli, Coding::Zstd, Coding::Gzip].iter().all(|coding| {
            let extension = coding.name().map_or("", |(_, extension)| extension);
            self.config.root.is_absent(&[&*plain.name, extension.as_bytes()].concat())
        });
        if has_none && plain.may_cache && !found.may_change_unnoticed(SystemTime::now()) {
            plain.no_sibling.set(Some(found));
        }
        has_none
    }

    /// Returns the sibling of `plain` in `coding`, if it exists and is not older.
    fn sibling(&self, plain: &Resource, coding: Coding) -> Option<Rc<Resource>> {
        if let Some(known) = self.cache.get(coding, &plain.key) {
            if self.is_current(&known) && known.stat.is_as_new_as(&plain.stat) {
                return Some(known);
            }
            self.cache.remove(&known);
        }
        let (_, extension) = coding.name()?;
        let name = [&*plain.name, extension.as_bytes()].concat();
        let sibling = self.load(&plain.key, &name, &plain.name, coding).ok()?;
        sibling.stat.is_as_new_as(&plain.stat).then(|| self.cache.put(sibling))
    }

    /// Compresses `plain`; returns `None` if that is not worth it.
    fn compressed(&self, plain: &Resource, coding: Coding) -> Option<Rc<Resource>> {
        if !self.config.compression || !COMPRESSED_SIZES.contains(&plain.len()) {
            return None;
        }
        if let Some(known) = self.cache.get(coding, &plain.key) {
            if known.stat == plain.stat {
                return Some(known);
            }
            self.cache.remove(&known);
        }
        let content = match &plain.body {
            FileContent::Memory(bytes) => Arc::clone(bytes),
            FileContent::File(file) => {
                let file = overlapped::fs::File::from(file.try_clone().ok()?);
                let mut bytes = vec![0; usize::try_from(plain.len()).ok()?];
                file.read_exact_at(&mut bytes, 0).ok()?;
                bytes.into()
            }
        };
        let before = content.len();
        let compressed =
            overlapped::task::unblock(move || compress(&content, coding)).ok()?.ok()?;
        if compressed.len() >= before {
            return None;
        }
        Some(self.cache.put(Resource::compressed(self.config, plain, coding, compressed)))
    }
}
