//! Which form of a file's content suits a client: as it is, packed beside it, or packed here.

mod encoding;
mod pack;

use std::ffi::CString;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::RANGE;

use super::find::Finder;
use super::resource::{Body, Resource, Stamp};
use crate::web::beneath::stat_path;
pub(super) use encoding::{Coding, wanted, wanted_now};
pub(super) use pack::pack;

/// Smaller files are not worth packing; larger ones take too long.
const PACKED_SIZES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 20;

impl Finder<'_> {
    /// The form of `plain` that suits the client best.
    pub(super) fn suitable(
        &self,
        request: &http::Request<()>,
        plain: Rc<Resource>,
    ) -> Rc<Resource> {
        if !plain.compressible || !request.headers().contains_key(http::header::ACCEPT_ENCODING) {
            return plain;
        }
        let mut wanted = wanted(request.headers()).filter(|coding| *coding != Coding::Identity);
        // What somebody has packed goes before what is packed here: it is smaller, and has ranges.
        if !self.is_alone(&plain)
            && let Some(sibling) = wanted.find_map(|coding| self.sibling(&plain, coding))
        {
            return sibling;
        }
        // A range of what is packed anew each time would be a range of nothing certain.
        if !request.headers().contains_key(RANGE)
            && let Some(coding) = wanted_now(request.headers())
            && let Some(packed) = self.packed(&plain, coding)
        {
            return packed;
        }
        plain
    }

    /// Whether nothing is beside `plain` that has its content, packed. A folder that is what it was
    /// holds the names that it held: one look instead of three.
    fn is_alone(&self, plain: &Resource) -> bool {
        let end = plain.whole.as_bytes().iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let Ok(parent) = CString::new(&plain.whole.as_bytes()[..=end]) else { return false };
        let Ok(found) = stat_path(&parent) else { return false };
        let found = Stamp::of(&found);
        if plain.alone.get() == Some(found) {
            return true;
        }
        let is_alone = [Coding::Brotli, Coding::Zstd, Coding::Gzip].iter().all(|coding| {
            let ending = coding.name().map_or("", |(_, ending)| ending);
            self.config.folder.is_absent(&[&*plain.name, ending.as_bytes()].concat())
        });
        if is_alone && plain.keeps && !found.is_fresh(SystemTime::now()) {
            plain.alone.set(Some(found));
        }
        is_alone
    }

    /// The file beside `plain` that has its content in `coding`, if it is not older.
    fn sibling(&self, plain: &Resource, coding: Coding) -> Option<Rc<Resource>> {
        if let Some(known) = self.cache.get(coding, &plain.key) {
            if self.is_current(&known) && known.stamp.is_as_new_as(&plain.stamp) {
                return Some(known);
            }
            self.cache.remove(&known);
        }
        let (_, ending) = coding.name()?;
        let name = [&*plain.name, ending.as_bytes()].concat();
        let sibling = self.load(&plain.key, &name, &plain.name, coding).ok()?;
        sibling.stamp.is_as_new_as(&plain.stamp).then(|| self.cache.put(sibling))
    }

    /// `plain`, packed; `None` where that is not worth it.
    fn packed(&self, plain: &Resource, coding: Coding) -> Option<Rc<Resource>> {
        if !self.config.packing || !PACKED_SIZES.contains(&plain.len()) {
            return None;
        }
        if let Some(known) = self.cache.get(coding, &plain.key) {
            if known.stamp == plain.stamp {
                return Some(known);
            }
            self.cache.remove(&known);
        }
        let content = match &plain.body {
            Body::Kept(bytes) => Arc::clone(bytes),
            Body::Open(file) => {
                let file = overlapped::fs::File::from(file.try_clone().ok()?);
                let mut bytes = vec![0; usize::try_from(plain.len()).ok()?];
                file.read_exact_at(&mut bytes, 0).ok()?;
                bytes.into()
            }
        };
        let before = content.len();
        let packed = overlapped::task::unblock(move || pack(&content, coding)).ok()?.ok()?;
        if packed.len() >= before {
            return None;
        }
        Some(self.cache.put(Resource::packed(self.config, plain, coding, packed)))
    }
}
