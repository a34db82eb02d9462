//! Basic authentication (RFC 7617).
//!
//! ```text
//! Authorization ─▶ known to be right? ──yes──▶ the inner handler
//!                     │ no
//!                     ├─▶ too many failures of this client: 429
//!                     ├─▶ an equal attempt is in progress (attempts.rs): its verdict
//!                     └─▶ a permit (hash_queue.rs) ─▶ hash in the pool ─▶ 401, or known
//! ```
//!
//! A client has one permit at a time, and an attempt is counted when it has the permit. So waiting
//! attempts do not count as wrong ones, and no more attempts are hashed than allowed.
//!
//! Hashing a password takes a processor tens of milliseconds, on purpose. So a right password is
//! remembered as a keyed digest: neither the password nor anything that could be attacked offline
//! stays in memory. A client has only a few attempts, all clients together have a few processors,
//! and the queue for these is fair to addresses.
//!
//! Attempted names are logged as by other servers: in the lines of the access log with status 401
//! or 429, and in a warning, at most once a second, that has one of them with its address.

mod attempts;
mod hash_queue;
mod users;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::available_parallelism;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::{HeaderValue, Method, StatusCode, header};
use overlapped::task::unblock;
use overlapped::time::Instant;
use overlapped_wire::http::{Answer, ClientIdentity};
use ring::hmac;

use super::buckets::Buckets;
use super::is_token;
use super::limit::{seconds, with_retry_after};
use crate::locks::IgnorePoison;
use crate::state::client_network;
use crate::telemetry::RateLimited;
use crate::web::{Call, Handler, User, page};
use attempts::{Attempts, Role, Verdict};
use hash_queue::HashQueue;
use users::Users;

/// The maximum number of right passwords that are remembered.
const KNOWN_MAX: usize = 1_024;
/// The maximum number of wrong attempts that a client may make without a wait.
const ATTEMPTS_MAX: u32 = 30;
/// The time after which it may make one more.
const ATTEMPT_PERIOD: Duration = Duration::from_secs(10);
/// The maximum length of a password; longer ones take long to hash.
const PASSWORD_MAX: usize = 1_024;
/// The time that a request waits for a verdict, before it is answered `503`.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The maximum of characters of an attempted name that are logged.
const NAME_MAX: usize = 64;

/// A layer that requires a password ("basic authentication"). Clients send passwords unencrypted,
/// so the connection must have TLS.
///
/// The users come from a file of `htpasswd -B` or `htpasswd -5`. It is read again when it has
/// changed; while it cannot be read, the users stay as they were.
///
/// Tokens of `/.well-known/acme-challenge/` need no password: a certificate authority, which has
/// none, requests them (RFC 8555), and they are public.
pub struct BasicAuth<H> {
    inner: H,
    users: RwLock<Arc<Users>>,
    key: hmac::Key,
    known: Mutex<HashSet<[u8; 32]>>,
    failures: Buckets,
    hash_queue: Arc<HashQueue>,
    attempts: Attempts,
    /// The warnings of wrong passwords, and of addresses with too many of them.
    warnings: Mutex<(RateLimited, RateLimited)>,
}

