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

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use indicatif::HumanCount;
use overlapped::fs;
use overlapped::time::{Duration, sleep};
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ureq::{Body, Error};

use super::client::Client;
use super::client::url::Url;
use super::failure::{Again, Failure};
use super::file::batch::Batch;
use super::file::checksum::{Checking, Checksum};
use super::file::name::{self, Names};
use super::file::part::publish::{Made, Taken};
use super::file::part::{self, Part};
use super::file::record::{Key, Records};
use super::file::sink::{Sink, Stream, Target};
use super::file::version::{ContentRange, Version};
use super::outcome::{Earlier, Outcome};
use super::pace::Pace;
use super::progress::{Bar, Progress};
use crate::display::{Escaped, count};

/// The longest pause between attempts, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

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
    /// Whether that name was given by the user, a list, or an earlier run; otherwise the server may
    /// propose another one.
    pub(super) is_name_settled: bool,
    /// The checksum that the file must have.
    pub(super) sha256: Option<Checksum>,
}

/// Options of all downloads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) resume: bool,
    pub(super) overwrite: bool,
    /// Whether files get the modification date that the server states.
    pub(super) remote_time: bool,
    pub(super) retries: u32,
    pub(super) retry_delay: Duration,
}

/// The state that all downloads of a run share.
#[derive(Debug)]
pub(super) struct Downloader {
    pub(super) client: Client,
    pub(super) folder: PathBuf,
    /// The target, if it is not a folder of files.
    pub(super) target: Option<Target>,
    pub(super) manner: Manner,
    pub(super) names: Rc<RefCell<Names>>,
    pub(super) records: Rc<Records>,
    pub(super) progress: Rc<Progress>,
    pub(super) pace: Pace,
    pub(super) made: Made,
    /// The number of partial files that are left.
    pub(super) left: Rc<Cell<usize>>,
}

impl Downloader {
    pub(super) fn download(&self, item: &Item) -> Outcome {
        let url = match &item.url {
            Ok(url) => url,
            Err(text) => return Outcome::Failed { text: text.clone(), kept: None },
        };
        if let Some(target) = &self.target {
            let part = Sink::Stream(Stream::new(target.clone()));
            let path = Some(target.path().to_owned());
            return Download::new(self, item, url, part, path).attempts();
        }
        let path = self.folder.join(&item.name);
        let unfinished = match self.records.part_of(item.key) {
            Some(name) => self.folder.join(name),
            None => part::path_of(&path, item.key),
        };
        let may_exist = self.records.may_have_part(item.key);
        let made = self.made.clone();
        let part = Part::new(unfinished, item.key, may_exist, made, self.left.clone());
        let part = Sink::Part(part);
        // The server cannot change the name.
        if (self.manner.resume || item.is_name_settled)
            && self.records.may_have(&item.name)
            && let Some(found) = self.look_at(&path, item)
        {
            part.sweep(&path);
            return found
                .unwrap_or_else(|failure| Outcome::Failed { text: failure.text, kept: None });
        }
        Download::new(self, item, url, part, None).attempts()
    }

    /// Decides about an existing file of that name; `None` if the name is free, or may be replaced.
    fn look_at(&self, path: &Path, item: &Item) -> Option<Result<Outcome, Failure>> {
        let found = fs::symlink_metadata(path).ok()?;
        let shown = Escaped::new(path);
        let refused = |text: String| Some(Err(Failure::lasting(text)));
        let target = fs::metadata(path);
        if target.as_ref().is_ok_and(|target| target.is_dir()) {
            return refused(format!("{shown} is a folder; --output saves elsewhere"));
        }
        if self.manner.overwrite {
            return None;
        }
        if target.is_err() {
            return refused(format!(
                "{shown} is a dangling link; --overwrite saves anyway, --output saves elsewhere"
            ));
        }
        if !self.manner.resume {
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
            Some(record) if record.length != found.len() => refused(format!(
                "{shown} has {}, and had {} when it was saved; --overwrite replaces it",
                count(found.len(), "byte"),
                HumanCount(record.length)
            )),
            record => {
                if let Some(checksum) = item.sha256 {
                    match checksum.check_file(path) {
                        Ok(Ok(())) => {}
                        Ok(Err(text)) => {
                            return refused(format!("{shown}: {text}; --overwrite replaces it"));
                        }
                        Err(error) => return Some(Err(Failure::of_disk("cannot read", &error))),
                    }
                }
                let is_recorded = record.is_some();
                Some(Ok(Outcome::There { path: path.to_owned(), is_recorded }))
            }
        }
    }
}

