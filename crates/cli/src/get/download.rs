//! One download: attempts, until the file is there or no further one would help.
//!
//! ```text
//! nothing known   GET                                   200 ─▶ write from the first byte
//! a part known    GET, Range, If-Range (its version)    206 ─▶ write behind the part
//!                                                       200 ─▶ changed, or ranges ignored: anew
//!                                                       416 ─▶ complete, or nonsense: anew
//! ```
//!
//! So an attempt after a connection was cut goes on where that one ended, in this run and, with
//! `--resume`, in the next. Bytes of different versions never meet in one file.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use overlapped::fs;
use overlapped::time::{Duration, sleep};
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::{Agent, Body, Error};

use super::failure::{Again, Failure};
use super::name::{self, Names};
use super::part::{Part, Version};
use super::progress::{Bar, Progress};

/// What one read takes, and one write.
const BUFFER: usize = 64 << 10;
/// No pause between attempts is longer, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What to download.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// To be asked for.
    pub(super) url: String,
    /// The same without a password, for people and files.
    pub(super) shown: String,
    /// A name in the folder.
    pub(super) name: String,
    /// Whether that name is the user's; else the server may propose another one.
    pub(super) named_by_user: bool,
    /// Why it is not even asked for.
    pub(super) refused: Option<String>,
}

/// How to download.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) resume: bool,
    pub(super) overwrite: bool,
    pub(super) retries: u32,
    pub(super) retry_delay: Duration,
}

/// How a download ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With the bytes that came in this run.
    Saved {
        path: PathBuf,
        bytes: u64,
    },
    /// The file was there before.
    There {
        path: PathBuf,
    },
    Failed {
        text: String,
        kept: Option<PathBuf>,
    },
}

/// What all downloads of a run share.
#[derive(Debug)]
pub(super) struct Downloader {
    pub(super) agent: Agent,
    pub(super) folder: PathBuf,
    pub(super) manner: Manner,
    pub(super) names: Rc<RefCell<Names>>,
    pub(super) progress: Rc<Progress>,
    /// Parts that stayed.
    pub(super) left: Rc<Cell<usize>>,
}

impl Downloader {
    pub(super) fn download(&self, item: &Item) -> Outcome {
        if let Some(text) = item.refused.clone() {
            return Outcome::Failed { text, kept: None };
        }
        let path = self.folder.join(&item.name);
        let part = Part::new(&self.folder, &item.name, &item.shown, self.left.clone());
        if self.manner.resume && !self.manner.overwrite && exists(&path) {
            part.sweep(&path);
            return Outcome::There { path };
        }
        let bar = self.progress.begin(&item.name);
        let mut download = Download { of: self, item, part, bar, path: None, bytes: 0 };
        download.attempts()
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A download while it runs.
struct Download<'a> {
    of: &'a Downloader,
    item: &'a Item,
    part: Part,
    bar: Bar<'a>,
    /// The final name, once an answer has settled it.
    path: Option<PathBuf>,
    /// That came in this run.
    bytes: u64,
}

impl Download<'_> {
    fn attempts(&mut self) -> Outcome {
        if self.of.manner.resume
            && let Err(error) = self.part.adopt()
        {
            return self.fail(Failure::of_disk("cannot go on with what is there", &error), 1);
        }
        let mut pause = self.of.manner.retry_delay;
        for attempt in 1.. {
            let failure = match self.attempt() {
                Ok(outcome) => return outcome,
                Err(failure) => failure,
            };
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
            self.bar.say(format!("{}; again in {pause_now:?}", failure.text));
            sleep(pause_now);
        }
        unreachable!("the last attempt returns")
    }

    fn fail(&mut self, failure: Failure, attempts: u32) -> Outcome {
        let mut text = failure.text;
        if attempts > 1 {
            text += &format!(" (in the last of {attempts} attempts)");
        }
        Outcome::Failed { text, kept: self.part.kept().map(Path::to_owned) }
    }