impl<H: Handler> BasicAuth<H> {
    /// Reads the users from a file.
    ///
    /// # Errors
    /// The message names the file, the line, and a remedy.
    pub fn new(file: impl AsRef<Path>, inner: H) -> io::Result<BasicAuth<H>> {
        let users = Users::read(file.as_ref())?;
        let random = ring::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random);
        let processors = available_parallelism().map_or(1, |count| count.get());
        Ok(BasicAuth {
            inner,
            users: RwLock::new(Arc::new(users)),
            key: key.map_err(|_| io::Error::other("the system has no random numbers"))?,
            known: Mutex::default(),
            failures: Buckets::new(ATTEMPTS_MAX, ATTEMPT_PERIOD),
            hash_queue: HashQueue::new(processors.div_ceil(2)),
            attempts: Attempts::default(),
            warnings: Mutex::default(),
        })
    }

    /// Returns the current users; reads a changed file again.
    fn users(&self) -> Arc<Users> {
        let users = Arc::clone(&self.users.read().ignore_poison());
        if users.is_current() {
            return users;
        }
        let file = users.file().to_owned();
        match unblock(move || Users::read(&file)) {
            Ok(Ok(new)) => {
                let mut current = self.users.write().ignore_poison();
                // Another request may have read the same version; passwords that are known since
                // then stay.
                if !current.is_same(&new) {
                    *current = Arc::new(new);
                    self.known().clear();
                }
                Arc::clone(&current)
            }
            Ok(Err(error)) => {
                users.suspend_checks();
                tracing::error!("the users stay as they were: {error}");
                users
            }
            Err(_) => users,
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.known.lock().ignore_poison()
    }

    /// Returns the verdict on a name and a password.
    fn check(&self, address: Option<IpAddr>, name: &str, password: &[u8]) -> Verdict {
        // Known passwords are limited, too: otherwise they could be guessed without a limit.
        if let Err(wait) = self.failures.peek(address, Instant::now()) {
            return Verdict::TooMany(wait);
        }
        let users = self.users();
        let mut both = hmac::Context::with_key(&self.key);
        // The name has no colon.
        [name.as_bytes(), b":", password].iter().for_each(|part| both.update(part));
        let mut digest = [0; 32];
        digest.copy_from_slice(both.sign().as_ref());
        let until = Instant::now() + WAIT_MAX;
        loop {
            if self.known().contains(&digest) {
                return Verdict::Right;
            }
            // A browser sends it several times at once. The verdict holds for these users, not for
            // those that were read meanwhile.
            match self
                .attempts
                .join((client_network(address), Arc::as_ptr(&users).addr(), digest), until)
            {
                Role::First(guard) => {
                    let verdict = self.hash(address, &users, digest, name, password);
                    guard.finish(verdict);
                    return verdict;
                }
                Role::Known(verdict) => return verdict,
                Role::Abandoned if Instant::now() < until => {}
                Role::Abandoned => return Verdict::Busy,
            }
        }
    }

    /// Waits for a permit, and hashes the password in the pool.
    fn hash(
        &self,
        address: Option<IpAddr>,
        users: &Arc<Users>,
        digest: [u8; 32],
        name: &str,
        password: &[u8],
    ) -> Verdict {
        let client = client_network(address);
        let Some(_permit) = self.hash_queue.acquire(client, WAIT_MAX) else { return Verdict::Busy };
        // Other attempts of this client may have failed during the wait.
        if let Err(wait) = self.failures.take(address, Instant::now()) {
            return Verdict::TooMany(wait);
        }
        let (name, password) = (name.to_owned(), password.to_vec());
        let users_for_job = Arc::clone(users);
        let hashed = unblock(move || users_for_job.check(&name, &password));
        if !matches!(hashed, Ok(false)) {
            self.failures.give_back(address);
        }
        match hashed {
            Ok(true) => {}
            Ok(false) => return Verdict::Wrong,
            Err(_) => return Verdict::Busy,
        }
        self.hash_queue.add_known(client);
        // The users may have been read again meanwhile.
        if Arc::ptr_eq(users, &self.users.read().ignore_poison()) {
            let mut known = self.known();
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(digest);
        }
        Verdict::Right
    }

    /// Authenticates a request; returns the user's name, or the refusal.
    fn authenticate(&self, call: &Call<'_>) -> Result<Arc<str>, Box<Answer>> {
        let request = &call.request;
        let Some((name, password)) = credentials(request) else {
            return Err(Box::new(unauthorized(request)));
        };
        let address = call.peer.remote.map(|remote| remote.ip());
        let refusal = match self.check(address, &name, &password) {
            Verdict::Right => return Ok(name.into()),
            Verdict::Wrong => {
                self.warn(address, Some(&name));
                unauthorized(request)
            }
            Verdict::TooMany(wait) => {
                self.warn(address, None);
                too_many(request, wait)
            }
            Verdict::Busy => page::busy(request),
        };
        Err(Box::new(with_user(refusal, name)))
    }

    /// Warns, at a limited rate, of a wrong password for `name`, or (without a name) of an address
    /// with too many of them.
    fn warn(&self, address: Option<IpAddr>, name: Option<&str>) {
        let suppressed = {
            let mut warnings = self.warnings.lock().ignore_poison();
            let (wrong, limited) = &mut *warnings;
            if name.is_some() { wrong.allow() } else { limited.allow() }
        };
        let Some(suppressed) = suppressed else { return };
        let from = address.map_or("a Unix socket".to_owned(), |address| address.to_string());
        let Some(name) = name else {
            let seconds = ATTEMPT_PERIOD.as_secs();
            tracing::warn!(
                "too many wrong passwords from {from}: after {ATTEMPTS_MAX} it has one attempt in \
                 {seconds} s, its other requests are answered 429{suppressed}"
            );
            return;
        };
        let name: String = name.chars().take(NAME_MAX).collect();
        tracing::warn!("wrong name or password: {name:?} from {from}{suppressed}");
    }

    /// Answers the request of a certificate authority: with the token, and nothing else of the
    /// site, such as a folder or a page.
    fn challenge(&self, call: Call<'_>) -> Answer {
        let request = call.request.clone();
        let answer = self.inner.handle(call);
        match answer.status() {
            StatusCode::OK
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
            | StatusCode::PERMANENT_REDIRECT => answer,
            StatusCode::NOT_FOUND => page::refusal(&request, StatusCode::NOT_FOUND),
            _ => unauthorized(&request),
        }
    }
}

