//! Users and their password hashes, from a file of `htpasswd`.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use overlapped::time::Instant;
use sha_crypt::{PasswordVerifier, ShaCrypt};

use crate::locks::IgnorePoison;
use crate::web::layers::invalid;

/// The maximum size of a file of users.
const FILE_MAX: u64 = 4 << 20;
/// The maximum cost of bcrypt, which is an exponent of two; a hash at it takes seconds.
const COST_MAX: u32 = 15;
/// The maximum of rounds of SHA-crypt, which take about as long.
const ROUNDS_MAX: u32 = 5_000_000;
/// The time between two attempts to read a file that cannot be read.
const RETRY_PERIOD: Duration = Duration::from_secs(5);

/// The users of one file.
pub(super) struct Users {
    file: PathBuf,
    stamp: Stamp,
    unchecked_until: Mutex<Option<Instant>>,
    hashes: HashMap<String, Hash>,
}

/// The metadata of the file: device, inode, size, and the time of the last change.
type Stamp = (u64, u64, u64, i64, i64);

/// A password hash.
enum Hash {
    Bcrypt(String),
    Sha(String),
}

impl Users {
    /// Reads a file and validates every hash in it. Blocks the thread.
    pub(super) fn read(file: &Path) -> io::Result<Users> {
        let explain = |error: io::Error| {
            let text = format!("cannot read the users in {}: {error}", file.display());
            io::Error::new(error.kind(), text)
        };
        // A FIFO opens at once.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let opened = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(file);
        let mut opened = opened.map_err(explain)?;
        let metadata = opened.metadata().map_err(explain)?;
        if !metadata.is_file() || metadata.len() > FILE_MAX {
            return Err(explain(invalid("it is not a file of htpasswd".to_owned())));
        }
        let mut text = String::new();
        opened.read_to_string(&mut text).map_err(explain)?;
        let mut hashes = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |why: &str| {
                explain(invalid(format!(
                    "line {} {why}; `htpasswd -B {} NAME` writes a valid one",
                    at + 1,
                    file.display()
                )))
            };
            let (name, hash) =
                line.split_once(':').ok_or_else(|| refuse("is not a name and a hash"))?;
            if name.is_empty() || name.contains(char::is_control) {
                return Err(refuse("has an invalid name"));
            }
            hashes.insert(name.to_owned(), Hash::parse(hash).map_err(refuse)?);
        }
        if hashes.is_empty() {
            return Err(explain(invalid("it has no users, so no client could log in".to_owned())));
        }
        let (file, stamp) = (file.to_owned(), stamp(&metadata));
        Ok(Users { file, stamp, unchecked_until: Mutex::new(None), hashes })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Tells whether the file is unchanged. Within the retry period it is not checked.
    pub(super) fn is_current(&self) -> bool {
        let unchecked_until = *self.unchecked_until.lock().ignore_poison();
        unchecked_until.is_some_and(|until| Instant::now() < until)
            || fs::metadata(&self.file).is_ok_and(|found| stamp(&found) == self.stamp)
    }

    /// Tells whether both were read from the same version of the file.
    pub(super) fn is_same(&self, other: &Users) -> bool {
        self.stamp == other.stamp
    }

    /// Suspends checks of the file for the retry period.
    pub(super) fn suspend_checks(&self) {
        let until = Instant::now() + RETRY_PERIOD;
        *self.unchecked_until.lock().ignore_poison() = Some(until);
    }

    /// Tells whether the password is the user's. Blocks the thread. For an unknown name it computes
    /// another user's hash: where all hashes have the same cost, the time tells nothing of names.
    pub(super) fn check(&self, name: &str, password: &[u8]) -> bool {
        let known = self.hashes.get(name);
        let Some(hash) = known.or_else(|| self.hashes.values().next()) else { return false };
        let is_right = hash.matches(password);
        known.is_some() && is_right
    }
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec())
}

