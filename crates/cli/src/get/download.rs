//! One download: attempts, until the file is complete or another attempt would not help.
//!
//! ```text
//! nothing known          GET                               200 ─▶ write from the first byte
//! a partial file known   GET, Range, If-Range (version)    206 ─▶ append to the partial file
//!                                                          200 ─▶ changed, or ranges ignored:
//!                                                          restart
//!                                                          416 ─▶ complete, or inconsistent:
//!                                                          restart
//! ```
//!
//! So an attempt after an interrupted connection continues where that one ended, in this run and in
//! the next. Bytes of different versions are never mixed in one file.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use indicatif::HumanCount;
use overlapped::time::{Duration, sleep};
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ureq::{Body, Error};

use super::client::url::Url;
use super::failure::{Failure, Retry};
use super::file::batch::Batch;
use super::file::checksum::RunningChecksum;
use super::file::name;
use super::file::partial::publish::NameOwner;
use super::file::partial::{self, PartialFile};
use super::file::sink::{Sink, Stream};
use super::file::version::{ContentRange, Version};
use super::report::outcome::{Earlier, Outcome};
use super::report::progress::Bar;
use super::shared::{Item, Shared};
use crate::display::{Escaped, count};

/// The longest pause between attempts, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Downloads an item, unless its file exists.
pub(super) fn download(shared: &Shared, item: &Item) -> Outcome {
    let url = match &item.url {
        Ok(url) => url,
        Err(text) => return Outcome::Failed { text: text.clone(), kept: None },
    };
    if let Some(target) = &shared.target {
        let part = Sink::Stream(Stream::new(target.clone()));
        let path = Some(target.path().to_owned());
        return Download::new(shared, item, url, part, path).attempts();
    }
    let path = shared.folder.join(&item.name);
    let unfinished = match shared.records.part_of(item.key) {
        Some(name) => shared.folder.join(name),
        None => partial::path_of(&path, item.key),
    };
    let may_exist = shared.records.may_have_part(item.key);
    let saved_files = shared.saved_files.clone();
    let part = PartialFile::new(unfinished, item.key, may_exist, saved_files, shared.left.clone());
    let part = Sink::Partial(part);
    // The server cannot change the name.
    if (shared.options.resume || item.has_fixed_name)
        && shared.records.may_have(&item.name)
        && let Some(found) = shared.check_existing(&path, item)
    {
        part.sweep(&path);
        return found.unwrap_or_else(|failure| Outcome::Failed { text: failure.text, kept: None });
    }
    Download::new(shared, item, url, part, None).attempts()
}

/// A download in progress.
struct Download<'a> {
    shared: &'a Shared,
    item: &'a Item,
    url: &'a Url,
    part: Sink,
    bar: Bar<'a>,
    /// The final name, once a response has settled it.
    path: Option<PathBuf>,
    /// The digest of all bytes of the file so far.
    running_checksum: Option<RunningChecksum>,
    /// The modification date that the server states.
    modified: Option<SystemTime>,
    /// Bytes of the file received in this run, and all bytes received.
    bytes: u64,
    received: u64,
    earlier: Earlier,
}

