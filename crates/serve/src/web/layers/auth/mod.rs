//! Passwords of HTTP (RFC 7617).
//!
//! ```text
//! Authorization ─▶ known already? ──yes──▶ the handler inside
//!                     │ no
//!                     ├─▶ too many failures of this client: 429
//!                     └─▶ hash it, in the pool, a few at a time ─▶ 401, or known from now on
//! ```
//!
//! Hashing a password takes a processor for tens of milliseconds, on purpose. So one that was right
//! is remembered, as a keyed digest: neither the password nor anything that could be tried offline
//! stays in memory. And a client has only a few tries, and all clients together a few processors.

mod users;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::available_parallelism;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::{HeaderValue, StatusCode, header};
use overlapped::sync::Semaphore;
use overlapped::task::unblock;
use overlapped::time::Instant;
use overlapped_wire::http::{Answer, Noted};
use ring::hmac;

use super::limit::{Buckets, too_many};
use crate::web::{Call, Handler, User, page};
use users::Users;

/// Right passwords that are remembered.
const KNOWN_MAX: usize = 1_024;
/// Failures that a client may have at once. Several users behind one address may send their first
/// requests at the same time.
const TRIES: u32 = 30;
/// The time after which it may have one more.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Longer ones are no passwords, and take long to hash.
const PASSWORD_MAX: usize = 1_024;

/// Answers only those who know a password ("basic authentication"). Passwords go over the
/// connection as they are, so it must be one with TLS.
///
/// The users are those of a file as `htpasswd -B` or `htpasswd -5` writes it. It is read again when
/// it has changed; while it cannot be read, the users stay as they were.
pub struct BasicAuth<H> {
    inner: H,
    users: RwLock<Arc<Users>>,
    key: hmac::Key,
    known: Mutex<HashSet<[u8; 32]>>,
    failures: Buckets,
    /// Passwords that are hashed at a time.
    hashing: Arc<Semaphore>,
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
            hashing: Arc::new(Semaphore::new(processors.div_ceil(2))),
        })
    }

    /// The users as they are now.
    fn users(&self) -> Arc<Users> {
        let users = Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner));
        if users.is_current() {
            return users;
        }
        let file = users.file().to_owned();
        match unblock(move || Users::read(&file)) {
            Ok(Ok(new)) => {
                let new = Arc::new(new);
                *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
                self.known().clear();
                new
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
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether the password is right.
    fn check(&self, users: Arc<Users>, name: &str, password: &[u8]) -> bool {
        let mut both = hmac::Context::with_key(&self.key);
        // The name has no colon.
        [name.as_bytes(), b":", password].iter().for_each(|part| both.update(part));
        let mut digest = [0; 32];
        digest.copy_from_slice(both.sign().as_ref());
        if self.known().contains(&digest) {
            return true;
        }
        let (name, password) = (name.to_owned(), password.to_vec());
        let asked = Arc::clone(&users);
        let _turn = Semaphore::acquire_owned(Arc::clone(&self.hashing), 1);
        let is_right = unblock(move || asked.check(&name, &password)).unwrap_or(false);
        // Not those of users that were read again meanwhile.
        let is_current =
            Arc::ptr_eq(&users, &self.users.read().unwrap_or_else(PoisonError::into_inner));
        if is_right && is_current {
            let mut known = self.known();
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(digest);
        }
        is_right
    }

    /// Tells whether the client knows a password, as who.
    fn judge(&self, call: &Call<'_>) -> Result<Arc<str>, Box<Answer>> {
        let Some((name, password)) = credentials(&call.request) else {
            return Err(Box::new(ask(&call.request)));
        };
        let address = call.peer.remote.map(|remote| remote.ip());
        // Taken before, so that tries at the same time count, and given back for a right one. Also
        // of passwords that are known already: or they could be guessed without a limit.
        if let Err(wait) = self.failures.take(address, Instant::now()) {
            return Err(Box::new(too_many(&call.request, wait)));
        }
        if !self.check(self.users(), &name, &password) {
            tracing::debug!(?address, "a wrong name or password");
            return Err(Box::new(ask(&call.request)));
        }
        self.failures.give(address);
        Ok(name.into())
    }
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
        answer.extensions_mut().get_or_insert_default::<Noted>().user = Some(name.to_string());
        answer
    }
}

impl<H> fmt::Debug for BasicAuth<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").finish_non_exhaustive()
    }
}