    /// One request, and all of its body.
    fn attempt(&mut self) -> Result<Outcome, Failure> {
        let mut request = self.of.agent.get(&self.item.url);
        let known = self.part.known().map(|(length, version)| (length, version.clone()));
        if let Some((length, version)) = &known {
            request = request
                .header(header::RANGE, format!("bytes={length}-"))
                .header(header::IF_RANGE, &version.validator);
        }
        let response = request.call().map_err(Failure::of_client)?;
        let (status, headers) = (response.status(), response.headers());
        let mut complete = false;
        match (status, &known) {
            (StatusCode::PARTIAL_CONTENT, Some((length, version))) => {
                if let Err(text) = continues(headers, *length, version) {
                    return self.begin_anew(&text);
                }
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some((length, _))) => {
                // There is nothing behind the part, so the part is all there is.
                complete = content_range(headers).is_some_and(|(_, whole)| whole == Some(*length));
                if !complete {
                    return self.begin_anew("the part is no part of the server's file");
                }
            }
            (StatusCode::PARTIAL_CONTENT, None) => {
                return Err(Failure::lasting("the server sends a part that nobody asked for"));
            }
            _ if status.is_success() => {}
            _ => return Err(Failure::of_status(status, headers)),
        }
        let path = self.settle_name(headers);
        if exists(&path) && !self.of.manner.overwrite {
            return self.refuse(path);
        }
        if !complete {
            self.transfer(response)?;
        }
        self.save(path)
    }

    /// Forgets the part and asks for the whole.
    fn begin_anew(&mut self, text: &str) -> Result<Outcome, Failure> {
        tracing::debug!("{}: {text}; from the first byte", self.item.shown);
        self.part.restart(None).map_err(unwritable)?;
        // Nothing is known any more, so this does not come back here.
        self.attempt()
    }

    /// The name that the server proposes, unless the user has one.
    fn settle_name(&mut self, headers: &HeaderMap) -> PathBuf {
        if let Some(path) = &self.path {
            return path.clone();
        }
        let proposed = headers.get(header::CONTENT_DISPOSITION);
        let proposed = proposed.and_then(|value| name::from_disposition(value.as_bytes()));
        let name = match proposed {
            Some(proposed) if !self.item.named_by_user && proposed != self.item.name => {
                self.of.names.borrow_mut().claim(&proposed)
            }
            _ => self.item.name.clone(),
        };
        self.bar.rename(&name);
        self.path.insert(self.of.folder.join(name)).clone()
    }

    fn refuse(&self, path: PathBuf) -> Result<Outcome, Failure> {
        if self.of.manner.resume {
            self.part.sweep(&path);
            return Ok(Outcome::There { path });
        }
        Err(Failure::lasting(format!(
            "{} exists; --overwrite replaces it, --output saves elsewhere",
            path.display()
        )))
    }

    /// Writes the body behind what is known, or from the first byte.
    fn transfer(&mut self, response: Response<Body>) -> Result<(), Failure> {
        let (head, body) = response.into_parts();
        let length = body.content_length();
        if head.status != StatusCode::PARTIAL_CONTENT {
            self.part.restart(version(&head.headers, length)).map_err(unwritable)?;
        }
        let whole = match (head.status, self.part.known()) {
            // A server may send less than the rest; the next attempt goes on behind it.
            (StatusCode::PARTIAL_CONTENT, Some((_, Version { length: Some(whole), .. }))) => {
                Some(*whole)
            }
            _ => length.and_then(|length| self.part.length().checked_add(length)),
        };
        self.bar.show(self.part.length(), whole);
        let mut body = body.into_reader();
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    let mut failure = Failure::of_client(Error::from(error));
                    failure.text += &format!(", after {} bytes", self.part.length());
                    return Err(failure);
                }
            };
            self.part.append(&buffer[..count]).map_err(unwritable)?;
            self.bytes += count as u64;
            self.bar.advance(count as u64);
        }
        match whole {
            Some(whole) if whole != self.part.length() => {
                Err(Failure::passing(format!("{} bytes came of {whole}", self.part.length())))
            }
            _ => Ok(()),
        }
    }

    fn save(&mut self, path: PathBuf) -> Result<Outcome, Failure> {
        match self.part.finish(&path, self.of.manner.overwrite) {
            Ok(()) => Ok(Outcome::Saved { path, bytes: self.bytes }),
            Err(error) => Err(Failure::of_disk(&format!("cannot save {}", path.display()), &error)),
        }
    }
}

