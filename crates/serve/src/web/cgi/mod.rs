//! Programs that answer: the Common Gateway Interface (RFC 3875).
//!
//! ```text
//! path ─▶ script ─▶ spool ─▶ slots ─▶ child ─▶ header ─▶ answer, its output as body
//!         │         │        │        │  └─ stderr ─▶ the log
//!         │         │        │        └─ killed and released: at its deadlines, when its client
//!         │         │        │           has left or the answer is dropped, when it has ended
//!         │         │        └ one of so many scripts, or a place in the queue
//!         │         └ the whole body: its length is known, nothing can wait for each other
//!         └ SCRIPT_NAME, PATH_INFO
//! ```
//!
//! Not here: scripts whose names begin with `nph-` get no special treatment (their output is parsed
//! like any other's), and no arguments are made of a query without `=` (section 4.4: a server may
//! leave it out, and programs have mistaken such arguments for options).

mod child;
mod environment;
mod explain;
mod groups;
mod header;
mod script;
mod slots;
mod spool;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};
use overlapped::time::Instant;
use overlapped_wire::http::{Answer, Content, Service};

use super::beneath::{Folder, Way};
use super::internal_redirect::InternalRedirect;
use super::{Call, Handler, page};
use crate::peer::Peer;
use crate::state::is_shortage;
use child::{Ended, Running};
pub use groups::kill_scripts;
use header::Head;
#[cfg(any(test, fuzzing))]
pub(crate) use header::judge;
use script::{NoScript, Script};
use slots::{NoSlot, Slot, Slots};
use spool::{Body, NoBody, Rooms};

/// Programs in a folder, as a [`Handler`] of a [`Site`](super::Site) or a [`Service`] of their own.
///
/// A path leads to the first executable file on its way; what follows is the script's `PATH_INFO`.
/// Its folder is the script's working directory, its environment is that of
/// RFC 3875 and nothing else, its standard input is the body, and what it writes to
/// standard error goes to the log, line by line.
///
/// | limit | default | beyond it |
/// |---|---|---|
/// | scripts at once | 32 | further requests wait |
/// | requests that wait | 1,000, for 30 s | `503` |
/// | body | 64 MiB | `413` |
/// | bodies on the disk | as many bytes as the bodies of all scripts at once may have | `503` |
/// | [time](Cgi::header_time) until the header is complete | 30 s | `504`, killed |
/// | time in all | 5 min | killed, the answer breaks off |
/// | output | 1 GiB | killed, the answer breaks off |
/// | header | 32 KiB, 100 fields | `502`, killed |
///
/// A request counts, or waits, from when its body has come whole: clients that send slowly hold no
/// script up. A script whose client has left is killed, and a client that has left waits no longer.
/// A client that has only finished sending (as `nc -N` does) looks the same: it is believed to
/// listen for ten seconds, and until others wait. A script that has closed its output and works on
/// still counts, until it ends or its time is over.
///
/// A script is the leader of a process group of its own. When it has ended (its output is closed,
/// or as long as it announced, and its process has ended), and when it is killed, what is left of
/// the group is killed: a job that is to live longer calls `setsid`. So it is at
/// the end of the server; a program that ends without that end calls [`kill_scripts`]. A process
/// that is killed by SIGKILL cannot: its scripts go on until they write to their closed pipe,
/// unless its service manager or container ends all that it has started.
///
/// A `Location` that is a path of this site is answered by the [`Site`](super::Site) as if that
/// path had been asked for.
///
/// # Security
/// Whoever can write to the folder can run programs as the server's user. Fields that could be
/// mistaken for something else are not passed on: `Proxy` (it would become `HTTP_PROXY`), names
/// with an underscore (`X_User` would become what `X-User` is), `Authorization` (see
/// [`pass_authorization`](Cgi::pass_authorization)).
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
    slots: Arc<Slots>,
    rooms: Rooms,
}

#[derive(Clone)]
struct Config {
    folder: Folder,
    queue_time: Duration,
    body_max: u64,
    header_time: Option<Duration>,
    time: Option<Duration>,
    output_max: u64,
    /// For `PATH_TRANSLATED`; absolute.
    documents: Option<PathBuf>,
    passes_authorization: bool,
    /// Variables of ours that a script gets, with their values.
    passed: Vec<(OsString, OsString)>,
}