/// A download in progress.
struct Download<'a> {
    of: &'a Downloader,
    item: &'a Item,
    url: &'a Url,
    part: Sink,
    bar: Bar<'a>,
    /// The final name, once a response has settled it.
    path: Option<PathBuf>,
    /// The digest of all bytes of the file so far.
    checking: Option<Checking>,
    /// The modification date that the server states.
    modified: Option<SystemTime>,
    /// Bytes of the file received in this run, and all bytes received.
    bytes: u64,
    came: u64,
    earlier: Earlier,
}

impl<'a> Download<'a> {
    fn new(
        of: &'a Downloader,
        item: &'a Item,
        url: &'a Url,
        part: Sink,
        path: Option<PathBuf>,
    ) -> Download<'a> {
        let bar = of.progress.begin(&item.name);
        let checking = item.sha256.map(Checking::new);
        let (modified, bytes, came, earlier) = (None, 0, 0, Earlier::None);
        Download { of, item, url, part, bar, path, checking, modified, bytes, came, earlier }
    }

    /// Adopts what an earlier run has left.
    fn adopt(&mut self) -> io::Result<()> {
        self.part.adopt()?;
        if let (Some(checksum), Some(path)) = (self.item.sha256, self.part.kept()) {
            self.checking = Some(Checking::of_file(checksum, path)?);
        }
        if self.kept_bytes() > 0 {
            self.earlier = Earlier::Kept(self.kept_bytes());
        }
        Ok(())
    }

    fn attempts(&mut self) -> Outcome {
        // Whatever the options: bytes are only continued if the server still has their version.
        if let Err(error) = self.adopt() {
            return self.fail(Failure::of_disk("cannot continue the partial file", &error), 1);
        }
        let (mut pause, mut attempt, mut best) = (self.of.manner.retry_delay, 0, self.kept_bytes());
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
                (pause, attempt) = (self.of.manner.retry_delay, 1);
            }
            let asked = match failure.again {
                Again::Never => return self.fail(failure, attempt),
                Again::Yes => Duration::ZERO,
                Again::After(duration) => duration,
            };
            if attempt > self.of.manner.retries {
                return self.fail(failure, attempt);
            }
            let pause_now = pause.max(asked).min(PAUSE_MAX);
            pause = pause.saturating_mul(2);
            tracing::debug!("{}: {}; again in {pause_now:?}", self.item.shown, failure.text);
            self.bar.print(format!("{}; again in {pause_now:?}", failure.text));
            sleep(pause_now);
        }
    }

    /// The number of bytes after which the next attempt continues.
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
                        .map_err(|error| Failure::lasting(error.to_string()))?,
                ));
            }
        }
        let response = self.of.client.get(self.url, &fields);
        let response = response.map_err(|error| Failure::of_client(&error))?;
        let (status, headers) = (response.status(), response.headers());
        let mut complete = false;
        match (status, &known) {
            (StatusCode::PARTIAL_CONTENT, Some((length, version))) => {
                let whole = ContentRange::of(headers).and_then(|range| range.whole);
                if let Err(text) = version.check_continues(headers, *length) {
                    return self.begin_anew(&text, version.has_changed(headers, whole));
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
                    return self.begin_anew(text, true);
                }
            }
            (StatusCode::PARTIAL_CONTENT, None) => {
                return Err(Failure::lasting(
                    "the server sends a part of the file although the whole file was requested",
                ));
            }
            _ if status.is_success() => {}
            _ => {
                let has_credentials = self.of.client.has_credentials(self.url);
                let proxy = self.of.client.forwarder(&self.url.uri);
                return Err(Failure::of_response(response, has_credentials, proxy));
            }
        }
        self.modified = modified(headers).or(self.modified);
        let path = self.settle_name(headers);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if self.of.target.is_none()
            && self.of.records.may_have(name)
            && let Some(found) = self.of.look_at(&path, self.item)
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
    fn begin_anew(&mut self, text: &str, has_changed: bool) -> Result<Outcome, Failure> {
        tracing::debug!("{}: {text}; restarting from the first byte", self.item.shown);
        self.restart(None, has_changed)?;
        // Nothing is known any more, so this does not recurse further.
        self.attempt()
    }

    /// Settles the name: the one that the server proposes, unless the user has given one.
    fn settle_name(&mut self, headers: &HeaderMap) -> PathBuf {
        if let Some(path) = &self.path {
            return path.clone();
        }
        let proposed = headers.get(header::CONTENT_DISPOSITION);
        let proposed = proposed.and_then(|value| name::from_disposition(value.as_bytes()));
        let name = match proposed {
            Some(proposed) if !self.item.is_name_settled && proposed != self.item.name => {
                self.of.names.borrow_mut().claim(&proposed, self.item.key)
            }
            _ => self.item.name.clone(),
        };
        self.bar.rename(&name);
        self.path.insert(self.of.folder.join(name)).clone()
    }

    /// Writes the body after the known bytes, or from the first byte.
    fn transfer(&mut self, response: Response<Body>) -> Result<(), Failure> {
        let (head, body) = response.into_parts();
        let length = body.content_length();
        if head.status != StatusCode::PARTIAL_CONTENT {
            let version = Version::of(&head.headers, length);
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
            let count = match body.read(batch.room(self.of.pace.piece())) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    let mut failure = Failure::of_client(&Error::from(error));
                    failure.text += &format!(", after {}", count(batch.length(), "byte"));
                    batch.flush().map_err(unwritable)?;
                    return Err(failure);
                }
            };
            let bytes = batch.advance(count).map_err(unwritable)?;
            if let Some(checking) = &mut self.checking {
                checking.update(bytes);
            }
            self.bytes += count as u64;
            self.came += count as u64;
            self.bar.advance(count as u64);
            self.of.pace.wait(count);
        }
        batch.flush().map_err(unwritable)?;
        drop(batch);
        match whole {
            Some(whole) if whole != self.part.length() => {
                let received = count(self.part.length(), "byte");
                Err(Failure::passing(format!("received {received} of {}", HumanCount(whole))))
            }
            _ => Ok(()),
        }
    }

    /// Starts over at the first byte.
    fn restart(&mut self, version: Option<Version>, has_changed: bool) -> Result<(), Failure> {
        if let Some(checking) = &mut self.checking {
            checking.restart();
        }
        self.earlier = self.earlier.dropped(has_changed);
        self.bytes = 0;
        self.part.restart(version).map_err(unwritable)
    }

    fn save(&mut self, path: PathBuf) -> Result<Outcome, Failure> {
        if let Some(Err(text)) = self.checking.as_ref().map(Checking::check) {
            // No later run may continue with these bytes.
            if let Sink::Part(part) = &mut self.part {
                part.restart(None).map_err(unwritable)?;
            }
            return Err(Failure::lasting(text));
        }
        let modified = self.modified.filter(|_| self.of.manner.remote_time);
        match self.part.finish(&path, modified, self.of.manner.overwrite) {
            Ok(()) => {
                let (bytes, came, earlier) = (self.bytes, self.came, self.earlier);
                Ok(Outcome::Saved { path, bytes, came, earlier })
            }
            Err(error) => {
                if error.kind() == ErrorKind::AlreadyExists && self.of.target.is_none() {
                    let item = self.item;
                    let taken = self.of.made.who_took(&path, item.key, item.sha256);
                    return match taken {
                        Taken::SameUrl if self.of.manner.resume => {
                            Ok(Outcome::There { path, is_recorded: true })
                        }
                        taken => Err(Failure::lasting(format!("{} {taken}", Escaped::new(&path)))),
                    };
                }
                Err(Failure::of_disk(&format!("cannot save {}", Escaped::new(&path)), &error))
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
    Failure::of_disk("cannot write", &error)
}
