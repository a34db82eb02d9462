//! Programs that answer: the Common Gateway Interface (RFC 3875).
//!
//! ```text
//! path ─▶ script ─▶ spool: the body to a file ─▶ child ─▶ header ─▶ answer, its output as body
//!         │           (its length is known,        │  └─ stderr ─▶ the log
//!         │            nothing can wait for        └─ killed and released: at its deadlines, when
//!         └ SCRIPT_NAME, PATH_INFO  each other)       the answer is dropped, when it has ended
//! ```
//!
//! Not here: scripts whose names begin with `nph-` get no special treatment (their output is parsed
//! like any other's), and no arguments are made of a query without `=` (section 4.4: a server may
//! leave it out, and programs have mistaken such arguments for options).

mod child;
mod environment;
mod header;
mod script;
mod spool;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};
use overlapped::time::Instant;
use overlapped_wire::http::{Answer, Content, Service};

use super::beneath::{Folder, Way};
use super::site::Elsewhere;
use super::{Call, Handler, Peer, page};
use child::{Ended, Running};
use header::Head;
#[cfg(any(test, fuzzing))]
pub(crate) use header::judge;
use script::{NoScript, Script};
use spool::NoBody;

/// Programs in a folder, as a [`Handler`] of a [`Site`](super::Site) or a [`Service`] of their own.
///
/// A path leads to the first executable file on its way; what follows is the script's `PATH_INFO`.
/// Its folder is the script's working directory, its environment is that of
/// RFC 3875 and nothing else, its standard input is the body, and what it writes to
/// standard error goes to the log, line by line.
///
/// | limit | default | beyond it |
/// |---|---|---|
/// | scripts at once | 32 | `503` |
/// | body | 64 MiB | `413` |
/// | time until the header is complete | 30 s | `504`, killed |
/// | time in all | 5 min | killed, the answer breaks off |
/// | output | 1 GiB | killed, the answer breaks off |
/// | header | 32 KiB, 100 fields | `502`, killed |
///
/// A script is the leader of a process group of its own. When it has ended, and when it is killed,
/// what is left of the group is killed: a job that is to live longer calls `setsid`.
///
/// A `Location` that is a path of this site is answered by the [`Site`](super::Site) as if that
/// path had been asked for.
///
/// # Security
/// Whoever can write to the folder can run programs as the server's user. Fields that could be
/// mistaken for something else are not passed on: `Proxy` (it would become `HTTP_PROXY`), names
/// with an underscore (`X_User` would become what `X-User` is), `Authorization`.
///
/// ```
/// use overlapped_serve::web::Cgi;
/// use overlapped_wire::http::Service;
/// # use std::os::unix::fs::PermissionsExt;
/// # let folder = tempfile::tempdir()?;
/// # let script = folder.path().join("hello");
/// # let text = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello%s\\n' \"$PATH_INFO\"\n";
/// # std::fs::write(&script, text)?;
/// # std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
/// let mut cgi = Cgi::new(folder.path())?;
/// overlapped::run(move || {
///     let request = http::Request::get("/hello/world").body(()).unwrap();
///     let answer = cgi.call(request, &mut std::io::empty());
///     assert_eq!(answer.status(), 200);
///     assert_eq!(answer.headers()["content-type"], "text/plain");
/// }).unwrap();
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Cgi {
    config: Arc<Config>,
    running: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Config {
    folder: Folder,
    running_max: usize,
    body_max: u64,
    header_time: Duration,
    time: Duration,
    output_max: u64,
    /// For `PATH_TRANSLATED`.
    documents: Option<PathBuf>,
    /// Variables of ours that a script gets, with their values.
    passed: Vec<(OsString, OsString)>,
}

/// What a script may know of this process's environment.
const PASSED: &[&str] = &["PATH", "LANG", "LC_ALL", "TZ"];

/// What scripts are asked; `CONNECT` and `TRACE` are not for them, others may be.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl Cgi {
    /// The executable files beneath `folder`.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`: where there is no such folder.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Cgi> {
        let folder = Folder::new(folder.as_ref(), Way::of_this_machine())?;
        let passed = PASSED.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        let config = Config {
            folder,
            running_max: 32,
            body_max: 64 << 20,
            header_time: Duration::from_secs(30),
            time: Duration::from_secs(300),
            output_max: 1 << 30,
            documents: None,
            passed: passed.collect(),
        };
        Ok(Cgi { config: Arc::new(config), running: Arc::default() })
    }

    /// How many scripts may run at once.
    #[must_use]
    pub fn running_max(mut self, running: usize) -> Cgi {
        self.change().running_max = running;
        self
    }

    /// How many bytes a request's body may have.
    #[must_use]
    pub fn body_max(mut self, bytes: u64) -> Cgi {
        self.change().body_max = bytes;
        self
    }

    /// How long a script may take until its header is complete.
    #[must_use]
    pub fn header_time(mut self, time: Duration) -> Cgi {
        self.change().header_time = time;
        self
    }

    /// How long a script may take in all.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Cgi {
        self.change().time = time;
        self
    }

    /// How many bytes a script may write after its header.
    #[must_use]
    pub fn output_max(mut self, bytes: u64) -> Cgi {
        self.change().output_max = bytes;
        self
    }

    /// Where a site's documents are: what `PATH_TRANSLATED` is made with. Default: there is no such
    /// variable.
    #[must_use]
    pub fn documents(mut self, folder: impl Into<PathBuf>) -> Cgi {
        self.change().documents = Some(folder.into());
        self
    }

    /// Gives scripts a variable, besides those of the RFC and `PATH`, `LANG`, `LC_ALL`, `TZ` as the
    /// server has them.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Cgi {
        let name = name.into();
        let passed = &mut self.change().passed;
        passed.retain(|(known, _)| *known != name);
        passed.push((name, value.into()));
        self
    }

    fn change(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }

    /// Runs a script; the answer if its header is complete and right, else the status that says why
    /// not.
    fn run(&self, call: &mut Call<'_>, slot: Slot) -> Result<Answer, StatusCode> {
        let config = &self.config;
        let script = Script::find(&config.folder, call).map_err(|absent| match absent {
            NoScript::Malformed => StatusCode::BAD_REQUEST,
            NoScript::Nowhere => StatusCode::NOT_FOUND,
            NoScript::NotExecutable => StatusCode::FORBIDDEN,
            NoScript::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        })?;
        let body = spool::spool(call, config.body_max).map_err(|refused| match refused {
            NoBody::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            NoBody::Broken => StatusCode::BAD_REQUEST,
            NoBody::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
        })?;
        let length = body.as_ref().map(|body| body.len);
        let environment = environment::of(call, config, &script, length);
        let deadline = Instant::now() + config.time;
        let running = Running::start(&script, environment, body, deadline, slot);
        let mut running = running.map_err(|error| {
            tracing::error!(script = ?script.path, %error, "a script cannot be started");
            match error.kind() {
                // No processes, memory or descriptors left.
                io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::BAD_GATEWAY,
            }
        })?;
        match self.head(&mut running) {
            Ok((head, rest)) => Ok(answer(call, config, head, running, rest)),
            Err((reason, status)) => {
                tracing::error!(script = ?script.path, reason, "a script has not answered");
                // What it says about that may still be on its way to the log.
                running.finish();
                Err(status)
            }
        }
    }

    /// Reads until the header is complete; with the bytes that came after it. A script that is
    /// still at work without one is killed.
    fn head(&self, running: &mut Running) -> Result<(Head, Vec<u8>), (&'static str, StatusCode)> {
        let deadline = running.deadline().min(Instant::now() + self.config.header_time);
        let mut bytes = Vec::new();
        let failure = loop {
            if let Some(end) = header::end(&bytes) {
                match Head::parse(&bytes[..end]) {
                    Ok(head) => return Ok((head, bytes.split_off(end))),
                    Err(reason) => break (reason, StatusCode::BAD_GATEWAY),
                }
            }
            if bytes.len() > header::BYTES_MAX {
                break ("the header is too long", StatusCode::BAD_GATEWAY);
            }
            match running.read_more(&mut bytes, deadline) {
                Ok(()) => {}
                Err(Ended::Output) => {
                    let reason = "the output ended within the header";
                    return Err((reason, StatusCode::BAD_GATEWAY));
                }
                Err(Ended::Time) => {
                    let reason = "the header was not complete in time";
                    break (reason, StatusCode::GATEWAY_TIMEOUT);
                }
                Err(Ended::Error) => {
                    break ("the output cannot be read", StatusCode::BAD_GATEWAY);
                }
            }
        };
        running.kill();
        Err(failure)
    }
}