const RUNNING_MAX: usize = 32;
const QUEUE_MAX: usize = 1_000;
const BODY_MAX: u64 = 64 << 20;
const HEADER_TIME: Duration = Duration::from_secs(30);
const TIME: Duration = Duration::from_secs(300);

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
            queue_time: Duration::from_secs(30),
            body_max: BODY_MAX,
            header_time: None,
            time: None,
            output_max: 1 << 30,
            documents: None,
            passes_authorization: false,
            passed: passed.collect(),
        };
        Ok(Cgi {
            config: Arc::new(config),
            slots: Slots::new(RUNNING_MAX, QUEUE_MAX),
            rooms: rooms(RUNNING_MAX, BODY_MAX),
        })
    }

    /// How many scripts may run at once. Clones that were made before keep their own number.
    #[must_use]
    pub fn running_max(mut self, running: usize) -> Cgi {
        self.slots = Slots::new(running, self.slots.queue_max);
        self.rooms = rooms(running, self.config.body_max);
        self
    }

    /// How many requests may wait until a script may run.
    #[must_use]
    pub fn queue_max(mut self, requests: usize) -> Cgi {
        self.slots = Slots::new(self.slots.max, requests);
        self
    }

    /// How long a request may wait so.
    #[must_use]
    pub fn queue_time(mut self, time: Duration) -> Cgi {
        self.change().queue_time = time;
        self
    }

    /// How many bytes a request's body may have.
    #[must_use]
    pub fn body_max(mut self, bytes: u64) -> Cgi {
        self.change().body_max = bytes;
        self.rooms = rooms(self.slots.max, bytes);
        self
    }

    /// How long a script may take until its header is complete. Default: 30 s, or what is given to
    /// [`time`](Cgi::time).
    #[must_use]
    pub fn header_time(mut self, time: Duration) -> Cgi {
        self.change().header_time = Some(time);
        self
    }

    /// How long a script may take in all.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Cgi {
        self.change().time = Some(time);
        self
    }

    /// How many bytes a script may write after its header.
    #[must_use]
    pub fn output_max(mut self, bytes: u64) -> Cgi {
        self.change().output_max = bytes;
        self
    }

    /// Sets where a site's documents are: `DOCUMENT_ROOT`, and what `PATH_TRANSLATED` is made with,
    /// as absolute paths. Default: there are no such variables.
    #[must_use]
    pub fn documents(mut self, folder: impl AsRef<Path>) -> Cgi {
        // Where the working folder is gone, there is no other name for it.
        let folder = folder.as_ref();
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        self.change().documents = Some(absolute);
        self
    }

    /// Gives scripts the `Authorization` field, as `HTTP_AUTHORIZATION`: the client's password,
    /// perhaps. For scripts that ask for it themselves.
    #[must_use]
    pub fn pass_authorization(mut self, pass: bool) -> Cgi {
        self.change().passes_authorization = pass;
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
    fn run(&self, call: &mut Call<'_>) -> Result<Answer, StatusCode> {
        let config = &self.config;
        let script = Script::find(&config.folder, call).map_err(|absent| match absent {
            NoScript::Malformed => StatusCode::BAD_REQUEST,
            NoScript::Nowhere => StatusCode::NOT_FOUND,
            NoScript::NotExecutable => {
                if let Some(more) = self.slots.complain() {
                    let path = call.request.uri().path();
                    tracing::warn!(path, "this user may not execute it: chmod +x, perhaps{more}");
                }
                StatusCode::FORBIDDEN
            }
            NoScript::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        })?;
        let body = spool::spool(call, config.body_max, &self.rooms);
        if matches!(body, Err(NoBody::Busy))
            && let Some(more) = self.slots.complain()
        {
            tracing::warn!(
                "bodies of other requests take all the room: a request is answered 503; there is \
                 room for --cgi-scripts of them, as large as --max-body allows{more}"
            );
        }
        let body = body.map_err(no_body)?;
        let slot = self.slots.take(config.queue_time).map_err(|none| match none {
            NoSlot::Busy => StatusCode::SERVICE_UNAVAILABLE,
            NoSlot::Left => left(),
        })?;
        let mut running = start(call, config, script, body, slot)?;
        match self.head(&mut running) {
            Ok((head, rest)) => Ok(answer(call, config, head, running, rest)),
            Err((reason, status)) => {
                let script = &running.script().path;
                if status == left() {
                    tracing::debug!(?script, reason, "killed");
                } else {
                    tracing::error!(?script, reason, "a script has not answered");
                }
                // What it says about that may still be on its way to the log.
                running.finish(false);
                Err(status)
            }
        }
    }

    /// Reads until the header is complete; with the bytes that came after it. A script that is
    /// still at work without one is killed.
    fn head(&self, running: &mut Running) -> Result<(Head, Vec<u8>), (String, StatusCode)> {
        let time = self.config.header_time();
        let deadline = running.deadline().min(Instant::now() + time);
        let mut bytes = Vec::new();
        let failure = loop {
            if let Some(end) = header::end(&bytes) {
                match Head::parse(&bytes[..end]) {
                    Ok(head) => return Ok((head, bytes.split_off(end))),
                    Err(reason) => break (reason.to_owned(), StatusCode::BAD_GATEWAY),
                }
            }
            if bytes.len() > header::BYTES_MAX {
                break ("the header is too long".to_owned(), StatusCode::BAD_GATEWAY);
            }
            match running.read_more(&mut bytes, deadline) {
                Ok(()) => {}
                Err(Ended::Output) => {
                    let reason = "the output ended within the header";
                    return Err((reason.to_owned(), StatusCode::BAD_GATEWAY));
                }
                Err(Ended::Left) => break ("its client has left".to_owned(), left()),
                Err(Ended::Time) => {
                    let reason = format!(
                        "its header (the lines before its output, and an empty one) was not \
                         complete within {time:?}; --cgi-header-timeout gives it more time"
                    );
                    break (reason, StatusCode::GATEWAY_TIMEOUT);
                }
                Err(Ended::Error) => {
                    break ("the output cannot be read".to_owned(), StatusCode::BAD_GATEWAY);
                }
            }
        };
        running.kill();
        Err(failure)
    }
}

