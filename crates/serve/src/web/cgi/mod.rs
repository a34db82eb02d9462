//! The Common Gateway Interface (RFC 3875): programs that answer requests.
//!
//! ```text
//! path ─▶ script ─▶ spool ─▶ permits ─▶ running ─▶ header ─▶ answer, its output as body
//!         │         │        │          │  └─ stderr ─▶ the log
//!         │         │        │          └─ killed and reaped: at its deadlines, when its client
//!         │         │        │             has left or the answer is dropped, when it has ended
//!         │         │        └ a permit to run, or an entry in the queue
//!         │         └ the whole body: its length is known, and no deadlock is possible
//!         └ SCRIPT_NAME, PATH_INFO
//! ```
//!
//! Not supported: scripts whose names begin with `nph-` get no special treatment (their output is
//! parsed like any other's), and a query without `=` does not become arguments (section 4.4 allows
//! that, and programs have mistaken such arguments for options).

mod config;
mod environment;
mod explain;
mod header;
mod permits;
mod running;
mod script;
mod spool;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};
use overlapped_wire::http::{Answer, Content, Service};

use super::below::{Lookup, Root};
use super::internal_redirect::InternalRedirect;
use super::{Call, Handler, page};
use crate::peer::Peer;
use crate::state::{instant_in, is_shortage};
use config::CgiConfig;
use header::Head;
#[cfg(any(test, fuzzing))]
pub(crate) use header::check as check_header;
use permits::{PermitError, ScriptPermit, ScriptPermits};
pub use running::kill_scripts;
use running::{ReadError, RunningScript};
use script::{Script, ScriptError};
use spool::{SpoolError, SpoolQuota, SpooledBody};

/// The programs in a folder, as a [`Handler`] of a [`Site`](super::Site) or a [`Service`] of their
/// own.
///
/// The first file along the path is the script, and must be executable; the rest of the path is its
/// `PATH_INFO`. Its working directory is its folder, and its standard input is the body. Its
/// environment is that of RFC 3875, with a few variables that programs expect from web servers and
/// those of [`env`](Cgi::env). Its standard error goes to the log, line by line.
///
/// | limit | default | beyond it |
/// |---|---|---|
/// | scripts at once | 32 | further requests wait |
/// | requests that wait | 1,000, for 30 s | `503` |
/// | body | 64 MiB | `413` |
/// | bodies on the disk | the product of the limits on scripts and on a body | `503` |
/// | [time](Cgi::header_time) until the header is complete | 30 s | `504`, killed |
/// | total time | 5 min | killed, the answer breaks off |
/// | output | 1 GiB | killed, the answer breaks off |
/// | header | 32 KiB, 100 fields | `502`, killed |
///
/// A request counts, or waits, from the time when its body has arrived: clients that send slowly
/// occupy no script. A script whose client has left is killed, and the request of such a client
/// leaves the queue. A client that has only finished sending (as `nc -N` does) looks the same: it
/// is assumed to listen for ten seconds, unless other requests wait. A script that has closed its
/// output and goes on still counts, until it ends or its time has ended.
///
/// A script is the leader of a process group of its own. The rest of the group is killed when the
/// script has ended (its output is closed, or as long as announced, and its process has ended), and
/// when it is killed. A job that is to live longer calls `setsid`. The end of the server kills all
/// groups, too; a program that ends without that calls [`kill_scripts`]. A process that is killed
/// by SIGKILL cannot: its scripts go on until they write to their closed pipe, unless a service
/// manager or container ends them.
///
/// The [`Site`](super::Site) answers a `Location` that is a path of the site as if the client had
/// requested that path.
///
/// # Security
/// Users who can write to the folder can run programs as the server's user. Request headers that
/// could be mistaken for something else are not passed on: `Proxy` (it would become `HTTP_PROXY`),
/// names with an underscore (`X_User` would become the same variable as `X-User`), `Authorization`
/// (see [`pass_authorization`](Cgi::pass_authorization)).
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
    config: Arc<CgiConfig>,
    permits: Arc<ScriptPermits>,
    quota: SpoolQuota,
}

const RUNNING_MAX: usize = 32;
const QUEUE_MAX: usize = 1_000;
const BODY_MAX: u64 = 64 << 20;
const TIME: Duration = Duration::from_secs(300);

/// The variables of this process's environment that scripts get.
const INHERITED: &[&str] = &["PATH", "LANG", "LC_ALL", "TZ"];