fn unwritable(error: io::Error) -> Failure {
    Failure::of_disk("cannot write", &error)
}

/// Whether a partial answer begins where the part ends, and is of the same version.
fn continues(headers: &HeaderMap, length: u64, version: &Version) -> Result<(), String> {
    let Some((Some(start), whole)) = content_range(headers) else {
        return Err("the server sends a part without saying which".to_owned());
    };
    if start != length {
        return Err(format!("the server goes on at byte {start} instead of {length}"));
    }
    if let (Some(whole), Some(known)) = (whole, version.length)
        && whole != known
    {
        return Err(format!("the server's file has {whole} bytes now instead of {known}"));
    }
    let tag = headers.get(header::ETAG).map(|tag| tag.as_bytes());
    let other =
        |tag: &[u8]| version.validator.starts_with('"') && tag != version.validator.as_bytes();
    if tag.is_some_and(other) {
        return Err("the server's file has changed".to_owned());
    }
    Ok(())
}

/// `Content-Range`: the first byte, where there is any, and the length of the whole, where it is
/// known.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
    let start = match range {
        "*" => None,
        range => Some(range.split_once('-')?.0.parse().ok()?),
    };
    let whole = match whole {
        "*" => None,
        whole => Some(whole.parse().ok()?),
    };
    Some((start, whole))
}

/// What names this version of the resource reliably enough to go on with it later (RFC 9110, 8.8):
/// a strong entity tag, or a date of modification that was past when the answer was made.
fn version(headers: &HeaderMap, length: Option<u64>) -> Option<Version> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = text(header::ETAG).filter(|tag| tag.starts_with('"'));
    let validator = tag.or_else(|| {
        let modified = text(header::LAST_MODIFIED)?;
        let date = |text| httpdate::parse_http_date(text).ok();
        let age = |then: SystemTime, now: SystemTime| now.duration_since(then).ok();
        let age = age(date(modified)?, date(text(header::DATE)?)?)?;
        (age >= Duration::from_secs(1)).then_some(modified)
    })?;
    Some(Version { validator: validator.to_owned(), length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: header::HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn only_a_reliable_validator_names_a_version() {
        for (fields, validator) in [
            (&[("etag", "\"a\""), ("last-modified", OLD)][..], Some("\"a\"")),
            (&[("etag", "W/\"a\"")], None),
            (&[("etag", "W/\"a\""), ("last-modified", OLD), ("date", NEW)], Some(OLD)),
            (&[("last-modified", OLD)], None),
            (&[("last-modified", OLD), ("date", OLD)], None),
            (&[("last-modified", NEW), ("date", OLD)], None),
            (&[("last-modified", "yesterday"), ("date", OLD)], None),
            (&[], None),
        ] {
            let version = version(&headers(fields), Some(1));
            assert_eq!(version.map(|v| v.validator).as_deref(), validator, "{fields:?}");
        }
    }

    #[test]
    fn a_part_is_gone_on_with_only_where_it_ends() {
        let version = Version { validator: "\"a\"".to_owned(), length: Some(10) };
        for (fields, fits) in [
            (&[("content-range", "bytes 5-9/10")][..], true),
            (&[("content-range", "bytes 5-9/*")], true),
            (&[("content-range", "bytes 5-9/10"), ("etag", "\"a\"")], true),
            (&[("content-range", "bytes 5-9/10"), ("etag", "\"b\"")], false),
            (&[("content-range", "bytes 4-9/10")], false),
            (&[("content-range", "bytes 5-9/11")], false),
            (&[("content-range", "bytes */10")], false),
            (&[("content-range", "lines 5-9/10")], false),
            (&[("content-range", "bytes 5/10")], false),
            (&[("content-range", "bytes 99999999999999999999-9/10")], false),
            (&[], false),
        ] {
            assert_eq!(continues(&headers(fields), 5, &version).is_ok(), fits, "{fields:?}");
        }
    }
}
