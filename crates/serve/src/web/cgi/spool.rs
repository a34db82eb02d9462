//! The spool of request bodies: in memory, and when they are large in unnamed files.
//!
//! The alternative is a pipe. But a script may answer before it has read all of its input, or not
//! read at all. Then the server must go on reading the body, from a client that perhaps does not
//! read the answer before its body is read. With a file, body and answer follow each other, a
//! chunked body has a length, and a script may even seek in its input.
//!
//! A body is complete before its script gets a permit. So a slow client holds nothing meanwhile but
//! its connection, some memory, and disk space, for which all bodies together have a quota.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use overlapped::task::unblock;

use crate::state::{is_shortage, retry_at_shortage};
use crate::stream::uninterrupted;
use crate::web::Call;

/// The maximum number of bytes of a body that are kept in memory.
const MEMORY_MAX: usize = 64 << 10;
/// The initial size of that memory.
const MEMORY_MIN: usize = 4 << 10;

/// A complete body.
#[derive(Debug)]
pub(crate) struct SpooledBody {
    /// The whole body, or the bytes that are not in the file yet.
    memory: Vec<u8>,
    file: Option<(overlapped::fs::File, QuotaShare)>,
    pub(crate) len: u64,
}

/// The input of a script.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) file: File,
    pub(crate) share: Option<QuotaShare>,
}

/// The reason why a body was not spooled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SpoolError {
    TooLarge,
    /// The client closed the connection or broke the protocol.
    ClientFailed,
    /// The disk has failed, or is full.
    StorageFailed,
    /// The bodies of other requests take the whole quota.
    QuotaExceeded,
    /// This process has no descriptors left.
    NoDescriptor,
}

/// Reads the body to its end; returns `None` if the request has none.
pub(crate) fn spool(
    call: &mut Call<'_>,
    max: u64,
    quota: &SpoolQuota,
) -> Result<Option<SpooledBody>, SpoolError> {
    let headers = call.request.headers();
    if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(None);
    }
    let mut body = SpooledBody { memory: Vec::new(), file: None, len: 0 };
    let mut filled = 0;
    loop {
        if filled == body.memory.len() {
            if filled == MEMORY_MAX {
                body.store(filled, quota)?;
                filled = 0;
            }
            let more = (2 * body.memory.len()).clamp(MEMORY_MIN, MEMORY_MAX);
            body.memory.resize(more, 0);
        }
        match uninterrupted(|| call.body.read(&mut body.memory[filled..])) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                body.len += count as u64;
            }
            Err(_) => return Err(SpoolError::ClientFailed),
        }
        if body.len > max {
            return Err(SpoolError::TooLarge);
        }
    }
    body.memory.truncate(filled);
    Ok(Some(body))
}

impl SpooledBody {
    /// Appends the first `bytes` bytes of the memory to the file.
    fn store(&mut self, bytes: usize, quota: &SpoolQuota) -> Result<(), SpoolError> {
        if self.file.is_none() {
            self.file = Some((create_file().map_err(storage_error)?, quota.share()));
        }
        let Some((file, share)) = &mut self.file else { return Ok(()) };
        if !share.grow(bytes as u64) {
            return Err(SpoolError::QuotaExceeded);
        }
        file.write_all(&self.memory[..bytes]).map_err(storage_error)
    }

    /// Returns the body as a file, at its beginning; `None` if the body is empty.
    pub(crate) fn into_input(mut self) -> Result<Option<Input>, SpoolError> {
        if self.len == 0 {
            return Ok(None);
        }
        let (mut file, share) = match self.file.take() {
            Some((file, share)) => (file, Some(share)),
            None => (create_file().map_err(storage_error)?, None),
        };
        file.write_all(&self.memory).map_err(storage_error)?;
        file.rewind().map_err(storage_error)?;
        Ok(Some(Input { file: File::from(file), share }))
    }
}

fn create_file() -> io::Result<overlapped::fs::File> {
    let create =
        || unblock(tempfile::tempfile).unwrap_or_else(|error| Err(io::Error::other(error)));
    Ok(retry_at_shortage(create, is_shortage)?.into())
}

fn storage_error(error: io::Error) -> SpoolError {
    if is_shortage(&error) {
        tracing::error!(%error, "cannot store a request's body: raise `ulimit -Hn`");
        return SpoolError::NoDescriptor;
    }
    let folder = std::env::temp_dir();
    tracing::error!(
        %error,
        ?folder,
        "cannot store a request's body there: free disk space, or set TMPDIR to another folder"
    );
    SpoolError::StorageFailed
}

/// The quota of bytes that all bodies in files share.
#[derive(Debug, Clone)]
pub(crate) struct SpoolQuota {
    taken: Arc<AtomicU64>,
    max: u64,
}

/// The share of one body; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct QuotaShare {
    quota: SpoolQuota,
    bytes: u64,
}

impl SpoolQuota {
    pub(crate) fn new(max: u64) -> SpoolQuota {
        SpoolQuota { taken: Arc::default(), max }
    }

    /// Returns an empty share.
    fn share(&self) -> QuotaShare {
        QuotaShare { quota: self.clone(), bytes: 0 }
    }
}

impl QuotaShare {
    /// Grows the share, unless that exceeds the quota; returns whether it has grown.
    fn grow(&mut self, bytes: u64) -> bool {
        let SpoolQuota { taken, max } = &self.quota;
        let more = |taken: u64| taken.checked_add(bytes).filter(|taken| taken <= max);
        let has_grown = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.bytes += if has_grown { bytes } else { 0 };
        has_grown
    }
}

impl Drop for QuotaShare {
    fn drop(&mut self) {
        self.quota.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