/// The methods in `Allow`. Scripts get all methods but `CONNECT` and `TRACE`.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl Cgi {
    /// Runs the executable files below `folder`.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`: the folder cannot be opened.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Cgi> {
        let root = Root::new(folder.as_ref(), Lookup::best())?;
        let variables =
            INHERITED.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        let config = CgiConfig {
            root,
            queue_time: Duration::from_secs(30),
            body_max: BODY_MAX,
            header_time: None,
            time: None,
            output_max: 1 << 30,
            documents: None,
            passes_authorization: false,
            variables: variables.collect(),
        };
        Ok(Cgi {
            config: Arc::new(config),
            permits: ScriptPermits::new(RUNNING_MAX, QUEUE_MAX),
            quota: quota(RUNNING_MAX, BODY_MAX),
        })
    }

    /// Sets how many scripts may run at once. Earlier clones keep their own limit.
    #[must_use]
    pub fn running_max(mut self, running: usize) -> Cgi {
        self.permits = ScriptPermits::new(running, self.permits.queue_max);
        self.quota = quota(running, self.config.body_max);
        self
    }

    /// Sets how many requests may wait for a script.
    #[must_use]
    pub fn queue_max(mut self, requests: usize) -> Cgi {
        self.permits = ScriptPermits::new(self.permits.max, requests);
        self
    }

    /// Sets how long a request may wait for a script.
    #[must_use]
    pub fn queue_time(mut self, time: Duration) -> Cgi {
        self.change().queue_time = time;
        self
    }

    /// Sets how many bytes a request's body may have.
    #[must_use]
    pub fn body_max(mut self, bytes: u64) -> Cgi {
        self.change().body_max = bytes;
        self.quota = quota(self.permits.max, bytes);
        self
    }

    /// Sets how long a script may take until its header is complete. Default: the
    /// [`time`](Cgi::time), if that was set, else 30 s.
    #[must_use]
    pub fn header_time(mut self, time: Duration) -> Cgi {
        self.change().header_time = Some(time);
        self
    }

    /// Sets how long a script may take in total.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Cgi {
        self.change().time = Some(time);
        self
    }

    /// Sets how many bytes a script may write after its header.
    #[must_use]
    pub fn output_max(mut self, bytes: u64) -> Cgi {
        self.change().output_max = bytes;
        self
    }

    /// Sets the folder of the site's documents, for `DOCUMENT_ROOT` and `PATH_TRANSLATED`, which
    /// are absolute paths. Default: scripts do not get these variables.
    #[must_use]
    pub fn documents(mut self, folder: impl AsRef<Path>) -> Cgi {
        // An error means that the working directory was removed.
        let folder = folder.as_ref();
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        self.change().documents = Some(absolute);
        self
    }

    /// Passes the `Authorization` header to scripts as `HTTP_AUTHORIZATION`, for scripts that
    /// authenticate clients themselves. It may contain the client's password.
    #[must_use]
    pub fn pass_authorization(mut self, pass: bool) -> Cgi {
        self.change().passes_authorization = pass;
        self
    }

    /// Sets a variable for scripts, in addition to those of the RFC and to the server's `PATH`,
    /// `LANG`, `LC_ALL` and `TZ`.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Cgi {
        let name = name.into();
        let variables = &mut self.change().variables;
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value.into()));
        self
    }

    fn change(&mut self) -> &mut CgiConfig {
        Arc::make_mut(&mut self.config)
    }

    /// Runs a script; returns the answer if its header is complete and valid, else the status of
    /// the failure.
    fn run(&self, call: &mut Call<'_>) -> Result<Answer, StatusCode> {
        let config = &self.config;
        let script = Script::find(&config.root, call).map_err(|error| match error {
            ScriptError::Malformed => StatusCode::BAD_REQUEST,
            ScriptError::NotFound => StatusCode::NOT_FOUND,
            ScriptError::NotExecutable => {
                if let Some(suppressed) = self.permits.allow_warning() {
                    let path = call.request.uri().path();
                    tracing::warn!(
                        path,
                        "this user may not execute the script: try chmod +x{suppressed}"
                    );
                }
                StatusCode::FORBIDDEN
            }
            ScriptError::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        })?;
        let body = spool::spool(call, config.body_max, &self.quota);
        if matches!(body, Err(SpoolError::QuotaExceeded))
            && let Some(suppressed) = self.permits.allow_warning()
        {
            tracing::warn!(
                "the bodies of other requests take all the disk space for them: a request is \
                 answered 503; there is space for --cgi-scripts bodies of --max-body{suppressed}"
            );
        }
        let body = body.map_err(spool_status)?;
        let permit = self.permits.acquire(config.queue_time).map_err(|error| match error {
            PermitError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            PermitError::ClientLeft => client_left(),
        })?;
        let mut running = start(call, config, script, body, permit)?;
        match self.read_head(&mut running) {
            Ok((head, rest)) => Ok(answer(call, config, head, running, rest)),
            Err((reason, status)) => {
                let script = &running.script().path;
                if status == client_left() {
                    tracing::debug!(?script, reason, "killed");
                } else {
                    tracing::error!(?script, reason, "a script has failed");
                }
                // Its messages about the failure may still be on their way to the log.
                running.finish(false);
                Err(status)
            }
        }
    }

    /// Reads until the header is complete; returns it with the bytes behind it. After a failure, a
    /// script that still runs is killed.
    fn read_head(
        &self,
        running: &mut RunningScript,
    ) -> Result<(Head, Vec<u8>), (String, StatusCode)> {
        let time = self.config.header_time();
        let deadline = running.deadline().min(instant_in(time));
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
                Err(ReadError::EndOfOutput) => {
                    let reason = "the output ended within the header";
                    return Err((reason.to_owned(), StatusCode::BAD_GATEWAY));
                }
                Err(ReadError::ClientLeft) => {
                    break ("its client has left".to_owned(), client_left());
                }
                Err(ReadError::TimedOut) => {
                    let reason = format!(
                        "its header (the lines before its output, and an empty line) was not \
                         complete within {time:?}; --cgi-header-timeout gives it more time"
                    );
                    break (reason, StatusCode::GATEWAY_TIMEOUT);
                }
                Err(ReadError::Io) => {
                    break ("the output cannot be read".to_owned(), StatusCode::BAD_GATEWAY);
                }
            }
        };
        running.kill();
        Err(failure)
    }
}

