//! Passwords of HTTP (RFC 7617).
//!
//! ```text
//! Authorization ─▶ known already? ──yes──▶ the handler inside
//!                     │ no
//!                     ├─▶ too many failures of this client: 429
//!                     ├─▶ the same try is under way (tries.rs): what comes of it
//!                     └─▶ its turn (turns.rs) ─▶ hash it, in the pool ─▶ 401, or known from now on
//! ```
//!
//! A client has one turn at a time, and a try is counted in its turn: so tries that wait are not
//! taken for wrong ones, and not one more than there may be is hashed.
//!
//! Hashing a password takes a processor for tens of milliseconds, on purpose. So one that was right
//! is remembered, as a keyed digest: neither the password nor anything that could be tried offline
//! stays in memory. And a client has only a few tries, all clients together a few processors, and
//! their addresses have turns.
//!
//! Names that were tried are logged as other servers do it: the access log has them in lines whose
//! status is 401 or 429, and a warning once a second at most names one of them with its address.

mod tries;
mod turns;
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
use tries::{Join, Tries};
use turns::Turns;
use users::Users;

/// Right passwords that are remembered.
const KNOWN_MAX: usize = 1_024;
/// Failures that a client may have at once.
const TRIES: u32 = 30;
/// The time after which it may have one more.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Longer ones are no passwords, and take long to hash.
const PASSWORD_MAX: usize = 1_024;
/// The time that a request waits for its turn, before it is answered `503`.
const PATIENCE: Duration = Duration::from_secs(30);
/// The characters of a name that was tried that are logged.
const NAME_MAX: usize = 64;

/// Answers only those who know a password ("basic authentication"). Passwords go over the
/// connection as they are, so it must be one with TLS.
///
/// The users are those of a file as `htpasswd -B` or `htpasswd -5` writes it. It is read again when
/// it has changed; while it cannot be read, the users stay as they were.
///
/// Tokens of `/.well-known/acme-challenge/` need no password: an authority of certificates, which
/// has none, asks for them (RFC 8555), and they are for everybody.
pub struct BasicAuth<H> {
    inner: H,
    users: RwLock<Arc<Users>>,
    key: hmac::Key,
    known: Mutex<HashSet<[u8; 32]>>,
    failures: Buckets,
    turns: Arc<Turns>,
    tries: Tries,
    /// About wrong passwords, and about addresses that have tried too many.
    complaints: Mutex<(RateLimited, RateLimited)>,
}

/// The verdict on a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    /// Not looked at, for want of time.
    Busy,
    /// Not looked at after so many wrong ones, before this time has passed.
    TooMany(Duration),
}