/// The answer that a script has given.
fn answer(call: &Call<'_>, config: &Config, head: Head, running: Running, rest: Vec<u8>) -> Answer {
    if let Some(path) = head.elsewhere {
        running.finish();
        let mut answer = page::refusal(&call.request, StatusCode::FOUND);
        if let Ok(location) = HeaderValue::from_str(&path) {
            answer.headers_mut().insert(LOCATION, location);
        }
        if let Some(elsewhere) = Elsewhere::new(&call.request, &path) {
            answer.extensions_mut().insert(elsewhere);
        }
        return answer;
    }
    let has_no_body = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let content = if has_no_body {
        running.finish();
        Content::EMPTY
    } else {
        let output = running.output(rest, config.output_max, head.length);
        Content::Reader { reader: Box::new(output), len: head.length }
    };
    let mut answer = Response::new(content);
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.fields;
    answer
}

/// One of the scripts that may run at once.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(running: &Arc<AtomicUsize>, max: usize) -> Option<Slot> {
        let more = |count: usize| (count < max).then_some(count + 1);
        running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Slot(Arc::clone(running)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handler for Cgi {
    fn handle(&self, mut call: Call<'_>) -> Answer {
        if matches!(*call.request.method(), Method::CONNECT | Method::TRACE) {
            return page::other_method(&call.request, METHODS);
        }
        let declared = call.request.headers().get(CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > self.config.body_max) {
            return page::refusal(&call.request, StatusCode::PAYLOAD_TOO_LARGE);
        }
        let slot = Slot::take(&self.running, self.config.running_max);
        let ran = slot.ok_or(StatusCode::SERVICE_UNAVAILABLE);
        match ran.and_then(|slot| self.run(&mut call, slot)) {
            Ok(answer) => answer,
            Err(StatusCode::SERVICE_UNAVAILABLE) => page::busy(&call.request),
            Err(status) => page::refusal(&call.request, status),
        }
    }
}

impl Service for Cgi {
    fn call(&mut self, request: http::Request<()>, body: &mut dyn Read) -> Answer {
        self.handle(Call::new(request, body, Peer::default()))
    }
}

impl fmt::Debug for Cgi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cgi")
            .field("folder", &self.config.folder.path())
            .field("running", &self.running.load(Ordering::Relaxed))
            .field("running_max", &self.config.running_max)
            .finish_non_exhaustive()
    }
}