impl<'a> Download<'a> {
    fn new(
        shared: &'a Shared,
        item: &'a Item,
        url: &'a Url,
        part: Sink,
        path: Option<PathBuf>,
    ) -> Download<'a> {
        let bar = shared.progress.begin(&item.name);
        let running_checksum = item.sha256.map(RunningChecksum::new);
        let (modified, bytes, received, earlier) = (None, 0, 0, Earlier::None);
        Download {
            shared,
            item,
            url,
            part,
            bar,
            path,
            running_checksum,
            modified,
            bytes,
            received,
            earlier,
        }
    }

    /// Adopts what an earlier run has left.
    fn adopt(&mut self) -> io::Result<()> {
        self.part.adopt()?;
        if let (Some(checksum), Some(path)) = (self.item.sha256, self.part.kept()) {
            self.running_checksum = Some(RunningChecksum::from_file(checksum, path)?);
        }
        if self.kept_bytes() > 0 {
            self.earlier = Earlier::Kept(self.kept_bytes());
        }
        Ok(())
    }

    fn attempts(&mut self) -> Outcome {
        // Whatever the options: bytes are only continued if the server still has their version.
        if let Err(error) = self.adopt() {
            return self
                .fail(Failure::from_disk_error("cannot continue the partial file", &error), 1);
        }
        let (mut pause, mut attempt, mut best) =
            (self.shared.options.retry_delay, 0, self.kept_bytes());
        loop {
            attempt += 1;
            let failure = match self.attempt() {
                Ok(outcome) => return outcome,
                Err(failure) => failure,
            };
            // Progress restarts the count of attempts. A file has a limited number of bytes, so
            // this ends.
            if self.kept_bytes() > best {
                best = self.kept_bytes();
                (pause, attempt) = (self.shared.options.retry_delay, 1);
            }
            let asked = match failure.retry {
                Retry::Never => return self.fail(failure, attempt),
                Retry::Yes => Duration::ZERO,
                Retry::After(duration) => duration,
            };
            if attempt > self.shared.options.retries {
                return self.fail(failure, attempt);
            }
            let pause_now = pause.max(asked).min(PAUSE_MAX);
            pause = pause.saturating_mul(2);
            tracing::debug!("{}: {}; again in {pause_now:?}", self.item.shown, failure.text);
            self.bar.print(format!("{}; again in {pause_now:?}", failure.text));
            sleep(pause_now);
        }
    }

    /// Returns the number of bytes after which the next attempt continues.
    fn kept_bytes(&self) -> u64 {
        self.part.known().map_or(0, |(length, _)| length)
    }

    fn fail(&mut self, failure: Failure, attempts: u32) -> Outcome {
        let mut text = failure.text;
        if attempts > 1 {
            text += &format!(" (in the last of {attempts} attempts)");
        }
        Outcome::Failed { text, kept: self.part.kept().map(Path::to_owned) }
    }

    /// Makes one request and reads all of its body.
    fn attempt(&mut self) -> Result<Outcome, Failure> {
        let known = self.part.known().map(|(length, version)| (length, version.clone()));
        let mut fields = Vec::new();
        if let Some((length, version)) = &known {
            for (name, value) in [
                (header::RANGE, format!("bytes={length}-")),
                (header::IF_RANGE, version.if_range().unwrap_or_default().to_owned()),
            ] {
                fields.push((
                    name,
                    HeaderValue::try_from(value)
                        .map_err(|error| Failure::permanent(error.to_string()))?,
                ));
            }
        }
        let response = self.shared.client.get(self.url, &fields);
        let response = response.map_err(|error| Failure::from_client_error(&error))?;
        let (status, headers) = (response.status(), response.headers());
        let mut complete = false;
        match (status, &known) {
            (StatusCode::PARTIAL_CONTENT, Some((length, version))) => {
                let whole = ContentRange::from_headers(headers).and_then(|range| range.whole);
                if let Err(text) = version.check_continues(headers, *length) {
                    return self.restart_whole(&text, version.has_changed(headers, whole));
                }
                if let Some(whole) = whole {
                    self.part.learn_length(whole);
                }
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some((length, version))) => {
                // There are no bytes after the partial file, so it is complete.
                complete = version.is_all(headers, *length);
                if !complete {
                    let text = "the partial file does not belong to the server's file";
                    return self.restart_whole(text, true);
                }
            }
            (StatusCode::PARTIAL_CONTENT, None) => {
                return Err(Failure::permanent(
                    "the server sends a part of the file although the whole file was requested",
                ));
            }
            _ if status.is_success() => {}
            _ => {
                let has_credentials = self.shared.client.has_credentials(self.url);
                let proxy = self.shared.client.forwarder(&self.url.uri);
                return Err(Failure::from_response(response, has_credentials, proxy));
            }
        }
        self.modified = modified(headers).or(self.modified);
        let path = self.assign_name(headers);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if self.shared.target.is_none()
            && self.shared.records.may_have(name)
            && let Some(found) = self.shared.check_existing(&path, self.item)
        {
            self.part.sweep(&path);
            return found;
        }
        if !complete {
            self.transfer(response)?;
        }
        self.save(path)
    }

    /// Discards the partial file and requests the whole file.
    fn restart_whole(&mut self, text: &str, has_changed: bool) -> Result<Outcome, Failure> {
        tracing::debug!("{}: {text}; restarting from the first byte", self.item.shown);
        self.restart(None, has_changed)?;
        // Nothing is known any more, so this does not recurse further.
        self.attempt()
    }

    /// Settles the name: the one that the server proposes, unless the user has given one.
    fn assign_name(&mut self, headers: &HeaderMap) -> PathBuf {
        if let Some(path) = &self.path {
            return path.clone();
        }
        let proposed = headers.get(header::CONTENT_DISPOSITION);
        let proposed = proposed.and_then(|value| name::from_disposition(value.as_bytes()));
        let name = match proposed {
            Some(proposed) if !self.item.has_fixed_name && proposed != self.item.name => {
                self.shared.names.borrow_mut().claim(&proposed, self.item.key)
            }
            _ => self.item.name.clone(),
        };
        self.bar.rename(&name);
        self.path.insert(self.shared.folder.join(name)).clone()
    }

    /// Writes the body after the known bytes, or from the first byte.
    fn transfer(&mut self, response: Response<Body>) -> Result<(), Failure> {
        let (head, body) = response.into_parts();
        let length = body.content_length();
        if head.status != StatusCode::PARTIAL_CONTENT {
            let version = Version::from_headers(&head.headers, length);
            let version = version.if_range().is_some().then_some(version);
            let known = self.part.known();
            let has_changed =
                known.is_some_and(|(_, known)| known.has_changed(&head.headers, length));
            self.restart(version, has_changed)?;
        }
        let whole = match (head.status, self.part.known()) {
            // A server may send less than the rest; the next attempt continues.
            (StatusCode::PARTIAL_CONTENT, Some((_, Version { length: Some(whole), .. }))) => {
                Some(*whole)
            }
            _ => length.and_then(|length| self.part.length().checked_add(length)),
        };
        self.bar.show(self.part.length(), whole);
        let mut body = body.into_reader();
        let rest = whole.map(|whole| whole.saturating_sub(self.part.length()));
        let mut batch = Batch::new(&mut self.part, rest);
        loop {
            let count = match body.read(batch.room(self.shared.rate_limiter.piece())) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    let mut failure = Failure::from_client_error(&Error::from(error));
                    failure.text += &format!(", after {}", count(batch.length(), "byte"));
                    batch.flush().map_err(unwritable)?;
                    return Err(failure);
                }
            };
            let bytes = batch.advance(count).map_err(unwritable)?;
            if let Some(running_checksum) = &mut self.running_checksum {
                running_checksum.update(bytes);
            }
            self.bytes += count as u64;
            self.received += count as u64;
            self.bar.advance(count as u64);
            self.shared.rate_limiter.wait(count);
        }
        batch.flush().map_err(unwritable)?;
        drop(batch);
        match whole {
            Some(whole) if whole != self.part.length() => {
                let received = count(self.part.length(), "byte");
                Err(Failure::temporary(format!("received {received} of {}", HumanCount(whole))))
            }
            _ => Ok(()),
        }
    }

    /// Starts over at the first byte.
    fn restart(&mut self, version: Option<Version>, has_changed: bool) -> Result<(), Failure> {
        if let Some(running_checksum) = &mut self.running_checksum {
            running_checksum.restart();
        }
        self.earlier = self.earlier.dropped(has_changed);
        self.bytes = 0;
        self.part.restart(version).map_err(unwritable)
    }

    fn save(&mut self, path: PathBuf) -> Result<Outcome, Failure> {
        if let Some(Err(text)) = self.running_checksum.as_ref().map(RunningChecksum::check) {
            // No later run may continue with these bytes.
            if let Sink::Partial(part) = &mut self.part {
                part.restart(None).map_err(unwritable)?;
            }
            return Err(Failure::permanent(text));
        }
        let modified = self.modified.filter(|_| self.shared.options.remote_time);
        match self.part.finish(&path, modified, self.shared.options.overwrite) {
            Ok(()) => {
                let (bytes, received, earlier) = (self.bytes, self.received, self.earlier);
                Ok(Outcome::Saved { path, bytes, received, earlier })
            }
            Err(error) => {
                if error.kind() == ErrorKind::AlreadyExists && self.shared.target.is_none() {
                    let item = self.item;
                    let taken = self.shared.saved_files.owner_of(&path, item.key, item.sha256);
                    return match taken {
                        NameOwner::SameUrl if self.shared.options.resume => {
                            Ok(Outcome::Existed { path, is_recorded: true })
                        }
                        taken => {
                            Err(Failure::permanent(format!("{} {taken}", Escaped::new(&path))))
                        }
                    };
                }
                Err(Failure::from_disk_error(
                    &format!("cannot save {}", Escaped::new(&path)),
                    &error,
                ))
            }
        }
    }
}

/// Parses the modification date that a response states.
fn modified(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get(header::LAST_MODIFIED)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

fn unwritable(error: io::Error) -> Failure {
    Failure::from_disk_error("cannot write", &error)
}