impl Hash {
    fn parse(hash: &str) -> Result<Hash, &'static str> {
        const TOO_EXPENSIVE: &str = "has a hash that takes too long";
        const MALFORMED: &str = "has a malformed hash";
        if ["$2y$", "$2b$", "$2a$"].iter().any(|kind| hash.starts_with(kind)) {
            let parts: bcrypt::HashParts = hash.parse().map_err(|_| MALFORMED)?;
            let is_acceptable = parts.get_cost() <= COST_MAX;
            return if is_acceptable {
                Ok(Hash::Bcrypt(hash.to_owned()))
            } else {
                Err(TOO_EXPENSIVE)
            };
        }
        if ["$5$", "$6$"].iter().any(|kind| hash.starts_with(kind)) {
            let rounds = hash[3..].strip_prefix("rounds=").and_then(|rest| rest.split('$').next());
            if let Some(rounds) = rounds {
                let rounds: u32 = rounds.parse().map_err(|_| MALFORMED)?;
                if rounds > ROUNDS_MAX {
                    return Err(TOO_EXPENSIVE);
                }
            }
            // The crate takes a hash that was cut for a wrong password.
            let digest_len = if hash.starts_with("$5$") { 43 } else { 86 };
            if hash.rsplit('$').next().map(str::len) != Some(digest_len) {
                return Err(MALFORMED);
            }
            let tried = ShaCrypt::default().verify_password(b"", hash);
            return match tried {
                Ok(()) | Err(sha_crypt::password_hash::Error::PasswordInvalid) => {
                    Ok(Hash::Sha(hash.to_owned()))
                }
                Err(_) => Err(MALFORMED),
            };
        }
        Err("has a hash that is neither bcrypt ($2y$) nor SHA-crypt ($5$, $6$)")
    }

    /// Tells whether the password matches; both crates compare in constant time.
    fn matches(&self, password: &[u8]) -> bool {
        match self {
            Hash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Hash::Sha(hash) => ShaCrypt::default().verify_password(password, &**hash).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of `htpasswd -nbB -C 4`, `openssl passwd -5` and `openssl passwd -6` for the password
    /// `secret`.
    const LINES: [&str; 4] = [
        "alice:$2y$04$HYgepmxyB1jUFd8UadZTyuyiJWpTgAtgcL2n4cPeBbabrllo6GJ1C",
        "bob:$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
        "carol:$6$abcdefghijklmnop$J/AWykHqo2Tx5UtavGnFc3ytI33la50Jpz\
         LTarSWVhkIXK6wOjNwwZjsrIw2UgmrER2EKrSHCeQyAINEEXAk1/",
        "dave:$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv\
         2SoepNXNKJ/otop/Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/",
    ];

    #[test]
    fn hashes_of_other_programs_are_accepted() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("users");
        fs::write(&file, format!("# users\n\n{}\n", LINES.join("\n"))).unwrap();
        let users = Users::read(&file).unwrap();
        for line in LINES {
            let name = line.split(':').next().unwrap();
            assert!(users.check(name, b"secret"), "{line}");
            assert!(!users.check(name, b"Secret") && !users.check(name, b""), "{line}");
        }
        assert!(!users.check("nobody", b"secret"));
    }

    #[test]
    fn errors_name_the_malformed_line() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("users");
        for (line, says) in [
            ("a", "line 2 is not a name"),
            (":x", "line 2 has an invalid name"),
            ("a:plain", "htpasswd -B"),
            ("a:$apr1$salt$abc", "neither bcrypt"),
            ("a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "neither bcrypt"),
            ("a:$2y$04$short", "malformed"),
            ("a:$6$nothing", "malformed"),
            ("a:$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM", "malformed"),
            ("a:$2y$31$HYgepmxyB1jUFd8UadZTyuyiJWpTgAtgcL2n4cPeBbabrllo6GJ1C", "too long"),
            ("a:$6$rounds=999999999$salt$x", "too long"),
        ] {
            fs::write(&file, format!("\n{line}\n")).unwrap();
            let error = Users::read(&file).err().expect(line).to_string();
            assert!(error.contains(says), "{line}: {error}");
            assert!(!error.contains("$apr1$salt"), "a hash is not for logs: {error}");
        }
        fs::write(&file, "# nobody\n").unwrap();
        assert!(Users::read(&file).is_err());
        assert!(Users::read(&temp.path().join("none")).is_err());
        assert!(Users::read(temp.path()).is_err());
        let fifo = temp.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success() && Users::read(&fifo).is_err());
    }
}