impl<H: Handler> BasicAuth<H> {
    /// The users of this file.
    ///
    /// # Errors
    /// The text names the file, the line, and what helps.
    pub fn new(file: impl AsRef<Path>, inner: H) -> io::Result<BasicAuth<H>> {
        let users = Users::read(file.as_ref())?;
        let random = ring::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random);
        let processors = available_parallelism().map_or(1, |count| count.get());
        Ok(BasicAuth {
            inner,
            users: RwLock::new(Arc::new(users)),
            key: key.map_err(|_| io::Error::other("no random numbers can be had"))?,
            known: Mutex::default(),
            failures: Buckets::new(TRIES, TRY_AGAIN),
            turns: Turns::new(processors.div_ceil(2)),
            tries: Tries::default(),
            complaints: Mutex::default(),
        })
    }

    /// The users as they are now.
    fn users(&self) -> Arc<Users> {
        let users = Arc::clone(&self.users.read().ignore_poison());
        if users.is_current() {
            return users;
        }
        let file = users.file().to_owned();
        match unblock(move || Users::read(&file)) {
            Ok(Ok(new)) => {
                let mut held = self.users.write().ignore_poison();
                // Another request may have read it meanwhile, and more are known already.
                if !held.is_same(&new) {
                    *held = Arc::new(new);
                    self.known().clear();
                }
                Arc::clone(&held)
            }
            Ok(Err(error)) => {
                users.look_again_later();
                tracing::error!("the users stay as they were: {error}");
                users
            }
            Err(_) => users,
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.known.lock().ignore_poison()
    }

    /// Tells whether the password is right.
    fn check(&self, address: Option<IpAddr>, name: &str, password: &[u8]) -> Verdict {
        // Also of passwords that are known already: or they could be guessed without a limit.
        if let Err(wait) = self.failures.peek(address, Instant::now()) {
            return Verdict::TooMany(wait);
        }
        let users = self.users();
        let mut both = hmac::Context::with_key(&self.key);
        // The name has no colon.
        [name.as_bytes(), b":", password].iter().for_each(|part| both.update(part));
        let mut digest = [0; 32];
        digest.copy_from_slice(both.sign().as_ref());
        let until = Instant::now() + PATIENCE;
        loop {
            if self.known().contains(&digest) {
                return Verdict::Right;
            }
            // A browser sends it several times at once. What comes of it is no news of users that
            // were read since.
            match self
                .tries
                .join((client_network(address), Arc::as_ptr(&users).addr(), digest), until)
            {
                Join::Alone(done) => {
                    let verdict = self.take_turn(address, &users, digest, name, password);
                    done.tell(verdict);
                    return verdict;
                }
                Join::Told(verdict) => return verdict,
                Join::GivenUp if Instant::now() < until => {}
                Join::GivenUp => return Verdict::Busy,
            }
        }
    }

    /// Has the password hashed when it is the client's turn.
    fn take_turn(
        &self,
        address: Option<IpAddr>,
        users: &Arc<Users>,
        digest: [u8; 32],
        name: &str,
        password: &[u8],
    ) -> Verdict {
        let client = client_network(address);
        let Some(_turn) = self.turns.take(client, PATIENCE) else { return Verdict::Busy };
        // Tries of this client that had their turns meanwhile may have been wrong.
        if let Err(wait) = self.failures.take(address, Instant::now()) {
            return Verdict::TooMany(wait);
        }
        let (name, password) = (name.to_owned(), password.to_vec());
        let asked = Arc::clone(users);
        let hashed = unblock(move || asked.check(&name, &password));
        if !matches!(hashed, Ok(false)) {
            self.failures.give(address);
        }
        match hashed {
            Ok(true) => {}
            Ok(false) => return Verdict::Wrong,
            Err(_) => return Verdict::Busy,
        }
        self.turns.know(client);
        // Not those of users that were read again meanwhile.
        if Arc::ptr_eq(users, &self.users.read().ignore_poison()) {
            let mut known = self.known();
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(digest);
        }
        Verdict::Right
    }

    /// Tells whether the client knows a password, as who.
    fn judge(&self, call: &Call<'_>) -> Result<Arc<str>, Box<Answer>> {
        let request = &call.request;
        let Some((name, password)) = credentials(request) else {
            return Err(Box::new(ask(request)));
        };
        let address = call.peer.remote.map(|remote| remote.ip());
        let refusal = match self.check(address, &name, &password) {
            Verdict::Right => return Ok(name.into()),
            Verdict::Wrong => {
                self.complain(address, Some(&name));
                ask(request)
            }
            Verdict::TooMany(wait) => {
                self.complain(address, None);
                too_many(request, wait)
            }
            Verdict::Busy => page::busy(request),
        };
        Err(Box::new(with_user(refusal, name)))
    }

    /// Warns, now and then, of a name and a password that are wrong, or of an address that has
    /// tried too many of them.
    fn complain(&self, address: Option<IpAddr>, name: Option<&str>) {
        let more = {
            let mut complaints = self.complaints.lock().ignore_poison();
            let (wrong, limited) = &mut *complaints;
            if name.is_some() { wrong.allow() } else { limited.allow() }
        };
        let Some(more) = more else { return };
        let from = address.map_or("a Unix socket".to_owned(), |address| address.to_string());
        let Some(name) = name else {
            let seconds = TRY_AGAIN.as_secs();
            tracing::warn!(
                "too many wrong passwords from {from}: after {TRIES} it has one try in {seconds} \
                 s, its other requests are answered 429{more}"
            );
            return;
        };
        let name: String = name.chars().take(NAME_MAX).collect();
        tracing::warn!("wrong name or password: {name:?} from {from}{more}");
    }

    /// Answers a request for the token of a certificate's authority: with the token, and nothing
    /// else of the site, no folder and no page of its own.
    fn challenge(&self, call: Call<'_>) -> Answer {
        let request = call.request.clone();
        let answer = self.inner.handle(call);
        match answer.status() {
            StatusCode::OK
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
            | StatusCode::PERMANENT_REDIRECT => answer,
            StatusCode::NOT_FOUND => page::refusal(&request, StatusCode::NOT_FOUND),
            _ => ask(&request),
        }
    }
}

/// `429`, with the time after which to come again.
fn too_many(request: &http::Request<()>, wait: Duration) -> Answer {
    let seconds = seconds(wait);
    let hint = format!("too many wrong passwords from this address; try again in {seconds} s.");
    let answer = page::refusal_saying(request, StatusCode::TOO_MANY_REQUESTS, &hint);
    with_retry_after(answer, seconds)
}

/// Tells the access log of a name.
fn with_user(mut answer: Answer, name: String) -> Answer {
    answer.extensions_mut().get_or_insert_default::<ClientIdentity>().user = Some(name);
    answer
}

/// The name and the password of a request.
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

/// `401`.
fn ask(request: &http::Request<()>) -> Answer {
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
        let name = match self.judge(&call) {
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