/// Returns the quota for bodies on the disk.
fn quota(running_max: usize, body_max: u64) -> SpoolQuota {
    SpoolQuota::new(body_max.saturating_mul(running_max as u64))
}

fn spool_status(error: SpoolError) -> StatusCode {
    match error {
        SpoolError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        SpoolError::ClientFailed => StatusCode::BAD_REQUEST,
        SpoolError::StorageFailed => StatusCode::INSUFFICIENT_STORAGE,
        SpoolError::QuotaExceeded | SpoolError::NoDescriptor => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Returns the status that nginx logs if the client has left before the answer. It appears in the
/// log only.
fn client_left() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT)
}

fn start(
    call: &Call<'_>,
    config: &CgiConfig,
    script: Script,
    body: Option<SpooledBody>,
    permit: ScriptPermit,
) -> Result<RunningScript, StatusCode> {
    let length = body.as_ref().map(|body| body.len);
    let environment = environment::build(call, config, &script, length);
    let input = body.map(SpooledBody::into_input).transpose().map_err(spool_status)?.flatten();
    let deadline = instant_in(config.time.unwrap_or(TIME));
    let started = RunningScript::start(&script, environment, input, deadline, permit);
    started.map_err(|error| {
        tracing::error!(script = ?script.path, "{}", explain::start(&script, &error));
        match error.kind() {
            // No processes or memory are left.
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ if is_shortage(&error) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        }
    })
}

/// Returns the answer of a script whose header is complete.
fn answer(
    call: &Call<'_>,
    config: &CgiConfig,
    head: Head,
    running: RunningScript,
    rest: Vec<u8>,
) -> Answer {
    if let Some(path) = head.internal_redirect {
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
        // Dropping the script would kill it, and it may have more to do.
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
            .field("folder", &self.config.root.path())
            .field("running", &self.permits.in_use())
            .field("running_max", &self.permits.max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_the_header_defaults_to_the_total_time() {
        let second = Duration::from_secs(1);
        let cgi = Cgi::new(".").unwrap();
        assert_eq!(cgi.config.header_time(), 30 * second);
        let patient = cgi.clone().time(120 * second);
        assert_eq!(patient.config.header_time(), 120 * second);
        assert_eq!(patient.header_time(second).config.header_time(), second);
        assert_eq!(cgi.time(second).config.header_time(), second);
    }
}