impl Config {
    fn header_time(&self) -> Duration {
        self.header_time.or(self.time).unwrap_or(HEADER_TIME)
    }
}

/// Limits the bytes of bodies on the disk.
fn rooms(running_max: usize, body_max: u64) -> Rooms {
    Rooms::new(body_max.saturating_mul(running_max as u64))
}

fn no_body(refused: NoBody) -> StatusCode {
    match refused {
        NoBody::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        NoBody::Broken => StatusCode::BAD_REQUEST,
        NoBody::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
        NoBody::Busy | NoBody::NoDescriptor => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The status that nginx notes where the client has left before it was answered; nobody will read
/// it but in the log.
fn left() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT)
}

fn start(
    call: &Call<'_>,
    config: &Config,
    script: Script,
    body: Option<Body>,
    slot: Slot,
) -> Result<Running, StatusCode> {
    let length = body.as_ref().map(|body| body.len);
    let environment = environment::of(call, config, &script, length);
    let input = body.map(Body::into_input).transpose().map_err(no_body)?.flatten();
    let deadline = Instant::now() + config.time.unwrap_or(TIME);
    let started = Running::start(&script, environment, input, deadline, slot);
    started.map_err(|error| {
        tracing::error!(script = ?script.path, "{}", explain::start(&script, &error));
        match error.kind() {
            // No processes, memory or descriptors left.
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ if is_shortage(&error) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        }
    })
}

/// The answer that a script has given.
fn answer(call: &Call<'_>, config: &Config, head: Head, running: Running, rest: Vec<u8>) -> Answer {
    if let Some(path) = head.elsewhere {
        running.finish(true);
        let mut answer = page::refusal(&call.request, StatusCode::FOUND);
        if let Ok(location) = HeaderValue::from_str(&path) {
            answer.headers_mut().insert(LOCATION, location);
        }
        if let Some(redirect) = InternalRedirect::new(&call.request, &path) {
            answer.extensions_mut().insert(redirect);
        }
        return answer;
    }
    let has_no_body = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_head = *call.request.method() == Method::HEAD;
    let content = if has_no_body {
        running.finish(true);
        Content::EMPTY
    } else if is_head {
        // Dropped, the script would be killed, and it may have more to do.
        running.finish(true);
        Content::Reader { reader: Box::new(io::empty()), len: head.length }
    } else {
        let output = running.output(rest, config.output_max, head.length);
        Content::Reader { reader: Box::new(output), len: head.length }
    };
    let mut answer = Response::new(content);
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.fields;
    answer
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
        match self.run(&mut call) {
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
            .field("running", &self.slots.taken())
            .field("running_max", &self.slots.max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_the_header_follows_the_time_in_all_where_no_other_is_given() {
        let second = Duration::from_secs(1);
        let cgi = Cgi::new(".").unwrap();
        assert_eq!(cgi.config.header_time(), 30 * second);
        let patient = cgi.clone().time(120 * second);
        assert_eq!(patient.config.header_time(), 120 * second);
        assert_eq!(patient.header_time(second).config.header_time(), second);
        assert_eq!(cgi.time(second).config.header_time(), second);
    }
}