/// Returns `429` with `Retry-After`.
fn too_many(request: &http::Request<()>, wait: Duration) -> Answer {
    let seconds = seconds(wait);
    let hint = format!("too many wrong passwords from this address; try again in {seconds} s.");
    let answer = page::refusal_saying(request, StatusCode::TOO_MANY_REQUESTS, &hint);
    with_retry_after(answer, seconds)
}

/// Adds a name for the access log.
fn with_user(mut answer: Answer, name: String) -> Answer {
    answer.extensions_mut().get_or_insert_default::<ClientIdentity>().user = Some(name);
    answer
}

/// Returns the name and the password in a request.
fn credentials(request: &http::Request<()>) -> Option<(String, Vec<u8>)> {
    let mut fields = request.headers().get_all(header::AUTHORIZATION).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = BASE64_STANDARD.decode(token.trim()).ok()?;
    let at = both.iter().position(|&byte| byte == b':')?;
    let name = String::from_utf8(both[..at].to_vec()).ok()?;
    let password = both[at + 1..].to_vec();
    (password.len() <= PASSWORD_MAX && !password.contains(&0)).then_some((name, password))
}

/// Returns `401`, which asks for a password.
fn unauthorized(request: &http::Request<()>) -> Answer {
    let mut answer = page::refusal(request, StatusCode::UNAUTHORIZED);
    let challenge = HeaderValue::from_static("Basic realm=\"restricted\", charset=\"UTF-8\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

impl<H: Handler> Handler for BasicAuth<H> {
    fn handle(&self, mut call: Call<'_>) -> Answer {
        let is_get = matches!(*call.request.method(), Method::GET | Method::HEAD);
        if is_get && is_token(call.request.uri().path()) {
            return self.challenge(call);
        }
        let name = match self.authenticate(&call) {
            Ok(name) => name,
            Err(answer) => return *answer,
        };
        call.request.extensions_mut().insert(User::new("Basic", &*name));
        let mut answer = self.inner.handle(call);
        // A cache that several clients share must not keep what one of them may see.
        if !answer.headers().contains_key(header::CACHE_CONTROL) {
            answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
        }
        with_user(answer, name.to_string())
    }
}

impl<H> fmt::Debug for BasicAuth<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").finish_non_exhaustive()
    }
}
